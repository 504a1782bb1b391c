//! When probes run and what they lead to.

use crate::lifecycle::Action;
use crate::lifecycle::event::{ProbeKind, ProbeResult};
use crate::model::plan::PodPlan;
use crate::model::plan::RestartPolicy::{Always, OnFailure};

use super::plans::{container, pod, probe};
use super::sim::{MS, S, Script, Sim};

fn no() -> ProbeResult {
    ProbeResult::Failure("no".into())
}

fn error() -> ProbeResult {
    ProbeResult::Error("exec: no such file".into())
}

fn runs(sim: &Sim, kind: ProbeKind) -> Vec<f64> {
    sim.order_times(|_, order| matches!(order, Action::RunProbe { probe, .. } if *probe == kind))
}

fn one(change: impl Fn(&mut crate::model::plan::ContainerPlan)) -> PodPlan {
    let mut plan = pod(Always, vec![container("c")]);
    change(&mut plan.containers[0]);
    plan
}

#[test]
fn a_probe_runs_first_after_the_initial_delay_then_each_period() {
    let plan = one(|c| {
        c.liveness_probe = Some(probe(5, 3));
        c.liveness_probe.as_mut().expect("set").initial_delay_seconds = 3;
    });
    let mut sim = Sim::begun(plan, &[]);
    sim.run_for(20 * S);
    assert_eq!(runs(&sim, ProbeKind::Liveness), [3.0, 8.0, 13.0, 18.0]);
}

#[test]
fn the_others_wait_for_the_startup_probe_which_then_rests() {
    let plan = one(|c| {
        c.startup_probe = Some(probe(2, 30));
        c.liveness_probe = Some(probe(3, 3));
        c.readiness_probe = Some(probe(4, 3));
    });
    let startup = vec![no(), no(), ProbeResult::Success];
    let mut sim = Sim::begun(plan, &[("c", Script { startup, ..Script::default() })]);
    sim.run_for(3900 * MS);
    assert!(!sim.app("c").started);
    sim.run_for(8 * S);
    assert_eq!(runs(&sim, ProbeKind::Startup), [0.0, 2.0, 4.0]);
    assert_eq!(runs(&sim, ProbeKind::Liveness), [4.0, 7.0, 10.0]);
    assert_eq!(runs(&sim, ProbeKind::Readiness), [4.0, 8.0]);
    assert!(sim.app("c").started && sim.app("c").ready);
}

#[test]
fn a_startup_probe_that_fails_for_good_kills_the_container() {
    let plan = one(|c| c.startup_probe = Some(probe(1, 3)));
    let script =
        Script { startup: vec![no(), no(), no(), ProbeResult::Success], ..Script::default() };
    let mut sim = Sim::begun(plan, &[("c", script)]);
    sim.run_for(5 * S);
    let text = "Killing: Container c failed startup probe, will be restarted";
    assert!(sim.events().contains(&text.to_owned()));
    assert_eq!(sim.app("c").restart_count, 1);
    assert!(sim.app("c").started);
}

#[test]
fn only_consecutive_failures_count() {
    let plan = one(|c| c.liveness_probe = Some(probe(1, 2)));
    let liveness = vec![
        no(),
        ProbeResult::Success,
        no(),
        ProbeResult::Success,
        no(),
        no(),
        ProbeResult::Success,
    ];
    let mut sim = Sim::begun(plan, &[("c", Script { liveness, ..Script::default() })]);
    sim.run_for(4900 * MS);
    assert_eq!(sim.signals("c").len(), 0);
    sim.run_for(S);
    assert_eq!(sim.signals("c").len(), 1);
}

#[test]
fn success_has_a_threshold_too() {
    let plan = one(|c| {
        c.readiness_probe = Some(probe(2, 1));
        c.readiness_probe.as_mut().expect("set").success_threshold = 3;
    });
    let mut sim = Sim::begun(plan, &[]);
    sim.run_for(3 * S);
    assert!(!sim.app("c").ready);
    sim.run_for(2 * S);
    assert!(sim.app("c").ready);
}

