//! A container on paper: everything that can be decided, opened and refused
//! before anything is made on the machine.

use std::os::fd::AsFd;
use std::path::PathBuf;

use oci_spec::runtime::{Linux, LinuxResources, Spec};

use super::error::{Error, Result};
use super::hooks::{HookList, Moment};
use super::init::child::{ChildHooks, InitPlan};
use super::init::namespaces::NamespacePlan;
use super::init::process::{ProcessPlan, Surroundings};
use super::kept::Keep;
use super::options::{Console, CreateOptions, Gate, RootSource, Stdio};
use super::record::{Record, cgroup_error};
use super::{exec, net_devices, plan, proc_mount, refuse, systemd};
use crate::cgroup::resctrl::{Resctrl, Wish};
use crate::model::ContainerId;
use crate::rootfs::{CgroupView, RootfsInput, RootfsPlan};
use crate::sys::prctl::Rlimit;
use crate::sys::userns;

/// The plan of the new process, and what its maker has to do.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) spec: Spec,
    pub(super) init: InitPlan,
    pub(super) record: Record,
    pub(super) resources: LinuxResources,
    pub(super) mappings: Mappings,
    pub(super) state_root: PathBuf,
    pub(super) keep: Box<dyn Keep>,
    pub(super) console: Console,
    pub(super) pid_file: Option<PathBuf>,
    pub(super) gate: Gate,
    pub(super) rdt: Option<(Resctrl, Wish)>,
}

/// What the maker writes below `/proc/<pid>` for a child in a new user
/// namespace.
#[derive(Debug)]
pub(super) struct Mappings {
    pub(super) uid_map: String,
    pub(super) gid_map: String,
    /// oom_score_adj and rlimits, where the child has no right to set them any
    /// more.
    pub(super) limits: Option<(Option<i32>, Vec<Rlimit>)>,
}

impl Draft {
    /// Resolves the options.
    ///
    /// # Errors
    /// Everything that is wrong with the spec, or missing on the machine.
    pub(super) fn new(options: CreateOptions) -> Result<Self> {
        let CreateOptions { spec, id, bundle, namespaces, console, .. } = options;
        let linux = plan::linux(&spec)?;
        refuse::check(&spec, linux)?;
        let namespaces = plan::namespaces(linux, namespaces)?;
        refuse::without_namespace(linux, &namespaces)?;
        let keyring = (!options.no_new_keyring).then(|| exec::keyring_name(&id));
        let process = process_plan(&spec, linux, keyring, options.preserve_fds)?;
        check_console(&process, &console)?;
        let mappings = mappings(linux, &namespaces, &process)?;
        let cgroup = systemd::cgroup_path(options.cgroup_driver, linux, id.as_str())?;
        let rdt = rdt(linux, id.as_str())?;
        let mut sources = options.sources;
        if let Some(pid_namespace) = namespaces.joined_pid() {
            proc_mount::add(&spec, pid_namespace.as_fd(), &mut sources)?;
        }
        let root_path = match &options.root {
            RootSource::Path(path) => bundle.join(path),
            RootSource::Detached(_) => PathBuf::new(),
        };
        let rootfs = RootfsPlan::prepare(RootfsInput {
            spec: &spec,
            bundle: &bundle,
            root: options.root,
            sources,
            cgroup: CgroupView { path: &cgroup, own_namespace: namespaces.own_cgroup },
            no_pivot: options.no_pivot,
            console: process.terminal,
            user_namespace: namespaces.foreign_user || userns::inside(),
        });
        let init = InitPlan {
            time_offsets: plan::time_offsets(linux)?,
            hostname: plan::machine_name("hostname", spec.hostname(), &namespaces)?,
            domainname: plan::machine_name("domainname", spec.domainname(), &namespaces)?,
            sysctls: plan::sysctls(linux, &namespaces)?,
            runtime_hooks: net_devices::given(linux)
                || runtime_hooks(&spec).iter().any(|list| !list.is_empty()),
            hooks: child_hooks(&spec, &id, &bundle),
            rootfs: rootfs.map_err(|error| Error::Resource {
                what: "rootfs",
                kind: error.kind(),
                problem: error.to_string(),
            })?,
            process,
            stdio: match options.stdio {
                Stdio::Inherit => None,
                Stdio::Fds(fds) => Some(fds),
            },
            namespaces,
        };
        let mut record = Record::new(id, &spec, cgroup, options.cgroup_driver);
        record.bundle = bundle;
        record.rootfs = root_path;
        record.owner = options.owner;
        record.own_pid = init.namespaces.own_pid;
        Ok(Self {
            resources: linux.resources().clone().unwrap_or_default(),
            init,
            record,
            mappings,
            state_root: options.state_root,
            keep: options.keep,
            console,
            pid_file: options.pid_file,
            gate: options.gate,
            rdt,
            spec,
        })
    }
}

/// What of cache and memory bandwidth is asked for, and where.
pub(super) fn rdt(linux: &Linux, id: &str) -> Result<Option<(Resctrl, Wish)>> {
    let Some(rdt) = linux.intel_rdt() else { return Ok(None) };
    let found = Wish::new(rdt, id).and_then(|wish| Ok((Resctrl::find()?, wish)));
    found.map(Some).map_err(|error| cgroup_error(&error))
}

fn process_plan(
    spec: &Spec,
    linux: &Linux,
    keyring: Option<String>,
    preserve_fds: u32,
) -> Result<ProcessPlan> {
    let process = spec.process().as_ref().ok_or_else(|| plan::invalid("process is missing"))?;
    let around = Surroundings {
        seccomp: linux.seccomp().as_ref(),
        personality: linux.personality().as_ref(),
        memory_policy: linux.memory_policy().as_ref(),
        keyring,
        preserve_fds,
    };
    ProcessPlan::new(process, &around)
}

fn check_console(process: &ProcessPlan, console: &Console) -> Result<()> {
    match (process.terminal, console) {
        (true, Console::None) => Err(plan::invalid(
            "cannot allocate tty if runc will detach without setting console socket",
        )),
        (false, Console::Socket(_)) => {
            Err(plan::invalid("cannot use console socket if runc will not detach or allocate tty"))
        }
        _ => Ok(()),
    }
}

fn mappings(linux: &Linux, namespaces: &NamespacePlan, process: &ProcessPlan) -> Result<Mappings> {
    let mappings = Mappings {
        uid_map: plan::mapping(linux.uid_mappings()),
        gid_map: plan::mapping(linux.gid_mappings()),
        limits: namespaces.clones_user().then(|| (process.oom_score_adj, process.rlimits.clone())),
    };
    if namespaces.makes_user() && (mappings.uid_map.is_empty() || mappings.gid_map.is_empty()) {
        return Err(plan::invalid("a new user namespace needs uidMappings and gidMappings"));
    }
    Ok(mappings)
}

/// The hooks that run while the new process waits.
pub(super) fn runtime_hooks(spec: &Spec) -> [HookList; 2] {
    [Moment::Prestart, Moment::CreateRuntime].map(|moment| HookList::of(moment, spec))
}

fn child_hooks(spec: &Spec, id: &ContainerId, bundle: &std::path::Path) -> ChildHooks {
    ChildHooks {
        create_container: HookList::of(Moment::CreateContainer, spec),
        start_container: HookList::of(Moment::StartContainer, spec),
        id: id.to_string(),
        oci_version: spec.version().clone(),
        bundle: bundle.to_owned(),
        annotations: spec.annotations().clone(),
    }
}
