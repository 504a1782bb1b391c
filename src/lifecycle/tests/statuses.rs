//! Phases, conditions, container statuses, columns, from facts.

use crate::lifecycle::columns::{columns, human_duration};
use crate::lifecycle::phase::{PhaseInputs, phase};
use crate::model::plan::RestartPolicy::{self, Always, Never, OnFailure};
use crate::model::plan::{ContainerPlan, MountPlan, PodPlan, Propagation, RecursiveReadOnly};
use crate::model::status::{
    Condition, ContainerState, ContainerStatus, Phase, PodStatus, Running, Terminated, Waiting,
};
use crate::model::{Quantity, Timestamp};

use super::plans::{container, pod, probe, sidecar};
use super::sim::{S, Script, Sim};

type Words = &'static [&'static str];

/// `W` waiting, `W:Reason`, `W1` waiting after exit 1, `R` running, `Y` ready,
/// `T0` ended with 0, `T1:Reason` ended with 1 for that reason.
fn status(name: &str, word: &str) -> ContainerStatus {
    let (head, reason) = word.split_once(':').unwrap_or((word, ""));
    let code: Option<i32> = head[1..].parse().ok();
    let end = |reason: &str| {
        code.map(|exit_code| Terminated {
            exit_code,
            reason: reason.into(),
            message: String::new(),
            started_at: Timestamp(0),
            finished_at: Timestamp(0),
            container_id: String::new(),
        })
    };
    let (mut state, mut last_state) = (ContainerState::default(), ContainerState::default());
    match &head[..1] {
        "W" => {
            state.waiting = Some(Waiting { reason: reason.into(), message: String::new() });
            last_state.terminated = end("Error");
        }
        "T" => state.terminated = end(reason),
        _ => state.running = Some(Running { started_at: Timestamp(0) }),
    }
    ContainerStatus {
        name: name.into(),
        state,
        last_state,
        ready: head == "Y",
        restart_count: 0,
        image: String::new(),
        image_id: String::new(),
        container_id: None,
        started: head == "Y",
        allocated_resources: std::collections::BTreeMap::new(),
        volume_mounts: Vec::new(),
        user: None,
    }
}

/// A pod and its statuses from words: `plain` and `+sidecar` init containers,
/// then app containers.
fn made_of(
    policy: RestartPolicy,
    inits: &[&str],
    apps: &[&str],
) -> (PodPlan, Vec<ContainerStatus>, Vec<ContainerStatus>) {
    let mut plan = pod(policy, Vec::new());
    let (mut init, mut app) = (Vec::new(), Vec::new());
    for (index, word) in inits.iter().enumerate() {
        let name = format!("i{index}");
        let (make, word): (fn(&str) -> ContainerPlan, &str) = match word.strip_prefix('+') {
            Some(word) => (sidecar, word),
            None => (container, word),
        };
        plan.init_containers.push(make(&name));
        let mut made = status(&name, word);
        made.ready |= made.state.terminated.as_ref().is_some_and(|end| end.exit_code == 0);
        init.push(made);
    }
    for (index, word) in apps.iter().enumerate() {
        let name = format!("c{index}");
        plan.containers.push(container(&name));
        app.push(status(&name, word));
    }
    (plan, init, app)
}

#[test]
fn the_phase_follows_from_the_statuses() {
    use Phase::{Failed, Pending, Running, Succeeded};
    // (policy, init, app, over) → phase
    let table: &[(RestartPolicy, Words, Words, bool, Phase)] = &[
        (Always, &[], &["W"], false, Pending),
        (Always, &[], &["Y"], false, Running),
        (Always, &[], &["Y", "W"], false, Pending),
        (Always, &[], &["T0"], false, Running),
        (Always, &[], &["W1"], false, Running),
        (OnFailure, &[], &["T0"], false, Succeeded),
        (OnFailure, &[], &["T1"], false, Running),
        (OnFailure, &[], &["T0", "W1"], false, Running),
        (Never, &[], &["T1"], false, Failed),
        (Never, &[], &["T0", "Y"], false, Running),
        (Never, &[], &["T0", "T3"], false, Failed),
        (Never, &[], &["T0", "T0"], false, Succeeded),
        (Always, &["R"], &["W"], false, Pending),
        (Never, &["T1"], &["W"], false, Failed),
        (Always, &["T1"], &["W"], false, Pending),
        (Always, &["W1"], &["W"], false, Pending),
        (Always, &["T0", "W"], &["W"], false, Pending),
        (Always, &["T0"], &["Y"], false, Running),
        (Never, &["+Y"], &["T0"], false, Running),
        (Never, &["+T143"], &["T0"], false, Succeeded),
        (Never, &["+W"], &["Y"], false, Pending),
        (Always, &["+R"], &["T1"], false, Pending),
        (Always, &[], &["T0"], true, Succeeded),
        (Always, &[], &["T143"], true, Failed),
        (OnFailure, &[], &["T0", "T1"], true, Failed),
        (Always, &[], &["T1:RestartingAllContainers"], false, Running),
        (Never, &[], &["T1:RestartingAllContainers"], false, Running),
    ];
    for (policy, inits, apps, over, want) in table {
        let (plan, init, app) = made_of(*policy, inits, apps);
        let inputs =
            PhaseInputs { plan: &plan, init: &init, app: &app, initialized: false, over: *over };
        assert_eq!(phase(&inputs), *want, "{policy:?} {inits:?} {apps:?} over {over}");
    }
}

