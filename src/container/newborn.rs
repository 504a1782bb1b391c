//! A process that is not yet what it will be, and how it is given up.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::unistd::Pid;

use super::error::{Error, Result};
use super::init::channel::{Message, ParentEnd};
use super::machine::{Machine, Order};
use crate::model::Signal;
use crate::sys::process::{self, Wait};

/// The cloned process with the channel to it. Dropped before it is
/// [finished](Self::finish), it is killed and reaped, and so is the one that
/// took over from it.
#[derive(Debug)]
pub(super) struct Newborn {
    process: Option<OwnedFd>,
    /// The one it took over from, which ends by itself.
    first: Option<OwnedFd>,
    channel: ParentEnd,
    machine: Machine,
}

impl Newborn {
    pub(super) fn new(process: OwnedFd, channel: ParentEnd, machine: Machine) -> Self {
        Self { process: Some(process), first: None, channel, machine }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.channel.fd()
    }

    /// The next thing to do; waits for the process to say something.
    ///
    /// # Errors
    /// What it failed with.
    pub(super) fn next(&mut self) -> Result<Order> {
        let message = self.channel.receive().map_err(Error::call("hear of the new process"))?;
        self.machine.handle(message)
    }

    /// Lets the process go on that waits for us.
    pub(super) fn go(&self) -> Result<()> {
        self.channel.go().map_err(Error::call("let the new process go on"))
    }

    /// Another process takes over; the first is about to end, and is reaped
    /// when the other is complete.
    pub(super) fn adopt(&mut self, pidfd: OwnedFd) {
        self.first = self.process.replace(pidfd);
    }

    /// What it was made for is not wanted any more: it is killed unless a
    /// successor of it might get lost by that. Waits for nothing, and leaves it
    /// to the caller to hear of its end.
    pub(super) fn abandon(&self) {
        self.channel.hang_up();
        if let Some(process) = self.process.as_ref().filter(|_| !self.machine.awaits_hop()) {
            // ESRCH: it has ended already.
            let _ = process::pidfd_send_signal(process.as_fd(), Signal::KILL);
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.machine.is_finished()
    }

    /// The process, complete: it lives on.
    pub(super) fn finish(&mut self) -> Result<OwnedFd> {
        if let Some(first) = self.first.take() {
            process::wait_pidfd(first.as_fd(), Wait::Block)
                .map_err(Error::call("reap the first process"))?;
        }
        self.process.take().ok_or_else(|| Error::Died { what: "container process".to_owned() })
    }
}

impl Drop for Newborn {
    fn drop(&mut self) {
        if let Some(first) = self.first.take() {
            end(&first);
        }
        let Some(process) = self.process.take() else { return };
        // It waits for nothing from here any more: if it does now, it ends.
        self.channel.hang_up();
        if self.machine.awaits_hop() {
            // Killing it might lose the word of a successor, which would
            // never be reaped. Both end by themselves, or the successor here.
            while let Ok(Some(message)) = self.channel.receive() {
                if let Message::Continued { pidfd, .. } = message {
                    end(&pidfd);
                }
            }
        }
        end(&process);
    }
}

fn end(pidfd: &OwnedFd) {
    let _ = process::pidfd_send_signal(pidfd.as_fd(), Signal::KILL);
    let _ = process::wait_pidfd(pidfd.as_fd(), Wait::Block);
}

/// What both kinds of newborn do with the pid they end up with.
pub(super) fn write_pid_file(path: Option<&std::path::Path>, pid: Pid) -> Result<()> {
    use crate::store::atomic::{Durability, write_with_mode};
    let Some(path) = path else { return Ok(()) };
    let text = pid.as_raw().to_string();
    write_with_mode(path, text.as_bytes(), 0o644, Durability::Volatile)
        .map_err(|error| super::record::store_error(&error))
}
