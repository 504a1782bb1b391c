//! Policies, rules, back-off, and the restart of all containers.

use crate::lifecycle::Action;
use crate::lifecycle::event::ContainerKind::{App, Ephemeral, Init};
use crate::lifecycle::event::ProbeResult;
use crate::lifecycle::restart::{Exit, Verdict, verdict};
use crate::model::plan::RestartAction::{Restart, RestartAllContainers};
use crate::model::plan::RestartPolicy::{Always, Never, OnFailure};
use crate::model::plan::{ContainerPlan, PodPlan};
use crate::model::status::Phase;

use super::plans::{container, hook, pod, probe, rule, sidecar};
use super::sim::{S, Script, Sim, state_word};

#[test]
fn the_verdict_over_an_exit_is_as_in_the_table() {
    use Verdict::{Leave, Restart as Again, RestartAll};
    let plain = container("c");
    let own = |policy| ContainerPlan { restart_policy: Some(policy), ..container("c") };
    let ruled = |policy, action, within, codes: &[i32]| ContainerPlan {
        restart_rules: vec![rule(action, within, codes)],
        ..own(policy)
    };
    let loose_rule =
        ContainerPlan { restart_rules: vec![rule(Restart, true, &[7])], ..container("c") };
    let table = [
        (Always, App, plain.clone(), 0, Again),
        (OnFailure, App, plain.clone(), 0, Leave),
        (OnFailure, App, plain.clone(), 1, Again),
        (Never, App, plain.clone(), 1, Leave),
        (Never, App, own(Always), 0, Again),
        (Always, App, own(Never), 1, Leave),
        (Always, App, own(OnFailure), 0, Leave),
        (Never, App, ruled(Never, Restart, true, &[42]), 42, Again),
        (Never, App, ruled(Never, Restart, true, &[42]), 41, Leave),
        (Never, App, ruled(Never, Restart, false, &[42]), 41, Again),
        (Never, App, ruled(Never, RestartAllContainers, true, &[88]), 88, RestartAll),
        (Never, App, loose_rule, 7, Leave),
        (Always, Init, plain.clone(), 0, Leave),
        (Always, Init, plain.clone(), 1, Again),
        (Never, Init, plain.clone(), 1, Leave),
        (Never, Init, own(OnFailure), 1, Again),
        (Never, Init, ruled(Never, Restart, true, &[0]), 0, Leave),
        (Never, Init, ruled(Never, RestartAllContainers, true, &[0]), 0, RestartAll),
        (Never, Init, sidecar("s"), 0, Again),
        (Never, Init, ruled(Always, RestartAllContainers, true, &[3]), 3, RestartAll),
        (Always, Ephemeral, plain, 1, Leave),
    ];
    for (pod, kind, plan, code, want) in table {
        let got = verdict(pod, kind, &plan, Exit { code, oom_killed: false });
        assert_eq!(got, want, "{pod:?} {kind:?} {:?} exit {code}", plan.restart_policy);
    }
}

#[test]
fn the_first_matching_rule_wins() {
    let mut plan = ContainerPlan { restart_policy: Some(Never), ..container("c") };
    plan.restart_rules =
        vec![rule(Restart, true, &[1, 2]), rule(RestartAllContainers, true, &[2, 3])];
    for (code, want) in [(1, Verdict::Restart), (2, Verdict::Restart), (3, Verdict::RestartAll)] {
        assert_eq!(verdict(Always, App, &plan, Exit { code, oom_killed: false }), want);
    }
}

#[test]
fn one_crashing_container_does_not_delay_another() {
    let plan = pod(Always, vec![container("a"), container("b")]);
    let b = Script { runs: vec![(30_000, 1), (3_600_000, 0)], ..Script::default() };
    let mut sim = Sim::begun(plan, &[("a", Script::exits(10, 1)), ("b", b)]);
    sim.run_for(40 * S);
    assert_eq!(sim.start_times("b"), [0.0, 30.0]);
}

#[test]
fn a_run_of_more_than_ten_minutes_clears_the_back_off() {
    let runs = vec![(10, 1), (10, 1), (10, 1), (700_000, 1), (10, 1)];
    let mut sim = Sim::begun(
        pod(Always, vec![container("c")]),
        &[("c", Script { runs, ..Script::default() })],
    );
    sim.run_for(760 * S);
    let starts: Vec<f64> = sim.start_times("c").iter().map(|at| at.round()).collect();
    assert_eq!(starts, [0.0, 0.0, 10.0, 30.0, 730.0, 740.0, 760.0][..starts.len()]);
    assert!(starts.len() >= 6);
}

#[test]
fn a_cap_of_the_back_off_is_kept() {
    let mut plan = pod(Always, vec![container("c")]);
    plan.max_backoff_seconds = 5;
    let mut sim = Sim::begun(plan, &[("c", Script::exits(10, 0))]);
    sim.run_for(21 * S);
    let starts: Vec<f64> = sim.start_times("c").iter().map(|at| at.round()).collect();
    assert_eq!(starts, [0.0, 0.0, 5.0, 10.0, 15.0, 20.0]);
    assert!(sim.app("c").last_state.terminated.is_some());
}

#[test]
fn the_old_instance_is_removed_once_the_next_is_there() {
    let runs = vec![(10, 1), (3_600_000, 0)];
    let mut sim = Sim::begun(
        pod(Always, vec![container("c")]),
        &[("c", Script { runs, ..Script::default() })],
    );
    sim.run_for(S);
    let removed = sim.ordered(
        |order| matches!(order, Action::RemoveContainer { instance } if instance.attempt == 0),
    );
    assert_eq!(removed, 1);
}

