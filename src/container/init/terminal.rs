//! The process's standard streams and its terminal.

use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::super::stage::{Stage, StepError};
use super::process::ProcessPlan;
use super::procfs::ProcDir;
use crate::sys::pty::{self, Pty};
use crate::sys::{SyscallError, fd, process, terminal};

/// Opens a new terminal in the container that this process has joined. The
/// handle is opened through the host's procfs: the container's may be anything.
pub(super) fn open_in_container(proc: &ProcDir) -> Result<Pty, StepError> {
    let step = |error| StepError::call(Stage::Console, &error);
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let handle = nix::fcntl::open("/dev/pts/ptmx", flags, Mode::empty())
        .map_err(|errno| SyscallError::new("open", "\"/dev/pts/ptmx\"", errno))
        .map_err(step)?;
    pty::check_ptmx(handle.as_fd()).map_err(step)?;
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY;
    let master = proc.reopen(handle.as_fd(), flags).map_err(step)?;
    pty::of_master(master).map_err(step)
}

/// What a new process has as 0, 1 and 2.
#[derive(Debug)]
pub(super) enum Streams {
    /// The maker's own.
    Inherited,
    Given([OwnedFd; 3]),
    Terminal(OwnedFd),
}

impl Streams {
    /// Puts the streams in place, with the user as their owner. Before the
    /// drop of privileges.
    pub(super) fn install(&self, plan: &ProcessPlan) -> Result<(), StepError> {
        let step = |error| StepError::call(Stage::Console, &error);
        match self {
            Self::Inherited => {}
            Self::Given([input, output, errors]) => {
                fd::install_stdio([input.as_fd(), output.as_fd(), errors.as_fd()]).map_err(step)?;
            }
            Self::Terminal(slave) => {
                if let Some((rows, columns)) = plan.terminal_size {
                    terminal::set_size(slave.as_fd(), columns, rows).map_err(step)?;
                }
                fd::install_stdio([slave.as_fd(); 3]).map_err(step)?;
            }
        }
        plan.identity.own_stdio();
        Ok(())
    }

    /// A session of its own, with the terminal as its controlling one.
    pub(super) fn start_session(&self) -> Result<(), StepError> {
        let step = |error| StepError::call(Stage::Session, &error);
        nix::unistd::setsid()
            .map_err(|errno| SyscallError::new("setsid", "", errno))
            .map_err(step)?;
        if matches!(self, Self::Terminal(_)) {
            process::set_controlling_terminal(std::io::stdin().as_fd()).map_err(step)?;
        }
        Ok(())
    }
}
