//! A runtime that exists only on paper: answers the machine's orders with the
//! facts a script asks for, checks that no order is senseless, and turns the
//! clock to whatever comes next.

use std::collections::{BTreeMap, BTreeSet};

use crate::lifecycle::event::{
    ContainerKind, ContainerRef, HookKind, Instance, ProbeKind, ProbeResult, Pulled, StartFailure,
    StartedFrom, StopReason, StopRequest,
};
use crate::lifecycle::init_order::{Need, need};
use crate::lifecycle::machine::spec;
use crate::lifecycle::{Action, Event, PodMachine, Snapshot};
use crate::model::plan::PodPlan;
use crate::model::status::{ContainerStatus, LinuxUser, Phase};
use crate::model::{ExitStatus, Now, Signal, Timestamp};

mod effects;
mod views;

pub const MS: u64 = 1_000_000;
pub const S: u64 = 1000 * MS;
/// The wall clock when the boot clock shows 0.
const EPOCH: u64 = 1_800_000_000 * S;
/// How long the runtime takes for an order.
const LATENCY: u64 = MS;

/// What one container does. Lists give one entry per attempt or run; the last
/// one repeats.
#[derive(Debug, Clone)]
pub struct Script {
    /// Milliseconds of each run and its exit code; empty: it runs for ever.
    pub runs: Vec<(u64, u8)>,
    /// Failure of each start, where one fails.
    pub start_failures: Vec<Option<(StartFailure, &'static str)>>,
    /// Milliseconds from the stop signal to exit and the code; `None`: the
    /// signal is ignored.
    pub on_stop: Option<(u64, u8)>,
    pub startup: Vec<ProbeResult>,
    pub liveness: Vec<ProbeResult>,
    pub readiness: Vec<ProbeResult>,
    /// Milliseconds and result.
    pub post_start: (u64, Result<(), String>),
    pub pre_stop: (u64, Result<(), String>),
    pub oom_killed: bool,
    pub message: String,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            runs: Vec::new(),
            start_failures: Vec::new(),
            on_stop: Some((10, 143)),
            startup: vec![ProbeResult::Success],
            liveness: vec![ProbeResult::Success],
            readiness: vec![ProbeResult::Success],
            post_start: (1, Ok(())),
            pre_stop: (1, Ok(())),
            oom_killed: false,
            message: String::new(),
        }
    }
}

impl Script {
    pub fn exits(ms: u64, code: u8) -> Self {
        Self { runs: vec![(ms, code)], ..Self::default() }
    }

    pub fn ignoring_stop() -> Self {
        Self { on_stop: None, ..Self::default() }
    }
}

/// Something the runtime will do at its time.
#[derive(Debug, Clone, PartialEq)]
enum Coming {
    Tell(Event),
    Start(Instance),
    Exit(Instance, ExitStatus),
}

#[derive(Debug)]
pub struct Sim {
    pub machine: PodMachine,
    pub now_ns: u64,
    pub scripts: BTreeMap<String, Script>,
    /// What the next set-ups of volumes and sandboxes fail with.
    pub volume_failures: Vec<String>,
    pub sandbox_failures: Vec<String>,
    /// Every order with its time.
    pub orders: Vec<(u64, Action)>,
    /// Every event with its time.
    pub facts: Vec<(u64, Event)>,
    /// Distinct STATUS-relevant states of each container, in order.
    pub seen: Vec<(u64, String)>,
    /// The snapshot as it is on disk.
    pub saved: Snapshot,
    /// Restored from its snapshot and compared after each event.
    pub checks_snapshots: bool,
    coming: BTreeMap<(u64, u64), Coming>,
    counter: u64,
    alive: BTreeSet<Instance>,
    ended: BTreeMap<Instance, Event>,
    probing: BTreeSet<(Instance, ProbeKind)>,
    hooking: BTreeSet<(Instance, HookKind)>,
    probe_runs: BTreeMap<(String, ProbeKind), usize>,
}

impl Sim {
    pub fn new(plan: PodPlan, scripts: &[(&str, Script)]) -> Self {
        let scripts = scripts.iter().map(|(name, script)| ((*name).into(), script.clone()));
        let machine = PodMachine::new(plan);
        Self {
            saved: machine.snapshot(),
            machine,
            now_ns: 1000 * S,
            scripts: scripts.collect(),
            volume_failures: Vec::new(),
            sandbox_failures: Vec::new(),
            orders: Vec::new(),
            facts: Vec::new(),
            seen: Vec::new(),
            checks_snapshots: false,
            coming: BTreeMap::new(),
            counter: 0,
            alive: BTreeSet::new(),
            ended: BTreeMap::new(),
            probing: BTreeSet::new(),
            hooking: BTreeSet::new(),
            probe_runs: BTreeMap::new(),
        }
    }

