//! The black-box expectations that need no machine, one test each.

use crate::lifecycle::event::{ProbeResult, StartFailure};
use crate::model::Signal;
use crate::model::plan::RestartPolicy::{Always, Never, OnFailure};
use crate::model::status::Phase;

use super::plans::{container, hook, pod, probe, sidecar};
use super::sim::{S, Script, Sim};

fn failure(text: &str) -> ProbeResult {
    ProbeResult::Failure(text.into())
}

#[test]
fn a_never_pod_succeeds_or_fails_by_its_exit_code() {
    for (code, phase, reason) in [(0, Phase::Succeeded, "Completed"), (3, Phase::Failed, "Error")] {
        let mut sim =
            Sim::begun(pod(Never, vec![container("c")]), &[("c", Script::exits(5, code))]);
        sim.run_until_finished();
        assert_eq!(sim.machine.status().phase, phase);
        let end = sim.app("c").state.terminated.clone().expect("it ended");
        assert_eq!((end.exit_code, end.reason.as_str()), (i32::from(code), reason));
        assert_eq!(sim.start_times("c").len(), 1);
    }
}

#[test]
fn a_crashing_container_restarts_after_0_10_20_40_seconds() {
    let mut sim = Sim::begun(pod(Always, vec![container("c")]), &[("c", Script::exits(100, 1))]);
    sim.run_for(80 * S);
    let starts = sim.start_times("c");
    let gaps: Vec<f64> = starts.windows(2).map(|pair| (pair[1] - pair[0]).round()).collect();
    assert_eq!(gaps, [0.0, 10.0, 20.0, 40.0]);
    let backoffs: Vec<&str> = vec![
        "back-off 10s restarting failed container=c pod=web_default(11111111-2222)",
        "Back-off restarting failed container c in pod web_default(11111111-2222)",
    ];
    sim.run_for(5 * S);
    let waiting = sim.app("c").state.waiting.clone().expect("it waits");
    assert_eq!(waiting.reason, "CrashLoopBackOff");
    assert_eq!(waiting.message, backoffs[0].replace("10s", "1m20s"));
    assert!(sim.events().contains(&format!("BackOff: {}", backoffs[1])));
    let seen = sim.history();
    assert!(seen.contains(&"Running c=Error") && seen.contains(&"Running c=CrashLoopBackOff"));
    assert_eq!(sim.app("c").last_state.terminated.as_ref().map(|end| end.exit_code), Some(1));
}

#[test]
fn on_failure_leaves_the_one_that_succeeded_alone() {
    let plan = pod(OnFailure, vec![container("a"), container("b")]);
    let mut sim = Sim::begun(plan, &[("a", Script::exits(10, 0)), ("b", Script::exits(10, 1))]);
    sim.run_for(60 * S);
    assert_eq!(sim.start_times("a").len(), 1);
    assert!(sim.start_times("b").len() > 3);
    assert_eq!(sim.machine.status().phase, Phase::Running);
    assert_eq!(super::sim::state_word(sim.app("a")), "Completed");
}

#[test]
fn an_entrypoint_that_does_not_exist_fails_a_never_pod_as_start_error() {
    let text = "exec: \"/nope\": no such file or directory";
    let script =
        Script { start_failures: vec![Some((StartFailure::Run, text))], ..Script::default() };
    let mut sim = Sim::begun(pod(Never, vec![container("c")]), &[("c", script)]);
    sim.run_until_finished();
    let end = sim.app("c").state.terminated.clone().expect("it ended");
    assert_eq!(
        (end.exit_code, end.reason.as_str(), end.message.as_str()),
        (128, "StartError", text)
    );
    assert_eq!(end.started_at.seconds(), 0);
    assert_eq!(sim.machine.status().phase, Phase::Failed);
    assert!(sim.events().contains(&format!("Failed: Error: {text}")));
}

