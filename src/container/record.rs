//! What is known of a container on disk: `<state root>/<id>/`.
//!
//! | file | what |
//! |---|---|
//! | `config.json` | the spec it was made from; a pod's container has `container.json` |
//! | `state.json` | [`Record`] |
//! | `exec.fifo` | there while the container is created: a byte starts it |
//! | `exec.fifo.new` | the same before the creation is complete |
//! | `exec.status` | what became of the exec |

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;
use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::options::CgroupDriver;
use super::state::Status;
use crate::cgroup::Cgroup;
use crate::model::{ContainerId, ErrorKind, PodUid};
use crate::store::atomic::{self, Durability};
use crate::sys::SyscallError;
use crate::sys::process::{pidfd_open, process_stat};

/// Version of the form below; a higher one is refused.
const VERSION: u32 = 1;

/// The lasting facts of a container. Its status is derived from them and from
/// what the kernel says now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    version: u32,
    pub(super) oci_version: String,
    pub(super) id: ContainerId,
    pub(super) pid: i32,
    /// Clock ticks after boot; with the pid the name of one process.
    pub(super) start_time: u64,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    pub(super) created: String,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) uid: u32,
    /// Set for a pod's container, which only pod verbs may touch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<PodUid>,
    /// Empty for a container without one.
    pub(super) cgroup: String,
    pub(super) cgroup_driver: CgroupDriver,
    /// Its share of cache and memory bandwidth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rdt: Option<crate::cgroup::resctrl::Group>,
    /// Its first process is process 1 of a pid namespace: all others die with
    /// it.
    pub(super) own_pid: bool,
    /// The spec has poststart or poststop hooks.
    pub(super) late_hooks: bool,
}

impl Record {
    /// A record in the current form, of a container whose process, folders and
    /// owner are still to be filled in.
    pub(super) fn new(
        id: ContainerId,
        spec: &Spec,
        cgroup: String,
        cgroup_driver: CgroupDriver,
    ) -> Self {
        let late = |hooks: &oci_spec::runtime::Hooks| {
            [hooks.poststart(), hooks.poststop()].into_iter().flatten().any(|list| !list.is_empty())
        };
        Self {
            version: VERSION,
            oci_version: spec.version().clone(),
            id,
            pid: 0,
            start_time: 0,
            bundle: PathBuf::new(),
            rootfs: PathBuf::new(),
            created: crate::sys::clock::now().wall.rfc3339_nanos(),
            annotations: spec.annotations().clone().unwrap_or_default().into_iter().collect(),
            uid: nix::unistd::getuid().as_raw(),
            owner: None,
            cgroup,
            cgroup_driver,
            rdt: None,
            own_pid: false,
            late_hooks: spec.hooks().as_ref().is_some_and(late),
        }
    }

    /// # Errors
    /// [`Error::DoesNotExist`], [`Error::Parse`].
    pub(super) fn load(dir: &StateDir) -> Result<Self> {
        let path = dir.file("state.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(if dir.0.is_dir() {
                    Error::Parse { path, problem: "the file is missing".to_owned() }
                } else {
                    Error::DoesNotExist
                });
            }
            Err(error) => return Err(dir.failed("read", "state.json", &error)),
        };
        let record: Self = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Parse { path: path.clone(), problem: error.to_string() })?;
        if record.version > VERSION {
            let problem = format!("version {} is newer than this podrt", record.version);
            return Err(Error::Parse { path, problem });
        }
        Ok(record)
    }

    pub(super) fn save(&self, dir: &StateDir) -> Result<()> {
        let path = dir.file("state.json");
        let bytes = serde_json::to_vec(self)
            .map_err(|error| Error::Parse { path: path.clone(), problem: error.to_string() })?;
        atomic::write(&path, &bytes, Durability::Volatile).map_err(|error| store_error(&error))
    }

    /// The first process, if it is still the one that was recorded and has not
    /// ended.
    pub(super) fn process(&self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(self.pid);
        // In this order: once the pidfd is open, the pid cannot change hands
        // unnoticed between the two.
        let pidfd = pidfd_open(pid).ok()?;
        let stat = process_stat(pid).ok()?;
        (stat.start_time == self.start_time && !stat.has_ended()).then_some(pidfd)
    }

    /// What the container does now.
    pub(super) fn status(&self, dir: &StateDir) -> Status {
        if self.process().is_none() {
            return Status::Stopped;
        }
        if dir.file("exec.fifo.new").exists() {
            return Status::Creating;
        }
        // As in runc, one that is created can be paused, too.
        match (self.is_frozen(), dir.file("exec.fifo").exists()) {
            (true, _) => Status::Paused,
            (false, true) => Status::Created,
            (false, false) => Status::Running,
        }
    }

    /// Whether its cgroup is told to stand still.
    pub(super) fn is_frozen(&self) -> bool {
        Cgroup::open(&self.cgroup).and_then(|cgroup| cgroup.is_frozen()).unwrap_or(false)
    }

    /// The cgroup, of a container that has one.
    pub(super) fn require_cgroup(&self) -> Result<Cgroup> {
        if self.cgroup.is_empty() {
            return Err(Error::Resource {
                what: "cgroup",
                kind: ErrorKind::Unsupported,
                problem: "a rootless container has none".to_owned(),
            });
        }
        Cgroup::open(&self.cgroup).map_err(|error| cgroup_error(&error))
    }
}

