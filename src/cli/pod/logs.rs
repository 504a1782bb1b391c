//! `logs`: what a pod's containers have written.

use std::os::fd::AsFd as _;
use std::path::PathBuf;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::cli::error::CliError;
use crate::cli::logs::Selection;
use crate::model::plan::{ContainerPlan, PodPlan};
use crate::model::status::{ContainerState, ContainerStatus, PodStatus};
use crate::model::{ErrorKind, Roots, Timestamp};
use crate::supervisor::client::{Client, Watch};

use super::args::LogsArgs;
use super::follow::{LogStreams, print_or_stop};
use super::selector::Selector;
use super::view::{self, PodView, Query};

/// One container whose log is read.
struct Source {
    folder: PathBuf,
    attempt: u32,
    prefix: Vec<u8>,
}

/// Runs the verb.
///
/// # Errors
/// A pod, a container or an instance that is not there, in kubectl's words.
pub fn run(args: &LogsArgs, roots: &Roots, now: Timestamp) -> Result<(), CliError> {
    let selection = selection(args, now)?;
    let views = views(args, roots)?;
    let mut sources = Vec::new();
    for view in &views {
        sources.extend(sources_of(view, args)?);
    }
    let go_on = args.follow && !args.previous;
    let mut streams = LogStreams::new(go_on).map_err(output_error)?;
    for source in sources {
        let selection = Selection { prefix: source.prefix, ..selection.clone() };
        streams.add(&source.folder, source.attempt, selection);
    }
    // Later instances only matter to those who wait for them.
    if !go_on {
        print_once(&mut streams)?;
        return Ok(());
    }
    follow(&views, roots, &mut streams)
}

fn print_once(streams: &mut LogStreams) -> Result<bool, CliError> {
    print_or_stop(streams).map_err(output_error)
}

fn output_error(error: std::io::Error) -> CliError {
    CliError::File { path: "logs".into(), cause: error.to_string() }
}

fn selection(args: &LogsArgs, now: Timestamp) -> Result<Selection, CliError> {
    let invalid = |text: String| Err(CliError::Refused(text));
    if args.since.is_some() && args.since_time.is_some() {
        return invalid("at most one of `sinceTime` or `sinceSeconds` may be specified".into());
    }
    if args.limit_bytes == Some(0) {
        return invalid("limitBytes: Invalid value: 0: must be greater than 0".into());
    }
    let tail = match args.tail {
        Some(lines) if lines < -1 => {
            return invalid(format!(
                "tailLines: Invalid value: {lines}: must be greater than or equal to 0"
            ));
        }
        Some(lines) => usize::try_from(lines).ok(),
        // With a selector kubectl shows the last ten lines of each.
        None => (!args.selector.is_empty() && !args.follow).then_some(10),
    };
    let since = match (&args.since, &args.since_time) {
        (Some(ago), _) => {
            Some(Timestamp(now.0.saturating_sub(u64::try_from(ago.as_nanos()).unwrap_or(0))))
        }
        (None, Some(text)) => match Timestamp::parse_rfc3339(text) {
            Some(time) => Some(time),
            None => return invalid(format!("--since-time {text:?} is not RFC 3339")),
        },
        (None, None) => None,
    };
    Ok(Selection {
        tail,
        since,
        limit_bytes: args.limit_bytes,
        timestamps: args.timestamps,
        prefix: Vec::new(),
    })
}

fn views(args: &LogsArgs, roots: &Roots) -> Result<Vec<PodView>, CliError> {
    match &args.pod {
        Some(pod) => Ok(vec![view::get(roots, &args.scope.key(pod))?]),
        None if !args.selector.is_empty() => {
            let namespace = Some(args.scope.namespace().to_owned());
            view::list(roots, &Query { namespace, selector: Selector::parse(&args.selector)? })
        }
        None => Err(CliError::Refused(
            "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'".into(),
        )),
    }
}

fn sources_of(view: &PodView, args: &LogsArgs) -> Result<Vec<Source>, CliError> {
    let pod = &view.key.name;
    let Some(plan) = view.plan() else {
        return Err(CliError::Refused(format!("pod {pod:?} is not running on this machine")));
    };
    let named = args.container.as_ref().or(args.container_argument.as_ref());
    let containers = chosen(plan, named, args.all_containers || !args.selector.is_empty())?;
    let folder = plan.roots.pod_logs(&plan.namespace, &plan.name, &plan.uid);
    let mut sources = Vec::new();
    for container in containers {
        let name = &container.name;
        let status = view.status().and_then(|status| status_of(status, name));
        let attempt = match instance(pod, name, status, args.previous) {
            Ok(attempt) => attempt,
            // With several, or waiting for more, one that has not begun is no error.
            Err(_) if args.all_containers || args.follow => 0,
            Err(error) => return Err(error),
        };
        let prefix = if args.prefix { format!("[pod/{pod}/{name}] ") } else { String::new() };
        sources.push(Source { folder: folder.join(name), attempt, prefix: prefix.into_bytes() });
    }
    Ok(sources)
}

