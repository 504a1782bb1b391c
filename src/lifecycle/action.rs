//! Orders the machine gives; the supervisor carries each out and answers with
//! an event.

use crate::model::Signal;
use crate::model::event::EventType;

use super::event::{ContainerRef, HookKind, Instance, ProbeKind};

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Answered by `VolumesReady` or `VolumesFailed`.
    SetUpVolumes,
    /// Answered by `SandboxCreated` or `SandboxFailed`.
    CreateSandbox { attempt: u32 },
    /// Image, create and start; answered by `Started` or `StartFailed`
    /// (with `ImagePulling`, `ImagePulled`, `Created` before).
    StartContainer { instance: Instance },
    /// Answered by `ProbeFinished`, at the latest after the probe's timeout.
    RunProbe { instance: Instance, probe: ProbeKind },
    /// The result is not wanted any more; no answer.
    CancelProbe { instance: Instance, probe: ProbeKind },
    /// Answered by `HookFinished`.
    RunHook { instance: Instance, hook: HookKind },
    /// The hook's process is killed; no answer.
    CancelHook { instance: Instance, hook: HookKind },
    /// To the container's process 1; `KILL` to the whole container.
    Signal { instance: Instance, signal: Signal },
    /// Forget an ended instance: state, writable layer, cgroup. Its log stays.
    /// Answered by `Removed`.
    RemoveContainer { instance: Instance },
    /// Answered by `SandboxStopped`.
    StopSandbox { attempt: u32 },
    /// Volumes, cgroup, address; answered by `TornDown`.
    TearDown,
    /// Tell the user.
    Emit {
        r#type: EventType,
        reason: &'static str,
        message: String,
        container: Option<ContainerRef>,
    },
}
