//! The postStart hook in the start sequence.

use crate::lifecycle::event::{HookKind, Instance};
use crate::lifecycle::{Action, Event};
use crate::model::plan::RestartPolicy::{Always, Never};

use super::plans::{container, hook, pod, probe};
use super::sim::{S, Script, Sim, app_ref, state_word};

#[test]
fn the_next_container_waits_for_the_hook_and_the_first_is_not_running_yet() {
    let mut plan = pod(Always, vec![container("a"), container("b")]);
    plan.containers[0].post_start = Some(hook());
    plan.containers[0].readiness_probe = Some(probe(1, 1));
    let script = Script { post_start: (3000, Ok(())), ..Script::default() };
    let mut sim = Sim::begun(plan, &[("a", script)]);
    sim.run_for(2 * S);
    assert_eq!(sim.states(), "Pending a=ContainerCreating b=ContainerCreating");
    assert_eq!(sim.ordered(|order| matches!(order, Action::RunProbe { .. })), 0);
    sim.run_for(2 * S);
    assert_eq!(sim.start_times("b"), [3.0]);
    assert_eq!(sim.states(), "Running a=Ready b=Ready");
}

#[test]
fn a_hook_of_a_restart_shows_what_was_before() {
    let mut plan = pod(Always, vec![container("c")]);
    plan.containers[0].post_start = Some(hook());
    let runs = vec![(1000, 1), (3_600_000, 0)];
    let script = Script { runs, post_start: (500, Ok(())), ..Script::default() };
    let mut sim = Sim::begun(plan, &[("c", script)]);
    sim.run_for(1200 * 1_000_000);
    assert_eq!(sim.states(), "Running c=Error");
    assert_eq!(sim.app("c").restart_count, 0);
    sim.run_for(S);
    assert_eq!(sim.states(), "Running c=Ready");
    assert_eq!(sim.app("c").restart_count, 1);
}

#[test]
fn an_exit_during_the_hook_cancels_it() {
    let mut plan = pod(Never, vec![container("c")]);
    plan.containers[0].post_start = Some(hook());
    let script = Script { post_start: (5000, Ok(())), ..Script::exits(1000, 0) };
    let mut sim = Sim::begun(plan, &[("c", script)]);
    sim.run_until_finished();
    let instance = Instance { container: app_ref(0), attempt: 0 };
    let cancel = Action::CancelHook { instance, hook: HookKind::PostStart };
    assert_eq!(sim.ordered(|order| *order == cancel), 1);
    assert_eq!(state_word(sim.app("c")), "Completed");
}

#[test]
fn an_answer_to_a_hook_nobody_runs_is_nothing() {
    let mut sim = Sim::begun(pod(Always, vec![container("c")]), &[]);
    sim.run_for(S);
    sim.tell(Event::Deadline);
    let before = sim.machine.snapshot();
    for hook in [HookKind::PostStart, HookKind::PreStop] {
        let instance = Instance { container: app_ref(0), attempt: 0 };
        sim.tell(Event::HookFinished { instance, hook, result: Err("late".into()) });
    }
    let mut after = sim.machine.snapshot();
    after.memory.facts = before.memory.facts;
    assert_eq!(after, before);
}
