//! Probes: when one runs, and what its results add up to.
//!
//! One worker per container and probe. It first runs when the instance has
//! been up for the initial delay, then each period:
//!
//! ```text
//!           started + initialDelay          result          next period
//! Asleep ─────────────────────────► Running ──────► Asleep ────────────► …
//!                                      ▲   │ error, 1st and 2nd
//!                                      └───┘
//! On hold: after a startup result, or a liveness Failure, until the next
//! instance. Liveness and readiness sleep until the startup probe succeeded.
//! ```

use serde::{Deserialize, Serialize};

use crate::model::event::EventType;
use crate::model::plan::{ContainerPlan, ProbePlan};

use super::action::Action;
use super::backoff::SECOND_NS;
use super::container::PostStart;
use super::event::{ContainerRef, Instance, ProbeKind, ProbeResult};
use super::machine::{PodMachine, Turn, spec};

/// How often a probe that could not be carried out is tried in a row.
const ATTEMPTS: u32 = 3;

/// A container's probes; `None` where the plan has none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Probes {
    pub startup: Option<Probe>,
    pub liveness: Option<Probe>,
    pub readiness: Option<Probe>,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What counts, between thresholds.
    pub outcome: Outcome,
    /// The last result and how often it came in a row; kept from one instance
    /// to the next, as the kubelet's worker does.
    streak: Option<(bool, u32)>,
    errors: u32,
    on_hold: bool,
    pub in_flight: bool,
    next_ns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Unknown,
    Success,
    Failure,
}

impl ProbeKind {
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// As event texts name it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }

    /// What counts before the first result of an instance.
    fn initial(self) -> Outcome {
        match self {
            Self::Startup => Outcome::Unknown,
            Self::Liveness => Outcome::Success,
            Self::Readiness => Outcome::Failure,
        }
    }
}

impl Probe {
    fn new(kind: ProbeKind) -> Self {
        Self {
            outcome: kind.initial(),
            streak: None,
            errors: 0,
            on_hold: false,
            in_flight: false,
            next_ns: 0,
        }
    }

    fn reset(&mut self, kind: ProbeKind, next_ns: u64) {
        *self = Self { streak: self.streak, next_ns, ..Self::new(kind) };
    }

    /// Counts a result; the outcome moves when a threshold is reached.
    fn count(&mut self, kind: ProbeKind, success: bool, plan: &ProbePlan) {
        self.errors = 0;
        let threshold = if success { plan.success_threshold } else { plan.failure_threshold };
        let run = match self.streak {
            // Beyond its threshold a count tells nothing more.
            Some((last, run)) if last == success => run.saturating_add(1).min(threshold),
            _ => 1,
        };
        self.streak = Some((success, run));
        if run < threshold {
            return;
        }
        self.outcome = if success { Outcome::Success } else { Outcome::Failure };
        let settled = match kind {
            ProbeKind::Startup => true,
            ProbeKind::Liveness => !success,
            ProbeKind::Readiness => false,
        };
        if settled {
            self.on_hold = true;
            self.streak = Some((success, 0));
        }
    }
}

impl Probes {
    #[must_use]
    pub fn of(plan: &ContainerPlan) -> Self {
        let probe = |plan: &Option<ProbePlan>, kind| plan.as_ref().map(|_| Probe::new(kind));
        Self {
            startup: probe(&plan.startup_probe, ProbeKind::Startup),
            liveness: probe(&plan.liveness_probe, ProbeKind::Liveness),
            readiness: probe(&plan.readiness_probe, ProbeKind::Readiness),
        }
    }

    #[must_use]
    pub fn get(&self, kind: ProbeKind) -> Option<&Probe> {
        match kind {
            ProbeKind::Startup => self.startup.as_ref(),
            ProbeKind::Liveness => self.liveness.as_ref(),
            ProbeKind::Readiness => self.readiness.as_ref(),
        }
    }

