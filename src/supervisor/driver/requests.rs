//! What clients ask of containers: exec and signals; attach is in
//! [`super::attach`].

use std::os::fd::{AsFd, OwnedFd};

use super::Driver;
use super::context::Context;
use super::names;
use super::run::Run;
use super::tasks::{Capture, Purpose, Task, Work};
use crate::container::{Console, ExecOptions, Stdio};
use crate::model::{ErrorKind, ExitStatus, Signal};
use crate::supervisor::control::protocol::{ExecOrder, Reply};
use crate::supervisor::token::{ClientId, RunId, Token};
use crate::sys::exec_view::ViewMounts;
use crate::sys::process::pidfd_send_signal;

/// A reply that waits to be sent.
#[derive(Debug)]
pub struct Outgoing {
    pub client: ClientId,
    pub reply: Reply,
    pub fds: Vec<OwnedFd>,
}

/// Why a request is refused.
#[derive(Debug)]
pub struct Refused {
    pub kind: ErrorKind,
    pub message: String,
}

impl Refused {
    pub(super) fn new(kind: ErrorKind, message: impl ToString) -> Self {
        Self { kind, message: message.to_string() }
    }
}

impl Driver {
    /// Replies that came up since the last call.
    pub fn take_replies(&mut self) -> Vec<Outgoing> {
        std::mem::take(&mut self.replies)
    }

    pub(super) fn answer(&mut self, client: ClientId, reply: Reply, fds: Vec<OwnedFd>) {
        self.replies.push(Outgoing { client, reply, fds });
    }

    /// Runs a command in a container; `Running` and `Exited` follow.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn exec(
        &mut self,
        client: ClientId,
        order: &ExecOrder,
        fds: Vec<OwnedFd>,
        cx: &mut Context<'_>,
    ) -> Result<(), Refused> {
        let invalid = |message: &str| Refused::new(ErrorKind::InvalidInput, message);
        let stdio = match (order.tty, <[OwnedFd; 3]>::try_from(fds)) {
            (true, _) => Stdio::Inherit,
            (false, Ok(fds)) => Stdio::Fds(fds),
            (false, Err(_)) => return Err(invalid("exec needs three descriptors")),
        };
        if order.command.is_empty() {
            return Err(invalid("you must specify at least one command for the container"));
        }
        let run = self.running(&order.container, cx)?;
        let commands = run.commands(cx).map_err(|e| Refused::new(ErrorKind::WrongState, e))?;
        let target = commands.target();
        let mut process = target.process.clone();
        process.set_args(Some(order.command.clone())).set_terminal(Some(order.tty));
        if let Some((columns, rows)) = order.size {
            let size = oci_spec::runtime::BoxBuilder::default()
                .width(u64::from(columns))
                .height(u64::from(rows))
                .build()
                .map_err(|error| Refused::new(ErrorKind::InvalidInput, error))?;
            process.set_console_size(Some(size));
        }
        let console = if order.tty { Console::HandOver } else { Console::None };
        let options = ExecOptions {
            process,
            stdio,
            console,
            pid_file: None,
            preserve_fds: 0,
            cgroup: None,
            ignore_paused: false,
            view_mounts: ViewMounts::default(),
        };
        let executing = target.begin(options).map_err(|error| Refused::new(error.kind(), error))?;
        let id = self.tasks.reserve();
        cx.wait_for(executing.fd(), Token::TaskProcess(id))
            .map_err(|error| Refused::new(error.kind(), error))?;
        let executing = Box::new(executing);
        let work = Work::Entering { executing, capture: Capture::default() };
        let task = Task { purpose: Purpose::Exec(client), work, deadline_ns: None };
        self.tasks.insert(id, task);
        Ok(())
    }

    pub(super) fn exec_running(&mut self, client: ClientId, pid: i32, console: Option<OwnedFd>) {
        self.answer(client, Reply::Running { pid }, console.into_iter().collect());
    }

    pub(super) fn exec_ended(&mut self, client: ClientId, end: Result<ExitStatus, String>) {
        let reply = match end {
            Ok(status) => Reply::Exited { code: status.code() },
            Err(message) => Reply::Failed { kind: ErrorKind::System.into(), message },
        };
        self.answer(client, reply, Vec::new());
    }

    /// Sends a signal to a container by its name.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn signal_by_name(
        &mut self,
        container: &str,
        signal: Signal,
        cx: &mut Context<'_>,
    ) -> Result<(), Refused> {
        let run = self.running(container, cx)?;
        let Some(process) = run.running() else { return Ok(()) };
        pidfd_send_signal(process.pidfd.as_fd(), signal)
            .map_err(|error| Refused::new(error.kind(), error))
    }

    /// The client has gone: what it asked for goes on without it.
    pub fn client_gone(&mut self, client: ClientId, cx: &mut Context<'_>) {
        if let Some(id) = self.tasks.find(Purpose::Exec(client))
            && let Some(task) = self.tasks.get_mut(id)
        {
            task.purpose = Purpose::Nobody;
        }
        self.waiting.retain(|waiting| waiting.client != client);
        for run in self.runs.values_mut() {
            let had_input =
                run.viewers.iter().any(|viewer| viewer.client == client && viewer.gave_input);
            run.viewers.retain(|viewer| viewer.client != client);
            let container = names::container(cx.plan, run.instance.container);
            if had_input && container.is_some_and(|container| container.stdin_once) {
                run.close_input(cx);
            }
        }
    }

    /// Those attached to a container are told how it ended.
    pub(super) fn end_sessions(&mut self, run_id: RunId, status: ExitStatus, cx: &mut Context<'_>) {
        // Its last words come first.
        self.drain_output(run_id, cx);
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        let clients: Vec<ClientId> = run.viewers.drain(..).map(|viewer| viewer.client).collect();
        for client in clients {
            self.answer(client, Reply::Exited { code: status.code() }, Vec::new());
        }
    }

    /// The running container of that name.
    fn running(&mut self, name: &str, cx: &Context<'_>) -> Result<&mut Run, Refused> {
        if names::by_name(cx.plan, name).is_none() {
            let message = format!("container {name} is not valid for pod {}", cx.plan.name);
            return Err(Refused::new(ErrorKind::NotFound, message));
        }
        let run = self.runs.values_mut().find(|run| run.name == name && run.running().is_some());
        run.ok_or_else(|| {
            Refused::new(ErrorKind::WrongState, format!("container not found (\"{name}\")"))
        })
    }
}

impl Run {
    /// Ends the container's input.
    pub(super) fn close_input(&mut self, cx: &mut Context<'_>) {
        if self.input.take().is_some() {
            cx.let_go(&names::key(self.instance, names::Held::Input));
        }
    }
}