    /// A pod that was begun.
    pub fn begun(plan: PodPlan, scripts: &[(&str, Script)]) -> Self {
        let mut sim = Self::new(plan, scripts);
        sim.tell(Event::Begin);
        sim
    }

    /// Seconds since the pod was begun.
    pub fn elapsed(&self) -> f64 {
        #[expect(clippy::cast_precision_loss)]
        let seconds = (self.now_ns - 1000 * S) as f64 / S as f64;
        seconds
    }

    pub fn now(&self) -> Now {
        Now { boot_ns: self.now_ns, wall: Timestamp(EPOCH + self.now_ns) }
    }

    /// Hands a fact to the machine and carries out what it orders.
    pub fn tell(&mut self, event: Event) {
        let before = self.machine.status().clone();
        let facts = self.machine.facts();
        let actions = self.machine.handle(&event, self.now());
        if self.machine.facts() != facts {
            self.saved = self.machine.snapshot();
        }
        let bound = 12 * self.machine.plan().containers.len().max(1) + 60;
        assert!(actions.len() < bound, "{event:?} led to {} orders", actions.len());
        self.facts.push((self.now_ns, event));
        self.check_status(&before.phase);
        if self.checks_snapshots {
            self.check_snapshot();
            self.check_saved();
        }
        self.note_states();
        for action in actions {
            self.carry_out(action);
        }
        if let Some(at) = self.machine.next_deadline() {
            assert!(at > self.now_ns, "a deadline that is due is not acted upon");
        }
    }

    fn check_status(&self, before: &Phase) {
        let phase = self.machine.status().phase;
        assert!(!before.is_terminal() || phase == *before, "{before:?} became {phase:?}");
    }

    /// The snapshot survives JSON, and the restored machine is the same.
    pub fn check_snapshot(&self) {
        let json = serde_json::to_string(&self.machine.snapshot()).expect("a snapshot");
        let back = serde_json::from_str(&json).expect("the same snapshot");
        let restored = PodMachine::restore(self.machine.plan().clone(), back).expect("restores");
        assert_eq!(restored, self.machine);
    }

    /// What was saved differs from what is known only in when probes run.
    fn check_saved(&self) {
        let lasting = |snapshot: &Snapshot| {
            let mut value = serde_json::to_value(snapshot).expect("a snapshot");
            forget(&mut value, &["now_ns", "in_flight", "next_ns", "errors"]);
            value
        };
        assert_eq!(lasting(&self.saved), lasting(&self.machine.snapshot()));
        assert_eq!(self.machine.status(), &self.machine.derive_status(self.now().wall));
    }

    fn note_states(&mut self) {
        let states = self.states();
        if self.seen.last().is_none_or(|(_, last)| *last != states) {
            self.seen.push((self.now_ns, states));
        }
    }

    /// `phase name=state name=state`
    pub fn states(&self) -> String {
        let status = self.machine.status();
        let lists = [&status.init_container_statuses, &status.container_statuses];
        let mut text = status.phase.as_str().to_owned();
        for container in lists.into_iter().flatten() {
            text += &format!(" {}={}", container.name, state_word(container));
        }
        text
    }

    /// The states seen so far, without repetition.
    pub fn history(&self) -> Vec<&str> {
        self.seen.iter().map(|(_, states)| states.as_str()).collect()
    }

    /// Lets `duration_ns` pass.
    pub fn run_for(&mut self, duration_ns: u64) {
        self.run_to(self.now_ns + duration_ns);
    }

    pub fn run_to(&mut self, end_ns: u64) {
        while self.step(end_ns) {}
        self.now_ns = end_ns;
    }