#[test]
fn a_missing_config_map_is_waited_for_and_noticed_at_once() {
    let text = "configmap \"x\" not found";
    let failures = vec![Some((StartFailure::Config, text)), None];
    let script = Script { start_failures: failures, ..Script::default() };
    let mut sim = Sim::begun(pod(Always, vec![container("c")]), &[("c", script)]);
    sim.run_for(3 * S);
    let waiting = sim.app("c").state.waiting.clone().expect("it waits");
    assert_eq!(
        (waiting.reason.as_str(), waiting.message.as_str()),
        ("CreateContainerConfigError", text)
    );
    assert_eq!(sim.machine.status().phase, Phase::Pending);
    sim.tell(crate::lifecycle::Event::InputsChanged);
    sim.run_for(S);
    assert!(sim.app("c").state.running.is_some());
}

#[test]
fn without_its_volumes_a_pod_has_no_sandbox() {
    let text = "MountVolume.SetUp failed for volume \"v\" : secret \"s\" not found";
    let mut sim = Sim::new(pod(Always, vec![container("c")]), &[]);
    sim.volume_failures = vec![text.to_owned(); 4];
    sim.tell(crate::lifecycle::Event::Begin);
    sim.run_for(3 * S);
    assert_eq!(super::sim::state_word(sim.app("c")), "ContainerCreating");
    assert_eq!(
        sim.ordered(|order| matches!(order, crate::lifecycle::Action::CreateSandbox { .. })),
        0
    );
    let tries = sim.order_times(|_, order| *order == crate::lifecycle::Action::SetUpVolumes);
    let gaps: Vec<f64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [0.5, 1.0]);
    assert!(sim.events().contains(&format!("FailedMount: {text}")));
    sim.run_until("running", |sim| sim.app("c").state.running.is_some());
    assert_eq!(sim.elapsed().round(), 8.0);
}

#[test]
fn init_containers_run_in_order_before_the_others() {
    let mut plan = pod(Always, vec![container("main")]);
    plan.init_containers = vec![container("one"), container("two")];
    let slow = Script::exits(1000, 0);
    let mut sim = Sim::begun(plan, &[("one", slow.clone()), ("two", slow)]);
    sim.run_for(10 * S);
    let want = [
        "Pending one=PodInitializing two=PodInitializing main=PodInitializing",
        "Pending one=Running two=PodInitializing main=PodInitializing",
        "Pending one=Completed two=PodInitializing main=PodInitializing",
        "Pending one=Completed two=Running main=PodInitializing",
        "Pending one=Completed two=Completed main=PodInitializing",
        "Running one=Completed two=Completed main=Ready",
    ];
    assert_eq!(sim.history(), want);
    assert_eq!(sim.start_times("one"), [0.0]);
    assert_eq!(sim.start_times("two"), [1.0]);
    assert_eq!(sim.start_times("main"), [2.0]);
    assert_eq!(sim.machine.status().phase, Phase::Running);
    assert!(sim.app("one").ready && sim.app("two").ready);
}

#[test]
fn main_starts_once_the_sidecars_startup_probe_succeeded() {
    let mut plan = pod(Always, vec![container("main")]);
    plan.init_containers = vec![sidecar("side")];
    plan.init_containers[0].startup_probe = Some(probe(2, 10));
    let startup = vec![failure("not yet"), failure("not yet"), ProbeResult::Success];
    let mut sim = Sim::begun(plan, &[("side", Script { startup, ..Script::default() })]);
    sim.run_for(3 * S);
    assert_eq!(sim.start_times("main"), [0.0; 0]);
    assert_eq!(sim.machine.status().phase, Phase::Pending);
    sim.run_for(3 * S);
    assert_eq!(sim.start_times("main").len(), 1);
    assert_eq!(sim.machine.status().phase, Phase::Running);
}