    fn get_mut(&mut self, kind: ProbeKind) -> Option<&mut Probe> {
        match kind {
            ProbeKind::Startup => self.startup.as_mut(),
            ProbeKind::Liveness => self.liveness.as_mut(),
            ProbeKind::Readiness => self.readiness.as_mut(),
        }
    }

    /// True without a startup probe, or once it succeeded.
    #[must_use]
    pub fn startup_done(&self) -> bool {
        self.startup.as_ref().is_none_or(|probe| probe.outcome == Outcome::Success)
    }

    /// True without a readiness probe, or while it succeeds.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.readiness.as_ref().is_none_or(|probe| probe.outcome == Outcome::Success)
    }

    /// The probe whose failure asks for a kill; liveness is looked at first.
    #[must_use]
    pub fn failed(&self) -> Option<ProbeKind> {
        [ProbeKind::Liveness, ProbeKind::Startup]
            .into_iter()
            .find(|&kind| self.get(kind).is_some_and(|probe| probe.outcome == Outcome::Failure))
    }

    /// A new instance is up since `started_ns`.
    pub fn restart(&mut self, plan: &ContainerPlan, started_ns: u64) {
        for kind in ProbeKind::ALL {
            let delay = plan_of(plan, kind).map_or(0, |plan| plan.initial_delay_seconds);
            let next_ns = started_ns.saturating_add(u64::from(delay) * SECOND_NS);
            if let Some(probe) = self.get_mut(kind) {
                probe.reset(kind, next_ns);
            }
        }
    }

    /// When the probe runs next, if it may run at all. A container that is
    /// being stopped is only asked for its readiness.
    #[must_use]
    pub fn due_ns(&self, kind: ProbeKind, stopping: bool) -> Option<u64> {
        let probe = self.get(kind)?;
        let wanted = match kind {
            ProbeKind::Startup => !stopping,
            ProbeKind::Liveness => !stopping && self.startup_done(),
            ProbeKind::Readiness => self.startup_done(),
        };
        (wanted && !probe.on_hold && !probe.in_flight).then_some(probe.next_ns)
    }
}

/// The plan of a container's probe.
#[must_use]
pub fn plan_of(plan: &ContainerPlan, kind: ProbeKind) -> Option<&ProbePlan> {
    match kind {
        ProbeKind::Startup => plan.startup_probe.as_ref(),
        ProbeKind::Liveness => plan.liveness_probe.as_ref(),
        ProbeKind::Readiness => plan.readiness_probe.as_ref(),
    }
}

impl PodMachine {
    /// Orders every probe whose time has come.
    pub(super) fn advance_probes(&mut self, turn: &mut Turn) {
        for id in self.memory.containers.refs() {
            for kind in ProbeKind::ALL {
                if self.probe_due_ns(id, kind).is_some_and(|due| due <= turn.now.boot_ns) {
                    self.run_probe(id, kind, turn);
                }
            }
        }
    }

    /// When a container's probe runs next.
    pub(super) fn probe_due_ns(&self, id: ContainerRef, kind: ProbeKind) -> Option<u64> {
        let container = &self.memory.containers[id];
        let alive = container.alive()?;
        (alive.post_start == PostStart::Done)
            .then(|| container.probes.due_ns(kind, alive.stop.is_some()))?
    }

    fn run_probe(&mut self, id: ContainerRef, kind: ProbeKind, turn: &mut Turn) {
        let period =
            plan_of(spec(&self.plan, id), kind).map_or(0, |plan| plan.period_seconds.max(1));
        let Some(instance) = self.memory.containers.instance(id) else { return };
        let Some(probe) = self.memory.containers[id].probes.get_mut(kind) else { return };
        probe.in_flight = true;
        probe.next_ns = turn.now.boot_ns.saturating_add(u64::from(period) * SECOND_NS);
        turn.order(Action::RunProbe { instance, probe: kind });
    }

