//! What a container is made from, resolved before anything of it is made:
//! image, environment, mounts, its specification.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;

use super::context::Context;
use super::mounts::{Mounts, PodFiles};
use super::names::{self, Places};
use super::run::Run;
use super::sources::World;
use super::{Driver, security};
use crate::image::{self, Image, Reference, overlay};
use crate::lifecycle::event::StartFailure;
use crate::model::ContainerId;
use crate::model::plan::{ContainerPlan, PodPlan, PullPolicy, SeccompChoice};
use crate::model::spec::{ContainerPid, ContainerSpec, UserSpec};
use crate::supervisor::process::env::{self, Variables};
use crate::sys::SyscallError;

/// Why a container is not started.
#[derive(Debug)]
pub struct Refusal {
    pub failure: StartFailure,
    pub message: String,
}

impl Refusal {
    fn new(failure: StartFailure, message: impl ToString) -> Self {
        Self { failure, message: message.to_string() }
    }

    pub fn config(message: impl ToString) -> Self {
        Self::new(StartFailure::Config, message)
    }

    pub fn create(message: impl ToString) -> Self {
        Self::new(StartFailure::Create, message)
    }

    pub fn run(message: impl ToString) -> Self {
        Self::new(StartFailure::Run, message)
    }
}

impl Driver {
    pub(super) fn find_image(
        &self,
        container: &ContainerPlan,
        may_pull: bool,
        cx: &Context<'_>,
    ) -> Result<Image, Refusal> {
        let name = Reference::parse(&container.image).map_err(|error| {
            let message =
                format!("Failed to apply default image tag \"{}\": {error}", container.image);
            Refusal::new(StartFailure::InvalidImageName, message)
        })?;
        let inspect = |error: image::Error| Refusal::new(StartFailure::ImageInspectError, error);
        let images = image::Store::open(&cx.plan.roots.images()).map_err(inspect)?;
        if let Some(image) = images.resolve(&name).map_err(inspect)? {
            image::lease::take(&images, &image, cx.record.dir()).map_err(inspect)?;
            return Ok(image);
        }
        let absent = format!("image \"{name}\" is not on this machine");
        Err(match (container.pull_policy, may_pull) {
            (PullPolicy::Never, _) => Refusal::new(
                StartFailure::ErrImageNeverPull,
                format!(
                    "Container image \"{}\" is not present with pull policy of Never",
                    container.image
                ),
            ),
            (_, false) => Refusal::new(StartFailure::ImagePullBackOff, absent),
            (_, true) => Refusal::new(
                StartFailure::ErrImagePull,
                format!("{absent}, and this podrt cannot pull: load it with `podrt image load`"),
            ),
        })
    }

    pub(super) fn variables(
        &self,
        container: &ContainerPlan,
        cx: &Context<'_>,
    ) -> Result<Variables, Refusal> {
        let facts = self.facts(cx.plan);
        let world = World { facts, objects: &self.objects, volumes: Some(&self.volumes) };
        env::variables(container, &facts, &world).map_err(Refusal::config)
    }

    pub(super) fn mounts(
        &self,
        container: &ContainerPlan,
        variables: &Variables,
        places: &Places,
        cx: &Context<'_>,
    ) -> Result<Mounts, Refusal> {
        let mut mounts =
            Mounts::of_volumes(container, variables, &self.volumes).map_err(Refusal::config)?;
        let files = PodFiles::new(&cx.plan.roots.pod_data(&cx.plan.uid));
        mounts.add_pod_files(&files, container.security.read_only_root);
        if let Some(shm) = self.shared_memory().map_err(Refusal::create)? {
            mounts.add_shm(shm);
        }
        mounts.add_termination_log(container, places).map_err(Refusal::create)?;
        Ok(mounts)
    }