#[test]
fn a_sidecar_that_starts_late_does_not_make_an_initialised_pod_pending() {
    let (plan, init, app) = made_of(Always, &["+R"], &["Y"]);
    let inputs =
        PhaseInputs { plan: &plan, init: &init, app: &app, initialized: true, over: false };
    assert_eq!(phase(&inputs), Phase::Running);
}

/// A status as the machine would give it, with just enough in it.
fn pod_status(
    plan: &PodPlan,
    phase: Phase,
    init: Vec<ContainerStatus>,
    app: Vec<ContainerStatus>,
    ready: bool,
) -> PodStatus {
    let condition = |kind: &str, holds: bool| Condition {
        r#type: kind.into(),
        status: if holds { "True" } else { "False" }.into(),
        observed_generation: 1,
        last_probe_time: None,
        last_transition_time: Timestamp(0),
        reason: None,
        message: None,
    };
    let started = app.iter().any(|app| app.state.waiting.is_none());
    PodStatus {
        phase,
        conditions: vec![condition("Ready", ready), condition("Initialized", started)],
        init_container_statuses: init,
        container_statuses: app,
        ..crate::lifecycle::status::blank(plan)
    }
}

#[test]
fn columns_are_those_of_kubectl() {
    // (init, app, phase, ready condition, deleted) → STATUS, READY
    type Row = (Words, Words, Phase, bool, bool, &'static str, &'static str);
    let table: &[Row] = &[
        (&[], &["W:ContainerCreating"], Phase::Pending, false, false, "ContainerCreating", "0/1"),
        (&[], &["Y"], Phase::Running, true, false, "Running", "1/1"),
        (&[], &["R"], Phase::Running, false, false, "Running", "0/1"),
        (
            &["R", "W:PodInitializing"],
            &["W:PodInitializing"],
            Phase::Pending,
            false,
            false,
            "Init:0/2",
            "0/1",
        ),
        (&["T0", "R"], &["W:PodInitializing"], Phase::Pending, false, false, "Init:1/2", "0/1"),
        (
            &["T0", "T0"],
            &["W:PodInitializing"],
            Phase::Pending,
            false,
            false,
            "PodInitializing",
            "0/1",
        ),
        (&["T1:Error"], &["W:PodInitializing"], Phase::Failed, false, false, "Init:Error", "0/1"),
        (&["T1"], &["W:PodInitializing"], Phase::Pending, false, false, "Init:ExitCode:1", "0/1"),
        (
            &["W1:CrashLoopBackOff"],
            &["W:PodInitializing"],
            Phase::Pending,
            false,
            false,
            "Init:CrashLoopBackOff",
            "0/1",
        ),
        (&["+R"], &["W:PodInitializing"], Phase::Pending, false, false, "Init:0/1", "0/2"),
        (&["+Y"], &["Y"], Phase::Running, true, false, "Running", "2/2"),
        (
            &["+W1:CrashLoopBackOff"],
            &["Y"],
            Phase::Running,
            false,
            false,
            "Init:CrashLoopBackOff",
            "1/2",
        ),
        (&[], &["T1:Error"], Phase::Running, false, false, "Error", "0/1"),
        (&[], &["W1:CrashLoopBackOff"], Phase::Running, false, false, "CrashLoopBackOff", "0/1"),
        (&[], &["T0:Completed"], Phase::Succeeded, false, false, "Completed", "0/1"),
        (&[], &["T0:Completed", "Y"], Phase::Running, false, false, "NotReady", "1/2"),
        (&[], &["T0:Completed", "Y"], Phase::Running, true, false, "Running", "1/2"),
        (&[], &["T0:Completed", "T1:Error"], Phase::Failed, false, false, "Error", "0/2"),
        (&[], &["T1:Error", "T0:Completed"], Phase::Failed, false, false, "Error", "0/2"),
        (&[], &["T1:OOMKilled"], Phase::Running, false, false, "OOMKilled", "0/1"),
        (&[], &["T128:StartError"], Phase::Failed, false, false, "StartError", "0/1"),
        (&[], &["W:A", "W:B"], Phase::Pending, false, false, "A", "0/2"),
        (&[], &["Y"], Phase::Running, true, true, "Terminating", "1/1"),
        (&[], &["T0:Completed"], Phase::Succeeded, false, true, "Completed", "0/1"),
    ];
    for (inits, apps, phase, ready, deleted, want, want_ready) in table {
        let (plan, init, app) = made_of(Always, inits, apps);
        let status = pod_status(&plan, *phase, init, app, *ready);
        let row = columns(&plan, &status, deleted.then_some(Timestamp(S)), Timestamp(S));
        assert_eq!(
            (row.status.as_str(), row.ready.as_str()),
            (*want, *want_ready),
            "{inits:?} {apps:?}"
        );
    }
}

