//! The pod's state machine.

use crate::model::event::PodEvent;
use crate::model::plan::PodPlan;
use crate::model::status::PodStatus;
use crate::model::{Now, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Action, Event};

/// One pod's life.
#[derive(Debug, Clone, PartialEq)]
pub struct PodMachine {
    plan: PodPlan,
}

/// The machine's memory between two events, for the record on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub version: u32,
}

/// When and how a deletion was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// `metadata.deletionTimestamp`: the request plus the grace period.
    pub timestamp: Timestamp,
    pub grace_seconds: u32,
}

/// A snapshot that cannot be taken up again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreError {
    /// It was written by another version of podrt.
    Version { found: u32 },
    /// It has containers that the plan does not have.
    Foreign,
}

impl PodMachine {
    /// A pod of which nothing exists yet; send it `Event::Begin`.
    #[must_use]
    pub fn new(plan: PodPlan) -> Self {
        Self { plan }
    }

    /// Takes up a pod where its snapshot left it. The caller then reports what
    /// happened meanwhile (`Exited`, `SandboxExited`, …) and calls `resume`.
    ///
    /// # Errors
    /// [`RestoreError`] when snapshot and plan do not belong together.
    pub fn restore(plan: PodPlan, snapshot: Snapshot) -> Result<Self, RestoreError> {
        let _ = snapshot;
        Ok(Self { plan })
    }

    /// Everything but the plan. To be written before the actions are carried
    /// out.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }

    /// The orders that were given and not answered yet, once more.
    pub fn resume(&mut self, now: Now) -> Vec<Action> {
        todo!("{now:?}")
    }

    /// Takes in one fact and decides.
    pub fn handle(&mut self, event: &Event, now: Now) -> Vec<Action> {
        todo!("{event:?} {now:?}")
    }

    /// When to send `Event::Deadline` (nanoseconds of `CLOCK_BOOTTIME`).
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        todo!()
    }

    /// The status as of the last event.
    #[must_use]
    pub fn status(&self) -> &PodStatus {
        todo!()
    }

    /// The events so far, counted where they repeat, oldest first.
    #[must_use]
    pub fn events(&self) -> &[PodEvent] {
        todo!()
    }

    /// Grows whenever `status`, `events` or `deletion` changed: publish then.
    #[must_use]
    pub fn revision(&self) -> u64 {
        todo!()
    }

    /// Set once the pod was asked to be deleted.
    #[must_use]
    pub fn deletion(&self) -> Option<Deletion> {
        todo!()
    }

    /// True once everything is torn down; no event changes anything after.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        todo!()
    }

    /// The plan, with the ephemeral containers added since.
    #[must_use]
    pub fn plan(&self) -> &PodPlan {
        &self.plan
    }
}