#[test]
fn a_sidecar_ends_after_main_and_does_not_spoil_success() {
    let mut plan = pod(Never, vec![container("main")]);
    plan.init_containers = vec![sidecar("side")];
    let mut sim = Sim::begun(plan, &[("main", Script::exits(1000, 0))]);
    sim.run_until_finished();
    assert_eq!(sim.signals("side"), [(1.0, Signal::TERM)]);
    assert_eq!(sim.machine.status().phase, Phase::Succeeded);
    assert_eq!(sim.app("side").state.terminated.as_ref().map(|end| end.exit_code), Some(143));
    assert!(sim.events().contains(&"Killing: Stopping container side".to_owned()));
}

#[test]
fn sidecars_are_stopped_after_main_in_reverse_order() {
    let mut plan = pod(Always, vec![container("main")]);
    plan.init_containers = vec![sidecar("a"), sidecar("b")];
    let slow = Script { on_stop: Some((1000, 0)), ..Script::default() };
    let mut sim = Sim::begun(plan, &[("main", slow.clone()), ("a", slow.clone()), ("b", slow)]);
    sim.run_for(5 * S);
    sim.stop(None);
    sim.run_until_finished();
    assert_eq!(sim.signals("main"), [(5.0, Signal::TERM)]);
    assert_eq!(sim.signals("b"), [(6.0, Signal::TERM)]);
    assert_eq!(sim.signals("a"), [(7.0, Signal::TERM)]);
    assert_eq!(sim.machine.status().phase, Phase::Succeeded);
}

#[test]
fn readiness_flips_after_its_threshold_and_restarts_nothing() {
    let mut plan = pod(Always, vec![container("c")]);
    plan.containers[0].readiness_probe = Some(probe(1, 3));
    let readiness = vec![ProbeResult::Success, failure("gone")];
    let mut sim = Sim::begun(plan, &[("c", Script { readiness, ..Script::default() })]);
    sim.run_for(S / 2);
    assert!(sim.app("c").ready);
    sim.run_for(2 * S);
    assert!(sim.app("c").ready, "two failures are not three");
    sim.run_for(S);
    assert!(!sim.app("c").ready);
    assert_eq!(sim.app("c").restart_count, 0);
    assert!(sim.events().contains(&"Unhealthy: Readiness probe failed: gone".to_owned()));
}

#[test]
fn a_failed_liveness_probe_kills_within_its_own_grace() {
    let mut plan = pod(Always, vec![container("c")]);
    plan.containers[0].liveness_probe = Some(probe(1, 1));
    plan.containers[0].liveness_probe.as_mut().expect("set").termination_grace_seconds = Some(3);
    let liveness = vec![failure("dead"), ProbeResult::Success];
    let mut sim = Sim::begun(plan, &[("c", Script { liveness, ..Script::ignoring_stop() })]);
    sim.run_for(10 * S);
    assert_eq!(sim.signals("c"), [(0.0, Signal::TERM), (3.0, Signal::KILL)]);
    let text = "Killing: Container c failed liveness probe, will be restarted";
    assert!(sim.events().contains(&text.to_owned()));
    assert_eq!((sim.app("c").restart_count, sim.start_times("c")[1].round()), (1, 3.0));
    let last = sim.app("c").last_state.terminated.clone().expect("it was killed");
    assert_eq!(last.exit_code, 137);
}

#[test]
fn a_failed_post_start_hook_kills_the_container() {
    let mut plan = pod(Never, vec![container("c")]);
    plan.containers[0].post_start = Some(hook());
    let text = "Exec lifecycle hook ([false]) failed";
    let script = Script { post_start: (500, Err(text.into())), ..Script::default() };
    let mut sim = Sim::begun(plan.clone(), &[("c", script.clone())]);
    sim.run_until_finished();
    let events = sim.events();
    assert!(events.contains(&"FailedPostStartHook: PostStartHook failed".to_owned()));
    assert!(events.contains(&"Killing: FailedPostStartHook".to_owned()));
    assert_eq!(sim.machine.status().phase, Phase::Failed);
    assert_eq!(sim.start_times("c").len(), 1);
    plan.restart_policy = Always;
    let mut sim = Sim::begun(plan, &[("c", script)]);
    sim.run_for(3 * S);
    let history = sim.history();
    assert!(
        history.contains(&"Pending c=PostStartHookError")
            || history.contains(&"Running c=PostStartHookError"),
        "{history:?}"
    );
    assert!(history.last().is_some_and(|last| last.ends_with("c=CrashLoopBackOff")));
}

