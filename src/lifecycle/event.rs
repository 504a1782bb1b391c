//! Facts the supervisor reports to the machine.

use serde::{Deserialize, Serialize};

use crate::model::event::EventType;
use crate::model::plan::{ContainerPlan, PodPlan};
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
    /// The pod was handed to its shim: `status.startTime` is now.
    Begin,
    /// The pod may not run here at all (admission); ends it before anything
    /// was made. `detail` goes behind `Pod was rejected: `.
    Rejected {
        reason: String,
        detail: String,
    },
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
    /// An image is being fetched; only for the event `Pulling`.
    ImagePulling {
        instance: Instance,
    },
    ImagePulled {
        instance: Instance,
        how: Pulled,
    },
    /// The container was created (event `Created`) but not started. Its id and
    /// image are known from here on.
    Created {
        instance: Instance,
        started_from: StartedFrom,
    },
    /// The entrypoint runs. With this or `StartFailed` every `StartContainer`
    /// is answered, exactly once.
    Started {
        instance: Instance,
        at: Timestamp,
    },
    /// `message` is the cause alone: the machine adds what Kubernetes writes
    /// around it.
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
        /// The failure text of the handler (`Exec lifecycle hook (…) …`).
        result: Result<(), String>,
    },
    /// A `ConfigMap`, `Secret` or image was written: whatever waits to be
    /// retried for want of one is tried at once.
    InputsChanged,
    /// The pod's object was changed: labels, annotations, images, deadline, and
    /// ephemeral containers that are new. What else the plan says is not looked
    /// at.
    Amended {
        plan: Box<PodPlan>,
    },
    /// `podrt debug`: one more ephemeral container, already in the plan on
    /// disk; its index is the number of those before it.
    EphemeralAdded {
        plan: Box<ContainerPlan>,
    },
    /// Something only the effects side can know and the user should read
    /// (`MissingClusterDNS`, `LifecycleHTTPFallback`, a clamped limit).
    Noted {
        r#type: EventType,
        reason: String,
        message: String,
        container: Option<ContainerRef>,
    },
    /// Someone asks the pod to end.
    Stop(StopRequest),
    /// The answer to `TearDown`: nothing of the pod is left but its records.
    TornDown,
    /// A deadline of `next_deadline()` has passed. May also be sent early or
    /// twice: then it changes nothing.
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
    /// The registry was asked and the image did not come.
    ErrImagePull,
    /// `StartContainer` did not allow a pull, and one would have been needed.
    ImagePullBackOff,
    /// Policy Never, and the image is absent.
    ErrImageNeverPull,
    /// The reference does not parse.
    InvalidImageName,
    /// The image store could not say whether the image is there.
    ImageInspectError,
    /// `CancelStart` came in time: no instance exists, nothing is reported.
    Cancelled,
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

/// How a pod is asked to end. Later requests only ever shorten the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    /// Seconds; `None` for the pod's own grace period.
    pub grace_seconds: Option<u32>,
    /// `--force`: no hooks, no order among sidecars, no grace but the two
    /// seconds every stop gets.
    pub force: bool,
    pub reason: StopReason,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// `delete`: a deletionTimestamp is set.
    Deleted,
    /// The foreground command was interrupted: the phase follows the exit
    /// codes, no deletionTimestamp.
    Interrupted,
    /// The node wants it gone (eviction, shutdown): phase Failed with this
    /// reason and message, and a Warning event of the same words.
    Evicted {
        reason: String,
        message: String,
        /// Sets the condition `DisruptionTarget` (node pressure, shutdown).
        disruption: bool,
    },
}