pub(super) fn store_error(error: &crate::store::Error) -> Error {
    Error::Resource { what: "state", kind: error.kind(), problem: error.to_string() }
}

pub(super) fn cgroup_error(error: &crate::cgroup::Error) -> Error {
    Error::Resource { what: "cgroup", kind: error.kind(), problem: error.to_string() }
}

/// A container's folder below the state root.
#[derive(Debug, Clone)]
pub(super) struct StateDir(PathBuf);

impl StateDir {
    pub(super) fn of(state_root: &Path, id: &ContainerId) -> Self {
        Self(state_root.join(id.as_str()))
    }

    /// Makes it, and the root with it. Whoever makes it has the id.
    ///
    /// # Errors
    /// [`Error::Exists`].
    pub(super) fn claim(state_root: &Path, id: &ContainerId) -> Result<Self> {
        let dir = Self::of(state_root, id);
        let make = || fs::DirBuilder::new().mode(0o700).create(&dir.0);
        let made = match make() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                atomic::create_dirs_with_mode(state_root, 0o711, Durability::Volatile)
                    .map_err(|error| store_error(&error))?;
                make()
            }
            made => made,
        };
        match made {
            Ok(()) => Ok(dir),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(Error::Exists { id: id.to_string() })
            }
            Err(error) => Err(dir.failed("mkdir", "", &error)),
        }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it with all its files. Gone is removed.
    pub(super) fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(self.failed("remove", "", &error))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, call: &'static str, name: &str, error: &std::io::Error) -> Error {
        let path = if name.is_empty() { self.0.clone() } else { self.file(name) };
        Error::Call {
            what: "container state".to_owned(),
            source: SyscallError::from_io(call, format!("{path:?}"), error),
        }
    }
}

/// Ids of all containers below `state_root`, sorted.
pub(super) fn ids(state_root: &Path) -> Result<Vec<ContainerId>> {
    let entries = match fs::read_dir(state_root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Error::Call {
                what: "list containers".to_owned(),
                source: SyscallError::from_io("opendir", format!("{state_root:?}"), &error),
            });
        }
    };
    let mut ids: Vec<ContainerId> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| ContainerId::new(entry.file_name().to_str()?).ok())
        .filter(|id| StateDir::of(state_root, id).file("state.json").exists())
        .collect();
    ids.sort();
    Ok(ids)
}

/// Sends one signal to a process, which may have ended meanwhile.
pub(super) fn signal(pidfd: &OwnedFd, signal: crate::model::Signal) -> Result<()> {
    crate::sys::process::pidfd_send_signal(pidfd.as_fd(), signal).map_err(|error| {
        if error.errno == nix::errno::Errno::ESRCH {
            Error::NotRunning
        } else {
            Error::Call { what: "signal container".to_owned(), source: error }
        }
    })
}
