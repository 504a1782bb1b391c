//! Ending a sandbox.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;

use super::{Error, Result, Sandbox, SandboxRecord, housekeeping};
use crate::cgroup::Cgroup;
use crate::model::Signal;
use crate::network::{House, Network};
use crate::sys::fault::{self, Point};
use crate::sys::process::{Wait, pidfd_send_signal, pidfd_wait_exit, wait_pidfd};

/// How long the kernel may take to end a process it was told to kill.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

impl Sandbox {
    /// Ends pause, and with it, once no container is left in them, the
    /// namespaces; gives the addresses back. The pod's cgroup stays for a next
    /// sandbox. Repeating it changes nothing.
    ///
    /// # Errors
    /// What could not be taken away; the rest is.
    pub fn stop(&mut self, network: &Network) -> Result<()> {
        fault::at(Point::StopSandbox).map_err(Error::call("stop the sandbox"))?;
        let killed = self.kill();
        self.namespaces.clear();
        self.shm = None;
        killed.and(Self::clear(&self.record, network))
    }

    /// [`Sandbox::stop`], and removes the pod's cgroup with whatever is left
    /// below it.
    ///
    /// # Errors
    /// As [`Sandbox::stop`].
    pub fn remove(mut self, network: &Network) -> Result<()> {
        let stopped = self.stop(network);
        stopped.and(Self::remove_cgroup(&self.record))
    }

    /// Takes away what a dead pause left: its addresses and its cgroup.
    ///
    /// # Errors
    /// What could not be taken away; the rest is.
    pub fn clear(record: &SandboxRecord, network: &Network) -> Result<()> {
        let group = remove_group(&record.pause_cgroup());
        let house = network.release(&record.owner, &record.attachment.addresses)?;
        look_after(network, house);
        group
    }

    /// Removes the pod's cgroup and everything below it.
    ///
    /// # Errors
    /// [`Error::Cgroup`] lists what stayed.
    pub fn remove_cgroup(record: &SandboxRecord) -> Result<()> {
        remove_group(&record.cgroup)
    }

    fn kill(&self) -> Result<()> {
        let failed = || Error::call("stop pause");
        match pidfd_send_signal(self.pidfd.as_fd(), Signal::KILL) {
            Err(error) if error.errno != Errno::ESRCH => return Err(failed()(error)),
            _ => {}
        }
        if !pidfd_wait_exit(self.pidfd.as_fd(), Some(KILL_TIMEOUT)).map_err(failed())? {
            return Err(Error::PauseStays { pid: self.record.pid });
        }
        match wait_pidfd(self.pidfd.as_fd(), Wait::NoHang) {
            // Not ours to reap: an earlier process made it.
            Err(error) if error.errno != Errno::ECHILD => Err(failed()(error)),
            _ => Ok(()),
        }
    }
}

fn remove_group(path: &str) -> Result<()> {
    Ok(Cgroup::at(path)?.remove()?)
}

/// Sees to an empty bridge. Failing to is no failure of the pod's: the next
/// pod that leaves the network will.
pub(super) fn look_after(network: &Network, house: House) {
    if house == House::Empty
        && let Err(error) = housekeeping::start(network)
    {
        tracing::warn!(%error, "cannot look after the empty bridge, ignoring");
    }
}