#[test]
fn a_pods_reason_goes_before_its_phase() {
    let (plan, init, app) = made_of(Always, &[], &["R"]);
    let mut status = pod_status(&plan, Phase::Failed, init, app, false);
    status.reason = Some("Evicted".into());
    assert_eq!(columns(&plan, &status, None, Timestamp(0)).status, "Evicted");
}

#[test]
fn restarts_name_the_age_of_the_newest() {
    let (plan, init, mut app) = made_of(Always, &[], &["W1:CrashLoopBackOff", "Y"]);
    app[0].restart_count = 3;
    let last = app[0].last_state.terminated.as_mut().expect("it ended");
    last.finished_at = Timestamp(100 * S);
    let status = pod_status(&plan, Phase::Running, init, app, false);
    assert_eq!(columns(&plan, &status, None, Timestamp(125 * S)).restarts, "3 (25s ago)");
    let (plan, init, app) = made_of(Always, &[], &["Y"]);
    let status = pod_status(&plan, Phase::Running, init, app, true);
    assert_eq!(columns(&plan, &status, None, Timestamp(0)).restarts, "0");
}

#[test]
fn restarts_count_init_containers_only_while_they_matter() {
    let (plan, mut init, mut app) = made_of(Always, &["R"], &["W:PodInitializing"]);
    init[0].restart_count = 2;
    let status = pod_status(&plan, Phase::Pending, init, app.clone(), false);
    assert_eq!(columns(&plan, &status, None, Timestamp(0)).restarts, "2");
    let (plan, mut init, _) = made_of(Always, &["T0", "+Y"], &["Y"]);
    (init[0].restart_count, init[1].restart_count) = (2, 4);
    app[0] = super::statuses::status("c0", "Y");
    let status = pod_status(&plan, Phase::Running, init, app, true);
    assert_eq!(columns(&plan, &status, None, Timestamp(0)).restarts, "4");
}

#[test]
fn gates_are_counted() {
    let (mut plan, init, app) = made_of(Always, &[], &["Y"]);
    let status = pod_status(&plan, Phase::Running, init, app, true);
    assert_eq!(columns(&plan, &status, None, Timestamp(0)).readiness_gates, "<none>");
    plan.readiness_gates = vec!["Ready".into(), "example.com/gate".into()];
    assert_eq!(columns(&plan, &status, None, Timestamp(0)).readiness_gates, "1/2");
}

#[test]
fn ages_are_written_as_kubectl_writes_them() {
    const H: u64 = 3600;
    let table = [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (310, "5m10s"),
        (600, "10m"),
        (3 * H - 1, "179m"),
        (3 * H, "3h"),
        (3 * H + 1200, "3h20m"),
        (8 * H, "8h"),
        (47 * H, "47h"),
        (51 * H, "2d3h"),
        (48 * H, "2d"),
        (24 * H * 400, "400d"),
        (24 * H * 800, "2y70d"),
        (24 * H * 365 * 9, "9y"),
    ];
    for (seconds, want) in table {
        assert_eq!(human_duration(std::time::Duration::from_secs(seconds)), want);
    }
}

fn condition<'a>(sim: &'a Sim, kind: &str) -> &'a Condition {
    let conditions = &sim.machine.status().conditions;
    conditions.iter().find(|found| found.r#type == kind).expect("a condition of that type")
}

/// Status, reason and message.
fn told(sim: &Sim, kind: &str) -> (String, String, String) {
    let found = condition(sim, kind).clone();
    (found.status, found.reason.unwrap_or_default(), found.message.unwrap_or_default())
}

