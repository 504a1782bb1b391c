//! The cgroup as its users see it.

use std::os::fd::OwnedFd;

use oci_spec::runtime::LinuxResources;

use super::error::Error;
use super::stats::Stats;

/// What the machine mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hierarchy {
    /// cgroup v2 at `/sys/fs/cgroup`.
    Unified,
    /// Controllers on v1, and a v2 hierarchy beside them.
    Hybrid,
    /// v1 only.
    Legacy,
}

impl Hierarchy {
    /// Looks at the machine's mounts.
    ///
    /// # Errors
    /// [`Error::Detect`] where no cgroup file system is mounted.
    pub fn detect() -> Result<Self, Error> {
        todo!()
    }
}

/// How a new process gets into the cgroup.
#[derive(Debug, Default)]
pub struct Entry {
    /// The v2 directory, for `CLONE_INTO_CGROUP`.
    pub clone_into: Option<OwnedFd>,
    /// `cgroup.procs` of the v1 hierarchies, into each of which the child
    /// writes `0`.
    pub join: Vec<OwnedFd>,
}

/// One cgroup, in every hierarchy of the machine.
#[derive(Debug)]
pub struct Cgroup {}

impl Cgroup {
    /// Makes the cgroup `path` (absolute in each hierarchy) with missing
    /// parents and sets the limits. One left empty by a crash is taken over.
    ///
    /// # Errors
    /// [`Error::InUse`] when it has processes; [`Error::MissingController`].
    pub fn create(_path: &str, _resources: &LinuxResources) -> Result<Self, Error> {
        todo!()
    }

    /// Makes or takes `path` as a parent of cgroups (a pod's, a QoS level's):
    /// its controllers are handed on to its children. It may be in use.
    ///
    /// # Errors
    /// As [`Self::create`], but never [`Error::InUse`].
    pub fn create_parent(_path: &str, _resources: &LinuxResources) -> Result<Self, Error> {
        todo!()
    }

    /// An existing cgroup.
    ///
    /// # Errors
    /// [`Error::Missing`] when no hierarchy has it.
    pub fn open(_path: &str) -> Result<Self, Error> {
        todo!()
    }

    /// The absolute path in each hierarchy.
    #[must_use]
    pub fn path(&self) -> &str {
        todo!()
    }

    /// Fds by which a new process enters.
    ///
    /// # Errors
    /// [`Error::File`] when the cgroup is gone.
    pub fn entry(&self) -> Result<Entry, Error> {
        todo!()
    }

    /// Sets the limits that are given and leaves the others.
    ///
    /// # Errors
    /// [`Error::MissingController`], [`Error::File`] for a refused value.
    pub fn apply(&self, _resources: &LinuxResources) -> Result<(), Error> {
        todo!()
    }

    /// Usage so far.
    ///
    /// # Errors
    /// [`Error::File`] when the cgroup is gone.
    pub fn stats(&self) -> Result<Stats, Error> {
        todo!()
    }

    /// Stops every process; returns when the kernel says they are.
    ///
    /// # Errors
    /// [`Error::Freeze`] after a second.
    pub fn freeze(&self) -> Result<(), Error> {
        todo!()
    }

    /// Lets them run again.
    ///
    /// # Errors
    /// As [`Self::freeze`].
    pub fn thaw(&self) -> Result<(), Error> {
        todo!()
    }

    /// Whether the cgroup itself is frozen.
    ///
    /// # Errors
    /// [`Error::File`] when the cgroup is gone.
    pub fn is_frozen(&self) -> Result<bool, Error> {
        todo!()
    }

    /// The processes in it and below it.
    ///
    /// # Errors
    /// [`Error::File`] when reading fails; a cgroup that is gone has none.
    pub fn pids(&self) -> Result<Vec<i32>, Error> {
        todo!()
    }

    /// Sends SIGKILL to all processes in it and below it, frozen ones too.
    /// Does not wait for their end.
    ///
    /// # Errors
    /// [`Error::File`]; a cgroup that is gone is killed.
    pub fn kill(&self) -> Result<(), Error> {
        todo!()
    }

    /// How many of its processes the OOM killer took.
    ///
    /// # Errors
    /// [`Error::File`] when reading fails; 0 without a memory controller.
    pub fn oom_kills(&self) -> Result<u64, Error> {
        todo!()
    }

    /// `cgroup.events` of the v2 hierarchy: POLLPRI when the cgroup becomes
    /// empty or populated, frozen or thawed (read it again before each poll).
    /// `None` on a legacy machine.
    ///
    /// # Errors
    /// [`Error::File`] when the cgroup is gone.
    pub fn populated_events(&self) -> Result<Option<OwnedFd>, Error> {
        todo!()
    }

    /// Removes the cgroup and all below it from every hierarchy. One that is
    /// gone counts as removed.
    ///
    /// # Errors
    /// [`Error::Remove`] lists what stayed; the rest is removed.
    pub fn remove(&self) -> Result<(), Error> {
        todo!()
    }

    /// [`Self::remove`], then each empty parent down to and including `top`.
    /// A parent in use stays, which is no error.
    ///
    /// # Errors
    /// As [`Self::remove`].
    pub fn remove_up_to(&self, _top: &str) -> Result<(), Error> {
        todo!()
    }
}

/// The cgroup v2 weight (1–10000) that has the effect of v1 `shares`
/// (2–262144): 1024 shares are weight 100.
#[must_use]
pub fn weight_of_shares(_shares: u64) -> u64 {
    todo!()
}