    pub(super) fn probe_finished(
        &mut self,
        instance: Instance,
        kind: ProbeKind,
        result: &ProbeResult,
        turn: &mut Turn,
    ) {
        if !self.memory.containers.is_alive(instance) {
            return;
        }
        let id = instance.container;
        let awaited = |probe: &mut Probe| std::mem::take(&mut probe.in_flight);
        let container = &mut self.memory.containers[id];
        if !container.probes.get_mut(kind).is_some_and(awaited) {
            return;
        }
        self.tell_probe(id, kind, result, turn);
        if let ProbeResult::Error(_) = result {
            return;
        }
        let success = !matches!(result, ProbeResult::Failure(_));
        let container = &mut self.memory.containers[id];
        let was_started = container.is_started();
        if let Some(plan) = plan_of(spec(&self.plan, id), kind)
            && let Some(probe) = container.probes.get_mut(kind)
        {
            let before = (probe.streak, probe.outcome);
            probe.count(kind, success, plan);
            if before != (probe.streak, probe.outcome) {
                turn.learned_something();
            }
        }
        if !was_started && self.memory.containers[id].is_started() {
            self.hasten_readiness(turn);
        }
    }

    /// The events of a result, and the retries of one that could not be had.
    fn tell_probe(
        &mut self,
        id: ContainerRef,
        kind: ProbeKind,
        result: &ProbeResult,
        turn: &mut Turn,
    ) {
        let word = kind.word();
        let (reason, text) = match result {
            ProbeResult::Success => return,
            ProbeResult::Warning(text) => ("ProbeWarning", format!("{word} probe warning: {text}")),
            ProbeResult::Failure(text) => ("Unhealthy", format!("{word} probe failed: {text}")),
            ProbeResult::Error(text) => {
                if self.retries_errored_probe(id, kind, turn) {
                    return;
                }
                let text = format!("{word} probe errored and resulted in unknown state: {text}");
                ("Unhealthy", text)
            }
        };
        self.note(turn.now, EventType::Warning, reason, &text, Some(id));
    }

    /// True when the probe is tried again at once.
    fn retries_errored_probe(
        &mut self,
        id: ContainerRef,
        kind: ProbeKind,
        turn: &mut Turn,
    ) -> bool {
        let Some(probe) = self.memory.containers[id].probes.get_mut(kind) else { return false };
        probe.errors += 1;
        if probe.errors < ATTEMPTS {
            probe.next_ns = turn.now.boot_ns;
            return true;
        }
        probe.errors = 0;
        false
    }

    /// Something of the pod changed: containers that are up but not ready are
    /// asked at once (the kubelet does so at each sync).
    pub(super) fn hasten_readiness(&mut self, turn: &Turn) {
        for id in self.memory.containers.refs() {
            let container = &self.memory.containers[id];
            if !container.is_started() || container.is_ready() {
                continue;
            }
            let Some(started_ns) = container.alive().map(|alive| alive.started_ns) else {
                continue;
            };
            let delay = spec(&self.plan, id).readiness_probe.as_ref();
            let delay = delay.map_or(0, |plan| u64::from(plan.initial_delay_seconds) * SECOND_NS);
            let earliest = started_ns.saturating_add(delay).max(turn.now.boot_ns);
            if let Some(probe) = &mut self.memory.containers[id].probes.readiness {
                probe.next_ns = probe.next_ns.min(earliest);
            }
        }
    }

    /// Takes back the runs of `kinds` that are under way.
    pub(super) fn cancel_probes(
        &mut self,
        instance: Instance,
        kinds: &[ProbeKind],
        turn: &mut Turn,
    ) {
        for &kind in kinds {
            let probes = &mut self.memory.containers[instance.container].probes;
            if let Some(probe) = probes.get_mut(kind)
                && std::mem::take(&mut probe.in_flight)
            {
                turn.order(Action::CancelProbe { instance, probe: kind });
            }
        }
    }
}
