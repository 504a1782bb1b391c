//! `attach`: the streams of a container that runs, and `run -it`, which waits
//! for its container.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value;

use crate::cli::error::CliError;
use crate::cli::logs::Selection;
use crate::model::plan::{ContainerPlan, PodPlan};
use crate::model::status::{Phase, PodStatus};
use crate::model::{PodKey, PodUid, Roots};
use crate::store::pods::PodStore;
use crate::supervisor::client::{Client, Session};
use crate::supervisor::control::protocol::AttachOrder;

use super::args::{AttachArgs, RunImageArgs, Streams};
use super::delete::{self, How};
use super::exec::{pipe, terminal_error};
use super::follow::{LogStreams, print_or_stop};
use super::keys::DetachKeys;
use super::logs::default_container;
use super::pump::{self, Ends, Over, Screen};
use super::run::exit_code;
use super::types::ResourceType;
use super::view;
use super::watched::poll_error;

/// Runs `attach`: 0 when the container has ended or the user has left.
///
/// # Errors
/// A pod or container that is not there or does not run.
pub fn run(args: &AttachArgs, roots: &Roots) -> Result<u8, CliError> {
    let view = view::get(roots, &args.scope.key(&args.pod))?;
    let name = &view.key.name;
    if let Some(status) = view.status().filter(|status| status.phase.is_terminal()) {
        return Err(CliError::Refused(format!(
            "cannot attach a container in a completed pod; current phase is {}",
            status.phase.as_str()
        )));
    }
    let not_running = || CliError::Refused(format!("pod {name:?} is not running"));
    let plan = view.plan().ok_or_else(not_running)?;
    let wanted = args.container.as_deref().unwrap_or_else(|| default_container(plan));
    let mut all =
        plan.init_containers.iter().chain(&plan.containers).chain(&plan.ephemeral_containers);
    let container = all
        .find(|container| container.name == wanted)
        .ok_or_else(|| CliError::Refused(format!("container {wanted} not found in pod {name}")))?;
    let client = connect(roots, &plan.uid)?.ok_or_else(not_running)?;
    Attachment::from_args(&args.streams, false)?.attach(client, container).map(|_| 0)
}

/// The pod's shim, while there is one.
///
/// # Errors
/// The supervisor's.
pub(super) fn connect(roots: &Roots, uid: &PodUid) -> Result<Option<Client>, CliError> {
    Client::connect(roots, uid).map_err(|e| CliError::room(&e, e.kind()))
}

/// How a user is attached.
#[derive(Debug)]
pub struct Attachment {
    pub stdin: bool,
    pub tty: bool,
    pub quiet: bool,
    /// For a container that is still to be made.
    pub wait: bool,
    pub keys: DetachKeys,
}

impl Attachment {
    /// What was typed; with `wait` for a container that is still to be made.
    ///
    /// # Errors
    /// Detach keys that are none.
    pub fn from_args(args: &Streams, wait: bool) -> Result<Self, CliError> {
        let keys = DetachKeys::parse(&args.detach_keys).map_err(CliError::Refused)?;
        Ok(Self { stdin: args.stdin, tty: args.tty, quiet: args.quiet, wait, keys })
    }

    /// [`Self::attach`] to a container that was just ordered, whose first words
    /// may be out already: whoever only reads need not miss them.
    ///
    /// # Errors
    /// As [`Self::attach`].
    pub fn attach_to_new(
        self,
        client: Client,
        plan: &PodPlan,
        container: &ContainerPlan,
    ) -> Result<Over, CliError> {
        if self.stdin || self.tty {
            self.attach(client, container)
        } else {
            follow_log(client, plan, container)
        }
    }

    /// Stays with the container until it has ended or the user has left.
    ///
    /// # Errors
    /// A container that does not run, a terminal that fails.
    pub fn attach(mut self, client: Client, container: &ContainerPlan) -> Result<Over, CliError> {
        if self.tty && !container.tty && !self.quiet {
            eprintln!("Unable to use a TTY - container {} did not allocate one", container.name);
        }
        let (output, shown) = pipe()?;
        let (errors, shown_errors) = pipe()?;
        let order =
            AttachOrder { container: container.name.clone(), stdin: self.stdin, wait: self.wait };
        let mut session = client
            .attach(order, [shown, shown_errors])
            .map_err(|e| CliError::room(&e, e.kind()))?;
        let far_end = session.terminal_or_input.take();
        if !session.tty || !self.stdin || !io::stdin().is_terminal() {
            let ends = Ends {
                to_command: far_end,
                output: Some(output),
                errors: Some(errors),
                is_attached: true,
            };
            pump::pipes(ends, &mut session).map_err(terminal_error)?;
            return Ok(Over::Ended);
        }
        if !self.quiet {
            eprintln!("If you don't see a command prompt, try pressing enter.");
        }
        let screen =
            Screen { output: output.as_fd(), master: far_end.as_ref().map(|fd| fd.as_fd()) };
        pump::fit(&screen);
        self.copy(&screen, &session)
    }

