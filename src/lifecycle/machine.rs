//! The pod's state machine: takes in facts, remembers them, and derives from
//! all it knows what to order next.
//!
//! ```text
//!           Begin          deleted, evicted, deadline, all done, init failed
//! Waiting ────────► Running ───────────────────────────────► Ending ─► Ended ─► Gone
//!                   ▲  ▲ │ │ sandbox died                      ▲
//!                   │  │ │ └──────────► ReplacingSandbox ──────┤
//!                   │  └─┼────────────────────┘                │
//!                   └────┼── RestartingAll ◄── rule matched ───┘ (any course may end)
//!                        └────────────┘
//! ```
//!
//! What an event does, by course (– is nothing; facts about instances that are
//! not the newest, and answers nobody waits for, are nothing everywhere):
//!
//! | event | Waiting | Running | RestartingAll, ReplacingSandbox | Ending | Ended, Gone |
//! |---|---|---|---|---|---|
//! | Begin | volumes; after a reboot as SandboxExited | – | – | – | – |
//! | Rejected | end, Failed | – | – | – | – |
//! | VolumesReady | – | sandbox | note | note | – |
//! | VolumesFailed | – | event, retry | note | note | – |
//! | SandboxCreated | – | first container | stop it | stop it | – |
//! | SandboxFailed | – | event, retry | note | go on ending | – |
//! | SandboxExited | – | replace, or end | replace | go on ending | – |
//! | SandboxStopped | – | – | next sandbox | tear down | – |
//! | Started | – | hook, next container | stop it | stop it | – |
//! | StartFailed | – | event, retry | go on | go on | – |
//! | Exited, Lost | – | restart, restart all, or end | go on | go on | – |
//! | ProbeFinished | – | count; kill or ready | count | readiness | – |
//! | HookFinished | – | next container, or kill; signal | signal | signal | – |
//! | Removed | – | note | go on | note | – |
//! | InputsChanged | – | retry now | – | – | – |
//! | Amended | note | note; restart what has a new image | note | note | – |
//! | Stop | end | end | end | shorten | mark deleted |
//! | TornDown | – | – | – | – | Gone |
//! | Deadline | – | what is due | what is due | what is due | – |

use crate::model::event::PodEvent;
use crate::model::plan::{ContainerPlan, PodPlan};
use crate::model::status::PodStatus;
use crate::model::{Now, Timestamp};

use super::action::Action;
use super::container::Container;
use super::event::{ContainerKind, ContainerRef, Event, Instance};
use super::exit::ExitFacts;
use super::init_order::{Need, need};
use super::memory::{Course, Deletion, Memory, RestoreError, SNAPSHOT_VERSION, Snapshot};
use super::probe::Probes;
use super::status;

/// One pod's life.
#[derive(Debug, Clone, PartialEq)]
pub struct PodMachine {
    pub(super) plan: PodPlan,
    pub(super) memory: Memory,
}

/// One call of `handle`: its moment, and the orders it leads to.
#[derive(Debug)]
pub(super) struct Turn {
    pub now: Now,
    actions: Vec<Action>,
    /// Something was learned that must outlive a kill.
    learned: bool,
}

impl Turn {
    pub fn new(now: Now) -> Self {
        Self { now, actions: Vec::new(), learned: false }
    }

    pub fn order(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub fn learned_something(&mut self) {
        self.learned = true;
    }

    /// Nothing came of it but probes being run.
    fn is_routine(&self) -> bool {
        let only_probes = |action: &Action| matches!(action, Action::RunProbe { .. });
        !self.learned && self.actions.iter().all(only_probes)
    }

    pub fn into_actions(self) -> Vec<Action> {
        self.actions
    }
}

impl PodMachine {
    /// A pod of which nothing exists yet; send it `Event::Begin`.
    #[must_use]
    pub fn new(plan: PodPlan) -> Self {
        let memory = Memory::new(&plan, status::blank(&plan));
        let mut machine = Self { plan, memory };
        machine.memory.status = machine.derive_status(machine.plan.created_at);
        machine
    }

