//! A pod and facts of the node → the plan.

use super::{PodObject, Report};
use crate::model::plan::{NetworkMode, PodPlan};
use crate::model::{PodUid, Roots, Timestamp};

/// What a plan needs beside the pod.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    pub roots: Roots,
    pub uid: PodUid,
    pub node_name: String,
    /// What a pod without `hostNetwork` gets.
    pub network: NetworkMode,
    pub created_at: Timestamp,
    /// The machine's memory, for the OOM score.
    pub node_memory_bytes: u64,
    /// The machine's CPUs.
    pub node_cpus: u32,
    /// The cluster's DNS domain (`cluster.local`).
    pub cluster_domain: String,
    /// `RuntimeDefault` instead of `Unconfined` where no profile is named.
    pub seccomp_default: bool,
    /// The cap of the restart back-off, 1–300.
    pub max_backoff_seconds: u32,
    /// A pod of a manifest directory.
    pub is_static: bool,
}

/// Plans a pod.
///
/// # Errors
/// What this machine cannot honour, each with its field.
pub fn plan(_pod: &PodObject, _options: &PlanOptions) -> Result<PodPlan, Report> {
    todo!()
}
