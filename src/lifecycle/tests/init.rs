//! Init containers and sidecars.

use crate::lifecycle::event::{ProbeResult, StartFailure};
use crate::model::Signal;
use crate::model::plan::RestartPolicy::{self, Always, Never, OnFailure};
use crate::model::status::Phase;

use super::plans::{container, pod, probe, sidecar};
use super::sim::{S, Script, Sim, state_word};

fn with_inits(policy: RestartPolicy, inits: &[&str]) -> crate::model::plan::PodPlan {
    let mut plan = pod(policy, vec![container("main")]);
    plan.init_containers = inits.iter().map(|name| container(name)).collect();
    plan
}

#[test]
fn a_failed_init_container_fails_a_never_pod() {
    let mut sim = Sim::begun(with_inits(Never, &["init"]), &[("init", Script::exits(10, 1))]);
    sim.run_until_finished();
    assert_eq!(sim.states(), "Failed init=Error main=PodInitializing");
    assert_eq!(sim.start_times("main"), [0.0; 0]);
}

#[test]
fn otherwise_it_is_restarted_with_back_off_and_the_pod_stays_pending() {
    for policy in [Always, OnFailure] {
        let mut sim = Sim::begun(with_inits(policy, &["init"]), &[("init", Script::exits(10, 1))]);
        sim.run_for(35 * S);
        assert_eq!(sim.start_times("init").len(), 4);
        assert_eq!(sim.states(), "Pending init=CrashLoopBackOff main=PodInitializing");
    }
}

#[test]
fn an_init_container_killed_for_memory_has_failed_whatever_its_code() {
    let script = Script { oom_killed: true, ..Script::exits(10, 0) };
    let mut sim = Sim::begun(with_inits(Never, &["init"]), &[("init", script)]);
    sim.run_until_finished();
    assert_eq!(sim.states(), "Failed init=OOMKilled main=ContainerStatusUnknown");
}

#[test]
fn its_own_policy_overrides_the_pods() {
    let mut plan = with_inits(Never, &["init"]);
    plan.init_containers[0].restart_policy = Some(OnFailure);
    let script = Script { runs: vec![(10, 1), (10, 0)], ..Script::default() };
    let mut sim = Sim::begun(plan, &[("init", script)]);
    sim.run_for(S);
    assert_eq!(sim.states(), "Running init=Completed main=Ready");
}

#[test]
fn an_init_container_that_succeeded_is_never_run_again() {
    let mut sim = Sim::begun(
        with_inits(Always, &["init"]),
        &[("init", Script::exits(10, 0)), ("main", Script::exits(10, 1))],
    );
    sim.run_for(60 * S);
    assert_eq!(sim.start_times("init").len(), 1);
    assert!(sim.start_times("main").len() > 3);
}

#[test]
fn nothing_behind_an_init_container_that_cannot_start_is_touched() {
    let failures = vec![Some((StartFailure::Config, "no"))];
    let script = Script { start_failures: failures, ..Script::default() };
    let mut sim = Sim::begun(with_inits(Always, &["one", "two"]), &[("one", script)]);
    sim.run_for(25 * S);
    assert_eq!(sim.start_times("one"), [0.0, 10.0, 20.0]);
    assert_eq!(sim.start_times("two"), [0.0; 0]);
}

#[test]
fn a_sidecar_is_restarted_under_any_policy() {
    let mut plan = pod(Never, vec![container("main")]);
    plan.init_containers = vec![sidecar("side")];
    let mut sim = Sim::begun(plan, &[("side", Script::exits(100, 1))]);
    sim.run_for(35 * S);
    assert_eq!(sim.start_times("side").len(), 4);
    assert_eq!(sim.start_times("main").len(), 1);
    assert_eq!(sim.states(), "Running side=CrashLoopBackOff main=Ready");
}

#[test]
fn a_sidecar_that_succeeds_is_shown_as_completed_during_its_back_off() {
    let mut plan = pod(Always, vec![container("main")]);
    plan.init_containers = vec![sidecar("side")];
    let mut sim = Sim::begun(plan, &[("side", Script::exits(100, 0))]);
    sim.run_for(35 * S);
    assert!(!sim.history().iter().any(|states| states.contains("side=CrashLoopBackOff")));
    assert_eq!(sim.states(), "Running side=Completed main=Ready");
}

#[test]
fn a_sidecar_that_is_down_holds_back_the_restart_of_the_others() {
    let mut plan = pod(Always, vec![container("main")]);
    plan.init_containers = vec![sidecar("side")];
    let side = Script { runs: vec![(1000, 1), (1000, 1), (3_600_000, 1)], ..Script::default() };
    let main = Script { runs: vec![(5000, 1), (3_600_000, 1)], ..Script::default() };
    let mut sim = Sim::begun(plan, &[("side", side), ("main", main)]);
    sim.run_for(60 * S);
    let side = sim.start_times("side");
    let main = sim.start_times("main");
    assert_eq!(side.iter().map(|at| at.round()).collect::<Vec<_>>(), [0.0, 1.0, 12.0]);
    assert_eq!(main.iter().map(|at| at.round()).collect::<Vec<_>>(), [0.0, 12.0]);
}

#[test]
fn a_sidecar_whose_startup_probe_fails_is_killed_and_restarted() {
    let mut plan = pod(Never, vec![container("main")]);
    plan.init_containers = vec![sidecar("side")];
    plan.init_containers[0].startup_probe = Some(probe(1, 2));
    let no = ProbeResult::Failure("no".into());
    let startup = vec![no.clone(), no, ProbeResult::Success];
    let mut sim = Sim::begun(plan, &[("side", Script { startup, ..Script::default() })]);
    sim.run_for(5 * S);
    assert!(sim.events().contains(&"Killing: Init container side failed startup probe".to_owned()));
    assert_eq!(sim.signals("side"), [(1.0, Signal::TERM)]);
    assert_eq!(sim.app("side").restart_count, 1);
    assert_eq!(sim.states(), "Running side=Ready main=Ready");
}

#[test]
fn the_pod_ends_when_all_but_sidecars_are_done_and_the_sidecar_is_not_restarted() {
    let mut plan = pod(OnFailure, vec![container("main")]);
    plan.init_containers = vec![sidecar("side")];
    let side = Script::exits(2000, 1);
    let mut sim = Sim::begun(plan, &[("side", side), ("main", Script::exits(2500, 0))]);
    sim.run_until_finished();
    assert_eq!(sim.machine.status().phase, Phase::Succeeded);
    assert_eq!(state_word(sim.app("side")), "Error");
}

#[test]
fn a_later_sidecar_waits_for_an_earlier_one_that_cannot_start() {
    let mut plan = pod(Always, vec![container("main")]);
    plan.init_containers = vec![sidecar("a"), sidecar("b")];
    let failures = vec![Some((StartFailure::Create, "no")), None];
    let script = Script { start_failures: failures, ..Script::default() };
    let mut sim = Sim::begun(plan, &[("a", script)]);
    sim.run_for(12 * S);
    assert_eq!(sim.start_times("a"), [0.0, 10.0]);
    assert_eq!(sim.start_times("b"), [10.0]);
    assert_eq!(sim.states(), "Running a=Ready b=Ready main=Ready");
}