    /// Runs until `condition` holds; fails after an hour.
    pub fn run_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let end = self.now_ns + 3600 * S;
        while !condition(self) {
            assert!(self.step(end), "never {what}: {:#?}", self.history());
        }
    }

    pub fn run_until_finished(&mut self) {
        self.run_until("finished", |sim| sim.machine.is_finished());
    }

    /// The next thing that happens before `end_ns`; false when nothing does.
    fn step(&mut self, end_ns: u64) -> bool {
        let coming = self.coming.first_key_value().map(|(&(at, _), _)| at);
        let deadline = self.machine.next_deadline();
        let Some(next) = coming.into_iter().chain(deadline).min().filter(|&at| at <= end_ns) else {
            return false;
        };
        self.now_ns = self.now_ns.max(next);
        if deadline == Some(next) && coming != Some(next) {
            self.tell(Event::Deadline);
        } else if let Some((_, what)) = self.coming.pop_first() {
            self.happen(what);
        }
        true
    }

    fn happen(&mut self, what: Coming) {
        match what {
            Coming::Tell(event) => {
                match &event {
                    Event::ProbeFinished { instance, probe, .. } => {
                        self.probing.remove(&(*instance, *probe));
                    }
                    Event::HookFinished { instance, hook, .. } => {
                        self.hooking.remove(&(*instance, *hook));
                    }
                    _ => {}
                }
                self.tell(event);
            }
            Coming::Start(instance) => self.start(instance),
            Coming::Exit(instance, status) => self.exit(instance, status),
        }
    }

    fn after(&mut self, delay_ns: u64, what: Coming) {
        self.counter += 1;
        self.coming.insert((self.now_ns + delay_ns, self.counter), what);
    }

    fn answer(&mut self, event: Event) {
        self.after(LATENCY, Coming::Tell(event));
    }

    fn script(&self, instance: Instance) -> Script {
        let name = &spec(self.machine.plan(), instance.container).name;
        self.scripts.get(name).cloned().unwrap_or_default()
    }

    /// The shim is killed and comes back: what it ran itself is gone, the
    /// containers are not.
    pub fn crash(&mut self) {
        self.check_snapshot();
        self.check_saved();
        let json = serde_json::to_string(&self.saved).expect("a snapshot");
        let snapshot = serde_json::from_str(&json).expect("the same snapshot");
        let plan = self.machine.plan().clone();
        self.machine = PodMachine::restore(plan, snapshot).expect("restores");
        self.coming.retain(|_, what| matches!(what, Coming::Exit(..)));
        self.probing.clear();
        self.hooking.clear();
        for action in self.machine.resume(self.now()) {
            self.carry_out(action);
        }
    }

    /// An instance vanishes, and nobody knows how.
    pub fn lose(&mut self, index: usize) {
        let Some(instance) = self.alive.iter().nth(index).copied() else { return };
        self.alive.remove(&instance);
        let at = self.now().wall;
        self.tell(Event::Lost { instance, at });
    }

    /// What is wanted though nothing is under way and nothing will be.
    pub fn stuck(&self) -> Option<Need> {
        if !self.coming.is_empty()
            || self.machine.next_deadline().is_some()
            || self.machine.is_finished()
        {
            return None;
        }
        let need = need(self.machine.plan(), &self.machine.memory.containers);
        let content = need == Need::Start(Vec::new()) && !self.alive.is_empty();
        (!content).then_some(need)
    }
}

/// Seconds since the pod was begun, in hundredths.
fn seconds(at_ns: u64) -> f64 {
    let hundredths = (at_ns - 1000 * S) / (10 * MS);
    #[expect(clippy::cast_precision_loss)]
    let seconds = hundredths as f64 / 100.0;
    seconds
}

pub fn stop_event(grace_seconds: Option<u32>, force: bool) -> Event {
    Event::Stop(StopRequest { grace_seconds, force, reason: StopReason::Deleted })
}

pub fn app_ref(index: usize) -> ContainerRef {
    ContainerRef { kind: ContainerKind::App, index }
}

fn from(instance: Instance) -> StartedFrom {
    StartedFrom {
        container_id: format!(
            "{:?}{}-{}",
            instance.container.kind, instance.container.index, instance.attempt
        ),
        image: "docker.io/library/image:1".into(),
        image_id: "sha256:1".into(),
        user: LinuxUser { uid: 0, gid: 0, supplemental_groups: Vec::new() },
        image_stop_signal: None,
    }
}

fn nth<T: Clone>(list: &[T], index: usize) -> Option<T> {
    list.get(index).or(list.last()).cloned()
}

fn pop_front<T>(list: &mut Vec<T>) -> Option<T> {
    if list.is_empty() { None } else { Some(list.remove(0)) }
}

pub fn state_word(status: &ContainerStatus) -> String {
    let state = &status.state;
    if let Some(waiting) = &state.waiting {
        return waiting.reason.clone();
    }
    if let Some(end) = &state.terminated {
        return end.reason.clone();
    }
    if status.ready { "Ready".into() } else { "Running".into() }
}

/// Removes these fields wherever they are.
fn forget(value: &mut serde_json::Value, fields: &[&str]) {
    match value {
        serde_json::Value::Object(map) => {
            map.retain(|name, _| !fields.contains(&name.as_str()));
            map.values_mut().for_each(|value| forget(value, fields));
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(|value| forget(value, fields)),
        _ => {}
    }
}
