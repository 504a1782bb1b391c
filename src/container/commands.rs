//! One container, many commands: probes and hooks. What does not change from
//! one to the next is resolved and opened once.

use std::os::fd::{AsFd, OwnedFd};

use super::error::{Error, Result};
use super::exec::{Executing, Target, Way};
use super::options::{Console, ExecOptions, Stdio};
use super::record::cgroup_error;
use crate::cgroup::Freezer;
use crate::sys::exec_view::ViewMounts;
use crate::sys::process::pidfd_has_exited;

/// Runs commands as the container's own process is run, without a terminal.
#[derive(Debug)]
pub struct Commands {
    target: Target,
    way: Way,
    freezer: Freezer,
}

impl Commands {
    /// # Errors
    /// What can be refused of the container's own process.
    pub fn new(target: Target) -> Result<Self> {
        let mut process = target.process.clone();
        process.set_terminal(Some(false));
        let options = ExecOptions {
            process,
            stdio: Stdio::Inherit,
            console: Console::None,
            pid_file: None,
            preserve_fds: 0,
            cgroup: None,
            ignore_paused: false,
            view_mounts: ViewMounts::default(),
        };
        let way = Way {
            process: target.plan(&options)?,
            affinity: target.affinity(&options.process)?,
            entry: target.entry(None)?,
        };
        let freezer = target.freezer()?;
        Ok(Self { target, way, freezer })
    }

    /// The container, for all that is no plain command.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Starts one command with these standard streams.
    ///
    /// # Errors
    /// [`Error::NotRunning`], [`Error::WrongState`] in a container that is
    /// paused, [`Error::Spec`] for arguments that cannot be passed on, and what
    /// fails outside of it.
    pub fn begin(&mut self, args: Vec<String>, stdio: [OwnedFd; 3]) -> Result<Executing> {
        let init = self.target.init();
        if pidfd_has_exited(init.as_fd()).map_err(Error::call("look at the container"))? {
            return Err(Error::NotRunning);
        }
        if self.freezer.is_frozen().map_err(|error| cgroup_error(&error))? {
            return Err(Error::WrongState { verb: "exec in", status: "paused".to_owned() });
        }
        self.way.process.set_args(args)?;
        self.target.go(&self.way, Stdio::Fds(stdio), Console::None, None, ViewMounts::default())
    }
}
