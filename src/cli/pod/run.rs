//! `run`: pods in the foreground with their logs, or detached.

use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::cli::error::CliError;
use crate::cli::logs::Selection;
use crate::model::event::EventType;
use crate::model::plan::PodPlan;
use crate::model::status::{ContainerStatus, Phase, PodStatus};
use crate::model::{Roots, Signal, Timestamp};
use crate::store::StatusRecord;
use crate::supervisor::client::{Client, Watch};
use crate::supervisor::control::protocol::StopOrder;
use crate::sys::event::SignalFd;
use crate::sys::kernel;

use super::args::{RunArgs, WaitFor};
use super::delete::{self, How};
use super::follow::{LogStreams, prefixes, print_or_stop};
use super::start::{self, Started, key_of};

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
        detached(args, roots, started)
    } else {
        foreground(args, roots, started, &signals)
    }
}

/// A pod that is being watched.
#[derive(Debug)]
struct Watched {
    plan: PodPlan,
    watch: Watch,
    record: Option<StatusRecord>,
    /// Events already told.
    told: usize,
    has_ended: bool,
}

impl Watched {
    fn new(started: Started) -> Result<Self, CliError> {
        let watch = started.client.watch().map_err(|e| CliError::room(&e, e.kind()))?;
        Ok(Self { plan: started.plan, watch, record: None, told: 0, has_ended: false })
    }

    /// Takes in one message of the shim.
    fn advance(&mut self) -> Result<(), CliError> {
        match self.watch.next().map_err(|e| CliError::room(&e, e.kind()))? {
            Some(record) => self.record = Some(record),
            None => self.has_ended = true,
        }
        Ok(())
    }

    fn status(&self) -> Option<&PodStatus> {
        self.record.as_ref().map(|record| &record.status)
    }

    /// Tells the user of warnings since the last time; not of the missing
    /// cluster DNS, which is a machine's normal state without a cluster.
    fn tell(&mut self) {
        let Some(record) = &self.record else { return };
        for event in record.events.iter().skip(self.told) {
            if event.r#type == EventType::Warning && event.reason != "MissingClusterDNS" {
                let container = event
                    .field_path
                    .as_deref()
                    .and_then(|path| path.split_once('{'))
                    .map(|(_, name)| format!(" container {:?}:", name.trim_end_matches('}')));
                let container = container.unwrap_or_default();
                eprintln!("pod/{}:{container} {}: {}", self.plan.name, event.reason, event.message);
            }
        }
        self.told = record.events.len();
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
    let mut streams = LogStreams::new()?;
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

fn poll_error(errno: nix::errno::Errno) -> CliError {
    let error = crate::sys::SyscallError::new("poll", "", errno);
    CliError::room(&error, error.kind())
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
            Some(mut client) => client.stop(order),
            None => Ok(()),
        });
        if let Err(error) = asked {
            eprintln!("podrt: stop pod {:?}: {error}, ignoring", pod.plan.name);
        }
    }
}

/// 0 for a pod that Succeeded; else the exit code of the first container that
/// failed, 1 where none did.
fn exit_code(status: &PodStatus) -> u8 {
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

/// What a waiting `run -d` makes of a status.
enum Verdict {
    Reached,
    GoOn,
    Failed(String),
}

fn detached(args: &RunArgs, roots: &Roots, started: Vec<Started>) -> Result<u8, CliError> {
    let plans: Vec<PodPlan> = started.iter().map(|pod| pod.plan.clone()).collect();
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout);
    let mut result = Ok(());
    if args.wait != WaitFor::None {
        result = started
            .into_iter()
            .try_for_each(|pod| wait_until(Watched::new(pod)?, args.wait, deadline));
    }
    if let Err(error) = result {
        for plan in &plans {
            if let Err(left) = delete::pod(roots, &key_of(plan), &How::forced(), true) {
                eprintln!("podrt: remove pod {:?}: {left}, ignoring", plan.name);
            }
        }
        return Err(error);
    }
    for plan in &plans {
        println!("pod/{} created", plan.name);
    }
    Ok(0)
}

fn wait_until(
    mut pod: Watched,
    wanted: WaitFor,
    deadline: Option<Instant>,
) -> Result<(), CliError> {
    let name = pod.plan.name.clone();
    loop {
        if let Some(status) = pod.status() {
            match judge(status, wanted, pod.has_ended) {
                Verdict::Reached => return Ok(()),
                Verdict::Failed(cause) => {
                    return Err(CliError::Refused(format!("run pod {name:?}: {cause}")));
                }
                Verdict::GoOn => {}
            }
        }
        if pod.has_ended {
            return Err(CliError::Refused(format!("run pod {name:?}: it ended first")));
        }
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(CliError::Refused(format!("run pod {name:?}: timed out waiting")));
        }
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        let mut fds = [PollFd::new(pod.watch.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => pod.advance()?,
            Err(errno) => return Err(poll_error(errno)),
        }
    }
}

fn judge(status: &PodStatus, wanted: WaitFor, has_ended: bool) -> Verdict {
    if let Some(cause) = stuck(status) {
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

/// The first container that waits for something that will not come, or whose
/// start failed.
fn stuck(status: &PodStatus) -> Option<String> {
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