    /// Takes up a pod where its snapshot left it. The caller then reports what
    /// happened meanwhile (`Exited`, `SandboxExited`, …) and calls `resume`.
    /// Ephemeral containers that the plan has beyond the snapshot are new.
    ///
    /// # Errors
    /// [`RestoreError`] when snapshot and plan do not belong together.
    pub fn restore(plan: PodPlan, snapshot: Snapshot) -> Result<Self, RestoreError> {
        if snapshot.version != SNAPSHOT_VERSION {
            return Err(RestoreError::Version { found: snapshot.version });
        }
        let mut memory = snapshot.memory;
        let containers = &mut memory.containers;
        let known = containers.ephemeral.len();
        if containers.init.len() != plan.init_containers.len()
            || containers.app.len() != plan.containers.len()
            || known > plan.ephemeral_containers.len()
        {
            return Err(RestoreError::Foreign);
        }
        let added = plan.ephemeral_containers.iter().skip(known);
        containers.ephemeral.extend(added.map(|new| Container::new(Probes::of(new))));
        Ok(Self { plan, memory })
    }

    /// Everything but the plan. To be written before the actions are carried
    /// out.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { version: SNAPSHOT_VERSION, memory: self.memory.clone() }
    }

    /// Takes in one fact and decides.
    pub fn handle(&mut self, event: &Event, now: Now) -> Vec<Action> {
        let mut turn = Turn::new(now);
        let facts = self.memory.facts;
        self.memory.now_ns = self.memory.now_ns.max(now.boot_ns);
        self.learn(event, &mut turn);
        self.decide(&mut turn);
        let may_be_routine = matches!(event, Event::Deadline | Event::ProbeFinished { .. });
        if !may_be_routine || !turn.is_routine() || self.memory.facts != facts {
            self.memory.facts += 1;
            self.publish(now.wall);
        }
        turn.into_actions()
    }

    /// The status as of the last event.
    #[must_use]
    pub fn status(&self) -> &PodStatus {
        &self.memory.status
    }

    /// The events so far, counted where they repeat, oldest first.
    #[must_use]
    pub fn events(&self) -> &[PodEvent] {
        self.memory.log.events()
    }

