//! One container's status, as users read it.

use crate::model::plan::{ContainerPlan, MountPlan, PodPlan, RecursiveReadOnly};
use crate::model::status::{
    ContainerState, ContainerStatus, ContainerUser, Running, Terminated, VolumeMountStatus, Waiting,
};

use super::container::{Container, Ended, Fault, Run, Stage};
use super::event::{ContainerKind, ContainerRef};
use super::machine::spec;
use super::start::shows_fault;

/// The bytes all termination messages of a pod share.
const MESSAGES_BYTES: usize = 12_288;

/// The status of one container. `goes_on` is false once the pod ends: then no
/// container is shown as waiting for another start.
pub(super) fn container_status(
    plan: &PodPlan,
    id: ContainerRef,
    container: &Container,
    goes_on: bool,
) -> ContainerStatus {
    let spec = spec(plan, id);
    let (run, before) = container.shown();
    let room = message_room(plan);
    let state = state(plan, id, container, run, goes_on);
    let last = match run.map(|run| &run.stage) {
        Some(Stage::Ended(ended)) if state.waiting.is_some() => Some(ended),
        _ => before,
    };
    let from = run.and_then(|run| run.from.as_ref());
    ContainerStatus {
        name: spec.name.clone(),
        ready: ready(plan, id, container, &state),
        started: id.kind != ContainerKind::Ephemeral && container.is_started(),
        state: cut(state, room),
        last_state: cut(last.map_or_else(ContainerState::default, terminated), room),
        restart_count: restart_count(container, run),
        image: from.map_or_else(|| spec.image.clone(), |from| from.image.clone()),
        image_id: from.map(|from| from.image_id.clone()).unwrap_or_default(),
        container_id: from.map(|from| shown_id(&from.container_id)),
        allocated_resources: match run.map(|run| &run.stage) {
            Some(Stage::Alive(_)) => requests(spec),
            _ => std::collections::BTreeMap::new(),
        },
        volume_mounts: spec.mounts.iter().map(mount_status).collect(),
        user: from.map(|from| ContainerUser { linux: from.user.clone() }),
    }
}

fn state(
    plan: &PodPlan,
    id: ContainerRef,
    container: &Container,
    run: Option<&Run>,
    goes_on: bool,
) -> ContainerState {
    match run.map(|run| &run.stage) {
        Some(Stage::Alive(alive)) => ContainerState {
            running: Some(Running { started_at: alive.started_at }),
            ..ContainerState::default()
        },
        Some(Stage::Ended(ended)) => match &container.fault {
            Some(fault) if goes_on && shows_fault(plan, id, ended) => waiting(fault),
            _ => terminated(ended),
        },
        None => match &container.fault {
            Some(fault) => waiting(fault),
            None => waiting(&Fault::new(first_reason(plan), "")),
        },
    }
}

/// Why a container waits of which nothing is known yet.
fn first_reason(plan: &PodPlan) -> &'static str {
    if plan.init_containers.is_empty() { "ContainerCreating" } else { "PodInitializing" }
}

/// Plain init containers are ready once they succeeded, ephemeral ones never.
fn ready(plan: &PodPlan, id: ContainerRef, container: &Container, state: &ContainerState) -> bool {
    match id.kind {
        ContainerKind::Ephemeral => false,
        ContainerKind::Init if !spec(plan, id).is_sidecar() => {
            state.terminated.as_ref().is_some_and(|end| end.exit_code == 0)
        }
        ContainerKind::Init | ContainerKind::App => container.is_ready(),
    }
}

/// The attempt of the newest instance; one that was removed counts already.
fn restart_count(container: &Container, shown: Option<&Run>) -> u32 {
    match (shown, &container.run) {
        (Some(run), _) | (None, Some(run)) => run.attempt,
        (None, None) => container.next_attempt,
    }
}

fn waiting(fault: &Fault) -> ContainerState {
    let waiting = Waiting { reason: fault.reason.clone(), message: fault.message.clone() };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn terminated(ended: &Ended) -> ContainerState {
    let terminated = Terminated {
        exit_code: ended.exit.code,
        reason: ended.reason.clone(),
        message: ended.message.clone(),
        started_at: ended.started_at,
        finished_at: ended.finished_at,
        container_id: shown_id(&ended.container_id),
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

/// `<runtime>://<id>`
fn shown_id(id: &str) -> String {
    if id.is_empty() { String::new() } else { format!("podrt://{id}") }
}

/// How many bytes of a termination message are shown.
fn message_room(plan: &PodPlan) -> usize {
    let count =
        plan.init_containers.len() + plan.containers.len() + plan.ephemeral_containers.len();
    MESSAGES_BYTES / count.max(1)
}

/// Keeps the first `room` bytes of the termination message, whole characters.
fn cut(mut state: ContainerState, room: usize) -> ContainerState {
    if let Some(terminated) = &mut state.terminated {
        let end = terminated.message.floor_char_boundary(room);
        terminated.message.truncate(end);
    }
    state
}

fn requests(spec: &ContainerPlan) -> std::collections::BTreeMap<String, String> {
    spec.requests.iter().map(|(name, amount)| (name.clone(), amount.to_string())).collect()
}

fn mount_status(mount: &MountPlan) -> VolumeMountStatus {
    let recursive = match mount.recursive_read_only {
        RecursiveReadOnly::Disabled => "Disabled",
        RecursiveReadOnly::IfPossible | RecursiveReadOnly::Enabled => "Enabled",
    };
    VolumeMountStatus {
        name: mount.volume.clone(),
        mount_path: mount.path.clone(),
        read_only: mount.read_only,
        recursive_read_only: mount.read_only.then(|| recursive.to_owned()),
    }
}
