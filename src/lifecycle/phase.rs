//! The pod's phase, from its container statuses (the kubelet's `getPhase`).

use crate::model::plan::{ContainerPlan, PodPlan, RestartPolicy};
use crate::model::status::{ContainerStatus, Phase, Terminated};

use super::event::ContainerKind;
use super::restart::{Exit, Verdict, verdict};
use super::restart_all::RESTARTING_ALL;

/// What the phase is read from. Statuses are in the order of the plan.
#[derive(Debug, Clone, Copy)]
pub struct PhaseInputs<'a> {
    pub plan: &'a PodPlan,
    pub init: &'a [ContainerStatus],
    pub app: &'a [ContainerStatus],
    /// An app container exists in the current sandbox.
    pub initialized: bool,
    /// Nothing of the pod runs any more, or will.
    pub over: bool,
}

#[derive(Debug, Default)]
struct Counts {
    init_failed_for_good: u32,
    pending_init: u32,
    pending_sidecar: u32,
    running: u32,
    waiting: u32,
    stopped: u32,
    stopped_for_good: u32,
    succeeded: u32,
}

/// The phase by the containers alone.
#[must_use]
pub fn phase(inputs: &PhaseInputs<'_>) -> Phase {
    let counts = count(inputs);
    if counts.init_failed_for_good > 0 {
        return Phase::Failed;
    }
    if counts.pending_init > 0
        || (counts.pending_sidecar > 0 && !inputs.initialized)
        || counts.waiting > 0
    {
        return Phase::Pending;
    }
    if counts.running > 0 {
        return Phase::Running;
    }
    if counts.stopped == 0 {
        return Phase::Pending;
    }
    let forced = inputs.over && !inputs.plan.is_static;
    if !forced && counts.stopped != counts.stopped_for_good {
        return Phase::Running;
    }
    if counts.stopped == counts.succeeded { Phase::Succeeded } else { Phase::Failed }
}

fn count(inputs: &PhaseInputs<'_>) -> Counts {
    let mut counts = Counts::default();
    let pod = inputs.plan.restart_policy;
    for (plan, status) in inputs.plan.init_containers.iter().zip(inputs.init) {
        if plan.is_sidecar() {
            counts.sidecar(status);
        } else {
            counts.plain_init(pod, plan, status);
        }
    }
    for (plan, status) in inputs.plan.containers.iter().zip(inputs.app) {
        counts.app(pod, plan, status);
    }
    counts
}

impl Counts {
    fn plain_init(&mut self, pod: RestartPolicy, plan: &ContainerPlan, status: &ContainerStatus) {
        match last_end(status) {
            Some(end) if end.exit_code == 0 => {}
            Some(end) if restartable(pod, ContainerKind::Init, plan, end) => {}
            Some(_) => self.init_failed_for_good += 1,
            None => self.pending_init += 1,
        }
    }

    fn sidecar(&mut self, status: &ContainerStatus) {
        if status.state.running.is_some() {
            self.running += 1;
            self.pending_sidecar += u32::from(!status.started);
        } else if last_end(status).is_none() {
            self.pending_sidecar += 1;
            self.waiting += 1;
        }
    }

    fn app(&mut self, pod: RestartPolicy, plan: &ContainerPlan, status: &ContainerStatus) {
        if status.state.running.is_some() {
            self.running += 1;
            return;
        }
        let Some(end) = last_end(status) else {
            self.waiting += 1;
            return;
        };
        self.stopped += 1;
        self.stopped_for_good += u32::from(!restartable(pod, ContainerKind::App, plan, end));
        self.succeeded += u32::from(status.state.terminated.is_some() && end.exit_code == 0);
    }
}

/// How it ended: now, or before it came to wait for its next start.
fn last_end(status: &ContainerStatus) -> Option<&Terminated> {
    if status.state.running.is_some() {
        return None;
    }
    status.state.terminated.as_ref().or(status.last_state.terminated.as_ref())
}

fn restartable(
    pod: RestartPolicy,
    kind: ContainerKind,
    plan: &ContainerPlan,
    end: &Terminated,
) -> bool {
    let exit = Exit { code: end.exit_code, oom_killed: end.reason == "OOMKilled" };
    end.reason == RESTARTING_ALL || verdict(pod, kind, plan, exit) != Verdict::Leave
}
