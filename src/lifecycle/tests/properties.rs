//! Random pods under random trouble: what must hold whatever happens.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::lifecycle::event::{
    ContainerKind, ContainerRef, HookKind, Instance, ProbeKind, ProbeResult, StartFailure,
};
use crate::lifecycle::{Action, Event, PodMachine};
use crate::model::plan::{ContainerPlan, PodPlan, RestartAction, RestartPolicy};
use crate::model::status::PodStatus;
use crate::model::{ExitStatus, Now, Signal, Timestamp};

use super::plans::{container, hook, pod, probe, rule, sidecar};
use super::sim::{MS, S, Script, Sim, stop_event};

const NAMES: [&str; 7] = ["i0", "i1", "i2", "a0", "a1", "a2", "e0"];

fn policy() -> impl Strategy<Value = RestartPolicy> {
    prop_oneof![
        Just(RestartPolicy::Always),
        Just(RestartPolicy::OnFailure),
        Just(RestartPolicy::Never)
    ]
}

fn decorate(
    mut plan: ContainerPlan,
    (startup, liveness, readiness, post_start, pre_stop): (bool, bool, bool, bool, bool),
) -> ContainerPlan {
    plan.startup_probe = startup.then(|| probe(1, 3));
    plan.liveness_probe = liveness.then(|| probe(2, 2));
    plan.readiness_probe = readiness.then(|| probe(3, 1));
    plan.post_start = post_start.then(hook);
    plan.pre_stop = pre_stop.then(hook);
    plan
}

prop_compose! {
    fn app(name: &'static str)(
        extras in any::<(bool, bool, bool, bool, bool)>(),
        own in proptest::option::weighted(0.3, policy()),
        rule_kind in 0..4_u8,
        code in 0..3_i32,
    ) -> ContainerPlan {
        let mut plan = decorate(container(name), extras);
        plan.restart_policy = own;
        if own.is_some() && rule_kind < 2 {
            let action = [RestartAction::Restart, RestartAction::RestartAllContainers];
            plan.restart_rules = vec![rule(action[usize::from(rule_kind)], true, &[code])];
        }
        plan
    }
}

prop_compose! {
    fn init(name: &'static str)(
        is_sidecar in any::<bool>(),
        extras in any::<(bool, bool, bool, bool, bool)>(),
    ) -> ContainerPlan {
        if is_sidecar { decorate(sidecar(name), extras) } else { container(name) }
    }
}

prop_compose! {
    fn plan()(
        restart_policy in policy(),
        apps in (app("a0"), app("a1"), app("a2")),
        app_count in 1..=3_usize,
        inits in (init("i0"), init("i1"), init("i2")),
        init_count in 0..=3_usize,
        ephemeral in any::<bool>(),
        grace in 0..40_u32,
        deadline in proptest::option::weighted(0.1, 1..60_u32),
    ) -> PodPlan {
        let mut plan = pod(restart_policy, [apps.0, apps.1, apps.2].to_vec());
        plan.containers.truncate(app_count);
        plan.init_containers = [inits.0, inits.1, inits.2].to_vec();
        plan.init_containers.truncate(init_count);
        plan.termination_grace_seconds = grace;
        plan.active_deadline_seconds = deadline;
        if ephemeral {
            plan.ephemeral_containers = vec![container("e0")];
        }
        plan
    }
}

fn result() -> impl Strategy<Value = ProbeResult> {
    prop_oneof![
        4 => Just(ProbeResult::Success),
        2 => Just(ProbeResult::Failure("no".into())),
        1 => Just(ProbeResult::Error("broken".into())),
        1 => Just(ProbeResult::Warning("hm".into())),
    ]
}

fn failure() -> impl Strategy<Value = Option<(StartFailure, &'static str)>> {
    prop_oneof![
        6 => Just(None),
        1 => Just(Some((StartFailure::Run, "run"))),
        1 => Just(Some((StartFailure::Config, "config"))),
        1 => Just(Some((StartFailure::ErrImagePull, "pull"))),
    ]
}

prop_compose! {
    fn script()(
        runs in vec((0..30_000_u64, 0..3_u8), 0..4),
        start_failures in vec(failure(), 0..4),
        on_stop in proptest::option::weighted(0.8, (0..40_000_u64, 0..3_u8)),
        startup in vec(result(), 1..4),
        liveness in vec(result(), 1..6),
        readiness in vec(result(), 1..6),
        post_start in (0..5_000_u64, any::<bool>()),
        pre_stop in (0..60_000_u64, any::<bool>()),
    ) -> Script {
        let outcome = |ok: bool| if ok { Ok(()) } else { Err("hook".to_owned()) };
        Script {
            runs,
            start_failures,
            on_stop,
            startup,
            liveness,
            readiness,
            post_start: (post_start.0, outcome(post_start.1)),
            pre_stop: (pre_stop.0, outcome(pre_stop.1)),
            ..Script::default()
        }
    }
}

