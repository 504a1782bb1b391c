//! Images that do not come, containers that cannot be made.

use crate::lifecycle::event::StartFailure::{self, *};
use crate::lifecycle::{Action, Event};
use crate::model::plan::RestartPolicy::Always;

use super::plans::{container, pod};
use super::sim::{S, Script, Sim, state_word};

fn failing(failures: Vec<Option<(StartFailure, &'static str)>>) -> Sim {
    let script = Script { start_failures: failures, ..Script::default() };
    Sim::begun(pod(Always, vec![container("c")]), &[("c", script)])
}

#[test]
fn each_failure_has_its_reason_message_and_events() {
    let table = [
        (Config, "CreateContainerConfigError", "X", vec!["Failed: Error: X"]),
        (Create, "CreateContainerError", "X", vec!["Failed: Error: X"]),
        (Run, "RunContainerError", "X", vec!["Created: Container created", "Failed: Error: X"]),
        (
            ErrImagePull,
            "ErrImagePull",
            "X",
            vec!["Failed: Failed to pull image \"c:1\": X", "Failed: Error: ErrImagePull"],
        ),
        (
            ErrImageNeverPull,
            "ErrImageNeverPull",
            "Container image \"c:1\" is not present with pull policy of Never",
            vec![
                "ErrImageNeverPull: Container image \"c:1\" is not present with pull policy of Never",
                "Failed: Error: ErrImageNeverPull",
            ],
        ),
        (
            InvalidImageName,
            "InvalidImageName",
            "Failed to apply default image tag \"c:1\": X",
            vec![
                "InspectFailed: Failed to apply default image tag \"c:1\": X",
                "Failed: Error: InvalidImageName",
            ],
        ),
        (
            ImageInspectError,
            "ImageInspectError",
            "Failed to inspect image \"c:1\": X",
            vec![
                "InspectFailed: Failed to inspect image \"c:1\": X",
                "Failed: Error: ImageInspectError",
            ],
        ),
    ];
    for (failure, reason, message, events) in table {
        let mut sim = failing(vec![Some((failure, "X"))]);
        sim.run_until("failed", |sim| {
            sim.app("c").state.waiting.as_ref().is_some_and(|w| w.reason != "ContainerCreating")
        });
        let waiting = sim.app("c").state.waiting.clone().expect("it waits");
        assert_eq!((waiting.reason.as_str(), waiting.message.as_str()), (reason, message));
        assert_eq!(sim.events(), events, "{reason}");
    }
}

#[test]
fn a_failed_pull_is_tried_again_after_10_20_40_seconds_up_to_five_minutes() {
    let mut sim = failing(vec![Some((ErrImagePull, "no such image"))]);
    sim.run_for(900 * S);
    let tries: Vec<f64> = sim.start_times("c").iter().map(|at| at.round()).collect();
    assert_eq!(tries, [0.0, 10.0, 30.0, 70.0, 150.0, 310.0, 610.0]);
}

#[test]
fn the_error_is_shown_before_the_back_off() {
    let mut sim = failing(vec![Some((ErrImagePull, "no such image"))]);
    sim.run_for(5 * S);
    let want =
        ["Pending c=ContainerCreating", "Pending c=ErrImagePull", "Pending c=ImagePullBackOff"];
    assert_eq!(sim.history(), want);
    let waiting = sim.app("c").state.waiting.clone().expect("it waits");
    let text = "Back-off pulling image \"c:1\": ErrImagePull: no such image";
    assert_eq!(waiting.message, text);
    let events = sim.events();
    assert!(events.contains(&"BackOff: Back-off pulling image \"c:1\"".to_owned()));
    assert!(events.contains(&"Failed: Error: ImagePullBackOff".to_owned()));
}

#[test]
fn an_image_that_arrives_during_the_back_off_is_used_without_a_pull() {
    let mut sim = failing(vec![Some((ErrImagePull, "no such image")), None]);
    sim.run_for(5 * S);
    sim.tell(Event::InputsChanged);
    let pulls = sim.orders.iter().filter_map(|(_, order)| match order {
        Action::StartContainer { may_pull, .. } => Some(*may_pull),
        _ => None,
    });
    assert_eq!(pulls.collect::<Vec<_>>(), [true, false]);
    sim.run_for(S);
    assert!(sim.app("c").state.running.is_some());
}

#[test]
fn a_back_off_that_was_asked_about_too_early_keeps_its_end() {
    let failures = vec![Some((ErrImagePull, "no")), Some((ImagePullBackOff, "")), None];
    let mut sim = failing(failures);
    sim.run_for(5 * S);
    sim.tell(Event::InputsChanged);
    sim.run_for(S);
    assert_eq!(state_word(sim.app("c")), "ImagePullBackOff");
    sim.run_for(10 * S);
    let tries: Vec<f64> = sim.start_times("c").iter().map(|at| at.round()).collect();
    assert_eq!(tries, [0.0, 5.0, 10.0]);
}

#[test]
fn containers_of_one_image_share_its_back_off() {
    let mut plan = pod(Always, vec![container("a"), container("b")]);
    plan.containers[1].image = plan.containers[0].image.clone();
    let a = Script { start_failures: vec![Some((ErrImagePull, "no"))], ..Script::default() };
    let b = Script { start_failures: vec![Some((ImagePullBackOff, ""))], ..Script::default() };
    let mut sim = Sim::begun(plan, &[("a", a), ("b", b)]);
    sim.run_for(S / 2);
    assert_eq!(sim.states(), "Pending a=ErrImagePull b=ImagePullBackOff");
}

#[test]
fn other_failures_are_tried_again_after_ten_seconds_and_count_no_restart() {
    let mut sim = failing(vec![Some((Create, "no")), Some((Create, "no")), None]);
    sim.run_for(25 * S);
    assert_eq!(sim.start_times("c"), [0.0, 10.0, 20.0]);
    assert_eq!(sim.app("c").restart_count, 0);
}

#[test]
fn a_start_error_counts_as_a_restart_and_crash_loops() {
    let mut sim = failing(vec![Some((Run, "no such file"))]);
    sim.run_for(15 * S);
    let tries: Vec<f64> = sim.start_times("c").iter().map(|at| at.round()).collect();
    assert_eq!(tries, [0.0, 0.0, 10.0]);
    assert_eq!(sim.app("c").restart_count, 2);
    let last = sim.app("c").last_state.terminated.clone().expect("it failed");
    assert_eq!((last.exit_code, last.reason.as_str()), (128, "StartError"));
    assert_eq!(state_word(sim.app("c")), "CrashLoopBackOff");
}

#[test]
fn a_container_that_fails_does_not_hold_up_the_next() {
    let plan = pod(Always, vec![container("a"), container("b")]);
    let a = Script { start_failures: vec![Some((Config, "no"))], ..Script::default() };
    let mut sim = Sim::begun(plan, &[("a", a)]);
    sim.run_for(S);
    assert_eq!(sim.states(), "Pending a=CreateContainerConfigError b=Ready");
}
