//! From manifests to running pods: read, plan everything, and only then make
//! anything.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::Value;

use crate::cli::error::CliError;
use crate::image;
use crate::manifest::types::ManagedFieldsEntry;
use crate::manifest::{self, Object, PodObject};
use crate::model::plan::{PodPlan, PullPolicy};
use crate::model::{ErrorKind, PodKey, Roots, Timestamp};
use crate::store::objects::{ObjectKey, ObjectStore};
use crate::store::pods::PodStore;
use crate::supervisor::client::{self, Client, SpawnOptions};

use super::args::RunArgs;
use super::delete::{self, How};
use super::settings::{self, Settings};
use super::source;

/// What a set of manifests asks for, planned but not begun.
#[derive(Debug)]
pub struct Planned {
    /// `ConfigMaps`, Secrets and the like, with their namespaces.
    others: Vec<Object>,
    pods: Vec<(PodObject, PodPlan)>,
}

/// A pod that has a shim.
#[derive(Debug)]
pub struct Started {
    pub plan: PodPlan,
    pub client: Client,
}

/// Reads every file and plans every pod.
///
/// # Errors
/// All that is wrong with the manifests, at once; nothing was made.
pub fn plan(args: &RunArgs, roots: &Roots, now: Timestamp) -> Result<Planned, CliError> {
    let mut planned = Planned { others: Vec::new(), pods: Vec::new() };
    let mut problems = Vec::new();
    for file in &args.files {
        match manifest::parse(&read(file)?, file) {
            Ok(objects) => planned.sort_in(objects, args, roots, now, &mut problems)?,
            Err(report) => problems.push(report.to_string()),
        }
    }
    if !problems.is_empty() {
        return Err(CliError::Manifest(problems.join("\n")));
    }
    if planned.pods.is_empty() {
        return Err(CliError::Refused(format!("{}: no Pod in it", args.files.join(", "))));
    }
    planned.refuse_twins()?;
    Ok(planned)
}

impl Planned {
    fn sort_in(
        &mut self,
        objects: Vec<Object>,
        args: &RunArgs,
        roots: &Roots,
        now: Timestamp,
        problems: &mut Vec<String>,
    ) -> Result<(), CliError> {
        for mut object in objects {
            source::set_namespace(&mut object, &args.scope)?;
            let Object::Pod(mut pod) = object else {
                self.others.push(object);
                continue;
            };
            let settings = settings_of(args, &mut pod);
            if !args.detach {
                pod.metadata.managed_fields = vec![ManagedFieldsEntry {
                    manager: FOREGROUND.to_owned(),
                    operation: "Update".to_owned(),
                    api_version: "v1".to_owned(),
                    time: Some(now),
                    ..ManagedFieldsEntry::default()
                }];
            }
            match settings::plan(&mut pod, settings, roots, now)? {
                Ok(plan) => self.pods.push((*pod, plan)),
                Err(report) => problems.push(report.to_string()),
            }
        }
        Ok(())
    }

    fn refuse_twins(&self) -> Result<(), CliError> {
        let mut seen = BTreeMap::new();
        for (_, plan) in &self.pods {
            if seen.insert((&plan.namespace, &plan.name), ()).is_some() {
                return Err(CliError::Refused(format!("pods {:?} is given twice", plan.name)));
            }
        }
        Ok(())
    }

    /// Checks what would make a start pointless before anything is made: a
    /// busy name, an image that is not there.
    fn check(&self, roots: &Roots, replace: bool) -> Result<(), CliError> {
        let store =
            image::Store::open(&roots.images()).map_err(|e| CliError::room(&e, e.kind()))?;
        for (_, plan) in &self.pods {
            let key = key_of(plan);
            let pods = PodStore::new(&roots.root);
            let taken = pods.find(&key).map_err(|e| CliError::room(&e, e.kind()))?;
            if taken.is_some() && !replace {
                return Err(CliError::Refused(format!("pods {:?} already exists", plan.name))
                    .hint("use --replace to replace it, or delete it first"));
            }
            let containers = plan.init_containers.iter().chain(&plan.containers);
            for container in containers.filter(|c| c.pull_policy != PullPolicy::Never) {
                image_is_there(&store, &container.name, &container.image)?;
            }
        }
        Ok(())
    }

    /// Stores the objects and starts the pods, in the order of the manifests.
    ///
    /// # Errors
    /// What stood in the way; pods that were started by then go on.
    pub fn start(self, args: &RunArgs, roots: &Roots) -> Result<Vec<Started>, CliError> {
        self.check(roots, args.replace)?;
        if args.replace {
            for (_, plan) in &self.pods {
                delete::pod(roots, &key_of(plan), &How::graceful(), true)?;
            }
        }
        let objects = ObjectStore::new(roots.objects());
        for object in &self.others {
            put(&objects, object.kind(), object.to_json())?;
        }
        let mut started = Vec::new();
        for (pod, plan) in self.pods {
            let (client, _) = launch(&objects, &pod, &plan)?;
            started.push(Started { plan, client });
        }
        Ok(started)
    }
}

/// The pod's key.
#[must_use]
pub fn key_of(plan: &PodPlan) -> PodKey {
    PodKey { namespace: plan.namespace.clone(), name: plan.name.clone() }
}

