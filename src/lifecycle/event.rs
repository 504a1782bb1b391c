//! Facts the supervisor reports to the machine.

use serde::{Deserialize, Serialize};

use crate::model::status::LinuxUser;
use crate::model::{ExitStatus, Signal, Timestamp};

/// One container of the plan, by its list and index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerRef {
    pub kind: ContainerKind,
    pub index: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ContainerKind {
    /// Plain init containers and sidecars.
    Init,
    App,
    Ephemeral,
}

/// One run of a container: the attempt counts its restarts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Instance {
    pub container: ContainerRef,
    pub attempt: u32,
}

/// What happened. Every event is handled with the [`crate::model::Now`] at
/// which it was noticed.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The pod was handed to its shim.
    Begin,
    /// All volumes of the pod are in place.
    VolumesReady,
    /// A volume could not be set up; `message` is the text of `FailedMount`.
    VolumesFailed {
        message: String,
    },
    SandboxCreated {
        attempt: u32,
        pod_ips: Vec<String>,
        host_ips: Vec<String>,
    },
    SandboxFailed {
        attempt: u32,
        message: String,
    },
    /// The pause process ended without being asked to.
    SandboxExited {
        attempt: u32,
    },
    /// The answer to `StopSandbox`.
    SandboxStopped {
        attempt: u32,
    },
    /// An image is being fetched, for the event of that name.
    ImagePulling {
        instance: Instance,
    },
    ImagePulled {
        instance: Instance,
        how: Pulled,
    },
    /// The container was created (event `Created`) but not started.
    Created {
        instance: Instance,
        started_from: StartedFrom,
    },
    Started {
        instance: Instance,
        at: Timestamp,
    },
    StartFailed {
        instance: Instance,
        failure: StartFailure,
        message: String,
    },
    Exited {
        instance: Instance,
        status: ExitStatus,
        oom_killed: bool,
        at: Timestamp,
        /// The termination message, already read and cut to 4096 bytes.
        message: String,
    },
    /// The instance ran, and nobody can say how it ended.
    Lost {
        instance: Instance,
        at: Timestamp,
    },
    /// The answer to `RemoveContainer`.
    Removed {
        instance: Instance,
    },
    ProbeFinished {
        instance: Instance,
        probe: ProbeKind,
        result: ProbeResult,
    },
    HookFinished {
        instance: Instance,
        hook: HookKind,
        result: Result<(), String>,
    },
    /// Someone asks the pod to end.
    Stop(StopRequest),
    /// The answer to `TearDown`: nothing of the pod is left but its records.
    TornDown,
    /// A deadline of `next_deadline()` has passed.
    Deadline,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulled {
    AlreadyPresent,
    /// Milliseconds of the pull, and with waiting; bytes of the image.
    Fetched {
        pull_ms: u64,
        total_ms: u64,
        size_bytes: u64,
    },
}

/// What a created instance was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartedFrom {
    pub container_id: String,
    /// The image's name as the store knows it.
    pub image: String,
    pub image_id: String,
    pub user: LinuxUser,
    /// The stop signal of the image, when it names one.
    pub image_stop_signal: Option<Signal>,
}

/// At which point a start failed; decides the waiting reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartFailure {
    /// `CreateContainerConfigError`
    Config,
    /// `CreateContainerError`
    Create,
    /// `RunContainerError`, and an instance that ended as `StartError`, 128.
    Run,
    ErrImagePull,
    ErrImageNeverPull,
    InvalidImageName,
    ImageInspectError,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ProbeKind {
    Startup,
    Liveness,
    Readiness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HookKind {
    PostStart,
    PreStop,
}

/// One run of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeResult {
    Success,
    /// Counts as success; `ProbeWarning` with this text.
    Warning(String),
    /// `Unhealthy` with this text.
    Failure(String),
    /// Could not be carried out: an event, and no count.
    Error(String),
}

/// How a pod is asked to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    /// Seconds; `None` for the pod's own grace period.
    pub grace_seconds: Option<u32>,
    /// `--force`: no grace but the two seconds every stop gets.
    pub force: bool,
    pub reason: StopReason,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// `delete`: a deletionTimestamp is set.
    Deleted,
    /// The foreground command was interrupted, the machine goes down, an
    /// eviction: status reason and message are the given ones.
    Evicted { reason: String, message: String },
}
