//! Restarting all containers in place (KEP-5532): each is stopped without
//! grace and removed, the one whose exit asked for it last; then the pod runs
//! from its first init container, in the same sandbox, without back-off.
//! Ephemeral containers have no part in it.

use super::backoff::SECOND_NS;
use super::container::Fault;
use super::event::{ContainerKind, ContainerRef};
use super::machine::{PodMachine, Turn, spec};
use super::memory::Course;
use super::restart::{Exit, Verdict, verdict};
use super::termination::StopCause;

/// Not more often than this, even if a container exits at once: what the
/// kubelet's relist period makes of it.
const PERIOD_NS: u64 = SECOND_NS;

pub(super) const RESTARTING_ALL: &str = "RestartingAllContainers";
const RESTARTING_ALL_TEXT: &str = "The container is removed because RestartAllContainers in place";

impl PodMachine {
    /// Begins a restart of all containers when a rule asks for it.
    pub(super) fn consider_restart_all(&mut self, id: ContainerRef, exit: Exit, turn: &mut Turn) {
        let verdict = verdict(self.plan.restart_policy, id.kind, spec(&self.plan, id), exit);
        if self.memory.course != Course::Running || verdict != Verdict::RestartAll {
            return;
        }
        self.memory.course = Course::RestartingAll { trigger: id };
        self.cancel_starts(turn);
        self.stop_all(StopCause::RestartAll, 0, Some("killing"), turn);
    }

    /// One step of restarting all; true when the pod runs again.
    pub(super) fn advance_restart_all(&mut self, trigger: ContainerRef, turn: &mut Turn) -> bool {
        let refs: Vec<ContainerRef> = self
            .memory
            .containers
            .refs()
            .filter(|id| id.kind != ContainerKind::Ephemeral)
            .collect();
        let still = |id: &ContainerRef| {
            let container = &self.memory.containers[*id];
            container.alive().is_none() && !container.is_ordered()
        };
        if !refs.iter().all(still) || turn.now.boot_ns < self.memory.restart_all_from_ns {
            return false;
        }
        for &id in refs.iter().filter(|&&id| id != trigger) {
            self.remove_for_restart_all(id, turn);
        }
        if !self.memory.removing.is_empty() {
            return false;
        }
        self.remove_for_restart_all(trigger, turn);
        if !self.memory.removing.is_empty() {
            return false;
        }
        self.memory.restart_all_from_ns = turn.now.boot_ns.saturating_add(PERIOD_NS);
        self.memory.course = Course::Running;
        true
    }

    fn remove_for_restart_all(&mut self, id: ContainerRef, turn: &mut Turn) {
        let Some(instance) = self.memory.containers.instance(id) else { return };
        let container = &mut self.memory.containers[id];
        container.forget_run();
        container.fault = Some(Fault::new(RESTARTING_ALL, RESTARTING_ALL_TEXT));
        if let Some(before) = &mut container.before {
            before.exit = Exit { code: 137, oom_killed: false };
            before.reason = RESTARTING_ALL.to_owned();
            before.message = RESTARTING_ALL_TEXT.to_owned();
        }
        self.remove_instance(instance, turn);
    }
}
