//! `run`: pods in the foreground with their logs, or detached.

use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::cli::error::CliError;
use crate::cli::logs::Selection;
use crate::model::plan::PodPlan;
use crate::model::status::{Phase, PodStatus};
use crate::model::{Roots, Signal, Timestamp};
use crate::supervisor::client::Client;
use crate::supervisor::control::protocol::StopOrder;
use crate::sys::event::SignalFd;
use crate::sys::kernel;

use super::args::RunArgs;
use super::delete::{self, How};
use super::detached;
use super::follow::{LogStreams, prefixes, print_or_stop};
use super::start::{self, Started, key_of};
use super::watched::{Watched, poll_error};

/// Runs the verb: the exit code.
///
/// # Errors
/// What stood in the way; then nothing of the pods is left.
pub fn run(args: &RunArgs, roots: &Roots, now: Timestamp) -> Result<u8, CliError> {
    let planned = start::plan(args, roots, now)?;
    if !nix::unistd::geteuid().is_root() {
        return Err(CliError::NotRoot { verb: "run".into() });
    }
    kernel::check().map_err(|e| CliError::room(&e, e.kind()))?;
    // Blocked before the pods start, so that an early Ctrl-C is not lost.
    let signals =
        SignalFd::new(&[Signal::INT, Signal::TERM]).map_err(|e| CliError::room(&e, e.kind()))?;
    let started = planned.start(args, roots)?;
    if args.detach {
        detached::wait(args, roots, started, &signals)
    } else {
        foreground(args, roots, started, &signals)
    }
}

fn foreground(
    args: &RunArgs,
    roots: &Roots,
    started: Vec<Started>,
    signals: &SignalFd,
) -> Result<u8, CliError> {
    let mut streams = streams(&started, args.no_prefix).map_err(output_error)?;
    let mut pods = started.into_iter().map(Watched::new).collect::<Result<Vec<_>, _>>()?;
    let mut interrupted: Option<Signal> = None;
    let mut has_reader = true;
    while !pods.iter().all(|pod| pod.has_ended) {
        wait_for_any(&pods, &streams, signals)?;
        while let Some(signal) = signals.next().map_err(|e| CliError::room(&e, e.kind()))? {
            stop(&pods, roots, interrupted.is_some());
            interrupted = Some(signal);
        }
        for pod in &mut pods {
            if !pod.has_ended && is_readable(pod.watch.as_fd())? {
                pod.advance()?;
                pod.tell();
            }
        }
        has_reader = has_reader && print_or_stop(&mut streams).map_err(output_error)?;
    }
    if has_reader {
        print_or_stop(&mut streams).map_err(output_error)?;
    }
    for pod in &pods {
        report_end(pod);
        if args.rm {
            delete::pod(roots, &key_of(&pod.plan), &How::graceful(), true)?;
        }
    }
    Ok(match interrupted {
        // Both signals have numbers below 128.
        Some(signal) => 128 + u8::try_from(signal.number()).unwrap_or(0),
        None => {
            pods.iter().filter_map(Watched::status).map(exit_code).find(|c| *c != 0).unwrap_or(0)
        }
    })
}

fn output_error(error: std::io::Error) -> CliError {
    CliError::File { path: "standard output".into(), cause: error.to_string() }
}

fn report_end(pod: &Watched) {
    let Some(status) = pod.status() else { return };
    let reason = status.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    eprintln!("pod/{}: {}{reason}", pod.plan.name, status.phase.as_str());
}

/// The streams of all containers, with their names in front.
fn streams(started: &[Started], no_prefix: bool) -> std::io::Result<LogStreams> {
    let mut streams = LogStreams::new(true)?;
    let several = started.len() > 1;
    let label = |plan: &PodPlan, container: &str| {
        if several { format!("{}/{container}", plan.name) } else { container.to_owned() }
    };
    let names: Vec<String> = started
        .iter()
        .flat_map(|pod| containers(&pod.plan).map(|name| label(&pod.plan, name)))
        .collect();
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let prefixes = prefixes(&names, colour);
    for Started { plan, .. } in started {
        let folder = plan.roots.pod_logs(&plan.namespace, &plan.name, &plan.uid);
        for name in containers(plan) {
            let prefix = prefixes.get(&label(plan, name)).filter(|_| !no_prefix);
            let selection =
                Selection { prefix: prefix.cloned().unwrap_or_default(), ..Selection::default() };
            streams.add(&folder.join(name), 0, selection);
        }
    }
    Ok(streams)
}

fn containers(plan: &PodPlan) -> impl Iterator<Item = &str> {
    plan.init_containers.iter().chain(&plan.containers).map(|c| c.name.as_str())
}

fn wait_for_any(
    pods: &[Watched],
    streams: &LogStreams,
    signals: &SignalFd,
) -> Result<(), CliError> {
    let mut fds = vec![
        PollFd::new(streams.as_fd(), PollFlags::POLLIN),
        PollFd::new(signals.as_fd(), PollFlags::POLLIN),
    ];
    let live = pods.iter().filter(|pod| !pod.has_ended);
    fds.extend(live.map(|pod| PollFd::new(pod.watch.as_fd(), PollFlags::POLLIN)));
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(poll_error(errno)),
    }
}

fn is_readable(fd: std::os::fd::BorrowedFd<'_>) -> Result<bool, CliError> {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::ZERO) {
        Ok(count) => Ok(count > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(errno) => Err(poll_error(errno)),
    }
}

/// Asks every pod to end; the second time with force.
fn stop(pods: &[Watched], roots: &Roots, force: bool) {
    for pod in pods.iter().filter(|pod| !pod.has_ended) {
        let order = StopOrder {
            grace_seconds: force.then_some(0),
            force,
            delete: false,
            reason: Some("Terminated".into()),
            message: Some("podrt run was interrupted".into()),
        };
        let client = Client::connect(roots, &pod.plan.uid);
        let asked = client.and_then(|client| match client {
            Some(client) => client.stop(order, None),
            None => Ok(()),
        });
        if let Err(error) = asked {
            eprintln!("podrt: stop pod {:?}: {error}, ignoring", pod.plan.name);
        }
    }
}

/// 0 for a pod that Succeeded; else the exit code of the first container that
/// failed, 1 where none did.
pub(super) fn exit_code(status: &PodStatus) -> u8 {
    if status.phase == Phase::Succeeded {
        return 0;
    }
    let statuses = status.init_container_statuses.iter().chain(&status.container_statuses);
    let failed = statuses
        .filter_map(|container| container.state.terminated.as_ref())
        .filter(|terminated| terminated.exit_code != 0)
        .min_by_key(|terminated| terminated.finished_at);
    failed.and_then(|terminated| u8::try_from(terminated.exit_code).ok()).unwrap_or(1)
}
