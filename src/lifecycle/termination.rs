//! Stopping one container, and the order among those of a pod.
//!
//! ```text
//!            hook done,            its turn came,          kill_at
//! PreStop ── or grace over ──► Turn ── or grace over ──► Signaled ──► Killed
//! ```
//!
//! Each stage eats whole seconds of the grace; what is left when the signal is
//! sent, but never less than two seconds, is the time until KILL. Later
//! requests only ever shorten it.

use serde::{Deserialize, Serialize};

use crate::model::Signal;
use crate::model::event::EventType;

use super::action::Action;
use super::backoff::SECOND_NS;
use super::container::{Alive, PostStart};
use super::event::{ContainerKind, ContainerRef, HookKind, Instance, ProbeKind};
use super::machine::{PodMachine, Turn, spec};

/// What every stop gets between its signal and KILL, seconds.
const MINIMUM_WINDOW_SECONDS: u32 = 2;
/// After this long KILL is sent again, and said so.
const KILL_AGAIN_NS: u64 = 120 * SECOND_NS;

/// A stop under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    pub why: StopCause,
    /// Grace left when the stage began.
    left_seconds: u32,
    since_ns: u64,
    pub stage: StopStage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopStage {
    PreStop,
    Turn,
    Signaled { kill_at_ns: u64 },
    Killed { again_at_ns: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopCause {
    /// The pod ends or changes its sandbox: sidecars go last.
    Pod,
    RestartAll,
    /// A probe failed.
    Probe {
        restart: bool,
    },
    PostStartFailed,
    /// It has another image now.
    Changed,
}

impl Stop {
    /// Begins with the hook where there is one and time for it.
    fn begin(why: StopCause, grace_seconds: u32, has_hook: bool, now_ns: u64) -> Self {
        let stage =
            if has_hook && grace_seconds > 0 { StopStage::PreStop } else { StopStage::Turn };
        Self { why, left_seconds: grace_seconds, since_ns: now_ns, stage }
    }

    /// When the stage is over, whatever else happens.
    #[must_use]
    pub fn deadline_ns(&self) -> u64 {
        match self.stage {
            StopStage::PreStop | StopStage::Turn => {
                self.since_ns.saturating_add(u64::from(self.left_seconds) * SECOND_NS)
            }
            StopStage::Signaled { kill_at_ns } => kill_at_ns,
            StopStage::Killed { again_at_ns } => again_at_ns,
        }
    }

    /// True while the preStop hook is under way.
    #[must_use]
    pub fn runs_hook(&self) -> bool {
        self.stage == StopStage::PreStop
    }

    /// Leaves a waiting stage: the whole seconds it took are gone.
    fn next_stage(&mut self, now_ns: u64) {
        let spent = now_ns.saturating_sub(self.since_ns) / SECOND_NS;
        self.left_seconds =
            self.left_seconds.saturating_sub(u32::try_from(spent).unwrap_or(u32::MAX));
        self.since_ns = now_ns;
        self.stage = match self.stage {
            StopStage::PreStop => StopStage::Turn,
            StopStage::Turn => {
                let window = u64::from(self.left_seconds.max(MINIMUM_WINDOW_SECONDS)) * SECOND_NS;
                StopStage::Signaled { kill_at_ns: now_ns.saturating_add(window) }
            }
            StopStage::Signaled { .. } | StopStage::Killed { .. } => {
                StopStage::Killed { again_at_ns: now_ns.saturating_add(KILL_AGAIN_NS) }
            }
        };
    }

    /// A later request: not longer than `grace_seconds` from now.
    fn shorten(&mut self, grace_seconds: u32, now_ns: u64) {
        match &mut self.stage {
            StopStage::PreStop | StopStage::Turn => {
                let end = now_ns.saturating_add(u64::from(grace_seconds) * SECOND_NS);
                if end < self.deadline_ns() {
                    self.left_seconds = grace_seconds;
                    self.since_ns = now_ns;
                }
            }
            StopStage::Signaled { kill_at_ns } => {
                let window = u64::from(grace_seconds.max(MINIMUM_WINDOW_SECONDS)) * SECOND_NS;
                *kill_at_ns = (*kill_at_ns).min(now_ns.saturating_add(window));
            }
            StopStage::Killed { .. } => {}
        }
    }
}

impl PodMachine {
    /// Stops a container that runs; one that is being stopped already is at
    /// most hurried. `message` is the text of the `Killing` event.
    pub(super) fn stop_container(
        &mut self,
        id: ContainerRef,
        why: StopCause,
        grace_seconds: u32,
        message: &str,
        turn: &mut Turn,
    ) {
        let Some(instance) = self.memory.containers.instance(id) else { return };
        let has_hook = spec(&self.plan, id).pre_stop.is_some();
        let Some(alive) = self.memory.containers[id].alive_mut() else { return };
        if let Some(stop) = &mut alive.stop {
            stop.shorten(grace_seconds, turn.now.boot_ns);
            if why == StopCause::Pod || why == StopCause::RestartAll {
                stop.why = why;
            }
            return;
        }
        let stop = Stop::begin(why, grace_seconds, has_hook, turn.now.boot_ns);
        let runs_hook = stop.stage == StopStage::PreStop;
        alive.stop = Some(stop);
        let hook_cancelled = cancel_post_start(alive);
        self.note(turn.now, EventType::Normal, "Killing", message, Some(id));
        self.cancel_probes(instance, &[ProbeKind::Startup, ProbeKind::Liveness], turn);
        if hook_cancelled {
            turn.order(Action::CancelHook { instance, hook: HookKind::PostStart });
        }
        if runs_hook {
            turn.order(Action::RunHook { instance, hook: HookKind::PreStop });
        }
    }

    /// Moves every stop as far as the facts allow.
    pub(super) fn advance_stops(&mut self, turn: &mut Turn) {
        for id in self.memory.containers.refs() {
            while self.advance_stop(id, turn) {}
        }
    }

    /// One step of one stop; false when it has to wait.
    fn advance_stop(&mut self, id: ContainerRef, turn: &mut Turn) -> bool {
        let now_ns = turn.now.boot_ns;
        let turn_came = self.turn_came(id);
        let Some(instance) = self.memory.containers.instance(id) else { return false };
        let Some(stop) = self.memory.containers[id].stop_mut() else { return false };
        let over = stop.deadline_ns() <= now_ns;
        match stop.stage {
            StopStage::PreStop if over => {
                stop.next_stage(now_ns);
                turn.order(Action::CancelHook { instance, hook: HookKind::PreStop });
            }
            StopStage::Turn if over || turn_came || stop.why != StopCause::Pod => {
                stop.next_stage(now_ns);
                let signal = self.stop_signal(id);
                turn.order(Action::Signal { instance, signal });
            }
            StopStage::Signaled { .. } if over => {
                stop.next_stage(now_ns);
                turn.order(Action::Signal { instance, signal: Signal::KILL });
            }
            StopStage::Killed { .. } if over => {
                stop.next_stage(now_ns);
                turn.order(Action::Signal { instance, signal: Signal::KILL });
                self.tell_failed_kill(id, turn);
            }
            _ => return false,
        }
        true
    }

    fn tell_failed_kill(&mut self, id: ContainerRef, turn: &Turn) {
        let name = &spec(&self.plan, id).name;
        let text = format!("error killing pod: container {name:?} did not end after SIGKILL");
        self.note(turn.now, EventType::Warning, "FailedKillPod", &text, None);
    }

    /// A sidecar waits for every app container, and for the sidecars behind
    /// it in the list; nothing else waits.
    fn turn_came(&self, id: ContainerRef) -> bool {
        if id.kind != ContainerKind::Init || !spec(&self.plan, id).is_sidecar() {
            return true;
        }
        let containers = &self.memory.containers;
        let apps_gone = containers.app.iter().all(|app| app.alive().is_none());
        let later_gone = self
            .plan
            .init_containers
            .iter()
            .zip(&containers.init)
            .skip(id.index + 1)
            .all(|(plan, later)| !plan.is_sidecar() || later.alive().is_none());
        apps_gone && later_gone
    }

    /// The pod's word, else the image's, else TERM.
    pub(super) fn stop_signal(&self, id: ContainerRef) -> Signal {
        let image = || {
            let run = self.memory.containers[id].run.as_ref()?;
            run.from.as_ref()?.image_stop_signal
        };
        spec(&self.plan, id).stop_signal.or_else(image).unwrap_or(Signal::TERM)
    }

    /// The preStop hook ended, however.
    pub(super) fn pre_stop_finished(
        &mut self,
        instance: Instance,
        result: &Result<(), String>,
        turn: &mut Turn,
    ) {
        if !self.memory.containers.is_alive(instance) {
            return;
        }
        let now_ns = turn.now.boot_ns;
        match self.memory.containers[instance.container].stop_mut() {
            Some(stop) if stop.stage == StopStage::PreStop => stop.next_stage(now_ns),
            _ => return,
        }
        if result.is_err() {
            let (reason, text) = ("FailedPreStopHook", "PreStopHook failed");
            self.note(turn.now, EventType::Warning, reason, text, Some(instance.container));
        }
    }
}

impl super::container::Container {
    pub(super) fn stop(&self) -> Option<&Stop> {
        self.alive()?.stop.as_ref()
    }

    pub(super) fn stop_mut(&mut self) -> Option<&mut Stop> {
        self.alive_mut()?.stop.as_mut()
    }
}

/// A stop does not wait for the postStart hook; true when one was running.
fn cancel_post_start(alive: &mut Alive) -> bool {
    if let PostStart::Running(_) = alive.post_start {
        alive.post_start = PostStart::Done;
        return true;
    }
    false
}
