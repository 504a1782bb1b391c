//! Sandboxes that fail, die and are replaced.

use crate::lifecycle::{Action, Event};
use crate::model::Signal;
use crate::model::plan::RestartPolicy::{Always, Never, OnFailure};
use crate::model::status::Phase;

use super::plans::{container, pod, sidecar};
use super::sim::{MS, S, Script, Sim, state_word};

fn sandboxes(sim: &Sim) -> Vec<u32> {
    let attempts = sim.orders.iter().filter_map(|(_, order)| match order {
        Action::CreateSandbox { attempt } => Some(*attempt),
        _ => None,
    });
    attempts.collect()
}

#[test]
fn a_sandbox_that_cannot_be_made_is_tried_again_after_ten_seconds() {
    let mut sim = Sim::new(pod(Always, vec![container("c")]), &[]);
    sim.sandbox_failures = vec!["no bridge".into(); 2];
    sim.tell(Event::Begin);
    sim.run_for(15 * S);
    assert_eq!(state_word(sim.app("c")), "ContainerCreating");
    let text = "FailedCreatePodSandBox: Failed to create pod sandbox: no bridge";
    assert!(sim.events().contains(&text.to_owned()));
    sim.run_for(10 * S);
    assert_eq!(sandboxes(&sim), [0, 0, 0]);
    assert!(sim.app("c").state.running.is_some());
}

#[test]
fn a_never_pod_that_ran_ends_with_its_sandbox() {
    let mut sim = Sim::begun(pod(Never, vec![container("c")]), &[]);
    sim.run_for(S);
    sim.tell(Event::SandboxExited { attempt: 0 });
    sim.run_until_finished();
    assert_eq!(sandboxes(&sim), [0]);
    assert_eq!(sim.machine.status().phase, Phase::Failed);
    assert!(!sim.events().iter().any(|event| event.starts_with("SandboxChanged")));
}

#[test]
fn on_failure_does_not_start_again_what_succeeded() {
    let plan = pod(OnFailure, vec![container("done"), container("runs")]);
    let mut sim = Sim::begun(plan, &[("done", Script::exits(100, 0))]);
    sim.run_for(S);
    sim.tell(Event::SandboxExited { attempt: 0 });
    sim.run_for(5 * S);
    assert_eq!(sandboxes(&sim), [0, 1]);
    assert_eq!(sim.start_times("done").len(), 1);
    assert_eq!(sim.start_times("runs").len(), 2);
}

#[test]
fn containers_are_stopped_with_the_pods_grace_before_the_new_sandbox() {
    let mut plan = pod(Always, vec![container("main")]);
    plan.termination_grace_seconds = 5;
    plan.init_containers = vec![sidecar("side")];
    let scripts = [("main", Script::ignoring_stop()), ("side", Script::default())];
    let mut sim = Sim::begun(plan, &scripts);
    sim.run_for(S);
    sim.tell(Event::SandboxExited { attempt: 0 });
    sim.run_for(20 * S);
    assert_eq!(sim.signals("main"), [(1.0, Signal::TERM), (6.0, Signal::KILL)]);
    assert_eq!(sim.signals("side").first().map(|(at, _)| at.round()), Some(6.0));
    assert_eq!(sim.app("main").restart_count, 1);
    assert_eq!(sim.app("side").restart_count, 1);
    assert_eq!(sim.machine.status().phase, Phase::Running);
}

#[test]
fn a_pod_may_be_deleted_while_its_sandbox_is_replaced() {
    let mut sim = Sim::begun(pod(Always, vec![container("c")]), &[("c", Script::ignoring_stop())]);
    sim.run_for(S);
    sim.tell(Event::SandboxExited { attempt: 0 });
    sim.run_for(S);
    sim.stop(Some(3));
    sim.run_until_finished();
    assert_eq!(sandboxes(&sim), [0]);
    assert_eq!(sim.signals("c"), [(1.0, Signal::TERM), (5.0, Signal::KILL)]);
}

#[test]
fn pod_ready_to_start_containers_follows_the_sandbox() {
    let mut sim = Sim::begun(pod(Always, vec![container("c")]), &[]);
    let ready = |sim: &Sim| {
        let conditions = &sim.machine.status().conditions;
        let found = conditions.iter().find(|c| c.r#type == "PodReadyToStartContainers");
        found.is_some_and(|c| c.status == "True")
    };
    assert!(!ready(&sim));
    sim.run_for(S);
    assert!(ready(&sim));
    sim.tell(Event::SandboxExited { attempt: 0 });
    assert!(!ready(&sim));
}

#[test]
fn a_sandbox_that_dies_at_once_is_made_anew_once_a_second() {
    let mut sim = Sim::begun(pod(Always, vec![container("c")]), &[]);
    for attempt in 0..3 {
        sim.run_until("made", |sim| sandboxes(sim).len() == attempt as usize + 1);
        sim.run_for(5 * MS);
        sim.tell(Event::SandboxExited { attempt });
    }
    sim.run_for(5 * S);
    assert_eq!(sandboxes(&sim), [0, 1, 2, 3]);
    let times = sim.order_times(|_, order| matches!(order, Action::CreateSandbox { .. }));
    assert_eq!(times, [0.0, 1.0, 2.0, 3.0]);
}