/// What befalls the pod from outside.
#[derive(Debug, Clone)]
enum Trouble {
    Pass(u64),
    PauseDies,
    Crash,
    InputsChange,
    Lose(usize),
    Repeat(usize),
    Deadline,
    Delete(Option<u32>, bool),
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        8 => (0..20_000_u64).prop_map(Trouble::Pass),
        1 => Just(Trouble::PauseDies),
        1 => Just(Trouble::Crash),
        1 => Just(Trouble::InputsChange),
        1 => (0..8_usize).prop_map(Trouble::Lose),
        2 => (0..50_usize).prop_map(Trouble::Repeat),
        1 => Just(Trouble::Deadline),
        1 => (proptest::option::of(0..30_u32), any::<bool>())
            .prop_map(|(grace, force)| Trouble::Delete(grace, force)),
    ]
}

fn befall(sim: &mut Sim, trouble: &Trouble) {
    match trouble {
        Trouble::Pass(ms) => sim.run_for(ms * MS),
        Trouble::PauseDies => {
            let attempt = sim.order_times(|_, order| matches!(order, Action::CreateSandbox { .. }));
            if let Some(attempt) = attempt.len().checked_sub(1) {
                let attempt = u32::try_from(attempt).expect("few");
                sim.tell(Event::SandboxExited { attempt });
            }
        }
        Trouble::Crash => sim.crash(),
        Trouble::InputsChange => sim.tell(Event::InputsChanged),
        Trouble::Lose(index) => sim.lose(*index),
        Trouble::Repeat(back) => {
            let index = sim.facts.len().checked_sub(back + 1);
            // Answers to what is under way now cannot be told from old ones.
            let old = index.map(|index| sim.facts[index].1.clone()).filter(|event| {
                !matches!(
                    event,
                    Event::ProbeFinished { .. }
                        | Event::HookFinished { .. }
                        | Event::Stop(_)
                        | Event::SandboxExited { .. }
                        | Event::SandboxFailed { .. }
                        | Event::StartFailed { .. }
                        | Event::Created { .. }
                )
            });
            if let Some(event) = old {
                sim.tell(event);
            }
        }
        Trouble::Deadline => sim.tell(Event::Deadline),
        Trouble::Delete(grace, force) => sim.tell(stop_event(*grace, *force)),
    }
}

/// Restart counts by name.
fn counts(status: &PodStatus) -> Vec<(String, u32)> {
    let lists = [
        &status.init_container_statuses,
        &status.container_statuses,
        &status.ephemeral_container_statuses,
    ];
    lists.into_iter().flatten().map(|c| (c.name.clone(), c.restart_count)).collect()
}

/// True when nothing may start a container of the pod a second time.
fn never_restarts(plan: &PodPlan) -> bool {
    let all = plan.init_containers.iter().chain(&plan.containers);
    plan.restart_policy == RestartPolicy::Never
        && all.into_iter().all(|container| container.restart_policy.is_none())
}

fn check(sim: &Sim, before: &PodStatus) {
    let now = counts(sim.machine.status());
    for (name, count) in counts(before) {
        let later = now.iter().find(|(other, _)| *other == name);
        assert!(later.is_some_and(|(_, later)| *later >= count), "{name} fell from {count}");
    }
    if never_restarts(sim.machine.plan()) {
        let again = sim.ordered(|order| {
            matches!(order, Action::StartContainer { instance, .. } if instance.attempt > 0)
        });
        assert_eq!(again, 0, "a Never container was started again");
    }
}

fn run(plan: PodPlan, scripts: &[Script], troubles: &[Trouble], snapshots: bool) -> Sim {
    let scripts: Vec<(&str, Script)> = NAMES.into_iter().zip(scripts.iter().cloned()).collect();
    let mut sim = Sim::new(plan, &scripts);
    sim.checks_snapshots = snapshots;
    sim.tell(Event::Begin);
    for trouble in troubles {
        let before = sim.machine.status().clone();
        befall(&mut sim, trouble);
        check(&sim, &before);
    }
    sim
}

