//! The machine is started anew: only the last status tells what was.

use crate::lifecycle::{Event, PodMachine};
use crate::model::plan::RestartPolicy::{Always, Never, OnFailure};
use crate::model::status::{Phase, PodStatus};

use super::plans::{container, pod};
use super::sim::{S, Script, Sim};

/// The same pod half a minute later, on a machine that knows nothing of it but
/// its status.
fn rebooted(old: &Sim) -> Sim {
    let json = serde_json::to_string(old.machine.status()).expect("a status");
    let past: PodStatus = serde_json::from_str(&json).expect("the same status");
    let plan = old.machine.plan().clone();
    let mut sim = Sim::new(plan.clone(), &[]);
    sim.scripts.clone_from(&old.scripts);
    sim.now_ns = old.now_ns + 30 * S;
    sim.machine = PodMachine::after_reboot(plan, &past, sim.now());
    sim.tell(Event::Begin);
    sim
}

#[test]
fn containers_that_ran_are_restarts_of_ones_nobody_saw_end() {
    let mut plan = pod(Always, vec![container("a")]);
    plan.init_containers = vec![container("init")];
    let mut sim = Sim::begun(plan, &[("init", Script::exits(10, 0))]);
    sim.run_for(S);
    for restarts in 1..3 {
        sim = rebooted(&sim);
        sim.checks_snapshots = true;
        assert_eq!(sim.app("a").restart_count, restarts - 1);
        sim.run_for(S);
        let status = sim.app("a");
        assert!(status.state.running.is_some() && status.ready, "{status:?}");
        assert_eq!(status.restart_count, restarts);
        let last = status.last_state.terminated.clone().expect("an end");
        assert_eq!((last.exit_code, last.reason.as_str()), (137, "ContainerStatusUnknown"));
        assert!(last.container_id.starts_with("podrt://"), "{last:?}");
        assert_eq!(sim.app("init").restart_count, restarts, "it ran again");
        assert_eq!(sim.start_times("a").len(), 1);
        let changed = "SandboxChanged: Pod sandbox changed, it will be killed and re-created.";
        assert!(sim.events().iter().any(|event| event == changed), "{:#?}", sim.events());
    }
    assert!(sim.machine.status().start_time < Some(sim.now().wall));
}

#[test]
fn what_was_done_is_not_done_twice() {
    let plan = pod(OnFailure, vec![container("done"), container("a")]);
    let mut sim = Sim::begun(plan, &[("done", Script::exits(10, 0))]);
    sim.run_for(S);
    let mut sim = rebooted(&sim);
    sim.run_for(40 * S);
    assert_eq!((sim.start_times("done").len(), sim.start_times("a").len()), (0, 1));
    let done = sim.app("done").state.terminated.clone().expect("an end");
    assert_eq!((done.exit_code, done.reason.as_str()), (0, "Completed"));
    assert_eq!(sim.app("a").restart_count, 1);
}

#[test]
fn a_pod_that_never_restarts_has_failed() {
    let mut sim = Sim::begun(pod(Never, vec![container("a"), container("b")]), &[]);
    sim.run_for(S);
    let mut sim = rebooted(&sim);
    sim.run_until_finished();
    assert_eq!(sim.machine.status().phase, Phase::Failed);
    assert_eq!((sim.start_times("a").len(), sim.start_times("b").len()), (0, 0));
    let end = sim.app("a").state.terminated.clone().expect("an end");
    assert_eq!((end.exit_code, end.reason.as_str()), (137, "ContainerStatusUnknown"));
}

#[test]
fn a_container_that_waited_for_its_restart_has_it_at_once() {
    let sim_script = [("a", Script::exits(10, 1))];
    let mut sim = Sim::begun(pod(Always, vec![container("a")]), &sim_script);
    sim.run_until("restarted twice", |sim| sim.app("a").restart_count == 2);
    sim.run_for(5 * S);
    assert_eq!(sim.app("a").state.waiting.as_ref().expect("waits").reason, "CrashLoopBackOff");
    let mut sim = rebooted(&sim);
    sim.run_for(S / 100);
    assert_eq!(sim.app("a").restart_count, 3);
    let last = sim.app("a").last_state.terminated.clone().expect("an end");
    assert_eq!((last.exit_code, last.reason.as_str()), (1, "Error"));
}

#[test]
fn a_pod_that_had_not_begun_begins() {
    let sim = Sim::begun(pod(Never, vec![container("a")]), &[]);
    let mut sim = rebooted(&sim);
    sim.run_for(S);
    assert!(sim.app("a").state.running.is_some());
    assert_eq!(sim.app("a").restart_count, 0);
}

#[test]
fn the_active_deadline_counts_from_the_first_start() {
    let mut plan = pod(Always, vec![container("a")]);
    plan.active_deadline_seconds = Some(100);
    let mut sim = Sim::begun(plan, &[]);
    sim.run_for(60 * S);
    let mut sim = rebooted(&sim);
    let begin_ns = sim.now_ns;
    sim.run_until("over", |sim| sim.machine.status().reason.is_some());
    assert_eq!(sim.machine.status().reason.as_deref(), Some("DeadlineExceeded"));
    assert!(sim.now_ns - begin_ns <= 10 * S, "90 of 100 seconds had passed");
}