#[test]
fn a_probe_that_cannot_run_is_tried_three_times_and_never_counts() {
    let plan = one(|c| c.liveness_probe = Some(probe(5, 1)));
    let liveness = vec![error()];
    let mut sim = Sim::begun(plan, &[("c", Script { liveness, ..Script::default() })]);
    sim.run_for(4 * S);
    assert_eq!(runs(&sim, ProbeKind::Liveness).len(), 3);
    let text = "Liveness probe errored and resulted in unknown state: exec: no such file";
    assert_eq!(sim.events().iter().filter(|event| event.ends_with(text)).count(), 1);
    sim.run_for(60 * S);
    assert_eq!(sim.signals("c"), []);
    assert_eq!(runs(&sim, ProbeKind::Liveness).len(), 39);
}

#[test]
fn a_warning_counts_as_success_and_is_told() {
    let plan = one(|c| c.readiness_probe = Some(probe(5, 1)));
    let readiness =
        vec![ProbeResult::Warning("Probe terminated redirects, Response body: x".into())];
    let mut sim = Sim::begun(plan, &[("c", Script { readiness, ..Script::default() })]);
    sim.run_for(S);
    assert!(sim.app("c").ready);
    let text =
        "ProbeWarning: Readiness probe warning: Probe terminated redirects, Response body: x";
    assert!(sim.events().contains(&text.to_owned()));
}

#[test]
fn each_failed_run_is_told() {
    let plan = one(|c| c.liveness_probe = Some(probe(1, 5)));
    let liveness = vec![no()];
    let mut sim = Sim::begun(plan, &[("c", Script { liveness, ..Script::default() })]);
    sim.run_for(3500 * MS);
    let told = sim.machine.events().iter().find(|event| event.reason == "Unhealthy");
    assert_eq!(told.map(|event| event.count), Some(4));
    assert_eq!(
        told.and_then(|event| event.field_path.clone()).as_deref(),
        Some("spec.containers{c}")
    );
}

#[test]
fn readiness_is_asked_anew_as_soon_as_the_pod_changes() {
    let mut plan = pod(Always, vec![container("a"), container("b")]);
    plan.containers[0].readiness_probe = Some(probe(60, 1));
    let readiness = vec![no(), ProbeResult::Success];
    let scripts = [
        ("a", Script { readiness, ..Script::default() }),
        ("b", Script { runs: vec![(5000, 1), (3_600_000, 0)], ..Script::default() }),
    ];
    let mut sim = Sim::begun(plan, &scripts);
    sim.run_for(6 * S);
    assert!(sim.app("a").ready);
}

#[test]
fn a_killed_container_restarts_whatever_its_exit_code() {
    let mut plan = one(|c| c.liveness_probe = Some(probe(1, 1)));
    plan.restart_policy = OnFailure;
    let script = Script {
        liveness: vec![no(), ProbeResult::Success],
        on_stop: Some((10, 0)),
        ..Script::default()
    };
    let mut sim = Sim::begun(plan, &[("c", script)]);
    sim.run_for(3 * S);
    assert_eq!(sim.app("c").restart_count, 1);
    assert!(sim.app("c").state.running.is_some());
}

#[test]
fn kills_in_a_row_are_delayed_by_the_exit_before() {
    let plan = one(|c| c.liveness_probe = Some(probe(1, 1)));
    let liveness = vec![no()];
    let mut sim = Sim::begun(plan, &[("c", Script { liveness, ..Script::default() })]);
    sim.run_for(60 * S);
    let starts: Vec<f64> = sim.start_times("c").iter().map(|at| at.round()).collect();
    assert_eq!(starts, [0.0, 0.0, 0.0, 10.0, 30.0]);
}

#[test]
fn a_container_killed_during_its_probe_has_it_cancelled() {
    let plan = one(|c| {
        c.liveness_probe = Some(probe(1, 1));
        c.readiness_probe = Some(probe(1, 1));
    });
    let mut sim = Sim::begun(plan, &[]);
    sim.run_for(2 * S);
    // Both run just now; their answers are under way.
    let asked = sim.ordered(|order| matches!(order, Action::RunProbe { .. }));
    assert_eq!(asked, 4);
    sim.stop(Some(5));
    sim.run_until_finished();
}
