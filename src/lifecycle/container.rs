//! What is known of one container: facts, no decisions.
//!
//! ```text
//!            order             Started            hook done
//! start:  Idle ─────► Ordered ─────────► run: Alive(hook) ─────► Alive
//!          ▲             │ StartFailed          │ Exited           │ Exited
//!          │             ▼                      ▼                  ▼
//!          └──time──── Retry                run: Ended ◄───────────┘
//! ```
//!
//! `start` is about the next instance, `run` about the newest that exists or
//! existed, `before` about the one before it.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;
use crate::model::plan::PodPlan;

use super::backoff::Backoff;
use super::event::{ContainerKind, ContainerRef, Instance, StartFailure, StartedFrom};
use super::probe::Probes;
use super::restart::Exit;
use super::termination::Stop;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// The attempt of the next instance: how many there were.
    pub next_attempt: u32,
    pub start: Start,
    pub run: Option<Run>,
    pub before: Option<Ended>,
    /// Why the last start did not work, until one works.
    pub fault: Option<Fault>,
    pub backoff: Option<Backoff>,
    pub probes: Probes,
}

/// The way to the next instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Start {
    Idle,
    Ordered {
        from: Option<StartedFrom>,
        may_pull: bool,
        cancelled: bool,
        /// The container got another image since: what comes up is restarted.
        #[serde(default)]
        outdated: bool,
    },
    Retry {
        at_ns: u64,
        after: StartFailure,
    },
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub attempt: u32,
    /// The attempt of the sandbox it was made in.
    pub sandbox: u32,
    pub from: Option<StartedFrom>,
    pub stage: Stage,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Stage {
    Alive(Alive),
    Ended(Ended),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alive {
    pub started_at: Timestamp,
    pub started_ns: u64,
    pub post_start: PostStart,
    pub stop: Option<Stop>,
}

/// Until its postStart hook is done, a container counts as being started and
/// the status shows what was before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PostStart {
    Done,
    Running(Box<Past>),
    Failed(Box<Past>),
}

/// The newest instance and the one before, as they were at some time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Past {
    pub run: Option<Run>,
    pub before: Option<Ended>,
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    pub exit: Exit,
    pub reason: String,
    pub message: String,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub finished_ns: u64,
    pub container_id: String,
    /// podrt killed it in order to start it again, whatever its exit code.
    pub forced_restart: bool,
    /// Its back-off was told (`CrashLoopBackOff`).
    pub backoff_told: bool,
}

/// A waiting reason with its message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub reason: String,
    pub message: String,
}

impl Fault {
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message: message.into() }
    }
}

impl Container {
    pub fn new(probes: Probes) -> Self {
        Self {
            next_attempt: 0,
            start: Start::Idle,
            run: None,
            before: None,
            fault: None,
            backoff: None,
            probes,
        }
    }

    pub fn alive(&self) -> Option<&Alive> {
        match &self.run.as_ref()?.stage {
            Stage::Alive(alive) => Some(alive),
            Stage::Ended(_) => None,
        }
    }

    pub fn alive_mut(&mut self) -> Option<&mut Alive> {
        match &mut self.run.as_mut()?.stage {
            Stage::Alive(alive) => Some(alive),
            Stage::Ended(_) => None,
        }
    }

    pub fn ended(&self) -> Option<&Ended> {
        match &self.run.as_ref()?.stage {
            Stage::Ended(ended) => Some(ended),
            Stage::Alive(_) => None,
        }
    }

    pub fn ended_mut(&mut self) -> Option<&mut Ended> {
        match &mut self.run.as_mut()?.stage {
            Stage::Ended(ended) => Some(ended),
            Stage::Alive(_) => None,
        }
    }

    pub fn is_ordered(&self) -> bool {
        matches!(self.start, Start::Ordered { .. })
    }

    /// True while nothing behind it in the start sequence may be touched.
    pub fn holds_start_sequence(&self) -> bool {
        self.is_ordered() || self.alive().is_some_and(|alive| alive.post_start != PostStart::Done)
    }

