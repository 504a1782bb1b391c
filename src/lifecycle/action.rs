//! Orders the machine gives; the supervisor carries each out and answers with
//! an event.
//!
//! Every order is idempotent: after a crash `PodMachine::resume` repeats those
//! that were never answered, and the supervisor answers from what it finds
//! done already.

use crate::model::Signal;

use super::event::{HookKind, Instance, ProbeKind};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Answered by `VolumesReady` or `VolumesFailed`.
    SetUpVolumes,
    /// Answered by `SandboxCreated` or `SandboxFailed`.
    CreateSandbox { attempt: u32 },
    /// Image, create and start; answered by `Started` or `StartFailed`
    /// (with `ImagePulling`, `ImagePulled`, `Created` before). Where a pull is
    /// needed but not allowed: `StartFailed` with `ImagePullBackOff`.
    StartContainer { instance: Instance, may_pull: bool },
    /// The start is not wanted any more: abandon it as soon as possible. The
    /// answer to `StartContainer` still comes, `Cancelled` if nothing was
    /// started.
    CancelStart { instance: Instance },
    /// Answered by `ProbeFinished`, at the latest after the probe's timeout.
    RunProbe { instance: Instance, probe: ProbeKind },
    /// The result is not wanted any more; no answer.
    CancelProbe { instance: Instance, probe: ProbeKind },
    /// Answered by `HookFinished`.
    RunHook { instance: Instance, hook: HookKind },
    /// The hook's process is killed; no answer.
    CancelHook { instance: Instance, hook: HookKind },
    /// To the container's process 1; `KILL` to the whole container. `Exited`
    /// follows when the container has ended.
    Signal { instance: Instance, signal: Signal },
    /// Forget an ended instance: state, writable layer, cgroup. Its log stays.
    /// Answered by `Removed`.
    RemoveContainer { instance: Instance },
    /// Only when no container runs any more. Answered by `SandboxStopped`.
    StopSandbox { attempt: u32 },
    /// Remaining instances, volumes (a set-up still under way is abandoned),
    /// cgroup, address; answered by `TornDown`.
    TearDown,
}
