//! What is due when, and what is still owed after a restart: both read off
//! the facts, nothing is kept for them.

use crate::model::{Now, Signal};

use super::action::Action;
use super::container::{PostStart, Start};
use super::event::{ContainerRef, HookKind, Instance, ProbeKind};
use super::init_order::{Need, need};
use super::machine::{PodMachine, Turn};
use super::memory::{Course, SandboxStage, Volumes};
use super::termination::StopStage;

impl PodMachine {
    /// When to send `Event::Deadline` (nanoseconds of `CLOCK_BOOTTIME`).
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let pod = [self.active_deadline_ns(), self.ground_deadline_ns(), self.round_deadline_ns()];
        let stops = self.memory.containers.iter().filter_map(|container| container.stop());
        let stops = stops.map(super::termination::Stop::deadline_ns);
        let probes = self.memory.containers.refs().flat_map(|id| {
            ProbeKind::ALL.into_iter().filter_map(move |kind| self.probe_due_ns(id, kind))
        });
        pod.into_iter()
            .flatten()
            .chain(stops)
            .chain(probes)
            .chain(self.start_deadlines())
            .filter(|&at| at > self.memory.now_ns)
            .min()
    }

    fn start_deadlines(&self) -> Vec<u64> {
        if self.memory.course != Course::Running || !self.memory.sandbox.is_ready() {
            return Vec::new();
        }
        match need(&self.plan, &self.memory.containers) {
            Need::Start(wanted) => wanted
                .into_iter()
                .flat_map(|id| self.start_deadlines_ns(id, self.memory.now_ns))
                .collect(),
            Need::InitFailed | Need::Completed => Vec::new(),
        }
    }

    fn ground_deadline_ns(&self) -> Option<u64> {
        if self.memory.course != Course::Running {
            return None;
        }
        match (&self.memory.volumes, &self.memory.sandbox.stage) {
            (Volumes::Retry { at_ns, .. }, _) | (_, SandboxStage::Retry { at_ns }) => Some(*at_ns),
            _ => None,
        }
    }

    fn round_deadline_ns(&self) -> Option<u64> {
        let waits = matches!(self.memory.course, Course::RestartingAll { .. });
        waits.then_some(self.memory.restart_all_from_ns)
    }

    /// The instances that run, as far as the facts go.
    #[must_use]
    pub fn alive_instances(&self) -> Vec<Instance> {
        let containers = &self.memory.containers;
        let alive = containers.refs().filter(|&id| containers[id].alive().is_some());
        alive.filter_map(|id| containers.instance(id)).collect()
    }

    /// The orders that were given and not answered yet, once more, and those
    /// that became due meanwhile.
    pub fn resume(&mut self, now: Now) -> Vec<Action> {
        let mut turn = Turn::new(now);
        self.owed_by_pod(&mut turn);
        for id in self.memory.containers.refs() {
            self.owed_by_start(id, &mut turn);
            self.owed_by_instance(id, &mut turn);
        }
        let mut actions = turn.into_actions();
        actions.extend(self.handle(&super::event::Event::Deadline, now));
        actions
    }

    fn owed_by_pod(&self, turn: &mut Turn) {
        let memory = &self.memory;
        let attempt = memory.sandbox.attempt;
        if matches!(memory.volumes, Volumes::SettingUp { .. }) && !self.is_over() {
            turn.order(Action::SetUpVolumes);
        }
        match memory.sandbox.stage {
            SandboxStage::Creating => turn.order(Action::CreateSandbox { attempt }),
            SandboxStage::Stopping => turn.order(Action::StopSandbox { attempt }),
            _ => {}
        }
        for &instance in &memory.removing {
            turn.order(Action::RemoveContainer { instance });
        }
        if memory.course == Course::Ended {
            turn.order(Action::TearDown);
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.memory.course, Course::Ended | Course::Gone)
    }

    fn owed_by_start(&self, id: ContainerRef, turn: &mut Turn) {
        let container = &self.memory.containers[id];
        let instance = Instance { container: id, attempt: container.next_attempt };
        if let Start::Ordered { may_pull, cancelled, .. } = container.start {
            turn.order(Action::StartContainer { instance, may_pull });
            if cancelled {
                turn.order(Action::CancelStart { instance });
            }
        }
    }

    fn owed_by_instance(&self, id: ContainerRef, turn: &mut Turn) {
        let container = &self.memory.containers[id];
        let Some(instance) = self.memory.containers.instance(id) else { return };
        let Some(alive) = container.alive() else { return };
        if let PostStart::Running(_) = alive.post_start {
            turn.order(Action::RunHook { instance, hook: HookKind::PostStart });
        }
        match alive.stop.as_ref().map(|stop| stop.stage) {
            Some(StopStage::PreStop) => {
                turn.order(Action::RunHook { instance, hook: HookKind::PreStop });
            }
            Some(StopStage::Signaled { .. }) => {
                turn.order(Action::Signal { instance, signal: self.stop_signal(id) });
            }
            Some(StopStage::Killed { .. }) => {
                turn.order(Action::Signal { instance, signal: Signal::KILL });
            }
            Some(StopStage::Turn) | None => {}
        }
        for kind in ProbeKind::ALL {
            if container.probes.get(kind).is_some_and(|probe| probe.in_flight) {
                turn.order(Action::RunProbe { instance, probe: kind });
            }
        }
    }
}
