//! Which containers are wanted next, and whether the pod is done.
//!
//! Init containers are judged from the end of the list: the last one that ever
//! had an instance in this initialisation says where to go on. Once an app
//! container runs only sidecars are looked at.

use crate::model::plan::PodPlan;

use super::container::{Container, Containers, Ended};
use super::event::{ContainerKind, ContainerRef};
use super::machine::spec;
use super::restart::{Verdict, init_failed, verdict};

/// What the pod needs now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// To start these, in this order, each when its back-off allows; nothing
    /// when the list is empty.
    Start(Vec<ContainerRef>),
    /// An init container failed for good.
    InitFailed,
    /// Every app container ended for good.
    Completed,
}

/// What the facts about the containers ask for.
#[must_use]
pub fn need(plan: &PodPlan, containers: &Containers) -> Need {
    let mut starts: Vec<ContainerRef> = ephemeral_starts(containers).collect();
    let inits = match init_progress(plan, containers) {
        InitProgress::Failed => return Need::InitFailed,
        InitProgress::Going { starts: inits, done } => {
            starts.extend(inits.into_iter().map(init_ref));
            done
        }
    };
    if !inits {
        return Need::Start(starts);
    }
    let mut kept = false;
    for index in 0..containers.app.len() {
        let id = ContainerRef { kind: ContainerKind::App, index };
        let container = &containers[id];
        if container.alive().is_some() || container.is_ordered() {
            kept = true;
        } else if wants_start(plan, id, container) {
            kept = true;
            starts.push(id);
        }
    }
    if kept { Need::Start(starts) } else { Need::Completed }
}

/// True when an ended or never started container is to be started by its
/// policy and rules.
#[must_use]
pub fn wants_start(plan: &PodPlan, id: ContainerRef, container: &Container) -> bool {
    if container.alive().is_some() {
        return false;
    }
    container.ended().is_none_or(|ended| restarts(plan, id, ended))
}

/// True when a container that ended so runs again.
#[must_use]
pub fn restarts(plan: &PodPlan, id: ContainerRef, ended: &Ended) -> bool {
    ended.forced_restart
        || verdict(plan.restart_policy, id.kind, spec(plan, id), ended.exit) != Verdict::Leave
}

pub(super) fn init_ref(index: usize) -> ContainerRef {
    ContainerRef { kind: ContainerKind::Init, index }
}

/// An ephemeral container is started once, at any time.
fn ephemeral_starts(containers: &Containers) -> impl Iterator<Item = ContainerRef> {
    let never_ran = |(index, container): (usize, &Container)| {
        let waits = container.run.is_none() && container.next_attempt == 0;
        waits.then_some(ContainerRef { kind: ContainerKind::Ephemeral, index })
    };
    containers.ephemeral.iter().enumerate().filter_map(never_ran)
}

enum InitProgress {
    Going { starts: Vec<usize>, done: bool },
    Failed,
}

fn init_progress(plan: &PodPlan, containers: &Containers) -> InitProgress {
    if app_runs(containers) {
        let starts = down_sidecars(plan, containers, containers.init.len(), true);
        return InitProgress::Going { starts, done: true };
    }
    let Some(last) = containers.init.iter().rposition(|init| init.run.is_some()) else {
        let first = (!containers.init.is_empty()).then_some(0);
        return InitProgress::Going { starts: first.into_iter().collect(), done: first.is_none() };
    };
    let mut starts = down_sidecars(plan, containers, last, false);
    match judge_last(plan, containers, last) {
        LastInit::Failed => return InitProgress::Failed,
        LastInit::Busy => {}
        LastInit::Again => starts.push(last),
        LastInit::Passed if last + 1 < containers.init.len() => starts.push(last + 1),
        LastInit::Passed => return InitProgress::Going { starts, done: true },
    }
    InitProgress::Going { starts, done: false }
}

/// Initialisation is not looked at again while an app container is there.
fn app_runs(containers: &Containers) -> bool {
    containers.app.iter().any(|app| app.alive().is_some() || app.is_ordered())
}

/// Sidecars before `end` that are not running; those that never were only
/// where `missing` counts as down.
fn down_sidecars(plan: &PodPlan, containers: &Containers, end: usize, missing: bool) -> Vec<usize> {
    let down = |init: &Container| match init.run {
        None => missing,
        Some(_) => init.ended().is_some(),
    };
    (0..end)
        .filter(|&index| plan.init_containers[index].is_sidecar() && down(&containers.init[index]))
        .collect()
}

enum LastInit {
    Busy,
    Again,
    Passed,
    Failed,
}

fn judge_last(plan: &PodPlan, containers: &Containers, last: usize) -> LastInit {
    let init = &containers.init[last];
    let sidecar = plan.init_containers[last].is_sidecar();
    match init.ended() {
        None if sidecar && init.is_started() => LastInit::Passed,
        None => LastInit::Busy,
        Some(_) if sidecar => LastInit::Again,
        Some(ended) if !init_failed(ended.exit) => LastInit::Passed,
        Some(ended) if restarts(plan, init_ref(last), ended) => LastInit::Again,
        Some(_) => LastInit::Failed,
    }
}
