//! The three folders a podrt lives in.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{ContainerId, PodUid};

/// Where one podrt keeps its state. Two podrt with different roots on one
/// machine do not disturb each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Roots {
    /// Running state, on a file system that a reboot empties (`/run/podrt`).
    pub root: PathBuf,
    /// Objects, images and volumes (`/var/lib/podrt`).
    pub data_root: PathBuf,
    /// Container logs (`/var/log/podrt/pods`).
    pub log_root: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            root: "/run/podrt".into(),
            data_root: "/var/lib/podrt".into(),
            log_root: "/var/log/podrt/pods".into(),
        }
    }
}

/// State the machine has only once, whatever the roots: address table, bridge
/// lock. Not below any root.
pub const MACHINE_DIR: &str = "/run/podrt-machine";

impl Roots {
    /// The state directory of an OCI container.
    #[must_use]
    pub fn container(&self, id: &ContainerId) -> PathBuf {
        self.root.join(id.as_str())
    }

    /// The running state of a pod: plan, status, control socket, exits.
    #[must_use]
    pub fn pod_run(&self, uid: &PodUid) -> PathBuf {
        self.root.join("pods").join(uid.as_str())
    }

    /// The pod's folder in the kubelet's layout: volumes, etc-hosts,
    /// termination logs, writable layers.
    #[must_use]
    pub fn pod_data(&self, uid: &PodUid) -> PathBuf {
        self.data_root.join("pods").join(uid.as_str())
    }

    /// The image store.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.data_root.join("images")
    }

    /// API objects as given and defaulted.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.data_root.join("objects")
    }

    /// The folder of a pod's logs: `<ns>_<name>_<uid>` below the log root.
    #[must_use]
    pub fn pod_logs(&self, namespace: &str, name: &str, uid: &PodUid) -> PathBuf {
        self.log_root.join(format!("{namespace}_{name}_{uid}"))
    }

    /// The log of one instance of a container.
    #[must_use]
    pub fn container_log(pod_logs: &Path, container: &str, attempt: u32) -> PathBuf {
        pod_logs.join(container).join(format!("{attempt}.log"))
    }
}