    pub(super) fn container_spec(
        &self,
        id: &ContainerId,
        container: &ContainerPlan,
        image: &Image,
        variables: &Variables,
        user: &UserSpec,
        cx: &Context<'_>,
    ) -> Result<ContainerSpec, Refusal> {
        let (plan, config, security) = (cx.plan, &image.config, &container.security);
        let args = env::arguments(container, &config.entrypoint, &config.cmd, variables);
        if args.is_empty() {
            return Err(Refusal::create("no command specified"));
        }
        let hostname = &plan.sandbox.hostname;
        let capabilities = security::capabilities(security);
        Ok(ContainerSpec {
            id: id.clone(),
            args,
            env: env::process_environment(hostname, container.tty, &config.env, variables),
            cwd: working_dir(container, image),
            user: user.clone(),
            pid: self.pid_namespace(container, plan)?,
            tty: container.tty,
            privileged: security.privileged,
            read_only_root: security.read_only_root,
            no_new_privileges: !security.allow_privilege_escalation,
            seccomp: seccomp(plan, container, &capabilities)?,
            capabilities,
            apparmor: security.apparmor.clone(),
            selinux: security.selinux.clone(),
            unmasked_proc: security.unmasked_proc,
            mounts: Vec::new(),
            resources: container.resources.clone(),
            oom_score_adj: container.oom_score_adj,
            cgroup: format!("{}/{id}", names::pod_cgroup(plan)),
            annotations: BTreeMap::new(),
        })
    }

    fn pid_namespace(
        &self,
        container: &ContainerPlan,
        plan: &PodPlan,
    ) -> Result<ContainerPid, Refusal> {
        if let Some(target) = &container.target_container {
            let running = self.runs.values().find(|run| run.name == *target);
            let process = running.and_then(Run::running).ok_or_else(|| {
                Refusal::config(format!("unable to find target container {target}"))
            })?;
            return Ok(ContainerPid::OfProcess(process.pid));
        }
        Ok(match (plan.sandbox.host_pid, plan.sandbox.share_process_namespace) {
            (true, _) => ContainerPid::Host,
            (_, true) => ContainerPid::Sandbox,
            _ => ContainerPid::Own,
        })
    }
}

/// The container's root: the image's layers and a writable one, mounted
/// nowhere. A crash may throw the writable one away.
pub(super) fn mount_root(image: &Image, places: &Places) -> Result<OwnedFd, Refusal> {
    let (upper, work) = (places.layer.join("upper"), places.layer.join("work"));
    // An overlay that a killed shim made here cannot be taken up again.
    let _ = fs::remove_dir_all(&places.layer);
    for dir in [&upper, &work] {
        fs::create_dir_all(dir).map_err(|error| {
            Refusal::create(SyscallError::from_io("mkdir", dir.display().to_string(), &error))
        })?;
    }
    let writable = overlay::Writable { upper: &upper, work: &work, volatile: true };
    overlay::mount(&image.layers, Some(writable)).map_err(Refusal::create)
}

fn working_dir(container: &ContainerPlan, image: &Image) -> String {
    let given = container.working_dir.as_deref().filter(|dir| !dir.is_empty());
    let dir = given.unwrap_or(&image.config.working_dir);
    if dir.is_empty() { "/".to_owned() } else { dir.to_owned() }
}

fn seccomp(
    plan: &PodPlan,
    container: &ContainerPlan,
    capabilities: &[String],
) -> Result<Option<serde_json::Value>, Refusal> {
    let security = &container.security;
    if security.privileged {
        return Ok(None);
    }
    match &security.seccomp {
        SeccompChoice::Unconfined => Ok(None),
        SeccompChoice::RuntimeDefault => {
            let profile = security::default_seccomp(capabilities);
            serde_json::to_value(profile).map(Some).map_err(Refusal::create)
        }
        SeccompChoice::Localhost(name) => {
            let path = plan.roots.data_root.join("seccomp").join(name);
            let text = fs::read(&path).map_err(|error| {
                Refusal::create(format!(
                    "failed to load seccomp profile {:?}: {error}",
                    path.display().to_string()
                ))
            })?;
            serde_json::from_slice(&text).map(Some).map_err(|error| {
                Refusal::create(format!(
                    "failed to parse seccomp profile {:?}: {error}",
                    path.display().to_string()
                ))
            })
        }
    }
}
