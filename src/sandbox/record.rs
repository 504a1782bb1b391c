//! What a sandbox is found again by.

use serde::{Deserialize, Serialize};

use crate::model::ContainerId;
use crate::model::plan::NetworkMode;
use crate::model::spec::SandboxPid;
use crate::network::{Attachment, Owner};

/// A sandbox on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxRecord {
    pub id: ContainerId,
    pub owner: Owner,
    /// Of pause, in the machine's pid namespace.
    pub pid: i32,
    /// Of pause, in clock ticks after boot: tells it from a later process of
    /// the same pid.
    pub start_time: u64,
    pub network: NetworkMode,
    pub host_ipc: bool,
    pub pid_mode: SandboxPid,
    /// The pod's cgroup, absolute in the hierarchy.
    pub cgroup: String,
    pub attachment: Attachment,
}

impl SandboxRecord {
    /// The cgroup that pause alone is in.
    #[must_use]
    pub fn pause_cgroup(&self) -> String {
        pause_cgroup(&self.cgroup, &self.id)
    }
}

pub(super) fn pause_cgroup(pod: &str, id: &ContainerId) -> String {
    format!("{}/{id}", pod.trim_end_matches('/'))
}
