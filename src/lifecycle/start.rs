//! The start sequence: one container at a time, each through image, create,
//! start and postStart hook before the next is touched.
//!
//! ```text
//! wanted ─► back-off over? ─► StartContainer ─► Started ─► hook ─► runs
//!    ▲           │ no              │ StartFailed
//!    │           ▼                 ▼
//!    │    CrashLoopBackOff   ErrImagePull ─► ImagePullBackOff, Create…Error
//!    └───────────┴──── time passes, inputs change ─────┘
//! ```
//!
//! A failure or an exit is shown for a second as what it is before its
//! back-off is told, so that somebody who watches can see it.

use std::time::Duration;

use crate::model::Now;
use crate::model::event::EventType;
use crate::model::plan::PodPlan;
use crate::model::time::go_duration;

use super::action::Action;
use super::backoff::{Backoff, Limits, SECOND_NS};
use super::container::{Ended, Fault, Start};
use super::event::{ContainerKind, ContainerRef, Instance, StartFailure};
use super::init_order::{Need, need, restarts};
use super::machine::{PodMachine, Turn, spec};
use super::memory::Course;

/// How long an exit or a failed pull is shown before its back-off is.
const SHOWN_NS: u64 = SECOND_NS;

impl PodMachine {
    /// Starts what is wanted and due.
    pub(super) fn advance_starts(&mut self, turn: &mut Turn) {
        if self.memory.course != Course::Running || !self.memory.sandbox.is_ready() {
            return;
        }
        let Need::Start(wanted) = need(&self.plan, &self.memory.containers) else { return };
        let mut busy = self.memory.containers.iter().any(|other| other.holds_start_sequence());
        for id in wanted {
            self.tell_backoffs(id, turn);
            if !busy && self.start_due_ns(id, turn.now.boot_ns).is_none() {
                busy = self.order_start(id, turn);
            }
        }
    }

    /// Until when a wanted container has to wait, `None` if it need not.
    pub(super) fn start_due_ns(&self, id: ContainerRef, now_ns: u64) -> Option<u64> {
        let container = &self.memory.containers[id];
        if let Start::Retry { at_ns, .. } = container.start
            && now_ns < at_ns
        {
            return Some(at_ns);
        }
        let ended = container.ended().filter(|ended| !ended.forced_restart)?;
        container.backoff?.until(ended.finished_ns, now_ns)
    }

    /// The moments at which a waiting container's state is told anew or moves.
    pub(super) fn start_deadlines_ns(
        &self,
        id: ContainerRef,
        now_ns: u64,
    ) -> impl Iterator<Item = u64> + use<> {
        let due = self.start_due_ns(id, now_ns);
        let told = due.and_then(|_| self.backoff_told_ns(id));
        due.into_iter().chain(told)
    }

    /// When the back-off of an exit or a pull will be told.
    fn backoff_told_ns(&self, id: ContainerRef) -> Option<u64> {
        let container = &self.memory.containers[id];
        match &container.start {
            Start::Retry { .. } => self.pull_told_ns(id),
            Start::Ordered { .. } => None,
            Start::Idle => {
                let ended = container.ended()?;
                (!ended.backoff_told).then_some(ended.finished_ns.saturating_add(SHOWN_NS))
            }
        }
    }

    fn pull_told_ns(&self, id: ContainerRef) -> Option<u64> {
        match self.memory.containers[id].start {
            Start::Retry { at_ns: _, after: StartFailure::ErrImagePull } => {
                let trouble = self.memory.images.get(&spec(&self.plan, id).image)?;
                Some(trouble.failed_ns.saturating_add(SHOWN_NS))
            }
            _ => None,
        }
    }

    fn tell_backoffs(&mut self, id: ContainerRef, turn: &Turn) {
        let now_ns = turn.now.boot_ns;
        let waits = self.start_due_ns(id, now_ns).is_some();
        if !waits || self.backoff_told_ns(id).is_none_or(|at| now_ns < at) {
            return;
        }
        if let Start::Retry { after, .. } = &mut self.memory.containers[id].start {
            *after = StartFailure::ImagePullBackOff;
            self.tell_pull_backoff(id, turn.now);
        } else {
            self.tell_crash_loop(id, turn.now);
        }
    }

