//! The pod's conditions (kubelet `status/generate.go`).

use crate::model::Timestamp;
use crate::model::plan::{ContainerPlan, PodPlan};
use crate::model::status::{Condition, ContainerStatus, Phase};

use super::memory::{Course, DoomKind, Memory};
use super::restart::has_restart_all_rule;

/// What the conditions are read from. Statuses are in the order of the plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConditionInputs<'a> {
    pub plan: &'a PodPlan,
    pub memory: &'a Memory,
    pub init: &'a [ContainerStatus],
    pub app: &'a [ContainerStatus],
    pub phase: Phase,
    pub wall: Timestamp,
}

/// One condition before its times are known.
#[derive(Debug)]
struct Verdict {
    r#type: &'static str,
    holds: bool,
    reason: Option<&'static str>,
    message: String,
}

impl Verdict {
    fn holds(r#type: &'static str) -> Self {
        Self { r#type, holds: true, reason: None, message: String::new() }
    }

    fn fails(r#type: &'static str, reason: &'static str, message: String) -> Self {
        Self { r#type, holds: false, reason: Some(reason), message }
    }
}

pub(super) fn conditions(inputs: &ConditionInputs<'_>) -> Vec<Condition> {
    let verdicts = [
        disruption(inputs),
        Some(ready_to_start(inputs)),
        Some(initialized(inputs)),
        Some(ready(inputs)),
        Some(containers_ready(inputs, "ContainersReady")),
        Some(Verdict::holds("PodScheduled")),
        restarting(inputs),
    ];
    verdicts.into_iter().flatten().map(|verdict| timed(verdict, inputs)).collect()
}

/// The transition time moves only with the status.
fn timed(verdict: Verdict, inputs: &ConditionInputs<'_>) -> Condition {
    let status = if verdict.holds { "True" } else { "False" };
    let known = inputs.memory.status.conditions.iter().find(|old| old.r#type == verdict.r#type);
    let since = match known {
        Some(old) if old.status == status => old.last_transition_time,
        _ => super::machine::whole(inputs.wall),
    };
    Condition {
        r#type: verdict.r#type.to_owned(),
        status: status.to_owned(),
        observed_generation: inputs.plan.generation,
        last_probe_time: None,
        last_transition_time: since,
        reason: verdict.reason.map(str::to_owned),
        message: Some(verdict.message).filter(|text| !text.is_empty()),
    }
}

fn disruption(inputs: &ConditionInputs<'_>) -> Option<Verdict> {
    let doom = inputs.memory.doom.as_ref().filter(|doom| doom.kind == DoomKind::Disrupted)?;
    let mut verdict = Verdict::holds("DisruptionTarget");
    verdict.reason = Some("TerminationByKubelet");
    verdict.message.clone_from(&doom.message);
    Some(verdict)
}

fn ready_to_start(inputs: &ConditionInputs<'_>) -> Verdict {
    let holds = inputs.memory.sandbox.is_ready();
    Verdict { holds, ..Verdict::holds("PodReadyToStartContainers") }
}

fn initialized(inputs: &ConditionInputs<'_>) -> Verdict {
    const TYPE: &str = "Initialized";
    if inputs.phase == Phase::Succeeded {
        return Verdict { reason: Some("PodCompleted"), ..Verdict::holds(TYPE) };
    }
    let app_seen =
        inputs.app.iter().any(|app| app.state.running.is_some() || app.state.terminated.is_some());
    let stays = matches!(inputs.memory.course, Course::RestartingAll { .. })
        && inputs.memory.status.conditions.iter().any(|old| old.r#type == TYPE && old.is_true());
    if app_seen || stays {
        return Verdict::holds(TYPE);
    }
    if inputs.init.is_empty() && !inputs.plan.init_containers.is_empty() {
        let names = all_names(&inputs.plan.init_containers);
        return Verdict::fails(TYPE, "UnknownContainerStatuses", listed("unknown", &names));
    }
    let done = |plan: &ContainerPlan, status: &ContainerStatus| {
        if plan.is_sidecar() { status.started } else { status.ready }
    };
    let incomplete =
        names_where(&inputs.plan.init_containers, inputs.init, |plan, status| !done(plan, status));
    if incomplete.is_empty() {
        return Verdict::holds(TYPE);
    }
    Verdict::fails(TYPE, "ContainersNotInitialized", listed("incomplete", &incomplete))
}

fn containers_ready(inputs: &ConditionInputs<'_>, r#type: &'static str) -> Verdict {
    match inputs.phase {
        Phase::Succeeded => return Verdict::fails(r#type, "PodCompleted", String::new()),
        Phase::Failed => return Verdict::fails(r#type, "PodFailed", String::new()),
        Phase::Pending | Phase::Running => {}
    }
    let sidecars = names_where(&inputs.plan.init_containers, inputs.init, |plan, status| {
        plan.is_sidecar() && !status.ready
    });
    let apps = names_where(&inputs.plan.containers, inputs.app, |_, status| !status.ready);
    let unready = [sidecars, apps].concat();
    if unready.is_empty() {
        return Verdict::holds(r#type);
    }
    Verdict::fails(r#type, "ContainersNotReady", listed("unready", &unready))
}

/// Nobody sets a readiness gate's condition here, so each is missing.
fn ready(inputs: &ConditionInputs<'_>) -> Verdict {
    let containers = containers_ready(inputs, "Ready");
    if !containers.holds || inputs.plan.readiness_gates.is_empty() {
        return containers;
    }
    let gates: Vec<String> = inputs
        .plan
        .readiness_gates
        .iter()
        .map(|gate| {
            format!("corresponding condition of pod readiness gate {gate:?} does not exist.")
        })
        .collect();
    Verdict::fails("Ready", "ReadinessGatesNotReady", gates.join(", "))
}

fn restarting(inputs: &ConditionInputs<'_>) -> Option<Verdict> {
    const TYPE: &str = "AllContainersRestarting";
    let plan = inputs.plan;
    if !has_restart_all_rule(plan.init_containers.iter().chain(&plan.containers)) {
        return None;
    }
    let mut verdict = Verdict::holds(TYPE);
    match (inputs.phase, &inputs.memory.course) {
        (Phase::Succeeded, _) => (verdict.holds, verdict.reason) = (false, Some("PodCompleted")),
        (Phase::Failed, _) => (verdict.holds, verdict.reason) = (false, Some("PodFailed")),
        (_, Course::RestartingAll { .. }) => {
            verdict.reason = Some("RestartAllContainersStarted");
            "container exited with restart policy rule".clone_into(&mut verdict.message);
        }
        _ => verdict.holds = false,
    }
    Some(verdict)
}

fn all_names(plans: &[ContainerPlan]) -> Vec<&str> {
    plans.iter().map(|plan| plan.name.as_str()).collect()
}

fn names_where<'a>(
    plans: &'a [ContainerPlan],
    statuses: &[ContainerStatus],
    matches: impl Fn(&ContainerPlan, &ContainerStatus) -> bool,
) -> Vec<&'a str> {
    plans
        .iter()
        .zip(statuses)
        .filter(|(plan, status)| matches(plan, status))
        .map(|(plan, _)| plan.name.as_str())
        .collect()
}

/// `containers with unready status: [a b]`
fn listed(what: &str, names: &[&str]) -> String {
    format!("containers with {what} status: [{}]", names.join(" "))
}

impl Condition {
    fn is_true(&self) -> bool {
        self.status == "True"
    }
}
