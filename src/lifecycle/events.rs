//! The events users read, counted by client-go's correlator rules
//! (`tools/record/events_cache.go`): identical ones raise a count, the tenth
//! different text of one kind within ten minutes and those after it become one
//! combined event, and a pod that tells too much is not listened to.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::Now;
use crate::model::event::{EventType, PodEvent};
use crate::model::plan::PodPlan;

use super::backoff::SECOND_NS;
use super::event::{ContainerKind, ContainerRef};
use super::machine::{PodMachine, spec, whole};

/// From this many different texts of one kind on they are combined.
const COMBINE_FROM: usize = 10;
/// A kind that was quiet this long starts anew.
const QUIET_NS: u64 = 600 * SECOND_NS;
/// So many events may come at once, …
const BURST: u64 = 25;
/// … and one more each five minutes.
const REFILL_NS: u64 = 300 * SECOND_NS;
/// The oldest go when there are more.
const KEPT: usize = 256;

const COMBINED: &str = "(combined from similar events): ";

/// The events so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EventLog {
    events: Vec<PodEvent>,
    kinds: Vec<Kind>,
    /// What the bucket lacks, in nanoseconds of refilling.
    debt_ns: u64,
    debt_at_ns: u64,
}

/// The texts of one type and reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kind {
    r#type: EventType,
    reason: String,
    messages: BTreeSet<String>,
    last_ns: u64,
}

impl EventLog {
    #[must_use]
    pub fn events(&self) -> &[PodEvent] {
        &self.events
    }

    /// Takes in one event; its count, times and text are settled here. True
    /// when the list changed.
    pub fn record(&mut self, mut event: PodEvent, now: Now) -> bool {
        let combined = self.combines(&event, now.boot_ns);
        if combined {
            event.message.insert_str(0, COMBINED);
        }
        if !self.spend(now.boot_ns) {
            return false;
        }
        match self.events.iter_mut().find(|known| same(known, &event, combined)) {
            Some(known) => {
                known.count += 1;
                known.last_timestamp = event.last_timestamp;
                known.message = event.message;
            }
            None => self.push(event),
        }
        true
    }

    fn push(&mut self, event: PodEvent) {
        if self.events.len() >= KEPT {
            let oldest = (0..self.events.len()).min_by_key(|&i| self.events[i].last_timestamp);
            self.events.remove(oldest.unwrap_or(0));
        }
        self.events.push(event);
    }

    /// True from the tenth different text on.
    fn combines(&mut self, event: &PodEvent, now_ns: u64) -> bool {
        let index = self
            .kinds
            .iter()
            .position(|kind| kind.r#type == event.r#type && kind.reason == event.reason)
            .unwrap_or_else(|| {
                self.kinds.push(Kind::of(event, now_ns));
                self.kinds.len() - 1
            });
        let kind = &mut self.kinds[index];
        if now_ns.saturating_sub(kind.last_ns) > QUIET_NS {
            kind.messages.clear();
        }
        kind.last_ns = now_ns;
        kind.messages.insert(event.message.clone());
        if kind.messages.len() < COMBINE_FROM {
            return false;
        }
        kind.messages.pop_first();
        true
    }

    /// Takes a token from the bucket; false when it is empty.
    fn spend(&mut self, now_ns: u64) -> bool {
        let refilled = now_ns.saturating_sub(self.debt_at_ns);
        self.debt_ns = self.debt_ns.saturating_sub(refilled);
        self.debt_at_ns = now_ns;
        if self.debt_ns + REFILL_NS > BURST * REFILL_NS {
            return false;
        }
        self.debt_ns += REFILL_NS;
        true
    }
}

impl Kind {
    fn of(event: &PodEvent, now_ns: u64) -> Self {
        Self {
            r#type: event.r#type,
            reason: event.reason.clone(),
            messages: BTreeSet::new(),
            last_ns: now_ns,
        }
    }
}

/// Whether `event` counts as another of `known`.
fn same(known: &PodEvent, event: &PodEvent, combined: bool) -> bool {
    let kind = known.r#type == event.r#type && known.reason == event.reason;
    if combined {
        return kind && known.message.starts_with(COMBINED);
    }
    kind && known.message == event.message && known.field_path == event.field_path
}

/// `spec.containers{NAME}`
fn field_path(plan: &PodPlan, id: ContainerRef) -> String {
    let list = match id.kind {
        ContainerKind::Init => "initContainers",
        ContainerKind::App => "containers",
        ContainerKind::Ephemeral => "ephemeralContainers",
    };
    format!("spec.{list}{{{}}}", spec(plan, id).name)
}

impl PodMachine {
    /// Tells the user.
    pub(super) fn note(
        &mut self,
        now: Now,
        r#type: EventType,
        reason: &str,
        message: &str,
        container: Option<ContainerRef>,
    ) {
        let event = PodEvent {
            r#type,
            reason: reason.to_owned(),
            message: message.to_owned(),
            field_path: container.map(|id| field_path(&self.plan, id)),
            count: 1,
            first_timestamp: whole(now.wall),
            last_timestamp: whole(now.wall),
        };
        // Also one that is not listened to comes with something that is.
        self.memory.facts += 1;
        if self.memory.log.record(event, now) {
            self.memory.revision += 1;
        }
    }
}
