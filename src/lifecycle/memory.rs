//! All the machine remembers: plain data, kept on disk as the snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;
use crate::model::plan::PodPlan;
use crate::model::status::PodStatus;

use super::backoff::{Backoff, SECOND_NS};
use super::container::Containers;
use super::event::{ContainerRef, Instance};
use super::events::EventLog;

/// The version of the snapshot; another one is refused.
pub const SNAPSHOT_VERSION: u32 = 1;

/// The machine's memory between two events, for the record on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub version: u32,
    pub(super) memory: Memory,
}

/// A snapshot that cannot be taken up again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreError {
    /// It was written by another version of podrt.
    Version { found: u32 },
    /// It has containers that the plan does not have.
    Foreign,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { found } => {
                write!(f, "restore pod: snapshot has version {found}, not {SNAPSHOT_VERSION}")
            }
            Self::Foreign => f.write_str("restore pod: snapshot has containers the plan lacks"),
        }
    }
}

impl std::error::Error for RestoreError {}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    pub course: Course,
    /// Boot time of the last event.
    pub now_ns: u64,
    pub revision: u64,
    pub facts: u64,
    pub started_ns: u64,
    pub start_time: Option<Timestamp>,
    /// Since then, before the machine was started anew.
    #[serde(default)]
    pub spent_ns: u64,
    pub deletion: Option<Deletion>,
    /// Set when the pod has failed whatever its containers say.
    pub doom: Option<Doom>,
    /// Not before this are all containers restarted again.
    pub restart_all_from_ns: u64,
    pub volumes: Volumes,
    pub sandbox: Sandbox,
    pub containers: Containers,
    /// Image → its last failed pull.
    pub images: BTreeMap<String, ImageTrouble>,
    /// Instances whose removal was ordered and not answered.
    pub removing: BTreeSet<Instance>,
    pub status: PodStatus,
    pub log: EventLog,
}

/// What the pod is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Course {
    /// For `Begin`.
    Waiting,
    Running,
    /// Stop and remove all containers, then run (KEP-5532).
    RestartingAll {
        trigger: ContainerRef,
    },
    /// Stop all containers and the sandbox, then run in a new one.
    ReplacingSandbox,
    /// Stop everything.
    Ending(Ending),
    /// Statuses are final, the rest is being torn down.
    Ended,
    Gone,
}

/// How the end was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ending {
    pub grace_seconds: u32,
    pub since_ns: u64,
}

impl Ending {
    /// The grace a container gets that comes up at `now_ns`.
    pub fn left_seconds(&self, now_ns: u64) -> u32 {
        let spent = now_ns.saturating_sub(self.since_ns) / SECOND_NS;
        self.grace_seconds.saturating_sub(u32::try_from(spent).unwrap_or(u32::MAX))
    }
}

/// When and how a deletion was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// `metadata.deletionTimestamp`: the request plus the grace period.
    pub timestamp: Timestamp,
    /// `metadata.deletionGracePeriodSeconds`
    pub grace_seconds: u32,
}

/// Phase Failed, with `status.reason` and `status.message`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Doom {
    pub reason: String,
    pub message: String,
    pub kind: DoomKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum DoomKind {
    /// Before anything was made: no container statuses.
    Rejected,
    Deadline,
    Evicted,
    /// Evicted with the condition `DisruptionTarget`.
    Disrupted,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Volumes {
    Absent,
    SettingUp { last_delay_ns: Option<u64> },
    Retry { at_ns: u64, last_delay_ns: u64 },
    Ready,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sandbox {
    pub attempt: u32,
    pub stage: SandboxStage,
    /// Not before this is the next one made.
    pub next_from_ns: u64,
    pub pod_ips: Vec<String>,
    pub host_ips: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum SandboxStage {
    Absent,
    Creating,
    Retry {
        at_ns: u64,
    },
    Ready,
    /// Its pause process ended.
    Broken,
    Stopping,
}

impl Sandbox {
    pub fn is_ready(&self) -> bool {
        self.stage == SandboxStage::Ready
    }
}

/// Why an image is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ImageTrouble {
    pub backoff: Backoff,
    pub failed_ns: u64,
    pub cause: String,
}

impl Memory {
    pub fn new(plan: &PodPlan, status: PodStatus) -> Self {
        Self {
            course: Course::Waiting,
            now_ns: 0,
            revision: 0,
            facts: 0,
            started_ns: 0,
            start_time: None,
            spent_ns: 0,
            deletion: None,
            doom: None,
            restart_all_from_ns: 0,
            volumes: Volumes::Absent,
            sandbox: Sandbox {
                attempt: 0,
                stage: SandboxStage::Absent,
                next_from_ns: 0,
                pod_ips: Vec::new(),
                host_ips: Vec::new(),
            },
            containers: Containers::of(plan),
            images: BTreeMap::new(),
            removing: BTreeSet::new(),
            status,
            log: EventLog::default(),
        }
    }
}
