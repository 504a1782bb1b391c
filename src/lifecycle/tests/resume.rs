//! The shim dies and comes back.

use crate::lifecycle::{Action, Event, PodMachine, RestoreError};
use crate::model::plan::RestartPolicy::Always;

use super::plans::{container, hook, pod, probe};
use super::sim::{MS, S, Script, Sim};

/// The orders the restored machine repeats.
fn owed(sim: &Sim) -> Vec<Action> {
    let snapshot = sim.machine.snapshot();
    let mut machine = PodMachine::restore(sim.machine.plan().clone(), snapshot).expect("restores");
    machine.resume(sim.now())
}

#[test]
fn what_was_not_answered_is_ordered_again() {
    let mut plan = pod(Always, vec![container("c")]);
    plan.containers[0].post_start = Some(hook());
    plan.containers[0].pre_stop = Some(hook());
    plan.containers[0].readiness_probe = Some(probe(10, 1));
    let slow =
        Script { post_start: (100, Ok(())), pre_stop: (2000, Ok(())), ..Script::ignoring_stop() };
    let mut sim = Sim::new(plan, &[("c", slow)]);
    assert_eq!(owed(&sim), []);
    sim.tell(Event::Begin);
    let moments = [
        (0, "SetUpVolumes"),
        (1, "CreateSandbox"),
        (1, "StartContainer"),
        (1, "RunHook"),
        (100, "RunProbe"),
    ];
    for (ms, want) in moments {
        sim.run_for(ms * MS);
        let owed = format!("{:?}", owed(&sim));
        assert!(owed.contains(want), "{want} is not in {owed}");
    }
    sim.run_for(S);
    assert_eq!(owed(&sim), []);
    sim.stop(Some(10));
    for (ms, want) in [(0, "PreStop"), (2000, "SIGTERM"), (8000, "SIGKILL")] {
        sim.run_for(ms * MS);
        let owed = format!("{:?}", owed(&sim))
            .replace("Signal(15)", "SIGTERM")
            .replace("Signal(9)", "SIGKILL");
        assert!(owed.contains(want), "{want} is not in {owed}");
    }
    sim.run_for(MS);
    assert!(format!("{:?}", owed(&sim)).contains("StopSandbox"));
    sim.run_for(MS);
    assert_eq!(owed(&sim), [Action::TearDown]);
    sim.run_for(MS);
    assert_eq!(owed(&sim), []);
}

#[test]
fn deadlines_that_passed_meanwhile_are_acted_upon() {
    let mut sim = Sim::begun(pod(Always, vec![container("c")]), &[("c", Script::ignoring_stop())]);
    sim.run_for(S);
    sim.stop(Some(5));
    sim.now_ns += 60 * S;
    sim.crash();
    sim.run_until_finished();
    assert!(sim.elapsed() < 62.0);
}

#[test]
fn a_foreign_snapshot_is_refused() {
    let sim = Sim::begun(pod(Always, vec![container("c")]), &[]);
    let mut snapshot = sim.machine.snapshot();
    let other = pod(Always, vec![container("a"), container("b")]);
    assert_eq!(PodMachine::restore(other, snapshot.clone()), Err(RestoreError::Foreign));
    snapshot.version = 99;
    let plan = sim.machine.plan().clone();
    assert_eq!(PodMachine::restore(plan, snapshot), Err(RestoreError::Version { found: 99 }));
}

#[test]
fn the_revision_grows_with_what_users_see_and_only_then() {
    let mut sim = Sim::begun(pod(Always, vec![container("c")]), &[]);
    sim.run_for(S);
    let before = sim.machine.revision();
    sim.tell(Event::Deadline);
    sim.tell(Event::InputsChanged);
    assert_eq!(sim.machine.revision(), before);
    sim.stop(None);
    assert!(sim.machine.revision() > before);
}
