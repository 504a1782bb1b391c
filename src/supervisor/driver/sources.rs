//! What manifests refer to and only the running pod's side can look up:
//! objects, files of volumes, the pod's own fields.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::sysinfo::sysinfo;

use crate::model::object::ObjectData;
use crate::model::plan::{FieldRef, ObjectKind, ResourceRef};
use crate::store::{ObjectKey, ObjectStore};
use crate::supervisor::process::downward::{Facts, Node};
use crate::supervisor::process::env::Sources;
use crate::sys::path::InRoot;
use crate::volume::{ContentSource, VolumeSet};

/// An env file larger than this is none (the kubelet's limit).
const ENV_FILE_BYTES: u64 = 64 * 1024;

/// The pod's view of the machine at one moment.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    pub facts: Facts<'a>,
    pub objects: &'a ObjectStore,
    /// `None` while the volumes themselves are set up.
    pub volumes: Option<&'a VolumeSet>,
}

impl World<'_> {
    fn load(&self, kind: ObjectKind, name: &str) -> Result<Option<ObjectData>, String> {
        let word = match kind {
            ObjectKind::ConfigMap => "ConfigMap",
            ObjectKind::Secret => "Secret",
        };
        let namespace = Some(self.facts.plan.namespace.as_str());
        let key = ObjectKey::new(namespace, word, name).map_err(|e| e.to_string())?;
        let Some(json) = self.objects.get(&key).map_err(|e| e.to_string())? else {
            return Ok(None);
        };
        let data = ObjectData::from_json(kind, &json);
        data.map(Some).ok_or_else(|| format!("read {word} \"{name}\": a value is no text"))
    }
}

impl Sources for World<'_> {
    fn keys(
        &self,
        kind: ObjectKind,
        name: &str,
    ) -> Result<Option<BTreeMap<String, String>>, String> {
        let Some(data) = self.load(kind, name)? else { return Ok(None) };
        Ok(Some(match kind {
            ObjectKind::ConfigMap => data.text,
            ObjectKind::Secret => {
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                data.binary.into_iter().map(|(key, value)| (key, text(value))).collect()
            }
        }))
    }

    fn file(&self, volume: &str, path: &str) -> Result<String, String> {
        let not_mounted = || format!("volume \"{volume}\" is not mounted");
        let root = self.volumes.ok_or_else(not_mounted)?.open_root(volume);
        let root = root.map_err(|e| e.to_string())?;
        // A container may have put anything there: no device, no fifo.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
        let file = InRoot::new(root.as_fd()).open(Path::new(path), flags);
        let file = File::from(file.map_err(|e| e.to_string())?);
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err(format!("\"{path}\" is not a regular file"));
        }
        let mut text = String::new();
        let read = file.take(ENV_FILE_BYTES).read_to_string(&mut text);
        read.map(|_| text).map_err(|e| e.to_string())
    }
}

impl ContentSource for World<'_> {
    fn object(&self, kind: ObjectKind, name: &str) -> Option<ObjectData> {
        self.load(kind, name).ok().flatten()
    }

    fn field(&self, field: &FieldRef) -> String {
        self.facts.field(field)
    }

    fn resource(&self, resource: &ResourceRef) -> String {
        self.facts.resource(resource)
    }
}

/// What the machine has, as a container without limits is told.
#[must_use]
pub fn node(data_root: &Path) -> Node {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = sysinfo().map_or(0, |info| info.ram_total());
    let storage = nix::sys::statvfs::statvfs(data_root)
        .map_or(0, |stat| stat.blocks().saturating_mul(stat.fragment_size()));
    let amount = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    Node {
        cpu_milli: i64::try_from(count).unwrap_or(1) * 1000,
        memory_bytes: amount(memory),
        storage_bytes: amount(storage),
    }
}
