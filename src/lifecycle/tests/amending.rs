//! Changes to the object of a running pod.

use crate::lifecycle::Event;
use crate::model::plan::PodPlan;
use crate::model::plan::RestartPolicy::{Always, Never};

use super::plans::{container, pod};
use super::sim::{S, Script, Sim};

fn amend(sim: &mut Sim, change: impl FnOnce(&mut PodPlan)) {
    let mut plan = sim.machine.plan().clone();
    change(&mut plan);
    sim.tell(Event::Amended { plan: Box::new(plan) });
}

#[test]
fn a_new_image_restarts_its_container_alone_whatever_the_policy() {
    let mut sim = Sim::begun(pod(Never, vec![container("a"), container("b")]), &[]);
    sim.run_for(S);
    amend(&mut sim, |plan| plan.containers[0].image = "other".into());
    sim.run_for(40 * S);
    assert_eq!((sim.start_times("a").len(), sim.start_times("b").len()), (2, 1));
    assert!(sim.app("a").state.running.is_some());
    let killing = sim.machine.events().iter().find(|event| event.reason == "Killing");
    let message = killing.map(|event| event.message.as_str());
    assert_eq!(message, Some("Container a definition changed, will be restarted"));
}

#[test]
fn a_new_image_while_a_container_comes_up_restarts_it_when_it_has() {
    for policy in [Always, Never] {
        let mut sim = Sim::begun(pod(policy, vec![container("a"), container("b")]), &[]);
        sim.run_until("ordered", |sim| !sim.start_times("a").is_empty());
        assert!(sim.app("a").state.running.is_none(), "it is on its way");
        amend(&mut sim, |plan| plan.containers[0].image = "other".into());
        sim.run_for(40 * S);
        assert_eq!((sim.start_times("a").len(), sim.start_times("b").len()), (2, 1));
        assert!(sim.app("a").state.running.is_some());
    }
}

#[test]
fn a_new_image_of_an_ended_container_starts_nothing() {
    let plan = pod(Never, vec![container("a"), container("b")]);
    let mut sim = Sim::begun(plan, &[("a", Script::exits(10, 0))]);
    sim.run_for(S);
    amend(&mut sim, |plan| plan.containers[0].image = "other".into());
    sim.run_for(40 * S);
    assert_eq!(sim.start_times("a").len(), 1);
}

#[test]
fn labels_and_the_generation_are_taken_over_and_other_changes_are_not() {
    let mut sim = Sim::begun(pod(Always, vec![container("a")]), &[]);
    sim.run_for(S);
    amend(&mut sim, |plan| {
        plan.labels.insert("tier".into(), "front".into());
        plan.generation = 2;
        plan.termination_grace_seconds = 999;
    });
    let plan = sim.machine.plan();
    assert_eq!(plan.labels.get("tier").map(String::as_str), Some("front"));
    assert_ne!(plan.termination_grace_seconds, 999);
    assert_eq!(sim.machine.status().observed_generation, 2);
}

#[test]
fn a_deadline_that_was_lowered_below_the_pods_age_ends_it() {
    let mut sim = Sim::begun(pod(Always, vec![container("a")]), &[]);
    sim.run_for(5 * S);
    amend(&mut sim, |plan| plan.active_deadline_seconds = Some(3));
    sim.run_until_finished();
    assert_eq!(sim.machine.status().reason.as_deref(), Some("DeadlineExceeded"));
}
