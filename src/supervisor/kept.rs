//! The status that outlives the machine's running state, below the data root:
//! by it a pod goes on after a reboot. It is written when a container has
//! started or ended, not at every change; lost or torn, it lets the pod begin
//! as a new one.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::model::Timestamp;
use crate::model::plan::PodPlan;
use crate::model::status::{ContainerStatus, PodStatus};
use crate::store;
use crate::store::atomic::{self, Durability};

/// What of a status is worth a write.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    /// Of each container: restarts, whether it runs, when it last ended.
    containers: Vec<(u32, bool, Option<Timestamp>)>,
}

impl Kept {
    #[must_use]
    pub fn of(status: &PodStatus) -> Self {
        let lists = [
            &status.init_container_statuses,
            &status.container_statuses,
            &status.ephemeral_container_statuses,
        ];
        let container = |status: &ContainerStatus| {
            let end = status.state.terminated.as_ref().or(status.last_state.terminated.as_ref());
            let is_running = status.state.running.is_some();
            (status.restart_count, is_running, end.map(|end| end.finished_at))
        };
        Self { containers: lists.into_iter().flatten().map(container).collect() }
    }
}

fn path(plan: &PodPlan) -> PathBuf {
    plan.roots.pod_data(&plan.uid).join("status.json")
}

/// Keeps a status. A pod that has no folder yet, or none any more, keeps none.
///
/// # Errors
/// The store's.
pub fn write(plan: &PodPlan, status: &PodStatus) -> store::Result<()> {
    if !plan.roots.pod_data(&plan.uid).is_dir() {
        return Ok(());
    }
    let bytes = serde_json::to_vec(status).unwrap_or_default();
    atomic::write(&path(plan), &bytes, Durability::Volatile)
}

/// What was kept of an earlier life of the pod.
#[must_use]
pub fn read(plan: &PodPlan) -> Option<PodStatus> {
    let path = path(plan);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "cannot read the kept status, ignoring");
            return None;
        }
    };
    let status = serde_json::from_slice(&bytes);
    status.inspect_err(|error| tracing::warn!(%error, "the kept status is damaged, ignoring")).ok()
}
