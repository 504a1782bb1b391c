//! The pod's status, put together.

use crate::model::Timestamp;
use crate::model::plan::{ContainerPlan, PodPlan};
use crate::model::status::{
    ContainerState, ContainerStatus, IpEntry, Phase, PodStatus, Terminated,
};

use super::conditions::{ConditionInputs, conditions};
use super::container::Container;
use super::container_status::container_status;
use super::event::{ContainerKind, ContainerRef};
use super::exit::{LOST_TEXT, UNKNOWN};
use super::machine::PodMachine;
use super::memory::{Course, DoomKind};
use super::phase::{PhaseInputs, phase};

/// The status of a pod of which nothing is known.
pub(super) fn blank(plan: &PodPlan) -> PodStatus {
    PodStatus {
        phase: Phase::Pending,
        conditions: Vec::new(),
        message: None,
        reason: None,
        host_ip: None,
        host_ips: Vec::new(),
        pod_ip: None,
        pod_ips: Vec::new(),
        start_time: None,
        init_container_statuses: Vec::new(),
        container_statuses: Vec::new(),
        ephemeral_container_statuses: Vec::new(),
        qos_class: plan.qos,
        observed_generation: plan.generation,
    }
}

impl PodMachine {
    /// The status by all that is known at `wall`.
    pub(super) fn derive_status(&self, wall: Timestamp) -> PodStatus {
        let memory = &self.memory;
        let rejected = memory.doom.as_ref().is_some_and(|doom| doom.kind == DoomKind::Rejected);
        let list = |kind| if rejected { Vec::new() } else { self.statuses(kind) };
        let mut init = list(ContainerKind::Init);
        let mut app = list(ContainerKind::App);
        let phase = self.derive_phase(&init, &app);
        if self.is_final() && !rejected {
            settle(&self.plan, &mut init, &mut app);
        }
        let inputs =
            ConditionInputs { plan: &self.plan, memory, init: &init, app: &app, phase, wall };
        let conditions = conditions(&inputs);
        let sandbox = &memory.sandbox;
        PodStatus {
            phase,
            conditions,
            message: memory.doom.as_ref().map(|doom| doom.message.clone()),
            reason: memory.doom.as_ref().map(|doom| doom.reason.clone()),
            host_ip: sandbox.host_ips.first().cloned(),
            host_ips: entries(&sandbox.host_ips),
            pod_ip: sandbox.pod_ips.first().cloned(),
            pod_ips: entries(&sandbox.pod_ips),
            start_time: memory.start_time,
            init_container_statuses: init,
            container_statuses: by_name(app),
            ephemeral_container_statuses: by_name(list(ContainerKind::Ephemeral)),
            ..blank(&self.plan)
        }
    }

    fn statuses(&self, kind: ContainerKind) -> Vec<ContainerStatus> {
        let goes_on = self.goes_on();
        let of = |id: ContainerRef| {
            container_status(&self.plan, id, &self.memory.containers[id], goes_on)
        };
        self.memory.containers.refs().filter(|id| id.kind == kind).map(of).collect()
    }

    /// True while containers may be started.
    pub(super) fn goes_on(&self) -> bool {
        !matches!(self.memory.course, Course::Ending(_) | Course::Ended | Course::Gone)
    }

    /// True once nothing of the pod runs any more.
    fn is_final(&self) -> bool {
        matches!(self.memory.course, Course::Ended | Course::Gone)
    }

    /// A terminal phase is never left; a doomed pod has failed at once; one
    /// that ends before it got anywhere has failed too.
    fn derive_phase(&self, init: &[ContainerStatus], app: &[ContainerStatus]) -> Phase {
        let old = self.memory.status.phase;
        if old.is_terminal() {
            return old;
        }
        if self.memory.doom.is_some() {
            return Phase::Failed;
        }
        let sandbox = self.memory.sandbox.attempt;
        let in_sandbox =
            |app: &Container| app.run.as_ref().is_some_and(|run| run.sandbox == sandbox);
        let found = phase(&PhaseInputs {
            plan: &self.plan,
            init,
            app,
            initialized: self.memory.containers.app.iter().any(in_sandbox),
            over: self.is_final(),
        });
        let forced = self.is_final() && !self.plan.is_static && !found.is_terminal();
        if forced { Phase::Failed } else { found }
    }
}

/// What was never heard of again counts as killed: every app container of a
/// pod that was initialised, and init containers up to the last that ran.
fn settle(plan: &PodPlan, init: &mut [ContainerStatus], app: &mut [ContainerStatus]) {
    if was_initialized(plan, init, app) {
        app.iter_mut().for_each(settle_one);
    }
    let seen = |status: &ContainerStatus| ever_ran(status) || status.started;
    if let Some(last) = init.iter().rposition(seen) {
        init[..=last].iter_mut().for_each(settle_one);
    }
}

fn settle_one(status: &mut ContainerStatus) {
    if status.state.terminated.is_none() {
        let lost = Terminated {
            exit_code: 137,
            reason: UNKNOWN.to_owned(),
            message: LOST_TEXT.to_owned(),
            started_at: Timestamp(0),
            finished_at: Timestamp(0),
            container_id: String::new(),
        };
        status.state = ContainerState { terminated: Some(lost), ..ContainerState::default() };
    }
}

fn was_initialized(plan: &PodPlan, init: &[ContainerStatus], app: &[ContainerStatus]) -> bool {
    let last_done = |plan: &ContainerPlan, status: &ContainerStatus| {
        if plan.is_sidecar() {
            status.started
        } else {
            status.state.terminated.as_ref().is_some_and(|end| end.exit_code == 0)
        }
    };
    plan.init_containers.is_empty()
        || app.iter().any(ever_ran)
        || plan.init_containers.last().zip(init.last()).is_some_and(|(p, s)| last_done(p, s))
}

fn ever_ran(status: &ContainerStatus) -> bool {
    status.state.running.is_some()
        || status.state.terminated.is_some()
        || status.last_state.terminated.is_some()
}

fn entries(ips: &[String]) -> Vec<IpEntry> {
    ips.iter().map(|ip| IpEntry { ip: ip.clone() }).collect()
}

fn by_name(mut statuses: Vec<ContainerStatus>) -> Vec<ContainerStatus> {
    statuses.sort_by(|a, b| a.name.cmp(&b.name));
    statuses
}
