//! The end of an instance: by itself, by a probe's word, or unseen.

use crate::model::{ExitStatus, Now, Timestamp};

use super::action::Action;
use super::container::{Container, Ended, PostStart, Stage};
use super::event::{ContainerKind, ContainerRef, HookKind, Instance, ProbeKind};
use super::machine::{PodMachine, Turn, nanos, spec, whole};
use super::memory::Course;
use super::probe;
use super::restart::{Exit, restarts_after_kill};
use super::termination::{Stop, StopCause};

pub(super) const UNKNOWN: &str = "ContainerStatusUnknown";
pub(super) const LOST_TEXT: &str = "The container could not be located when the pod was terminated";
/// The same in a pod that goes on; the two blanks are the kubelet's.
pub(super) const LOST_ALIVE_TEXT: &str = "The container could not be located when the pod was deleted.  \
     The container used to be Running";

/// What is known of an exit.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExitFacts<'a> {
    /// `None` when nobody saw it.
    pub status: Option<ExitStatus>,
    pub oom_killed: bool,
    pub at: Timestamp,
    pub message: &'a str,
}

impl PodMachine {
    pub(super) fn exited(&mut self, instance: Instance, exit: ExitFacts<'_>, turn: &mut Turn) {
        if self.memory.containers.is_awaited(instance) {
            // It was so short that its start was not reported.
            self.started(instance, exit.at, turn);
        }
        if !self.memory.containers.is_alive(instance) {
            return;
        }
        let id = instance.container;
        self.drop_orders(instance, turn);
        let forced_restart = self.must_restart(id, turn.now.boot_ns);
        let message = match exit.status {
            Some(_) => exit.message,
            None if self.goes_on() => LOST_ALIVE_TEXT,
            None => LOST_TEXT,
        };
        let container = &mut self.memory.containers[id];
        let ended = container.end(ExitFacts { message, ..exit }, turn.now, forced_restart);
        let exit = ended.exit;
        if let Some(run) = &mut container.run {
            run.stage = Stage::Ended(ended);
        }
        self.hasten_readiness(turn);
        if !forced_restart {
            self.consider_restart_all(id, exit, turn);
        }
    }

    /// Hooks and probes of an instance that is gone.
    fn drop_orders(&mut self, instance: Instance, turn: &mut Turn) {
        self.cancel_probes(instance, &ProbeKind::ALL, turn);
        let container = &self.memory.containers[instance.container];
        let Some(alive) = container.alive() else { return };
        if let PostStart::Running(_) = alive.post_start {
            turn.order(Action::CancelHook { instance, hook: HookKind::PostStart });
        }
        if alive.stop.as_ref().is_some_and(Stop::runs_hook) {
            turn.order(Action::CancelHook { instance, hook: HookKind::PreStop });
        }
    }

    /// True for an instance that was stopped in order to be started again. The
    /// delay is judged by the exit before; if that still holds, the exit is
    /// one like any other.
    fn must_restart(&self, id: ContainerRef, now_ns: u64) -> bool {
        let container = &self.memory.containers[id];
        let why = container.stop().map(|stop| stop.why);
        let wanted = match &self.memory.course {
            Course::ReplacingSandbox => {
                let plan = spec(&self.plan, id);
                id.kind == ContainerKind::App && restarts_after_kill(self.plan.restart_policy, plan)
            }
            Course::Running => {
                matches!(why, Some(StopCause::Probe { restart: true } | StopCause::Changed))
            }
            _ => false,
        };
        let delayed = container
            .before
            .as_ref()
            .zip(container.backoff)
            .is_some_and(|(before, entry)| entry.until(before.finished_ns, now_ns).is_some());
        wanted && !delayed
    }

    /// A container that failed its startup or liveness probe for good.
    pub(super) fn stop_unhealthy(&mut self, turn: &mut Turn) {
        for id in self.memory.containers.refs() {
            let container = &self.memory.containers[id];
            let healthy = container
                .alive()
                .is_none_or(|alive| alive.stop.is_some() || alive.post_start != PostStart::Done);
            if healthy {
                continue;
            }
            if let Some(kind) = container.probes.failed() {
                self.stop_for_probe(id, kind, turn);
            }
        }
    }

    fn stop_for_probe(&mut self, id: ContainerRef, kind: ProbeKind, turn: &mut Turn) {
        let plan = spec(&self.plan, id);
        let sidecar = id.kind == ContainerKind::Init;
        let restart = sidecar || restarts_after_kill(self.plan.restart_policy, plan);
        let (name, word) = (&plan.name, kind.word().to_lowercase());
        let text = match (sidecar, restart) {
            (true, _) => format!("Init container {name} failed {word} probe"),
            (false, true) => format!("Container {name} failed {word} probe, will be restarted"),
            (false, false) => format!("Container {name} failed {word} probe"),
        };
        let grace = probe::plan_of(plan, kind)
            .and_then(|probe| probe.termination_grace_seconds)
            .unwrap_or(self.plan.termination_grace_seconds);
        self.stop_container(id, StopCause::Probe { restart }, grace, &text, turn);
    }
}

impl Container {
    /// The end of the instance that runs.
    fn end(&mut self, exit: ExitFacts<'_>, now: Now, forced_restart: bool) -> Ended {
        let code = exit.status.map_or(137, ExitStatus::code);
        let reason = match exit.status {
            None => UNKNOWN,
            Some(_) if exit.oom_killed => "OOMKilled",
            Some(_) if code == 0 => "Completed",
            Some(_) => "Error",
        };
        let run = self.run.as_ref();
        let from = run.and_then(|run| run.from.as_ref());
        Ended {
            exit: Exit { code, oom_killed: exit.oom_killed },
            reason: reason.to_owned(),
            message: exit.message.to_owned(),
            started_at: self.alive().map_or(whole(exit.at), |alive| alive.started_at),
            finished_at: whole(exit.at),
            finished_ns: now.boot_ns.saturating_sub(nanos(now.wall.since(exit.at))),
            container_id: from.map(|from| from.container_id.clone()).unwrap_or_default(),
            forced_restart,
            backoff_told: false,
        }
    }
}
