//! From manifests to running pods: read, plan everything, and only then make
//! anything.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use crate::cli::error::CliError;
use crate::image;
use crate::manifest::{self, Object, PlanOptions, PodObject};
use crate::model::plan::{PodPlan, PullPolicy};
use crate::model::{ErrorKind, PodKey, PodUid, Roots, Timestamp};
use crate::store::objects::{ObjectKey, ObjectStore};
use crate::store::pods::PodStore;
use crate::supervisor::client::{self, Client, SpawnOptions};

use super::args::RunArgs;
use super::delete::{self, How};

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
            let metadata = object.metadata_mut();
            if metadata.namespace.is_empty() {
                metadata.namespace.clone_from(&args.scope.namespace);
            }
            let Object::Pod(mut pod) = object else {
                self.others.push(object);
                continue;
            };
            if pod.metadata.name.is_empty() {
                pod.metadata.name = format!("{}{}", pod.metadata.generate_name, suffix()?);
            }
            let uid = match pod.metadata.uid.as_str() {
                "" => random_uid()?,
                uid => PodUid::new(uid).map_err(|e| CliError::room(&e, ErrorKind::InvalidInput))?,
            };
            pod.metadata.uid = uid.to_string();
            match manifest::plan(&pod, &options(args, roots, uid, now)) {
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
                check_image(&store, &container.name, &container.image)?;
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
            let options = SpawnOptions::default();
            let client =
                client::spawn(&plan, &options).map_err(|e| CliError::room(&e, e.kind()))?;
            put(&objects, "Pod", stored(&pod, &plan))?;
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

/// The object as it is kept: with what the API server would have added.
fn stored(pod: &PodObject, plan: &PodPlan) -> Value {
    let mut json = pod.to_json(None);
    json["metadata"]["creationTimestamp"] = plan.created_at.to_string().into();
    json["metadata"]["generation"] = plan.generation.into();
    json["spec"]["nodeName"] = plan.node_name.clone().into();
    json
}

fn put(store: &ObjectStore, kind: &str, object: Value) -> Result<(), CliError> {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text("namespace"), text("name"));
    let namespace = (kind != "Namespace").then_some(namespace.as_str());
    ObjectKey::new(namespace, kind, &name)
        .and_then(|key| store.put(&key, object))
        .map_err(|e| CliError::room(&e, e.kind()))?;
    Ok(())
}

fn check_image(store: &image::Store, container: &str, name: &str) -> Result<(), CliError> {
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

fn options(args: &RunArgs, roots: &Roots, uid: PodUid, now: Timestamp) -> PlanOptions {
    PlanOptions {
        roots: absolute(roots),
        uid,
        node_name: node_name(),
        network: args.network.into(),
        created_at: now,
        node_memory_bytes: node_memory_bytes(),
        node_cpus: std::thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
        cluster_domain: "cluster.local".into(),
        seccomp_default: args.seccomp_default,
        max_backoff_seconds: u32::try_from(args.max_container_backoff.as_secs())
            .unwrap_or(u32::MAX)
            .clamp(1, 300),
        is_static: false,
    }
}

/// The pod's processes keep the roots, wherever they are started from.
fn absolute(roots: &Roots) -> Roots {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Roots {
        root: absolute(&roots.root),
        data_root: absolute(&roots.data_root),
        log_root: absolute(&roots.log_root),
    }
}

fn node_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_string_lossy().to_ascii_lowercase()
}

/// `MemTotal` of /proc/meminfo, in bytes; 0 where it cannot be read.
fn node_memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
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

fn random_bytes<const N: usize>() -> Result<[u8; N], CliError> {
    let mut bytes = [0; N];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map(|()| bytes)
        .map_err(|e| CliError::File { path: "/dev/urandom".into(), cause: e.to_string() })
}

/// A version 4 UUID (RFC 9562).
fn random_uid() -> Result<PodUid, CliError> {
    let mut bytes: [u8; 16] = random_bytes()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let uid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    PodUid::new(uid).map_err(|e| CliError::room(&e, ErrorKind::System))
}

/// The five characters that Kubernetes appends to a generateName.
fn suffix() -> Result<String, CliError> {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let bytes: [u8; 5] = random_bytes()?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect())
}
