//! The client's side of a shim: start a pod, ask it, watch it, end it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::control::protocol::{AttachOrder, ExecOrder, StopOrder};
use super::error::Result;
use crate::model::plan::PodPlan;
use crate::model::{PodUid, Roots, Signal};
use crate::store::StatusRecord;

/// How a pod's processes are started.
#[derive(Debug, Clone, Default)]
pub struct SpawnOptions {
    /// The shim's executable; by default the `podrt-shim` beside this
    /// program's own file.
    pub shim: Option<std::path::PathBuf>,
    /// What goes to `shim.log`: `error`, `warn`, `info`, `debug`, `trace`.
    pub log_level: Option<String>,
}

/// A connection to a pod's shim.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    uid: PodUid,
}

/// Claims the pod's name and uid, writes its record and starts its keeper and
/// shim. Returns as soon as the shim can be asked; it has begun then, and goes
/// on whatever becomes of the caller.
///
/// # Errors
/// [`super::Error::Store`] when the name or uid is taken; [`super::Error::NoShim`],
/// [`super::Error::Launch`].
pub fn spawn(_plan: &PodPlan, _options: &SpawnOptions) -> Result<Client> {
    todo!("first landing: signatures")
}

/// Removes everything of a pod whose shim has ended: its record, its folder
/// below the data root, its logs. (A running pod is stopped with
/// [`Client::stop_and_wait`] first.)
///
/// # Errors
/// [`super::Error::Store`], [`super::Error::Launch`].
pub fn remove_ended(_roots: &Roots, _uid: &PodUid) -> Result<()> {
    todo!("first landing: signatures")
}

impl Client {
    /// Connects to the pod's shim. `Ok(None)`: no shim runs, what is on disk
    /// is all there is.
    ///
    /// # Errors
    /// [`super::Error::Socket`].
    pub fn connect(_roots: &Roots, _uid: &PodUid) -> Result<Option<Self>> {
        todo!("first landing: signatures")
    }

    /// The pod whose shim this is.
    #[must_use]
    pub fn uid(&self) -> &PodUid {
        &self.uid
    }

    /// The status and events of this moment.
    ///
    /// # Errors
    /// [`super::Error::NoAnswer`].
    pub fn status(&mut self) -> Result<StatusRecord> {
        todo!("first landing: signatures")
    }

    /// The status now and after each change.
    ///
    /// # Errors
    /// [`super::Error::NoAnswer`].
    pub fn watch(self) -> Result<Watch> {
        todo!("first landing: signatures")
    }

    /// Asks the pod to end and returns.
    ///
    /// # Errors
    /// [`super::Error::NoAnswer`], [`super::Error::Refused`].
    pub fn stop(&mut self, _order: StopOrder) -> Result<()> {
        todo!("first landing: signatures")
    }

    /// Asks the pod to end and waits until nothing of it is left but its
    /// records.
    ///
    /// # Errors
    /// [`super::Error::NoAnswer`], [`super::Error::Refused`].
    pub fn stop_and_wait(self, _order: StopOrder) -> Result<()> {
        todo!("first landing: signatures")
    }

    /// Sends a signal to a container's process 1.
    ///
    /// # Errors
    /// [`super::Error::NoAnswer`], [`super::Error::Refused`].
    pub fn signal(&mut self, _container: &str, _signal: Signal) -> Result<()> {
        todo!("first landing: signatures")
    }

    /// Runs a command in a container. `stdio` are the ends the process gets
    /// (never the caller's own streams: make pipes); `None` with `order.tty`.
    ///
    /// # Errors
    /// [`super::Error::Refused`] when the command cannot be started (the
    /// runtime's words), [`super::Error::NoAnswer`].
    pub fn exec(self, _order: ExecOrder, _stdio: Option<[OwnedFd; 3]>) -> Result<Session> {
        todo!("first landing: signatures")
    }

    /// Gets a copy of a container's output from now on, written to the two
    /// given descriptors (pipes of the caller's making).
    ///
    /// # Errors
    /// [`super::Error::Refused`], [`super::Error::NoAnswer`].
    pub fn attach(self, _order: AttachOrder, _output: [OwnedFd; 2]) -> Result<Session> {
        todo!("first landing: signatures")
    }
}

/// A stream of statuses; pollable by its descriptor.
#[derive(Debug)]
pub struct Watch {
    socket: OwnedFd,
}

impl Watch {
    /// Waits for the next status; `None` when nothing of the pod is left but
    /// its records. When the shim was killed and started again, goes on with
    /// the new one.
    ///
    /// # Errors
    /// [`super::Error::NoAnswer`].
    pub fn next(&mut self) -> Result<Option<StatusRecord>> {
        todo!("first landing: signatures")
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A running exec or attach; pollable: readable once there is an answer.
#[derive(Debug)]
pub struct Session {
    socket: OwnedFd,
    /// With a terminal: its master end, for data and TIOCSWINSZ. Attached with
    /// input and without a terminal: the write end of the input.
    pub terminal_or_input: Option<OwnedFd>,
    /// True when `terminal_or_input` is a terminal's master.
    pub tty: bool,
}

impl Session {
    /// Waits until the process has ended: its exit code as a shell tells it.
    ///
    /// # Errors
    /// [`super::Error::NoAnswer`].
    pub fn wait(&mut self) -> Result<i32> {
        todo!("first landing: signatures")
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
