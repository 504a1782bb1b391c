//! Ending pods and stopping containers.

use crate::lifecycle::event::{ProbeResult, StartFailure, StopReason, StopRequest};
use crate::lifecycle::{Action, Event};
use crate::model::Signal;
use crate::model::plan::RestartPolicy::{Always, Never};
use crate::model::status::Phase;

use super::plans::{container, hook, pod, probe, sidecar};
use super::sim::{MS, S, Script, Sim, state_word, stop_event};

const TERM: Signal = Signal::TERM;
const KILL: Signal = Signal::KILL;

/// A pod of one container, up for a second.
fn up(grace: u32, script: Script) -> Sim {
    let mut plan = pod(Always, vec![container("c")]);
    plan.termination_grace_seconds = grace;
    plan.containers[0].pre_stop = Some(hook());
    let mut sim = Sim::begun(plan, &[("c", script)]);
    sim.run_for(S);
    sim
}

#[test]
fn grace_runs_as_the_table_says() {
    // (pod's grace, preStop ms, asked, force) → TERM at, KILL at
    let table = [
        (30, 1, None, false, 1.0, 31.0),
        (30, 1, Some(5), false, 1.0, 6.0),
        (30, 1, Some(0), false, 1.0, 3.0),
        (30, 1, None, true, 1.0, 3.0),
        (10, 2700, None, false, 3.7, 11.7),
        (10, 9500, None, false, 10.5, 12.5),
        (10, 60_000, None, false, 11.0, 13.0),
        (0, 60_000, None, false, 2.0, 4.0),
        (1, 1, None, false, 1.0, 3.0),
    ];
    for (grace, hook_ms, asked, force, term, kill) in table {
        let script = Script { pre_stop: (hook_ms, Ok(())), ..Script::ignoring_stop() };
        let mut sim = up(grace, script);
        sim.tell(stop_event(asked, force));
        sim.run_until_finished();
        let case = format!("grace {grace}, hook {hook_ms} ms, asked {asked:?}, force {force}");
        assert_eq!(sim.signals("c"), [(term, TERM), (kill, KILL)], "{case}");
        let hooks = sim.ordered(|order| matches!(order, Action::RunHook { .. }));
        assert_eq!(hooks, usize::from(!force), "{case}");
    }
}

#[test]
fn later_requests_only_shorten() {
    // (second request after 5 s: grace, force) → KILL at
    let table = [
        (Some(3), false, 9.0),
        (Some(60), false, 31.0),
        (Some(29), false, 31.0),
        (None, true, 8.0),
    ];
    for (grace, force, kill) in table {
        let mut sim = up(30, Script::ignoring_stop());
        sim.stop(None);
        sim.run_for(5 * S);
        sim.tell(stop_event(grace, force));
        sim.run_until_finished();
        assert_eq!(sim.signals("c"), [(1.0, TERM), (kill, KILL)], "{grace:?} {force}");
    }
}

#[test]
fn a_second_request_hurries_the_hook_of_the_first() {
    let script = Script { pre_stop: (60_000, Ok(())), ..Script::ignoring_stop() };
    let mut sim = up(30, script);
    sim.stop(None);
    sim.run_for(5 * S);
    sim.tell(stop_event(None, true));
    sim.run_until_finished();
    assert_eq!(sim.signals("c"), [(6.0, TERM), (8.0, KILL)]);
    assert_eq!(sim.ordered(|order| matches!(order, Action::CancelHook { .. })), 1);
}

#[test]
fn the_deletion_timestamp_is_the_request_plus_the_grace_and_only_moves_forward() {
    let mut sim = up(30, Script::ignoring_stop());
    let asked = sim.now().wall.seconds();
    let seen = |sim: &Sim| {
        let deletion = sim.machine.deletion().expect("it is being deleted");
        (deletion.timestamp.seconds() - asked, deletion.grace_seconds)
    };
    sim.stop(None);
    assert_eq!(seen(&sim), (30, 30));
    sim.run_for(5 * S);
    sim.stop(Some(40));
    assert_eq!(seen(&sim), (30, 30));
    sim.stop(Some(10));
    assert_eq!(seen(&sim), (10, 10));
}

