//! `exec`: a command in a container of a pod.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd as _, OwnedFd};

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use crate::cli::error::CliError;
use crate::model::Roots;
use crate::supervisor::client::{Client, Session};
use crate::supervisor::control::protocol::ExecOrder;

use super::args::ExecArgs;
use super::keys::DetachKeys;
use super::logs::default_container;
use super::pump::{self, Ends, Over, Screen};
use super::view;

/// Runs the verb: the command's exit code.
///
/// # Errors
/// A pod or container that is not there, a command that cannot be started.
pub fn run(args: &ExecArgs, roots: &Roots) -> Result<u8, CliError> {
    let command: Vec<String> = match args.command.split_first() {
        Some((dashes, rest)) if dashes == "--" => rest.to_vec(),
        _ => args.command.clone(),
    };
    if command.is_empty() {
        return Err(CliError::Refused(
            "you must specify at least one command for the container".into(),
        ));
    }
    let view = view::get(roots, &args.scope.key(&args.pod))?;
    let not_running = || CliError::Refused(format!("pod {:?} is not running", view.key.name));
    let plan = view.plan().ok_or_else(not_running)?;
    let container = match &args.container {
        Some(name) => name.clone(),
        None => default_container(plan).to_owned(),
    };
    let client = Client::connect(roots, &plan.uid)
        .map_err(|e| CliError::room(&e, e.kind()))?
        .ok_or_else(not_running)?;
    let tty = args.tty && io::stdin().is_terminal();
    if args.tty && !tty && !args.quiet {
        eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
    }
    let mut keys = DetachKeys::parse(&args.detach_keys).map_err(CliError::Refused)?;
    let size = tty.then(pump::terminal_size).flatten();
    let order = ExecOrder { container, command, tty, size };
    if tty {
        with_terminal(client, order, &mut keys)
    } else {
        with_pipes(client, order, args.stdin)
    }
}

/// The exit code as the shell sees it.
fn code(mut session: Session) -> Result<u8, CliError> {
    let code = session.wait().map_err(|e| CliError::room(&e, e.kind()))?;
    Ok(u8::try_from(code).unwrap_or(255))
}

fn with_terminal(client: Client, order: ExecOrder, keys: &mut DetachKeys) -> Result<u8, CliError> {
    let mut session = client.exec(order, None).map_err(|e| CliError::room(&e, e.kind()))?;
    let Some(master) = session.terminal_or_input.take() else { return code(session) };
    // Restored when it goes out of scope, whatever happens.
    let raw = pump::RawMode::enter().map_err(terminal_error)?;
    let screen = Screen { output: master.as_fd(), master: Some(master.as_fd()) };
    let copied = pump::terminal(&screen, session.as_fd(), keys);
    drop(raw);
    match copied.map_err(terminal_error)? {
        Over::Ended => code(session),
        Over::Detached => {
            session.detach(master).map_err(|e| CliError::room(&e, e.kind()))?;
            Ok(0)
        }
    }
}

fn with_pipes(client: Client, order: ExecOrder, stdin: bool) -> Result<u8, CliError> {
    // The container never gets this command's own streams: it could read the
    // terminal behind them, or change its settings.
    let (input, to_command) = if stdin {
        let (read, write) = pipe()?;
        (read, Some(write))
    } else {
        let null = File::open("/dev/null").map_err(terminal_error)?;
        (OwnedFd::from(null), None)
    };
    let (output, command_output) = pipe()?;
    let (errors, command_errors) = pipe()?;
    let stdio = [input, command_output, command_errors];
    let mut session = client.exec(order, Some(stdio)).map_err(|e| CliError::room(&e, e.kind()))?;
    let (output, errors) = (Some(output), Some(errors));
    let ends = Ends { to_command, output, errors, is_attached: false };
    pump::pipes(ends, &mut session).map_err(terminal_error)?;
    code(session)
}

pub(super) fn pipe() -> Result<(OwnedFd, OwnedFd), CliError> {
    pipe2(OFlag::O_CLOEXEC).map_err(|errno| terminal_error(errno.into()))
}

pub(super) fn terminal_error(error: io::Error) -> CliError {
    CliError::File { path: "terminal".into(), cause: error.to_string() }
}