/// A few while developing; `PROPTEST_CASES=30000` for a night.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn a_pod_that_is_asked_to_stop_finishes_in_time(
        plan in plan(),
        scripts in vec(script(), 7),
        troubles in vec(trouble(), 0..25),
        grace in 0..30_u32,
    ) {
        let mut sim = run(plan, &scripts, &troubles, false);
        sim.stop(Some(grace));
        let asked = sim.elapsed();
        sim.run_until_finished();
        prop_assert!(sim.machine.status().phase.is_terminal());
        prop_assert!(sim.running().is_empty());
        let limit = f64::from(grace.max(1)) + 3.0;
        prop_assert!(sim.elapsed() - asked <= limit, "took {} s", sim.elapsed() - asked);
    }

    #[test]
    fn a_pod_that_is_left_alone_is_never_stuck(
        plan in plan(),
        scripts in vec(script(), 7),
        troubles in vec(trouble(), 0..15),
    ) {
        let mut sim = run(plan, &scripts, &troubles, false);
        sim.run_for(200 * S);
        prop_assert_eq!(sim.stuck(), None, "{}", sim.states());
    }

    #[test]
    fn a_machine_restored_from_its_snapshot_is_the_same(
        plan in plan(),
        scripts in vec(script(), 7),
        troubles in vec(trouble(), 0..12),
    ) {
        run(plan, &scripts, &troubles, true);
    }

    #[test]
    fn senseless_facts_in_any_order_do_no_harm(
        plan in plan(),
        facts in vec((any_event(), 0..20_000_u64), 0..60),
    ) {
        let mut machine = PodMachine::new(plan);
        let mut now_ns = 1000 * S;
        let mut alive = std::collections::BTreeSet::new();
        for (event, ms) in &facts {
            now_ns += ms * MS;
            let now = Now { boot_ns: now_ns, wall: Timestamp(now_ns) };
            let phase = machine.status().phase;
            if let Event::Started { instance, .. } = event {
                alive.insert(*instance);
            }
            for action in machine.handle(event, now) {
                if let Action::Signal { instance, .. } | Action::RunProbe { instance, .. } = action {
                    prop_assert!(alive.contains(&instance), "nothing known of {instance:?}");
                }
            }
            prop_assert!(!phase.is_terminal() || machine.status().phase == phase);
            prop_assert!(machine.next_deadline().is_none_or(|at| at > now_ns));
        }
    }
}

fn instance() -> impl Strategy<Value = Instance> {
    let kind = prop_oneof![
        Just(ContainerKind::Init),
        Just(ContainerKind::App),
        Just(ContainerKind::Ephemeral)
    ];
    (kind, 0..3_usize, 0..2_u32).prop_map(|(kind, index, attempt)| Instance {
        container: ContainerRef { kind, index },
        attempt,
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    let at = Timestamp(1000 * S);
    prop_oneof![
        2 => Just(Event::Begin),
        2 => Just(Event::VolumesReady),
        1 => Just(Event::VolumesFailed { message: "v".into() }),
        2 => (0..2_u32).prop_map(|attempt| Event::SandboxCreated {
            attempt,
            pod_ips: Vec::new(),
            host_ips: Vec::new()
        }),
        1 => (0..2_u32).prop_map(|attempt| Event::SandboxExited { attempt }),
        1 => (0..2_u32).prop_map(|attempt| Event::SandboxStopped { attempt }),
        6 => instance().prop_map(move |instance| Event::Started { instance, at }),
        2 => instance().prop_map(|instance| Event::StartFailed {
            instance,
            failure: StartFailure::Run,
            message: String::new()
        }),
        4 => (instance(), 0..3_u8).prop_map(move |(instance, code)| Event::Exited {
            instance,
            status: ExitStatus::Exited(code),
            oom_killed: code == 2,
            at,
            message: String::new()
        }),
        1 => instance().prop_map(move |instance| Event::Exited {
            instance,
            status: ExitStatus::Signaled(Signal::KILL),
            oom_killed: false,
            at,
            message: String::new()
        }),
        1 => instance().prop_map(move |instance| Event::Lost { instance, at }),
        1 => instance().prop_map(|instance| Event::Removed { instance }),
        2 => (instance(), result()).prop_map(|(instance, result)| Event::ProbeFinished {
            instance,
            probe: ProbeKind::Readiness,
            result
        }),
        2 => (instance(), any::<bool>()).prop_map(|(instance, post)| Event::HookFinished {
            instance,
            hook: if post { HookKind::PostStart } else { HookKind::PreStop },
            result: Ok(())
        }),
        1 => Just(Event::InputsChanged),
        1 => Just(stop_event(Some(3), false)),
        1 => Just(Event::TornDown),
        2 => Just(Event::Deadline),
    ]
}