#[test]
fn an_interrupted_pod_is_not_deleted() {
    let mut sim = up(30, Script { on_stop: Some((10, 0)), ..Script::default() });
    let reason = StopReason::Interrupted;
    sim.tell(Event::Stop(StopRequest { grace_seconds: None, force: false, reason }));
    sim.run_until_finished();
    assert_eq!(sim.machine.deletion(), None);
    assert_eq!(sim.machine.status().phase, Phase::Succeeded);
}

#[test]
fn an_evicted_pod_has_failed_at_once() {
    for disruption in [false, true] {
        let mut sim = up(30, Script::default());
        let (reason, message) = ("Evicted".to_owned(), "disk is full. ".to_owned());
        let reason = StopReason::Evicted { reason, message, disruption };
        sim.tell(Event::Stop(StopRequest { grace_seconds: Some(1), force: false, reason }));
        let status = sim.machine.status();
        assert_eq!(status.phase, Phase::Failed);
        assert_eq!(status.reason.as_deref(), Some("Evicted"));
        assert_eq!(status.message.as_deref(), Some("disk is full. "));
        assert_eq!(status.conditions[0].r#type == "DisruptionTarget", disruption);
        assert!(sim.events().contains(&"Evicted: disk is full. ".to_owned()));
        sim.run_until_finished();
    }
}

#[test]
fn sidecars_wait_within_their_own_grace() {
    let mut plan = pod(Always, vec![container("main")]);
    plan.termination_grace_seconds = 10;
    plan.init_containers = vec![sidecar("side")];
    plan.init_containers[0].pre_stop = Some(hook());
    let scripts = [("main", Script::ignoring_stop()), ("side", Script::ignoring_stop())];
    let mut sim = Sim::begun(plan, &scripts);
    sim.run_for(S);
    sim.stop(None);
    let hooks = sim.order_times(|_, order| matches!(order, Action::RunHook { .. }));
    assert_eq!(hooks, [1.0], "hooks run at once, whatever the order of the signals");
    sim.run_until_finished();
    assert_eq!(sim.signals("main"), [(1.0, TERM), (11.0, KILL)]);
    assert_eq!(sim.signals("side"), [(11.0, TERM), (13.0, KILL)]);
}

#[test]
fn the_wait_of_a_sidecar_is_cut_to_whole_seconds() {
    let mut plan = pod(Always, vec![container("main")]);
    plan.termination_grace_seconds = 10;
    plan.init_containers = vec![sidecar("side")];
    let main = Script { on_stop: Some((3600, 0)), ..Script::default() };
    let mut sim = Sim::begun(plan, &[("main", main), ("side", Script::ignoring_stop())]);
    sim.run_for(S);
    sim.stop(None);
    sim.run_until_finished();
    assert_eq!(sim.signals("side"), [(4.6, TERM), (11.6, KILL)]);
}

#[test]
fn force_knows_no_order() {
    let mut plan = pod(Always, vec![container("main")]);
    plan.init_containers = vec![sidecar("side")];
    let scripts = [("main", Script::ignoring_stop()), ("side", Script::ignoring_stop())];
    let mut sim = Sim::begun(plan, &scripts);
    sim.run_for(S);
    sim.tell(stop_event(None, true));
    sim.run_until_finished();
    assert_eq!(sim.signals("main"), [(1.0, TERM), (3.0, KILL)]);
    assert_eq!(sim.signals("side"), [(1.0, TERM), (3.0, KILL)]);
}

#[test]
fn a_pod_deleted_in_image_back_off_was_killed_as_far_as_anyone_knows() {
    let failures = vec![Some((StartFailure::ErrImagePull, "no such image"))];
    let script = Script { start_failures: failures, ..Script::default() };
    let mut sim = Sim::begun(pod(Always, vec![container("c")]), &[("c", script)]);
    sim.run_for(3 * S);
    assert_eq!(state_word(sim.app("c")), "ImagePullBackOff");
    sim.stop(None);
    sim.run_for(S);
    assert!(sim.machine.is_finished());
    let end = sim.app("c").state.terminated.clone().expect("it counts as ended");
    assert_eq!((end.exit_code, end.reason.as_str()), (137, "ContainerStatusUnknown"));
    assert_eq!(end.message, "The container could not be located when the pod was terminated");
    assert_eq!(sim.machine.status().phase, Phase::Failed);
}

#[test]
fn containers_behind_an_unfinished_init_container_stay_waiting_at_the_end() {
    let mut plan = pod(Always, vec![container("main")]);
    plan.init_containers = vec![container("one"), container("two")];
    let mut sim = Sim::begun(plan, &[]);
    sim.run_for(S);
    sim.stop(None);
    sim.run_until_finished();
    assert_eq!(state_word(sim.app("one")), "Error");
    assert_eq!(state_word(sim.app("two")), "PodInitializing");
    assert_eq!(state_word(sim.app("main")), "PodInitializing");
    assert_eq!(sim.machine.status().phase, Phase::Failed);
}

#[test]
fn a_container_in_crash_loop_shows_its_exit_once_the_pod_ends() {
    let mut sim = Sim::begun(pod(Always, vec![container("c")]), &[("c", Script::exits(10, 7))]);
    sim.run_for(5 * S);
    assert_eq!(state_word(sim.app("c")), "CrashLoopBackOff");
    sim.stop(None);
    sim.run_until_finished();
    assert_eq!(sim.app("c").state.terminated.as_ref().map(|end| end.exit_code), Some(7));
    assert_eq!(sim.start_times("c").len(), 2);
}

#[test]
fn a_static_pod_is_never_forced_to_a_phase() {
    let mut plan = pod(Always, vec![container("c")]);
    plan.is_static = true;
    let mut sim = Sim::begun(plan, &[]);
    sim.run_for(S);
    sim.stop(None);
    sim.run_until_finished();
    assert_eq!(sim.machine.status().phase, Phase::Running);
}

#[test]
fn a_pod_deleted_while_it_is_made_tells_no_sandbox_failure() {
    let mut sim = Sim::new(pod(Always, vec![container("c")]), &[]);
    sim.sandbox_failures = vec!["no bridge".into()];
    sim.tell(Event::Begin);
    sim.run_for(MS);
    sim.stop(None);
    assert!(!sim.machine.is_finished());
    sim.run_until_finished();
    assert_eq!(sim.events(), [""; 0]);
}

#[test]
fn a_start_under_way_is_cancelled_or_stopped_when_it_comes() {
    for late in [false, true] {
        let mut sim = Sim::begun(pod(Always, vec![container("c")]), &[]);
        sim.run_for(2 * MS);
        assert_eq!(sim.start_times("c").len(), 1);
        if late {
            // The order to cancel crosses the news of the start.
            sim.run_for(MS);
        }
        sim.stop(None);
        sim.run_until_finished();
        assert_eq!(sim.signals("c").len(), usize::from(late));
    }
}

#[test]
fn a_hanging_post_start_hook_does_not_hold_up_the_end() {
    let mut plan = pod(Always, vec![container("a"), container("b")]);
    plan.containers[0].post_start = Some(hook());
    let script = Script { post_start: (3_600_000, Ok(())), ..Script::default() };
    let mut sim = Sim::begun(plan, &[("a", script)]);
    sim.run_for(10 * S);
    assert_eq!(sim.start_times("b"), [0.0; 0]);
    sim.stop(None);
    sim.run_until_finished();
    assert!(sim.elapsed() < 11.0);
    assert_eq!(state_word(sim.app("b")), "ContainerStatusUnknown");
}

#[test]
fn a_failed_pre_stop_hook_is_told_and_the_stop_goes_on() {
    let script = Script { pre_stop: (1500, Err("no".into())), ..Script::ignoring_stop() };
    let mut sim = up(10, script);
    sim.stop(None);
    sim.run_until_finished();
    assert!(sim.events().contains(&"FailedPreStopHook: PreStopHook failed".to_owned()));
    assert_eq!(sim.signals("c"), [(2.5, TERM), (11.5, KILL)]);
}

#[test]
fn liveness_stops_with_the_pod_and_readiness_goes_on() {
    let mut plan = pod(Always, vec![container("c")]);
    plan.containers[0].liveness_probe = Some(probe(1, 1));
    plan.containers[0].readiness_probe = Some(probe(1, 1));
    let no = ProbeResult::Failure("no".into());
    let yes = ProbeResult::Success;
    let script = Script {
        liveness: vec![yes.clone(), yes.clone(), no.clone()],
        readiness: vec![yes.clone(), yes, no],
        ..Script::ignoring_stop()
    };
    let mut sim = Sim::begun(plan, &[("c", script)]);
    sim.run_for(1500 * MS);
    sim.stop(Some(10));
    sim.run_for(5 * S);
    assert!(!sim.app("c").ready);
    let texts = sim.events();
    assert!(texts.contains(&"Unhealthy: Readiness probe failed: no".to_owned()));
    assert!(!texts.iter().any(|text| text.contains("Liveness")));
    sim.run_until_finished();
    assert_eq!(sim.signals("c"), [(1.5, TERM), (11.5, KILL)]);
}

#[test]
fn a_stop_for_a_probe_uses_the_pods_grace_and_skips_the_hook_when_that_is_zero() {
    for (grace, hooks, kill) in [(0, 0, 2.0), (7, 1, 7.0)] {
        let mut plan = pod(Never, vec![container("c")]);
        plan.termination_grace_seconds = grace;
        plan.containers[0].pre_stop = Some(hook());
        plan.containers[0].liveness_probe = Some(probe(1, 1));
        let liveness = vec![ProbeResult::Failure("no".into())];
        let mut sim = Sim::begun(plan, &[("c", Script { liveness, ..Script::ignoring_stop() })]);
        sim.run_until_finished();
        assert_eq!(sim.ordered(|order| matches!(order, Action::RunHook { .. })), hooks);
        assert_eq!(sim.signals("c"), [(0.0, TERM), (kill, KILL)]);
        assert!(sim.events().contains(&"Killing: Container c failed liveness probe".to_owned()));
        assert_eq!(sim.machine.status().phase, Phase::Failed);
    }
}

#[test]
fn the_stop_signal_is_the_plans_else_the_images() {
    let mut plan = pod(Always, vec![container("c")]);
    plan.containers[0].stop_signal = Some(Signal::QUIT);
    let mut sim = Sim::begun(plan, &[]);
    sim.run_for(S);
    sim.stop(None);
    assert_eq!(sim.signals("c"), [(1.0, Signal::QUIT)]);
}

#[test]
fn a_kill_that_has_no_effect_is_repeated_and_told() {
    let mut sim = up(5, Script::ignoring_stop());
    sim.stop(None);
    let instance = *sim.running().iter().next().expect("it runs");
    for _ in 0..3 {
        let at = sim.machine.next_deadline().expect("it waits");
        sim.now_ns = at;
        sim.machine.handle(&Event::Deadline, sim.now());
    }
    let killed = sim.machine.events().iter().any(|event| event.reason == "FailedKillPod");
    assert!(killed, "{instance:?}");
}

#[test]
fn a_finished_pod_that_is_deleted_stays_as_it_ended() {
    let mut sim = Sim::begun(pod(Never, vec![container("c")]), &[("c", Script::exits(1, 0))]);
    sim.run_until_finished();
    sim.stop(None);
    assert_eq!(sim.machine.deletion().map(|deletion| deletion.grace_seconds), Some(0));
    assert_eq!(sim.machine.status().phase, Phase::Succeeded);
    assert_eq!(sim.machine.next_deadline(), None);
}

#[test]
fn a_rejected_pod_has_failed_without_any_container() {
    let mut sim = Sim::new(pod(Always, vec![container("c")]), &[]);
    let (reason, detail) = ("SysctlForbidden".to_owned(), "forbidden sysctl: \"x\"".to_owned());
    sim.tell(Event::Rejected { reason, detail });
    let status = sim.machine.status();
    assert_eq!(status.phase, Phase::Failed);
    assert_eq!(status.message.as_deref(), Some("Pod was rejected: forbidden sysctl: \"x\""));
    assert!(status.container_statuses.is_empty());
    assert_eq!(sim.events(), ["SysctlForbidden: forbidden sysctl: \"x\""]);
    sim.run_until_finished();
}