    fn copy(&mut self, screen: &Screen<'_>, session: &Session) -> Result<Over, CliError> {
        // Restored when it goes out of scope, whatever happens.
        let raw = pump::RawMode::enter().map_err(terminal_error)?;
        let over = pump::terminal(screen, session.as_fd(), &mut self.keys);
        drop(raw);
        let _ = io::stdout().flush();
        over.map_err(terminal_error)
    }
}

/// Stays with the pod that `run NAME --image` has just made: the exit code.
///
/// # Errors
/// A container that cannot be started; a terminal that fails.
pub fn to_new(args: &RunImageArgs, roots: &Roots, pod: &Value) -> Result<u8, CliError> {
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
    let key = PodKey { namespace: text("namespace"), name: text("name") };
    let view = view::get(roots, &key)?;
    let ended = || CliError::Refused(format!("pod {:?} has ended", key.name));
    let plan = view.plan().ok_or_else(ended)?.clone();
    let container = plan.containers.first().ok_or_else(ended)?;
    let over = match connect(roots, &plan.uid)? {
        Some(client) => {
            let how = Attachment::from_args(&args.streams, true)?;
            how.attach_to_new(client, &plan, container).or_else(|error| {
                // It may have been over before this command came to attach.
                print_log(roots, &plan, container).and_then(|found| match found {
                    true => Ok(Over::Ended),
                    false => Err(error),
                })
            })?
        }
        None => {
            print_log(roots, &plan, container)?;
            Over::Ended
        }
    };
    let mut code = 0;
    if over == Over::Ended && args.restart != "Always" {
        code = wait_for_end(roots, &plan.uid)?;
    }
    let left = over == Over::Detached;
    if args.rm && !left {
        let how = How::graceful();
        delete::pod(roots, &key, &how, true)?;
        if !args.streams.quiet {
            println!("{}", delete::report_line(ResourceType::Pod, &key, how));
        }
    } else if args.streams.stdin && (args.restart == "Always" || left) && !args.streams.quiet {
        eprintln!(
            "Session ended, resume using 'podrt attach {} -c {} -i{}' command when the pod is running",
            key.name,
            container.name,
            if args.streams.tty { " -t" } else { "" }
        );
    }
    Ok(code)
}

/// Prints what a container writes, from the first byte on, until it has ended.
fn follow_log(client: Client, plan: &PodPlan, container: &ContainerPlan) -> Result<Over, CliError> {
    let room = |e: crate::supervisor::Error| CliError::room(&e, e.kind());
    let mut watch = client.watch().map_err(room)?;
    let mut streams = log_of(plan, container)?;
    let mut has_ended = false;
    while !has_ended {
        let (written, changed) = (streams.as_fd(), watch.as_fd());
        let mut fds = [written, changed].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(poll_error(errno)),
        }
        if fds[1].any() == Some(true) {
            let record = watch.next().map_err(room)?;
            has_ended = record.is_none_or(|record| is_over(&record.status, &container.name));
        }
        if !print_or_stop(&mut streams).map_err(terminal_error)? {
            return Ok(Over::Ended);
        }
    }
    Ok(Over::Ended)
}

/// True once the container's first instance has ended, or the pod.
fn is_over(status: &PodStatus, container: &str) -> bool {
    let one = status.container_statuses.iter().find(|one| one.name == container);
    status.phase.is_terminal()
        || one.is_some_and(|one| {
            one.state.terminated.is_some() || one.last_state.terminated.is_some()
        })
}

fn log_of(plan: &PodPlan, container: &ContainerPlan) -> Result<LogStreams, CliError> {
    let folder = plan.roots.pod_logs(&plan.namespace, &plan.name, &plan.uid);
    let mut streams = LogStreams::new(false).map_err(terminal_error)?;
    streams.add(&folder.join(&container.name), 0, Selection::default());
    Ok(streams)
}

/// Prints what a container of a pod that has ended had to say; false for a pod
/// that has not.
fn print_log(roots: &Roots, plan: &PodPlan, container: &ContainerPlan) -> Result<bool, CliError> {
    let record = PodStore::new(&roots.root)
        .open(&plan.uid)
        .and_then(|record| record.status())
        .map_err(|e| CliError::room(&e, e.kind()))?;
    if !record.is_some_and(|record| record.status.phase.is_terminal()) {
        return Ok(false);
    }
    print_or_stop(&mut log_of(plan, container)?).map_err(terminal_error)?;
    Ok(true)
}

/// Waits until the pod has Succeeded or Failed: its exit code.
fn wait_for_end(roots: &Roots, uid: &PodUid) -> Result<u8, CliError> {
    let room = |e: crate::supervisor::Error| CliError::room(&e, e.kind());
    if let Some(client) = connect(roots, uid)? {
        let mut watch = client.watch().map_err(room)?;
        while let Some(record) = watch.next().map_err(room)? {
            if matches!(record.status.phase, Phase::Succeeded | Phase::Failed) {
                return Ok(exit_code(&record.status));
            }
        }
    }
    let record = PodStore::new(&roots.root)
        .open(uid)
        .and_then(|record| record.status())
        .map_err(|e| CliError::room(&e, e.kind()))?;
    Ok(record.map_or(1, |record| exit_code(&record.status)))
}