fn chosen<'a>(
    plan: &'a PodPlan,
    named: Option<&String>,
    all: bool,
) -> Result<Vec<&'a ContainerPlan>, CliError> {
    let every =
        || plan.init_containers.iter().chain(&plan.containers).chain(&plan.ephemeral_containers);
    if let Some(name) = named {
        let found = every().find(|container| container.name == *name);
        return found.map(|container| vec![container]).ok_or_else(|| {
            CliError::Refused(format!("container {name} is not valid for pod {}", plan.name))
        });
    }
    if all {
        return Ok(every().collect());
    }
    Ok(plan.containers.iter().find(|c| c.name == default_container(plan)).into_iter().collect())
}

/// The container that is meant when none is named; says so where there is a
/// choice.
#[must_use]
pub fn default_container(plan: &PodPlan) -> &str {
    let annotated = plan.annotations.get("kubectl.kubernetes.io/default-container");
    let annotated = annotated.and_then(|name| plan.containers.iter().find(|c| c.name == *name));
    if let Some(container) = annotated {
        return &container.name;
    }
    let names: Vec<&str> = plan.containers.iter().map(|c| c.name.as_str()).collect();
    let first = names.first().copied().unwrap_or_default();
    if names.len() + plan.init_containers.len() > 1 {
        let init = plan.init_containers.iter().map(|c| format!("{} (init)", c.name));
        let all: Vec<String> = names.iter().map(|&n| n.to_owned()).chain(init).collect();
        eprintln!("Defaulted container {first:?} out of: {}", all.join(", "));
    }
    first
}

/// A container's status by its name.
#[must_use]
pub fn status_of<'a>(status: &'a PodStatus, name: &str) -> Option<&'a ContainerStatus> {
    let all = status.init_container_statuses.iter().chain(&status.container_statuses);
    all.chain(&status.ephemeral_container_statuses).find(|container| container.name == name)
}

/// The instance whose log is meant, by its attempt.
fn instance(
    pod: &str,
    name: &str,
    status: Option<&ContainerStatus>,
    previous: bool,
) -> Result<u32, CliError> {
    let refuse = |text: String| Err(CliError::Refused(text));
    let Some(status) = status else {
        return refuse(format!("container {name:?} in pod {pod:?} is not available"));
    };
    let has = |state: &ContainerState| state.terminated.is_some();
    if previous {
        return match has(&status.last_state) {
            true if status.state.waiting.is_some() => Ok(status.restart_count),
            true => Ok(status.restart_count.saturating_sub(1)),
            false => {
                refuse(format!("previous terminated container {name:?} in pod {pod:?} not found"))
            }
        };
    }
    match &status.state.waiting {
        Some(waiting) if !has(&status.last_state) => {
            let why = match waiting.reason.as_str() {
                "ErrImagePull" => "image can't be pulled",
                "ImagePullBackOff" => "trying and failing to pull image",
                reason => reason,
            };
            refuse(format!("container {name:?} in pod {pod:?} is waiting to start: {why}"))
        }
        _ => Ok(status.restart_count),
    }
}

/// Prints on until the pods have ended.
fn follow(views: &[PodView], roots: &Roots, streams: &mut LogStreams) -> Result<(), CliError> {
    let mut watches = Vec::new();
    for view in views {
        let Some(plan) = view.plan() else { continue };
        let client = Client::connect(roots, &plan.uid).map_err(|e| CliError::room(&e, e.kind()))?;
        if let Some(client) = client {
            watches.push(client.watch().map_err(|e| CliError::room(&e, e.kind()))?);
        }
    }
    loop {
        if !print_once(streams)? || streams.are_full() || watches.is_empty() {
            return Ok(());
        }
        let ended = wait(&watches, streams)?;
        for index in ended.into_iter().rev() {
            let next = watches[index].next().map_err(|e| CliError::room(&e, e.kind()))?;
            if next.is_none() {
                watches.remove(index);
            }
        }
    }
}

/// Waits for news; the watches that have some.
fn wait(watches: &[Watch], streams: &LogStreams) -> Result<Vec<usize>, CliError> {
    let mut fds: Vec<PollFd<'_>> =
        watches.iter().map(|watch| PollFd::new(watch.as_fd(), PollFlags::POLLIN)).collect();
    fds.push(PollFd::new(streams.as_fd(), PollFlags::POLLIN));
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => {
            let line = format!("poll: {}", crate::sys::error::describe(errno));
            return Err(CliError::Room { line, kind: ErrorKind::System });
        }
    }
    let ready = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
    Ok((0..watches.len()).filter(|&index| ready(&fds[index])).collect())
}
