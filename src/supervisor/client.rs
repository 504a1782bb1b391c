//! The client's side of a shim: ask a pod, watch it, end it, run something in
//! it. How a pod is started is in [`super::spawn()`].

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::control::channel::{Channel, Flushed, Received};
use super::control::protocol::{AttachOrder, ExecOrder, Reply, Request, StopOrder};
use super::control::socket;
use super::error::{Error, Result};
pub use super::spawn::{SpawnOptions, spawn};
pub use super::teardown::{remove_ended, remove_folders, remove_lost, take_down};
use crate::model::plan::PodPlan;
use crate::model::{PodUid, Roots, Signal};
use crate::store::{self, PodStore, StatusRecord};
use crate::sys::SyscallError;

/// A connection to a pod's shim.
#[derive(Debug)]
pub struct Client {
    channel: Channel,
    roots: Roots,
    uid: PodUid,
}

impl Client {
    /// Connects to the pod's shim. `Ok(None)`: no shim runs, what is on disk
    /// is all there is. Of `roots` only `root` counts.
    ///
    /// # Errors
    /// [`Error::Socket`].
    pub fn connect(roots: &Roots, uid: &PodUid) -> Result<Option<Self>> {
        let socket = socket::connection(&roots.pod_run(uid))?;
        Ok(socket.map(|socket| Self {
            channel: Channel::new(socket),
            roots: roots.clone(),
            uid: uid.clone(),
        }))
    }

    /// The pod whose shim this is.
    #[must_use]
    pub fn uid(&self) -> &PodUid {
        &self.uid
    }

