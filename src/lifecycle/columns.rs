//! What `podrt get pods` prints of a pod: kubectl's READY, STATUS and RESTARTS.

use crate::model::Timestamp;
use crate::model::plan::PodPlan;
use crate::model::status::PodStatus;

/// One pod's row, without its name and age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// `1/2`
    pub ready: String,
    pub status: String,
    /// `3 (25s ago)`
    pub restarts: String,
    /// `1/2`, or `<none>` without gates.
    pub readiness_gates: String,
}

/// The row of a pod, by kubectl's rules (1.36).
#[must_use]
pub fn columns(
    plan: &PodPlan,
    status: &PodStatus,
    deletion_timestamp: Option<Timestamp>,
    now: Timestamp,
) -> Columns {
    todo!("{plan:?} {status:?} {deletion_timestamp:?} {now:?}")
}

/// A duration as kubectl writes ages: `25s`, `5m10s`, `3h20m`, `2d3h`, `400d`.
#[must_use]
pub fn human_duration(duration: std::time::Duration) -> String {
    todo!("{duration:?}")
}