    /// Grows whenever `status`, `events` or `deletion` changed: publish then.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.memory.revision
    }

    /// Grows with all that a machine restored after a kill must know: write the
    /// snapshot then. What it does not grow with is when a probe runs next and
    /// whether it runs now, which a restored machine may take from an older
    /// snapshot: at worst a probe runs once more.
    #[must_use]
    pub fn facts(&self) -> u64 {
        self.memory.facts
    }

    /// Set once the pod was asked to be deleted.
    #[must_use]
    pub fn deletion(&self) -> Option<Deletion> {
        self.memory.deletion
    }

    /// True once everything is torn down; nothing is ordered after that.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.memory.course == Course::Gone
    }

    /// The plan, with the ephemeral containers added since.
    #[must_use]
    pub fn plan(&self) -> &PodPlan {
        &self.plan
    }

    fn learn(&mut self, event: &Event, turn: &mut Turn) {
        let now = turn.now;
        match event {
            Event::Begin => self.begin(turn),
            Event::Rejected { reason, detail } => self.rejected(reason, detail, turn),
            Event::VolumesReady => self.volumes_ready(),
            Event::VolumesFailed { message } => self.volumes_failed(message, turn),
            Event::SandboxCreated { attempt, pod_ips, host_ips } => {
                self.sandbox_created(*attempt, pod_ips, host_ips);
            }
            Event::SandboxFailed { attempt, message } => {
                self.sandbox_failed(*attempt, message, turn);
            }
            Event::SandboxExited { attempt } => self.sandbox_exited(*attempt, turn),
            Event::SandboxStopped { attempt } => self.sandbox_stopped(*attempt),
            Event::ImagePulling { instance } => self.image_pulling(*instance, now),
            Event::ImagePulled { instance, how } => self.image_pulled(*instance, how, now),
            Event::Created { instance, started_from } => {
                self.created(*instance, started_from, now);
            }
            Event::Started { instance, at } => self.started(*instance, *at, turn),
            Event::StartFailed { instance, failure, message } => {
                self.start_failed(*instance, failure, message, turn);
            }
            Event::Exited { instance, status, oom_killed, at, message } => {
                let (status, oom_killed, at) = (Some(*status), *oom_killed, *at);
                self.exited(*instance, ExitFacts { status, oom_killed, at, message }, turn);
            }
            Event::Lost { instance, at } => {
                let facts = ExitFacts { status: None, oom_killed: false, at: *at, message: "" };
                self.exited(*instance, facts, turn);
            }
            Event::Removed { instance } => {
                self.memory.removing.remove(instance);
            }
            Event::ProbeFinished { instance, probe, result } => {
                self.probe_finished(*instance, *probe, result, turn);
            }
            Event::HookFinished { instance, hook, result } => {
                self.hook_finished(*instance, *hook, result, turn);
            }
            Event::InputsChanged => self.inputs_changed(),
            Event::Amended { plan } => self.amended(plan, turn),
            Event::EphemeralAdded { plan } => self.ephemeral_added(plan),
            Event::Noted { r#type, reason, message, container } => {
                let container = container.filter(|id| self.memory.containers.knows(*id));
                self.note(now, *r#type, reason, message, container);
            }
            Event::Stop(request) => self.stop_requested(request, turn),
            Event::TornDown => self.torn_down(),
            Event::Deadline => {}
        }
    }

    fn begin(&mut self, turn: &mut Turn) {
        if self.memory.course != Course::Waiting {
            return;
        }
        self.memory.course = Course::Running;
        let now = turn.now;
        let start = *self.memory.start_time.get_or_insert(whole(now.wall));
        self.memory.started_ns = now.boot_ns;
        if self.has_run_before() {
            self.memory.spent_ns = nanos(now.wall.since(start));
            self.sandbox_exited(self.memory.sandbox.attempt, turn);
        }
    }

    pub(super) fn ephemeral_added(&mut self, plan: &ContainerPlan) {
        let known = self.plan.ephemeral_containers.iter().any(|other| other.name == plan.name);
        if !known {
            self.plan.ephemeral_containers.push(plan.clone());
            self.memory.containers.ephemeral.push(Container::new(Probes::of(plan)));
        }
    }

    fn decide(&mut self, turn: &mut Turn) {
        self.enforce_active_deadline(turn);
        self.stop_unhealthy(turn);
        while self.advance_course(turn) {}
        self.advance_ground(turn);
        self.advance_starts(turn);
        self.advance_probes(turn);
    }

    /// Moves stops and the course as far as the facts allow; true when the
    /// course changed and is to be looked at again.
    fn advance_course(&mut self, turn: &mut Turn) -> bool {
        self.advance_stops(turn);
        match self.memory.course {
            Course::Running => self.conclude(turn),
            Course::RestartingAll { trigger } => self.advance_restart_all(trigger, turn),
            Course::ReplacingSandbox => self.advance_replacement(turn),
            Course::Ending(_) => self.advance_ending(turn),
            Course::Waiting | Course::Ended | Course::Gone => false,
        }
    }

    /// Ends the pod when nothing is left to run.
    fn conclude(&mut self, turn: &mut Turn) -> bool {
        match need(&self.plan, &self.memory.containers) {
            Need::Start(_) => false,
            Need::InitFailed | Need::Completed => {
                self.begin_ending(self.plan.termination_grace_seconds.max(1), turn);
                true
            }
        }
    }

    fn publish(&mut self, wall: Timestamp) {
        let status = self.derive_status(wall);
        if status != self.memory.status {
            self.memory.status = status;
            self.memory.revision += 1;
        }
    }

    /// An ended instance is forgotten by the effects side too.
    pub(super) fn remove_instance(&mut self, instance: Instance, turn: &mut Turn) {
        if self.memory.removing.insert(instance) {
            turn.order(Action::RemoveContainer { instance });
        }
    }
}

/// The plan of a container.
pub(super) fn spec(plan: &PodPlan, id: ContainerRef) -> &ContainerPlan {
    match id.kind {
        ContainerKind::Init => &plan.init_containers[id.index],
        ContainerKind::App => &plan.containers[id.index],
        ContainerKind::Ephemeral => &plan.ephemeral_containers[id.index],
    }
}

/// A time as Kubernetes keeps it: whole seconds.
pub(super) fn whole(time: Timestamp) -> Timestamp {
    Timestamp(time.0 - time.0 % super::backoff::SECOND_NS)
}

/// A duration in nanoseconds.
pub(super) fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
