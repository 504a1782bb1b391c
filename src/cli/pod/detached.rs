//! `run -d`: until the pod is where it was asked to be, or cannot get there.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::cli::error::CliError;
use crate::model::event::PodEvent;
use crate::model::plan::PodPlan;
use crate::model::status::{ContainerStatus, Phase, PodStatus};
use crate::model::{Roots, Signal};
use crate::store::StatusRecord;
use crate::sys::event::SignalFd;

use super::args::{RunArgs, WaitFor};
use super::delete::{self, How};
use super::start::{Started, key_of};
use super::watched::{Watched, poll_error};

/// Waiting reasons that time alone does not mend.
const STUCK: [&str; 8] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "ErrImagePull",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ImageInspectError",
];

/// Events of a pod that the machine, as it is, gives no place.
const STUCK_EVENTS: [&str; 2] = ["FailedCreatePodSandBox", "FailedMount"];

/// What a waiting `run -d` makes of a status.
enum Verdict {
    Reached,
    GoOn,
    Failed(String),
}

/// Waits for every pod: the exit code.
///
/// # Errors
/// The first pod that cannot get there, or is not there in time. Then no pod
/// of this command is left, as after a SIGINT or SIGTERM.
pub(super) fn wait(
    args: &RunArgs,
    roots: &Roots,
    started: Vec<Started>,
    signals: &SignalFd,
) -> Result<u8, CliError> {
    let plans: Vec<PodPlan> = started.iter().map(|pod| pod.plan.clone()).collect();
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout);
    let mut interrupted = None;
    if args.wait != WaitFor::None {
        for pod in started {
            interrupted = Watched::new(pod)
                .and_then(|pod| wait_until(pod, args.wait, deadline, signals))
                .inspect_err(|_| remove(roots, &plans))?;
            if interrupted.is_some() {
                break;
            }
        }
    }
    if let Some(signal) = interrupted {
        remove(roots, &plans);
        // Both signals have numbers below 128.
        return Ok(128 + u8::try_from(signal.number()).unwrap_or(0));
    }
    for plan in &plans {
        println!("pod/{} created", plan.name);
    }
    Ok(0)
}

fn remove(roots: &Roots, plans: &[PodPlan]) {
    for plan in plans {
        if let Err(left) = delete::pod(roots, &key_of(plan), &How::forced(), true) {
            eprintln!("podrt: remove pod {:?}: {left}, ignoring", plan.name);
        }
    }
}

/// Waits for one pod; or the signal that came first.
fn wait_until(
    mut pod: Watched,
    wanted: WaitFor,
    deadline: Option<Instant>,
    signals: &SignalFd,
) -> Result<Option<Signal>, CliError> {
    let name = pod.plan.name.clone();
    let refused = |cause: &str| Err(CliError::Refused(format!("run pod {name:?}: {cause}")));
    loop {
        if let Some(record) = &pod.record {
            match judge(record, wanted, pod.has_ended) {
                Verdict::Reached => return Ok(None),
                Verdict::Failed(cause) => return refused(&cause),
                Verdict::GoOn => {}
            }
        }
        if pod.has_ended {
            return refused("it ended first");
        }
        pod.tell();
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return refused("timed out waiting");
        }
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        let mut fds = [
            PollFd::new(pod.watch.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(poll_error(errno)),
        }
        let [watch, signal] = fds.map(|fd| fd.any().unwrap_or(true));
        if signal && let Some(signal) = signals.next().map_err(|e| CliError::room(&e, e.kind()))? {
            return Ok(Some(signal));
        }
        if watch {
            pod.advance()?;
        }
    }
}

fn judge(record: &StatusRecord, wanted: WaitFor, has_ended: bool) -> Verdict {
    let status = &record.status;
    if let Some(cause) = stuck_container(status).or_else(|| stuck_pod(record)) {
        return Verdict::Failed(cause);
    }
    let reached = match wanted {
        WaitFor::None => true,
        WaitFor::Started => {
            status.phase.is_terminal()
                || status.container_statuses.iter().all(has_run)
                    && !status.container_statuses.is_empty()
        }
        WaitFor::Ready => {
            status.conditions.iter().any(|c| c.r#type == "Ready" && c.status == "True")
        }
        WaitFor::Completed => status.phase.is_terminal() && has_ended,
    };
    if reached {
        return match (wanted, status.phase) {
            (WaitFor::Completed, Phase::Failed) => Verdict::Failed(failure(status)),
            _ => Verdict::Reached,
        };
    }
    if status.phase.is_terminal() && wanted == WaitFor::Ready {
        return Verdict::Failed(failure(status));
    }
    Verdict::GoOn
}

fn has_run(status: &ContainerStatus) -> bool {
    status.state.running.is_some()
        || status.state.terminated.is_some()
        || status.last_state.terminated.is_some()
}

/// What keeps a pod that has no sandbox yet from getting one.
fn stuck_pod(record: &StatusRecord) -> Option<String> {
    let status = &record.status;
    let mut containers = status.init_container_statuses.iter().chain(&status.container_statuses);
    let has_begun = containers.any(has_run);
    let stuck = |event: &&PodEvent| STUCK_EVENTS.contains(&event.reason.as_str());
    let event = record.events.iter().find(stuck).filter(|_| !has_begun)?;
    Some(format!("{}: {}", event.reason, event.message))
}

/// The first container that waits for something that will not come, or whose
/// start failed.
fn stuck_container(status: &PodStatus) -> Option<String> {
    let statuses = status.init_container_statuses.iter().chain(&status.container_statuses);
    statuses.into_iter().find_map(|container| {
        let name = &container.name;
        if let Some(waiting) = &container.state.waiting
            && STUCK.contains(&waiting.reason.as_str())
        {
            return Some(format!("container {name:?}: {}: {}", waiting.reason, waiting.message));
        }
        let ended =
            container.state.terminated.as_ref().or(container.last_state.terminated.as_ref());
        let ended = ended.filter(|terminated| terminated.reason == "StartError")?;
        Some(format!("container {name:?}: StartError: {}", ended.message))
    })
}

fn failure(status: &PodStatus) -> String {
    let reason = status.reason.clone().or_else(|| {
        let all = status.init_container_statuses.iter().chain(&status.container_statuses);
        all.filter_map(|c| Some((&c.name, c.state.terminated.as_ref()?)))
            .find(|(_, terminated)| terminated.exit_code != 0)
            .map(|(name, ended)| format!("container {name:?} exited with {}", ended.exit_code))
    });
    format!(
        "it has {}{}",
        status.phase.as_str(),
        reason.map(|r| format!(": {r}")).unwrap_or_default()
    )
}
