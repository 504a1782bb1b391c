//! Terminals of commands whose client has left with the keys for it. Nobody
//! sees them any more; what is written to one is read and dropped, so that the
//! command does not wait for a reader, until nobody has it open.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;

use super::Driver;
use super::context::Context;
use super::requests::Refused;
use super::tasks::{Purpose, Task, Work};
use crate::model::ErrorKind;
use crate::supervisor::token::{TaskId, Token};
use crate::sys::SyscallError;
use crate::sys::pipe::set_nonblocking;
use crate::sys::terminal;

/// The keeper holds these terminals under keys that begin with this.
const LEFT_KEY: &str = "left/";

impl Driver {
    /// Takes the master side of a terminal from a client that leaves.
    ///
    /// # Errors
    /// [`Refused`] for anything that is no terminal.
    pub fn keep_terminal(
        &mut self,
        fds: Vec<OwnedFd>,
        cx: &mut Context<'_>,
    ) -> Result<(), Refused> {
        let given = <[OwnedFd; 1]>::try_from(fds).ok();
        let terminal = given.filter(|[fd]| terminal::size(fd.as_fd()).is_ok());
        let Some([terminal]) = terminal else {
            return Err(Refused::new(ErrorKind::InvalidInput, "detach needs a terminal"));
        };
        let terminal = Arc::new(terminal);
        self.read_on(Arc::clone(&terminal), cx)
            .map_err(|error| Refused::new(error.kind(), error))?;
        let key =
            (0_u32..).map(|n| format!("{LEFT_KEY}{n}")).find(|key| cx.keeper.held(key).is_none());
        if let Some(key) = key {
            cx.hold(&key, terminal);
        }
        Ok(())
    }

    /// Goes on with those that an earlier shim kept.
    pub(super) fn adopt_terminals(&mut self, cx: &mut Context<'_>) {
        let is_left = |(key, _): &(&str, &Arc<OwnedFd>)| key.starts_with(LEFT_KEY);
        let kept: Vec<_> = cx.keeper.iter().filter(is_left).map(|(_, fd)| Arc::clone(fd)).collect();
        for terminal in kept {
            if let Err(error) = self.read_on(terminal, cx) {
                tracing::error!(error = %error, "cannot take up terminal");
            }
        }
    }

    fn read_on(&mut self, terminal: Arc<OwnedFd>, cx: &Context<'_>) -> Result<(), SyscallError> {
        set_nonblocking(&*terminal)?;
        let id = self.tasks.reserve();
        cx.wait_for(&*terminal, Token::TaskData(id))?;
        let work = Work::Left(terminal);
        self.tasks.insert(id, Task { purpose: Purpose::Nobody, work, deadline_ns: None });
        Ok(())
    }

    /// One read a turn: a command that never stops writing must not keep the
    /// loop from others.
    pub(super) fn left_ready(&mut self, id: TaskId, cx: &mut Context<'_>) {
        let Some(Task { work: Work::Left(terminal), .. }) = self.tasks.get_mut(id) else { return };
        let mut dropped = [0; 4096];
        match nix::unistd::read(&**terminal, &mut dropped) {
            Ok(1..) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            // EIO: nobody has its other side open.
            Ok(0) | Err(_) => {
                let terminal = Arc::clone(terminal);
                cx.epoll.remove(&*terminal);
                self.tasks.take(id);
                let held = cx.keeper.iter().find(|(_, fd)| Arc::ptr_eq(fd, &terminal));
                if let Some(key) = held.map(|(key, _)| key.to_owned()) {
                    cx.let_go(&key);
                }
            }
        }
    }
}
