//! What a running container uses, and when it runs out of memory.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::error::{Error, Result};
use super::record::{Record, StateDir, cgroup_error};
use crate::cgroup::{Cgroup, CpusetStats, OomWatch, Stats};
use crate::model::ContainerId;

/// A running container, watched from outside.
#[derive(Debug)]
pub struct Watch {
    process: OwnedFd,
    cgroup: Cgroup,
    oom: Option<OomWatch>,
}

impl Watch {
    /// # Errors
    /// [`Error::DoesNotExist`], [`Error::NotRunning`].
    pub fn begin(state_root: &Path, id: &ContainerId) -> Result<Self> {
        let record = Record::load(&StateDir::of(state_root, id))?;
        let process = record.process().ok_or(Error::NotRunning)?;
        let cgroup = record.require_cgroup()?;
        let oom = cgroup.oom_watch().map_err(|error| cgroup_error(&error))?;
        Ok(Self { process, cgroup, oom })
    }

    /// Its first process: readable when the container has ended.
    #[must_use]
    pub fn process(&self) -> std::os::fd::BorrowedFd<'_> {
        self.process.as_fd()
    }

    /// Tells of a lack of memory; `None` without a memory controller.
    pub fn oom(&mut self) -> Option<&mut OomWatch> {
        self.oom.as_mut()
    }

    /// The usage so far.
    ///
    /// # Errors
    /// When the cgroup is gone.
    pub fn stats(&self) -> Result<(Stats, CpusetStats)> {
        let stats = self.cgroup.stats().map_err(|error| cgroup_error(&error))?;
        let cpuset = self.cgroup.cpuset().map_err(|error| cgroup_error(&error))?;
        Ok((stats, cpuset))
    }
}