fn restart_all_pod() -> PodPlan {
    let mut plan = pod(Never, vec![container("main"), container("other")]);
    plan.init_containers = vec![container("init"), sidecar("side")];
    plan.containers[0].restart_policy = Some(Never);
    plan.containers[0].restart_rules = vec![rule(RestartAllContainers, true, &[88])];
    plan.containers[1].pre_stop = Some(hook());
    plan
}

#[test]
fn restart_all_stops_and_removes_everything_and_begins_with_init() {
    let scripts = [
        ("init", Script::exits(100, 0)),
        ("main", Script { runs: vec![(5000, 88), (3_600_000, 0)], ..Script::default() }),
        ("other", Script::ignoring_stop()),
    ];
    let mut sim = Sim::begun(restart_all_pod(), &scripts);
    sim.run_for(6 * S);
    let condition = |sim: &Sim| {
        let conditions = &sim.machine.status().conditions;
        let found = conditions.iter().find(|c| c.r#type == "AllContainersRestarting");
        let found = found.expect("a rule asks for it");
        (found.status.clone(), found.reason.clone().unwrap_or_default())
    };
    assert_eq!(condition(&sim), ("True".into(), "RestartAllContainersStarted".into()));
    sim.run_for(4 * S);
    assert_eq!(condition(&sim), ("False".into(), String::new()));
    assert_eq!(sim.ordered(|order| matches!(order, Action::RunHook { .. })), 0);
    assert!(sim.events().contains(&"Killing: killing".to_owned()));
    let kills: Vec<f64> = sim.signals("other").iter().map(|(at, _)| at.round()).collect();
    assert_eq!(kills, [5.0, 7.0], "the two seconds every stop gets");
    for name in ["init", "side", "main", "other"] {
        assert_eq!(sim.start_times(name).len(), 2, "{name}");
        let status = sim.app(name);
        assert_eq!(status.restart_count, 1, "{name}");
        let last = status.last_state.terminated.clone().expect("removed");
        assert_eq!((last.exit_code, last.reason.as_str()), (137, "RestartingAllContainers"));
    }
    let removals: Vec<&Action> = sim
        .orders
        .iter()
        .map(|(_, order)| order)
        .filter(|order| matches!(order, Action::RemoveContainer { .. }))
        .collect();
    let last = Action::RemoveContainer {
        instance: crate::lifecycle::event::Instance {
            container: super::sim::app_ref(0),
            attempt: 0,
        },
    };
    assert_eq!(removals.last(), Some(&&last), "the one that asked goes last");
    assert_eq!(sim.ordered(|order| matches!(order, Action::CreateSandbox { .. })), 1);
}

#[test]
fn while_all_restart_the_pod_is_neither_failed_nor_succeeded() {
    let scripts = [
        ("init", Script::exits(100, 0)),
        ("main", Script { runs: vec![(1000, 88), (3_600_000, 0)], ..Script::default() }),
    ];
    let mut sim = Sim::begun(restart_all_pod(), &scripts);
    sim.run_for(10 * S);
    assert!(sim.history().iter().any(|states| states.contains("main=RestartingAllContainers")));
    assert!(
        !sim.history()
            .iter()
            .any(|states| { states.starts_with("Failed") || states.starts_with("Succeeded") })
    );
    assert_eq!(sim.machine.status().phase, Phase::Running);
}

#[test]
fn a_container_that_asks_for_it_at_once_does_so_once_a_second() {
    let mut plan = pod(Never, vec![container("main")]);
    plan.containers[0].restart_policy = Some(Never);
    plan.containers[0].restart_rules = vec![rule(RestartAllContainers, true, &[88])];
    let mut sim = Sim::begun(plan, &[("main", Script::exits(1, 88))]);
    sim.run_for(10 * S);
    let starts = sim.start_times("main").len();
    assert!((10..=12).contains(&starts), "{starts} starts");
}

#[test]
fn rules_are_not_asked_about_a_container_that_a_probe_killed() {
    let mut plan = pod(Always, vec![container("main"), container("other")]);
    plan.containers[0].restart_policy = Some(Always);
    plan.containers[0].restart_rules = vec![rule(RestartAllContainers, true, &[143])];
    plan.containers[0].liveness_probe = Some(probe(1, 1));
    let liveness = vec![ProbeResult::Failure("no".into()), ProbeResult::Success];
    let mut sim = Sim::begun(plan, &[("main", Script { liveness, ..Script::default() })]);
    sim.run_for(5 * S);
    assert_eq!(sim.app("main").restart_count, 1);
    assert_eq!(sim.app("other").restart_count, 0);
    assert_eq!(state_word(sim.app("other")), "Ready");
}

#[test]
fn an_instance_that_vanished_counts_as_killed() {
    let mut sim = Sim::begun(pod(Always, vec![container("c")]), &[]);
    sim.run_for(S);
    sim.lose(0);
    sim.run_for(S);
    let last = sim.app("c").last_state.terminated.clone().expect("it is gone");
    assert_eq!((last.exit_code, last.reason.as_str()), (137, "ContainerStatusUnknown"));
    let text = "The container could not be located when the pod was deleted.  \
                The container used to be Running";
    assert_eq!(last.message, text);
    assert_eq!(sim.app("c").restart_count, 1);
    let mut sim = Sim::begun(pod(Never, vec![container("c")]), &[]);
    sim.run_for(S);
    sim.lose(0);
    sim.run_until_finished();
    assert_eq!(sim.machine.status().phase, Phase::Failed);
    assert_eq!(sim.start_times("c").len(), 1);
}
