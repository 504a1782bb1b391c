//! The pod's end: asked for, forced by its deadline, or reached by itself.
//!
//! ```text
//! Running ─► Ending: stop containers ─► stop sandbox ─► Ended: tear down ─► Gone
//! ```

use crate::model::event::EventType;
use crate::model::{Now, Timestamp};

use super::action::Action;
use super::backoff::SECOND_NS;
use super::event::{ContainerKind, StopReason, StopRequest};
use super::machine::{PodMachine, Turn, whole};
use super::memory::{Course, Deletion, Doom, DoomKind, Ending};
use super::termination::StopCause;

const DEADLINE_TEXT: &str = "Pod was active on the node longer than the specified deadline";

impl PodMachine {
    pub(super) fn stop_requested(&mut self, request: &StopRequest, turn: &mut Turn) {
        let grace = match (request.force, request.grace_seconds) {
            (true, _) => 0,
            (false, asked) => asked.unwrap_or(self.plan.termination_grace_seconds).max(1),
        };
        match &request.reason {
            StopReason::Deleted => self.mark_deleted(grace, turn.now.wall),
            StopReason::Interrupted => {}
            StopReason::Evicted { reason, message, disruption } => {
                let kind = if *disruption { DoomKind::Disrupted } else { DoomKind::Evicted };
                self.doom(reason, message, kind, EventType::Warning, turn.now);
            }
        }
        self.begin_ending(grace, turn);
    }

    /// A pod is deleted once; a later request can only bring it forward.
    fn mark_deleted(&mut self, grace_seconds: u32, wall: Timestamp) {
        let grace_seconds = if self.memory.status.phase.is_terminal() { 0 } else { grace_seconds };
        let deletion = match self.memory.deletion {
            None => Deletion { timestamp: after(wall, grace_seconds), grace_seconds },
            Some(known) if grace_seconds < known.grace_seconds => {
                let sooner = u64::from(known.grace_seconds - grace_seconds) * SECOND_NS;
                let timestamp = Timestamp(known.timestamp.0.saturating_sub(sooner));
                Deletion { timestamp, grace_seconds }
            }
            Some(known) => known,
        };
        if self.memory.deletion != Some(deletion) {
            self.memory.deletion = Some(deletion);
            self.memory.revision += 1;
        }
    }

    /// The pod has failed, whatever its containers say; the first word stays.
    fn doom(&mut self, reason: &str, message: &str, kind: DoomKind, r#type: EventType, now: Now) {
        let over = matches!(self.memory.course, Course::Ended | Course::Gone);
        if over || self.memory.doom.is_some() || self.memory.status.phase.is_terminal() {
            return;
        }
        self.note(now, r#type, reason, message, None);
        let message = match kind {
            DoomKind::Rejected => format!("Pod was rejected: {message}"),
            _ => message.to_owned(),
        };
        self.memory.doom = Some(Doom { reason: reason.to_owned(), message, kind });
    }

    pub(super) fn rejected(&mut self, reason: &str, detail: &str, turn: &mut Turn) {
        if self.memory.course == Course::Waiting {
            self.memory.start_time = Some(whole(turn.now.wall));
            self.doom(reason, detail, DoomKind::Rejected, EventType::Warning, turn.now);
            self.begin_ending(1, turn);
        }
    }

    /// The boot time at which `activeDeadlineSeconds` are over.
    pub(super) fn active_deadline_ns(&self) -> Option<u64> {
        if matches!(self.memory.course, Course::Waiting | Course::Ended | Course::Gone)
            || self.memory.deletion.is_some()
            || self.memory.doom.is_some()
            || self.memory.status.phase.is_terminal()
        {
            return None;
        }
        let seconds = self.plan.active_deadline_seconds?;
        let left_ns = (u64::from(seconds) * SECOND_NS).saturating_sub(self.memory.spent_ns);
        Some(self.memory.started_ns.saturating_add(left_ns))
    }

    pub(super) fn enforce_active_deadline(&mut self, turn: &mut Turn) {
        if self.active_deadline_ns().is_some_and(|at| at <= turn.now.boot_ns) {
            let (reason, kind) = ("DeadlineExceeded", DoomKind::Deadline);
            self.doom(reason, DEADLINE_TEXT, kind, EventType::Normal, turn.now);
            self.begin_ending(self.plan.termination_grace_seconds.max(1), turn);
        }
    }

    /// Everything is to stop within `grace_seconds`, or what is left of an
    /// earlier request if that is less.
    pub(super) fn begin_ending(&mut self, grace_seconds: u32, turn: &mut Turn) {
        let asked = Ending { grace_seconds, since_ns: turn.now.boot_ns };
        match &self.memory.course {
            Course::Ended | Course::Gone => return,
            Course::Ending(known) if known.left_seconds(turn.now.boot_ns) <= grace_seconds => {}
            _ => self.memory.course = Course::Ending(asked),
        }
        self.cancel_starts(turn);
        self.stop_all(StopCause::Pod, grace_seconds, None, turn);
    }

    /// Stops what runs; `message` replaces the usual `Killing` text.
    /// Ephemeral containers have no part in a restart of all.
    pub(super) fn stop_all(
        &mut self,
        why: StopCause,
        grace_seconds: u32,
        message: Option<&str>,
        turn: &mut Turn,
    ) {
        for id in self.memory.containers.refs() {
            if why == StopCause::RestartAll && id.kind == ContainerKind::Ephemeral {
                continue;
            }
            let text = message.map_or_else(|| self.stopping_text(id), str::to_owned);
            self.stop_container(id, why, grace_seconds, &text, turn);
        }
    }

    /// One step of ending; true when the course changed.
    pub(super) fn advance_ending(&mut self, turn: &mut Turn) -> bool {
        if !self.memory.containers.all_still() || !self.sandbox_is_down(turn) {
            return false;
        }
        self.memory.course = Course::Ended;
        turn.order(Action::TearDown);
        true
    }

    pub(super) fn torn_down(&mut self) {
        if self.memory.course == Course::Ended {
            self.memory.course = Course::Gone;
            self.memory.removing.clear();
            self.memory.revision += 1;
        }
    }
}

/// `wall` plus whole seconds, in whole seconds.
fn after(wall: Timestamp, seconds: u32) -> Timestamp {
    whole(Timestamp(wall.0.saturating_add(u64::from(seconds) * SECOND_NS)))
}
