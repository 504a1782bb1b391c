//! Ephemeral containers.

use crate::lifecycle::Event;
use crate::model::plan::ContainerPlan;
use crate::model::plan::RestartPolicy::{Always, Never};
use crate::model::status::Phase;

use super::plans::{container, pod};
use super::sim::{S, Script, Sim, state_word};

fn add(sim: &mut Sim, plan: ContainerPlan) {
    sim.tell(Event::EphemeralAdded { plan: Box::new(plan) });
}

#[test]
fn one_is_started_as_soon_as_it_is_added_even_during_init() {
    let mut plan = pod(Always, vec![container("main")]);
    plan.init_containers = vec![container("init")];
    let mut sim = Sim::begun(plan, &[]);
    sim.run_for(S);
    add(&mut sim, container("debug"));
    sim.run_for(S);
    assert!(sim.app("debug").state.running.is_some());
    assert!(!sim.app("debug").ready && !sim.app("debug").started);
    assert_eq!(sim.machine.status().phase, Phase::Pending);
}

#[test]
fn one_is_never_restarted_and_does_not_count() {
    let mut sim = Sim::begun(
        pod(Never, vec![container("main")]),
        &[("debug", Script::exits(10, 1)), ("main", Script::exits(5000, 0))],
    );
    sim.run_for(S);
    add(&mut sim, container("debug"));
    add(&mut sim, container("debug"));
    sim.run_until_finished();
    assert_eq!(sim.start_times("debug").len(), 1);
    assert_eq!(state_word(sim.app("debug")), "Error");
    assert_eq!(sim.machine.status().phase, Phase::Succeeded);
}

#[test]
fn one_that_runs_is_stopped_with_the_pod() {
    let mut sim =
        Sim::begun(pod(Never, vec![container("main")]), &[("main", Script::exits(5000, 0))]);
    sim.run_for(S);
    add(&mut sim, container("debug"));
    sim.run_until_finished();
    assert_eq!(sim.signals("debug").len(), 1);
}

#[test]
fn its_target_must_have_an_instance() {
    let mut plan = pod(Always, vec![container("main")]);
    plan.init_containers = vec![container("init")];
    let mut sim = Sim::begun(plan, &[("init", Script::exits(4000, 0))]);
    sim.run_for(S);
    let target = Some("main".to_owned());
    add(&mut sim, ContainerPlan { target_container: target, ..container("debug") });
    let waiting = sim.app("debug").state.waiting.clone().expect("it waits");
    assert_eq!(waiting.reason, "CreateContainerConfigError");
    assert_eq!(waiting.message, "unable to find target container main");
    sim.run_for(4 * S);
    assert!(sim.app("debug").state.running.is_some(), "at once when main is there");
}