#[test]
fn a_pre_stop_hook_that_hangs_leaves_two_seconds() {
    let mut plan = pod(Always, vec![container("c")]);
    plan.termination_grace_seconds = 5;
    plan.containers[0].pre_stop = Some(hook());
    let script = Script { pre_stop: (60_000, Ok(())), ..Script::ignoring_stop() };
    let mut sim = Sim::begun(plan, &[("c", script)]);
    sim.run_for(S);
    sim.stop(None);
    sim.run_until_finished();
    assert_eq!(sim.signals("c"), [(6.0, Signal::TERM), (8.0, Signal::KILL)]);
}

#[test]
fn a_container_that_ignores_term_is_killed_after_its_grace() {
    let mut plan = pod(Always, vec![container("c")]);
    plan.termination_grace_seconds = 2;
    let mut sim = Sim::begun(plan, &[("c", Script::ignoring_stop())]);
    sim.run_for(S);
    sim.stop(None);
    sim.run_until_finished();
    assert_eq!(sim.signals("c"), [(1.0, Signal::TERM), (3.0, Signal::KILL)]);
    assert_eq!(sim.app("c").state.terminated.as_ref().map(|end| end.exit_code), Some(137));
    assert_eq!(sim.machine.status().phase, Phase::Failed);
}

#[test]
fn the_active_deadline_fails_the_pod() {
    let mut plan = pod(Always, vec![container("c")]);
    plan.active_deadline_seconds = Some(5);
    let mut sim = Sim::begun(plan, &[]);
    sim.run_for(5 * S);
    let status = sim.machine.status().clone();
    assert_eq!(status.phase, Phase::Failed);
    assert_eq!(status.reason.as_deref(), Some("DeadlineExceeded"));
    let text = "Pod was active on the node longer than the specified deadline";
    assert_eq!(status.message.as_deref(), Some(text));
    assert!(sim.events().contains(&format!("DeadlineExceeded: {text}")));
    sim.run_until_finished();
    assert_eq!(sim.signals("c"), [(5.0, Signal::TERM)]);
}

#[test]
fn messages_of_five_containers_are_cut_to_2457_bytes() {
    let names = ["a", "b", "c", "d", "e"];
    let plan = pod(Never, names.map(container).to_vec());
    let script = Script { message: "x".repeat(4096), ..Script::exits(1, 0) };
    let mut sim = Sim::begun(plan, &names.map(|name| (name, script.clone())));
    sim.run_until_finished();
    let end = sim.app("c").state.terminated.clone().expect("it ended");
    assert_eq!(end.message.len(), 2457);
}

#[test]
fn a_dead_pause_makes_a_new_sandbox_and_init_runs_again() {
    let mut plan = pod(Always, vec![container("main")]);
    plan.init_containers = vec![container("init")];
    let mut sim = Sim::begun(plan, &[("init", Script::exits(100, 0))]);
    sim.run_for(5 * S);
    assert_eq!(sim.machine.status().pod_ip.as_deref(), Some("10.0.0.2"));
    sim.tell(crate::lifecycle::Event::SandboxExited { attempt: 0 });
    sim.run_for(5 * S);
    let text = "SandboxChanged: Pod sandbox changed, it will be killed and re-created.";
    assert!(sim.events().contains(&text.to_owned()));
    assert_eq!(sim.start_times("init").len(), 2);
    assert_eq!(sim.start_times("main").len(), 2);
    assert_eq!(sim.machine.status().pod_ip.as_deref(), Some("10.0.0.3"));
    assert_eq!(sim.machine.status().phase, Phase::Running);
}