fn verdict(status: &str, reason: &str, message: &str) -> (String, String, String) {
    (status.into(), reason.into(), message.into())
}

#[test]
fn conditions_tell_what_is_missing() {
    let mut plan = pod(Never, vec![container("main"), container("other")]);
    plan.init_containers = vec![container("init"), sidecar("side")];
    let scripts = [
        ("init", Script::exits(1000, 0)),
        ("main", Script::exits(5000, 0)),
        ("other", Script::exits(6000, 0)),
    ];
    let mut sim = Sim::begun(plan, &scripts);
    sim.run_for(S / 2);
    let missing = "containers with incomplete status: [init side]";
    assert_eq!(told(&sim, "Initialized"), verdict("False", "ContainersNotInitialized", missing));
    let unready = "containers with unready status: [side main other]";
    assert_eq!(told(&sim, "Ready"), verdict("False", "ContainersNotReady", unready));
    assert_eq!(told(&sim, "ContainersReady"), verdict("False", "ContainersNotReady", unready));
    assert_eq!(told(&sim, "PodScheduled"), verdict("True", "", ""));
    sim.run_for(3 * S);
    assert_eq!(told(&sim, "Initialized"), verdict("True", "", ""));
    assert_eq!(told(&sim, "Ready"), verdict("True", "", ""));
    sim.run_until_finished();
    assert_eq!(told(&sim, "Initialized"), verdict("True", "PodCompleted", ""));
    assert_eq!(told(&sim, "Ready"), verdict("False", "PodCompleted", ""));
    assert_eq!(told(&sim, "ContainersReady"), verdict("False", "PodCompleted", ""));
    let order: Vec<&str> =
        sim.machine.status().conditions.iter().map(|found| found.r#type.as_str()).collect();
    let want =
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    assert_eq!(order, want);
}

#[test]
fn a_failed_pod_is_not_ready_for_that_reason() {
    let mut sim = Sim::begun(pod(Never, vec![container("c")]), &[("c", Script::exits(10, 1))]);
    sim.run_until_finished();
    assert_eq!(told(&sim, "Ready"), verdict("False", "PodFailed", ""));
}

#[test]
fn readiness_gates_that_nobody_sets_are_missing() {
    let mut plan = pod(Always, vec![container("c")]);
    plan.readiness_gates = vec!["example.com/gate".into()];
    let mut sim = Sim::begun(plan, &[]);
    sim.run_for(S);
    let text = "corresponding condition of pod readiness gate \"example.com/gate\" does not exist.";
    assert_eq!(told(&sim, "Ready"), verdict("False", "ReadinessGatesNotReady", text));
    assert_eq!(told(&sim, "ContainersReady"), verdict("True", "", ""));
}

#[test]
fn a_transition_time_moves_only_with_the_status() {
    let mut plan = pod(Always, vec![container("c")]);
    plan.containers[0].readiness_probe = Some(probe(1, 1));
    let mut sim = Sim::begun(plan, &[]);
    sim.run_for(S);
    let since = condition(&sim, "Ready").last_transition_time;
    sim.run_for(20 * S);
    assert_eq!(condition(&sim, "Ready").last_transition_time, since);
    sim.tell(crate::lifecycle::Event::SandboxExited { attempt: 0 });
    sim.run_for(S);
    assert!(condition(&sim, "Ready").last_transition_time > since);
}

#[test]
fn statuses_carry_what_the_runtime_and_the_plan_say() {
    let mut plan = pod(Always, vec![container("b"), container("a")]);
    plan.containers[0].requests.insert("cpu".into(), Quantity::from_milli(500));
    plan.containers[0].mounts = vec![MountPlan {
        volume: "v".into(),
        path: "/v".into(),
        read_only: true,
        recursive_read_only: RecursiveReadOnly::Disabled,
        propagation: Propagation::Private,
        sub_path: None,
    }];
    let mut sim = Sim::begun(plan, &[]);
    assert_eq!(sim.app("b").image, "b:1");
    sim.run_for(S);
    let names: Vec<&str> =
        sim.machine.status().container_statuses.iter().map(|status| status.name.as_str()).collect();
    assert_eq!(names, ["a", "b"], "sorted by name");
    let status = sim.app("b");
    assert_eq!(status.container_id.as_deref(), Some("podrt://App0-0"));
    assert_eq!(status.image, "docker.io/library/image:1");
    assert_eq!(status.allocated_resources["cpu"], "500m");
    assert_eq!(status.volume_mounts[0].recursive_read_only.as_deref(), Some("Disabled"));
    assert_eq!(status.user.as_ref().map(|user| user.linux.uid), Some(0));
}
