//! Clients that see what a container writes, and may write to it.

use std::os::fd::{AsFd, OwnedFd};

use super::Driver;
use super::context::Context;
use super::names;
use super::requests::Refused;
use super::run::{Run, Stage, Viewer};
use crate::model::ErrorKind;
use crate::supervisor::control::protocol::{AttachOrder, Reply};
use crate::supervisor::token::{ClientId, RunId};
use crate::sys::pipe::set_nonblocking;

/// A client whose container has not been made yet.
#[derive(Debug)]
pub struct Waiting {
    pub client: ClientId,
    order: AttachOrder,
    output: [OwnedFd; 2],
}

impl Driver {
    /// Shows a client the output of a container from now on; of one that is
    /// still to be made, if the client will wait, from the first byte on.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn attach(
        &mut self,
        client: ClientId,
        order: AttachOrder,
        fds: Vec<OwnedFd>,
        cx: &mut Context<'_>,
    ) -> Result<(), Refused> {
        let invalid = |message: &str| Refused::new(ErrorKind::InvalidInput, message);
        let output =
            <[OwnedFd; 2]>::try_from(fds).map_err(|_| invalid("attach needs two descriptors"))?;
        for end in &output {
            set_nonblocking(end).map_err(|error| Refused::new(error.kind(), error))?;
        }
        let Some((_, container)) = names::by_name(cx.plan, &order.container) else {
            let message =
                format!("container {} is not valid for pod {}", order.container, cx.plan.name);
            return Err(Refused::new(ErrorKind::NotFound, message));
        };
        let has_terminal = container.tty;
        let waiting = Waiting { client, order, output };
        let found = self.runs.iter().find(|(_, run)| run.takes_viewers(&waiting, has_terminal));
        match found.map(|(&id, _)| id) {
            Some(run_id) => self.seat(run_id, waiting),
            None if waiting.order.wait => {
                self.waiting.push(waiting);
                Ok(())
            }
            None => {
                let message = format!("container not found ({:?})", waiting.order.container);
                Err(Refused::new(ErrorKind::WrongState, message))
            }
        }
    }

    fn seat(&mut self, run_id: RunId, waiting: Waiting) -> Result<(), Refused> {
        let Some(run) = self.runs.get_mut(&run_id) else { return Ok(()) };
        let Waiting { client, order, output: [stdout, stderr] } = waiting;
        let input = run.terminal.as_ref().or(run.input.as_ref()).filter(|_| order.stdin);
        let input = input.map(|fd| fd.as_fd().try_clone_to_owned()).transpose();
        let input = input.map_err(|error| Refused::new(ErrorKind::Exhausted, error))?;
        let tty = run.terminal.is_some();
        let gave_input = input.is_some();
        run.viewers.push(Viewer { client, stdout: Some(stdout), stderr: Some(stderr), gave_input });
        self.answer(client, Reply::Attached { tty }, input.into_iter().collect());
        Ok(())
    }

    /// A container has its streams: those who waited for it are attached
    /// before anything is read from them.
    pub(super) fn seat_waiting(&mut self, run_id: RunId, cx: &Context<'_>) {
        let Some(run) = self.runs.get(&run_id) else { return };
        let has_terminal =
            names::by_name(cx.plan, &run.name).is_some_and(|(_, container)| container.tty);
        let (seated, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| run.takes_viewers(waiting, has_terminal));
        self.waiting = waiting;
        for waiting in seated {
            let client = waiting.client;
            if let Err(Refused { kind, message }) = self.seat(run_id, waiting) {
                self.answer(client, Reply::Failed { kind: kind.into(), message }, Vec::new());
            }
        }
    }

    /// A client has no more input for the container it is attached to.
    pub fn input_ended(&mut self, client: ClientId, cx: &mut Context<'_>) {
        for run in self.runs.values_mut() {
            let gave = run.viewers.iter_mut().find(|viewer| viewer.client == client);
            let Some(viewer) = gave.filter(|viewer| viewer.gave_input) else { continue };
            viewer.gave_input = false;
            let container = names::container(cx.plan, run.instance.container);
            if container.is_some_and(|container| container.stdin_once) {
                run.close_input(cx);
            }
        }
    }
}

impl Run {
    /// Whether it is the container that the client waits for, with its streams
    /// in place.
    fn takes_viewers(&self, waiting: &Waiting, has_terminal: bool) -> bool {
        self.name == waiting.order.container
            && !matches!(self.stage, Stage::Ended)
            && (!has_terminal || self.terminal.is_some())
    }
}