    fn tell_crash_loop(&mut self, id: ContainerRef, now: Now) {
        let (name, pod) = (&spec(&self.plan, id).name, self.plan.kubelet_name());
        let delay_ns = self.memory.containers[id].backoff.map_or(0, |entry| entry.delay_ns);
        let delay = go_duration(Duration::from_nanos(delay_ns));
        let message = format!("back-off {delay} restarting failed container={name} pod={pod}");
        let text = format!("Back-off restarting failed container {name} in pod {pod}");
        let container = &mut self.memory.containers[id];
        container.fault = Some(Fault::new("CrashLoopBackOff", message));
        if let Some(ended) = container.ended_mut() {
            ended.backoff_told = true;
        }
        self.note(now, EventType::Warning, "BackOff", &text, Some(id));
    }

    /// True when a start is under way now; false when it failed on the spot.
    fn order_start(&mut self, id: ContainerRef, turn: &mut Turn) -> bool {
        if let Some(target) = self.missing_target(id) {
            let text = format!("unable to find target container {target}");
            self.start_failed_with(id, StartFailure::Config, &text, turn.now);
            return false;
        }
        self.use_backoff(id, turn.now.boot_ns);
        let may_pull = self.pull_backoff_until(id, turn.now.boot_ns).is_none();
        let container = &mut self.memory.containers[id];
        container.start =
            Start::Ordered { from: None, may_pull, cancelled: false, outdated: false };
        let instance = Instance { container: id, attempt: container.next_attempt };
        turn.order(Action::StartContainer { instance, may_pull });
        true
    }

    /// The target of an ephemeral container, when it has no instance.
    fn missing_target(&self, id: ContainerRef) -> Option<String> {
        let target = spec(&self.plan, id).target_container.as_ref()?;
        let containers = &self.memory.containers;
        let exists = containers.refs().any(|other| {
            spec(&self.plan, other).name == *target && containers[other].run.is_some()
        });
        (!exists).then(|| target.clone())
    }

    /// A restart advances the back-off; a container that was killed to be
    /// restarted is judged by the exit before that.
    fn use_backoff(&mut self, id: ContainerRef, now_ns: u64) {
        let limits = Limits::restarts(self.plan.max_backoff_seconds);
        let container = &mut self.memory.containers[id];
        let Some(ended) = container.ended() else { return };
        let judged = if ended.forced_restart { container.before.as_ref() } else { Some(ended) };
        if let Some(since_ns) = judged.map(|ended| ended.finished_ns) {
            container.backoff = Some(Backoff::advance(container.backoff, since_ns, now_ns, limits));
        }
    }

    /// What failed for want of an input is tried again now.
    pub(super) fn inputs_changed(&mut self) {
        for id in self.memory.containers.refs() {
            if let Start::Retry { at_ns, after } = &mut self.memory.containers[id].start
                && !matches!(after, StartFailure::Create)
            {
                *at_ns = 0;
            }
        }
        self.hasten_volumes();
    }

    /// An ephemeral container need not wait any longer for its target.
    pub(super) fn target_came(&mut self, target: ContainerRef) {
        let name = &spec(&self.plan, target).name;
        let plans = &self.plan.ephemeral_containers;
        for (plan, container) in plans.iter().zip(&mut self.memory.containers.ephemeral) {
            if let Start::Retry { at_ns, after: StartFailure::Config } = &mut container.start
                && plan.target_container.as_ref() == Some(name)
            {
                *at_ns = 0;
            }
        }
    }

    /// Starts under way are given up.
    pub(super) fn cancel_starts(&mut self, turn: &mut Turn) {
        for id in self.memory.containers.refs() {
            let container = &mut self.memory.containers[id];
            let instance = Instance { container: id, attempt: container.next_attempt };
            match &mut container.start {
                Start::Ordered { cancelled, .. } if !*cancelled => {
                    *cancelled = true;
                    turn.order(Action::CancelStart { instance });
                }
                Start::Retry { .. } => container.start = Start::Idle,
                Start::Ordered { .. } | Start::Idle => {}
            }
        }
    }
}

/// True when the status shows a container as waiting for its next start: it
/// will be started, and the last attempt did not work. One that exited 0 as an
/// init container or sidecar never does.
pub(super) fn shows_fault(plan: &PodPlan, id: ContainerRef, ended: &Ended) -> bool {
    let init_success = id.kind == ContainerKind::Init && ended.exit.code == 0;
    !init_success && restarts(plan, id, ended)
}