    /// `status.started`: runs, its hook is done, its startup probe succeeded.
    pub fn is_started(&self) -> bool {
        self.alive().is_some_and(|alive| alive.post_start == PostStart::Done)
            && self.probes.startup_done()
    }

    /// `status.ready` of a container with probes.
    pub fn is_ready(&self) -> bool {
        self.is_started() && self.probes.ready()
    }

    /// What the status shows: the newest instance that counts, and the end of
    /// the one before it.
    pub fn shown(&self) -> (Option<&Run>, Option<&Ended>) {
        match self.alive().map(|alive| &alive.post_start) {
            Some(PostStart::Running(past) | PostStart::Failed(past)) => {
                (past.run.as_ref(), past.before.as_ref())
            }
            Some(PostStart::Done) | None => (self.run.as_ref(), self.before.as_ref()),
        }
    }

    /// Forgets the newest instance; its end stays as `lastState`.
    pub fn forget_run(&mut self) {
        if let Some(Run { stage: Stage::Ended(ended), .. }) = self.run.take() {
            self.before = Some(ended);
        }
        self.start = Start::Idle;
    }
}

/// All containers of a pod, by reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Containers {
    pub init: Vec<Container>,
    pub app: Vec<Container>,
    pub ephemeral: Vec<Container>,
}

impl Containers {
    pub fn of(plan: &PodPlan) -> Self {
        let fresh = |list: &[crate::model::plan::ContainerPlan]| {
            list.iter().map(|container| Container::new(Probes::of(container))).collect()
        };
        Self {
            init: fresh(&plan.init_containers),
            app: fresh(&plan.containers),
            ephemeral: fresh(&plan.ephemeral_containers),
        }
    }

    /// Every reference: init, app, ephemeral, each in spec order.
    pub fn refs(&self) -> impl Iterator<Item = ContainerRef> + use<> {
        let list = |kind, len| (0..len).map(move |index| ContainerRef { kind, index });
        list(ContainerKind::Init, self.init.len())
            .chain(list(ContainerKind::App, self.app.len()))
            .chain(list(ContainerKind::Ephemeral, self.ephemeral.len()))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Container> {
        self.init.iter().chain(&self.app).chain(&self.ephemeral)
    }

    pub fn knows(&self, id: ContainerRef) -> bool {
        let len = match id.kind {
            ContainerKind::Init => self.init.len(),
            ContainerKind::App => self.app.len(),
            ContainerKind::Ephemeral => self.ephemeral.len(),
        };
        id.index < len
    }

    /// The newest instance of a container, if it had any.
    pub fn instance(&self, id: ContainerRef) -> Option<Instance> {
        let run = self[id].run.as_ref()?;
        Some(Instance { container: id, attempt: run.attempt })
    }

    /// True when `instance` is the newest and runs.
    pub fn is_alive(&self, instance: Instance) -> bool {
        self.knows(instance.container)
            && self.instance(instance.container) == Some(instance)
            && self[instance.container].alive().is_some()
    }

    /// True when `instance` is the one a start was ordered of.
    pub fn is_awaited(&self, instance: Instance) -> bool {
        self.knows(instance.container)
            && self[instance.container].is_ordered()
            && self[instance.container].next_attempt == instance.attempt
    }

    /// True when no instance runs and none may come.
    pub fn all_still(&self) -> bool {
        self.iter().all(|container| container.alive().is_none() && !container.is_ordered())
    }
}

impl Index<ContainerRef> for Containers {
    type Output = Container;
    fn index(&self, id: ContainerRef) -> &Container {
        match id.kind {
            ContainerKind::Init => &self.init[id.index],
            ContainerKind::App => &self.app[id.index],
            ContainerKind::Ephemeral => &self.ephemeral[id.index],
        }
    }
}

impl IndexMut<ContainerRef> for Containers {
    fn index_mut(&mut self, id: ContainerRef) -> &mut Container {
        match id.kind {
            ContainerKind::Init => &mut self.init[id.index],
            ContainerKind::App => &mut self.app[id.index],
            ContainerKind::Ephemeral => &mut self.ephemeral[id.index],
        }
    }
}