    /// The status and events of this moment.
    ///
    /// # Errors
    /// [`Error::NoAnswer`].
    pub fn status(&mut self) -> Result<StatusRecord> {
        self.send(&Request::Status, Vec::new())?;
        match self.answer()? {
            (Reply::Status(status), _) => Ok(*status),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// The status now and after each change. A shim that has ended already is
    /// seen by [`Watch::next`].
    ///
    /// # Errors
    /// [`Error::Garbled`], [`Error::Socket`].
    pub fn watch(mut self) -> Result<Watch> {
        match self.send(&Request::Watch, Vec::new()) {
            Ok(()) | Err(Error::NoAnswer { .. }) => Ok(Watch { client: self, seen: None }),
            Err(error) => Err(error),
        }
    }

    /// Asks the pod to end and returns when the shim has it on record, or the
    /// pod has ended by itself.
    ///
    /// # Errors
    /// [`Error::NoAnswer`], [`Error::Refused`]; [`Error::TooSlow`] after
    /// `until`.
    pub fn stop(self, order: StopOrder, until: Option<Instant>) -> Result<()> {
        match self.ask_to_end(&Request::Stop(order), until)? {
            None | Some((_, Reply::Accepted)) => Ok(()),
            Some((_, other)) => Err(unexpected(&other)),
        }
    }

    /// Asks the pod to end without hearing what the shim says to it.
    ///
    /// # Errors
    /// [`Error::NoAnswer`].
    pub fn tell_to_stop(mut self, order: StopOrder) -> Result<()> {
        self.send(&Request::Stop(order), Vec::new())
    }

    /// Asks the pod to end and waits until nothing of it is left but its
    /// records.
    ///
    /// # Errors
    /// [`Error::NoAnswer`] when the shim went away and none came back,
    /// [`Error::Refused`]; [`Error::TooSlow`] after `until`: the pod goes on
    /// ending.
    pub fn stop_and_wait(self, order: StopOrder, until: Option<Instant>) -> Result<()> {
        match self.ask_to_end(&Request::StopAndWait(order), until)? {
            None => Ok(()),
            Some((mut client, Reply::Ended)) => client.await_processes(until),
            Some((_, other)) => Err(unexpected(&other)),
        }
    }

    /// The shim's reply, and whose it is; `None` when the pod had ended before
    /// its shim heard of it.
    fn ask_to_end(
        mut self,
        request: &Request,
        until: Option<Instant>,
    ) -> Result<Option<(Self, Reply)>> {
        loop {
            let sent = self.send(request, Vec::new()).and_then(|()| self.await_answer(until));
            match sent.and_then(|()| self.answer()) {
                Ok((reply, _)) => return Ok(Some((self, reply))),
                // Killed and started again: asking twice is no harm.
                Err(Error::NoAnswer { .. }) => match Self::connect(&self.roots, &self.uid)? {
                    Some(next) => self = next,
                    None => return self.ended_unheard().map(|()| None),
                },
                Err(error) => return Err(error),
            }
        }
    }

    /// Changes the pod: labels, annotations, images, deadline and new
    /// ephemeral containers are taken from `plan`.
    ///
    /// # Errors
    /// [`Error::NoAnswer`], [`Error::Refused`].
    pub fn amend(&mut self, plan: PodPlan) -> Result<()> {
        self.send(&Request::Amend(Box::new(plan)), Vec::new())?;
        self.accepted()
    }

    /// Sends a signal to a container's process 1.
    ///
    /// # Errors
    /// [`Error::NoAnswer`], [`Error::Refused`].
    pub fn signal(&mut self, container: &str, signal: Signal) -> Result<()> {
        let container = container.to_owned();
        self.send(&Request::Signal { container, signal }, Vec::new())?;
        self.accepted()
    }

    /// Runs a command in a container. `stdio` are the ends the process gets
    /// (never the caller's own streams: make pipes); `None` with `order.tty`.
    ///
    /// # Errors
    /// [`Error::Refused`] when the command cannot be started (the runtime's
    /// words), [`Error::NoAnswer`].
    pub fn exec(mut self, order: ExecOrder, stdio: Option<[OwnedFd; 3]>) -> Result<Session> {
        let tty = order.tty;
        let fds = stdio.map(Vec::from).unwrap_or_default();
        self.send(&Request::Exec(order), fds)?;
        match self.answer()? {
            (Reply::Running { .. }, fds) => Ok(self.into_session(fds, tty)),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// Gets a copy of a container's output from now on, written to the two
    /// given descriptors (pipes of the caller's making).
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::NoAnswer`].
    pub fn attach(mut self, order: AttachOrder, output: [OwnedFd; 2]) -> Result<Session> {
        self.send(&Request::Attach(order), Vec::from(output))?;
        match self.answer()? {
            (Reply::Attached { tty }, fds) => Ok(self.into_session(fds, tty)),
            (other, _) => Err(unexpected(&other)),
        }
    }

    fn into_session(self, fds: Vec<OwnedFd>, tty: bool) -> Session {
        Session { client: self, terminal_or_input: fds.into_iter().next(), tty }
    }

    fn send(&mut self, request: &Request, fds: Vec<OwnedFd>) -> Result<()> {
        self.channel.queue(request, fds);
        match self.channel.flush() {
            Flushed::All | Flushed::Some => Ok(()),
            Flushed::Gone => Err(self.no_answer()),
        }
    }

    fn answer(&mut self) -> Result<(Reply, Vec<OwnedFd>)> {
        match self.channel.receive()? {
            Received::Message(Reply::Failed { kind, message }, _) => {
                Err(Error::Refused { kind: kind.into(), message })
            }
            Received::Message(reply, fds) => Ok((reply, fds)),
            Received::Nothing | Received::End => Err(self.no_answer()),
        }
    }

    /// Waits until the shim says something, or is gone.
    fn await_answer(&self, until: Option<Instant>) -> Result<()> {
        let Some(until) = until else { return Ok(()) };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut socket = [PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
            match poll(&mut socket, timeout) {
                Ok(0) if until <= Instant::now() => {
                    return Err(Error::TooSlow { uid: self.uid.clone() });
                }
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => {
                    let path = socket::path(&self.roots.pod_run(&self.uid));
                    let cause = SyscallError::new("poll", "", errno);
                    return Err(Error::Socket { verb: "wait for", path, cause });
                }
            }
        }
    }

    fn accepted(&mut self) -> Result<()> {
        match self.answer()? {
            (Reply::Accepted, _) => Ok(()),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// The keeper holds the other end until it ends itself, the last of the
    /// pod's processes.
    fn wait_for_processes(&mut self) {
        while self.answer().is_ok() {}
    }

    /// As [`Client::wait_for_processes`], not longer than `until`.
    fn await_processes(&mut self, until: Option<Instant>) -> Result<()> {
        loop {
            self.await_answer(until)?;
            if self.answer().is_err() {
                return Ok(());
            }
        }
    }

    /// The shim went without a word and none came back: it had ended if it
    /// left a final record.
    fn ended_unheard(&self) -> Result<()> {
        // Another command's wish to delete the pod came first.
        let record = match PodStore::new(&self.roots.root).open(&self.uid) {
            Err(store::Error::NoSuchPod { .. }) => return Ok(()),
            record => record?,
        };
        if record.is_supervised()? { Err(self.no_answer()) } else { Ok(()) }
    }

    fn no_answer(&self) -> Error {
        Error::NoAnswer { uid: self.uid.clone() }
    }
}

fn unexpected(reply: &Reply) -> Error {
    Error::Garbled { cause: format!("unexpected reply {reply:?}") }
}

/// A stream of statuses; pollable by its descriptor, which changes when the
/// shim was started again: take it anew before each wait.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    /// The status that was returned last.
    seen: Option<StatusRecord>,
}

impl Watch {
    /// Waits for the next status; `None` when nothing of the pod is left but
    /// its records. When the shim was killed and started again, goes on with
    /// the new one.
    ///
    /// # Errors
    /// [`Error::Garbled`], [`Error::Socket`].
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot fail")]
    pub fn next(&mut self) -> Result<Option<StatusRecord>> {
        loop {
            match self.client.answer() {
                Ok((Reply::Status(status), _)) => {
                    self.seen = Some(*status.clone());
                    return Ok(Some(*status));
                }
                Ok((Reply::Ended, _)) => {
                    self.client.wait_for_processes();
                    return Ok(None);
                }
                Ok((other, _)) => return Err(unexpected(&other)),
                Err(Error::NoAnswer { .. }) => {
                    let Some(next) = Client::connect(&self.client.roots, &self.client.uid)? else {
                        return self.last_word();
                    };
                    self.client = next;
                    // One that dies again right away is seen by the next look.
                    let _ = self.client.send(&Request::Watch, Vec::new());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The shim went before it heard of this watch, or with its last status
    /// unsent: the record has it.
    fn last_word(&mut self) -> Result<Option<StatusRecord>> {
        let pods = PodStore::new(&self.client.roots.root);
        let record = match pods.open(&self.client.uid).and_then(|record| record.status()) {
            // Deleted.
            Err(store::Error::NoSuchPod { .. }) => None,
            record => record?,
        };
        let news = record.filter(|record| self.seen.as_ref() != Some(record));
        self.seen.clone_from(&news);
        Ok(news)
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.client.channel.as_fd()
    }
}

/// A running exec or attach; pollable: readable once there is an answer.
#[derive(Debug)]
pub struct Session {
    client: Client,
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
    /// [`Error::NoAnswer`].
    pub fn wait(&mut self) -> Result<i32> {
        match self.client.answer()? {
            (Reply::Exited { code }, _) => Ok(code),
            (other, _) => Err(unexpected(&other)),
        }
    }
}

impl Session {
    /// Leaves a process that was run with a terminal: it goes on, and what it
    /// writes is read and dropped.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::NoAnswer`].
    pub fn detach(mut self, terminal: OwnedFd) -> Result<()> {
        self.client.send(&Request::Detach, vec![terminal])?;
        loop {
            match self.client.answer()? {
                (Reply::Accepted, _) => return Ok(()),
                // It ended at the same moment.
                (Reply::Exited { .. }, _) => {}
                (other, _) => return Err(unexpected(&other)),
            }
        }
    }

    /// Attached with input: tells that no more comes. A container that takes
    /// input once sees its end.
    ///
    /// # Errors
    /// [`Error::NoAnswer`].
    pub fn end_input(&mut self) -> Result<()> {
        self.client.send(&Request::InputEnded, Vec::new())
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.client.channel.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::testing::pod;

    #[test]
    fn a_watch_of_which_the_shim_never_heard_ends_with_the_record() {
        let dir = tempfile::tempdir().unwrap();
        let mut plan = pod();
        plan.roots.root = dir.path().into();
        let record = PodStore::new(&plan.roots.root).claim(&plan).unwrap();
        let listener = socket::listener(record.dir()).unwrap();
        let client = Client::connect(&plan.roots, &plan.uid).unwrap().expect("somebody listens");
        let status = serde_json::json!({ "phase": "Failed", "qosClass": "BestEffort" });
        let last = StatusRecord::new(serde_json::from_value(status).unwrap(), Vec::new());
        record.write_status(&last).unwrap();
        let mut watch = client.watch().unwrap();
        drop(listener);
        assert_eq!(watch.next().unwrap(), Some(last));
        assert_eq!(watch.next().unwrap(), None);
    }

    #[test]
    fn a_pod_whose_shim_goes_before_it_hears_the_wish_has_ended_as_wished() {
        let dir = tempfile::tempdir().unwrap();
        let mut plan = pod();
        plan.roots.root = dir.path().into();
        let record = PodStore::new(&plan.roots.root).claim(&plan).unwrap();
        let order = StopOrder {
            grace_seconds: None,
            force: false,
            delete: true,
            reason: None,
            message: None,
        };
        for waits in [true, false] {
            let listener = socket::listener(record.dir()).unwrap();
            let connected = Client::connect(&plan.roots, &plan.uid).unwrap();
            let client = connected.expect("somebody listens");
            drop(listener);
            let order = order.clone();
            let told =
                if waits { client.stop_and_wait(order, None) } else { client.stop(order, None) };
            assert!(told.is_ok(), "{told:?}");
        }
    }
}