/// The manager of a pod that a command runs in the foreground.
const FOREGROUND: &str = "podrt-run";

/// Whether a stored pod that nobody runs is to be begun when the machine
/// starts: not one that has ended, nor one that a command had run in the
/// foreground.
#[must_use]
pub fn begins_at_boot(object: &Value) -> bool {
    let managers = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let mut managers = managers.map(|fields| &fields["manager"]);
    !is_final(object) && !managers.any(|manager| manager == FOREGROUND)
}

/// Whether the stored object says that the pod has ended for good.
#[must_use]
pub fn is_final(object: &Value) -> bool {
    matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// Starts a pod's processes and stores its object. In this order: who loses a
/// race for the name must not touch the winner's object.
///
/// # Errors
/// The supervisor's; then nothing is left. The store's.
pub fn launch(
    objects: &ObjectStore,
    pod: &PodObject,
    plan: &PodPlan,
) -> Result<(Client, Value), CliError> {
    let client =
        client::spawn(plan, &SpawnOptions::default()).map_err(|e| CliError::room(&e, e.kind()))?;
    let mut object = put(objects, "Pod", stored(pod, plan))?;
    // A shim that has ended before the object was there could not write the
    // final status into it.
    let status = PodStore::new(&plan.roots.root)
        .open(&plan.uid)
        .and_then(|record| record.status())
        .ok()
        .flatten()
        .map(|record| record.status);
    if let Some(status) = status.filter(|status| status.phase.is_terminal()) {
        let room = |e: crate::store::Error| CliError::room(&e, e.kind());
        let key = ObjectKey::new(Some(&plan.namespace), "Pod", &plan.name).map_err(room)?;
        let status = serde_json::to_value(status).unwrap_or_default();
        let set = objects.set_status(&key, plan.uid.as_str(), status).map_err(room)?;
        object = set.unwrap_or(object);
    }
    Ok((client, object))
}

/// What the flags ask for, or, where they say nothing, the annotations.
fn settings_of(args: &RunArgs, pod: &mut PodObject) -> Settings {
    let mut settings = Settings::of(pod);
    if let Some(network) = args.network {
        settings.network = network.into();
    }
    settings.seccomp_default |= args.seccomp_default;
    if let Some(longest) = args.max_container_backoff {
        settings.max_backoff_seconds =
            u32::try_from(longest.as_secs()).unwrap_or(u32::MAX).clamp(1, 300);
    }
    if let Some(bytes) = args.log_max_size {
        settings.log_limits.max_bytes = bytes;
    }
    if let Some(files) = args.log_max_files {
        settings.log_limits.max_files = usize::from(files);
    }
    settings.note(pod);
    settings
}

/// The object as it is kept: with what the API server would have added.
#[must_use]
pub fn stored(pod: &PodObject, plan: &PodPlan) -> Value {
    let mut json = pod.to_json(None);
    json["metadata"]["creationTimestamp"] = plan.created_at.to_string().into();
    json["metadata"]["generation"] = plan.generation.into();
    json["spec"]["nodeName"] = plan.node_name.clone().into();
    json
}

/// Stores an object by the names in it; the object as it is stored now.
///
/// # Errors
/// The store's.
pub fn put(store: &ObjectStore, kind: &str, object: Value) -> Result<Value, CliError> {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text("namespace"), text("name"));
    let namespace = (kind != "Namespace").then_some(namespace.as_str());
    let written = ObjectKey::new(namespace, kind, &name)
        .and_then(|key| store.put(&key, object))
        .map_err(|e| CliError::room(&e, e.kind()))?;
    Ok(written.object().clone())
}

/// Refuses an image that is not there, for a command that would wait for its
/// container.
///
/// # Errors
/// The image's name, and the image store's.
pub(super) fn check_image(roots: &Roots, container: &str, name: &str) -> Result<(), CliError> {
    let store = image::Store::open(&roots.images()).map_err(|e| CliError::room(&e, e.kind()))?;
    image_is_there(&store, container, name)
}

fn image_is_there(store: &image::Store, container: &str, name: &str) -> Result<(), CliError> {
    let fail = |cause: &dyn std::fmt::Display, kind| CliError::Room {
        line: format!("container {container:?}: {cause}"),
        kind,
    };
    let reference = image::Reference::parse(name).map_err(|e| fail(&e, ErrorKind::InvalidInput))?;
    if store.resolve(&reference).map_err(|e| fail(&e, e.kind()))?.is_none() {
        return Err(fail(&format!("image {name:?} not found"), ErrorKind::NotFound)
            .hint("load it with 'podrt image load FILE' or 'podrt image import DIR NAME'"));
    }
    Ok(())
}

/// Reads a manifest; `-` is standard input.
///
/// # Errors
/// A file that cannot be read, or is not UTF-8.
pub fn read(file: &str) -> Result<String, CliError> {
    let cause = |e: std::io::Error| CliError::File {
        path: file.to_owned(),
        cause: e.raw_os_error().map_or_else(
            || e.to_string(),
            |code| crate::sys::error::describe(nix::errno::Errno::from_raw(code)),
        ),
    };
    if file != "-" {
        return std::fs::read_to_string(file).map_err(cause);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(cause)?;
    Ok(text)
}
