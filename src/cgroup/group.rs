//! The cgroup as its users see it.

use std::os::fd::OwnedFd;

use oci_spec::runtime::LinuxResources;

use super::cpuset::CpusetStats;
use super::error::Error;
use super::freeze::Freezer;
use super::hierarchy::{self, Hierarchy, Layout};
use super::oom::OomWatch;
use super::stats::Stats;
use super::{create, devices, file, freeze, limits, processes, remove};

/// How a new process gets into the cgroup.
#[derive(Debug, Default)]
pub struct Entry {
    /// The v2 directory, for `CLONE_INTO_CGROUP`.
    pub clone_into: Option<OwnedFd>,
    /// `cgroup.procs` of the v1 hierarchies, into each of which the child
    /// writes `0`.
    pub join: Vec<OwnedFd>,
}

/// One cgroup, in every hierarchy of the machine. Dropping it changes nothing.
#[derive(Debug)]
pub struct Cgroup {
    path: String,
    mounts: Layout,
    here: Layout,
}

impl Cgroup {
    /// Makes the cgroup `path` (absolute in each hierarchy) with missing
    /// parents and sets the limits. One left empty by a crash is made anew.
    ///
    /// # Errors
    /// [`Error::InUse`] when it has processes; [`Error::MissingController`].
    /// What was made is removed again.
    pub fn create(path: &str, resources: &LinuxResources) -> Result<Self, Error> {
        let group = Self::at(path)?;
        if group.exists() {
            if !group.pids()?.is_empty() {
                return Err(Error::InUse(group.path));
            }
            group.remove()?;
        }
        group.set_up(resources)
    }

    /// Makes or takes `path` as a parent of cgroups (a pod's, a QoS level's):
    /// its controllers are handed on to its children. It may be in use.
    ///
    /// # Errors
    /// As [`Self::create`], but never [`Error::InUse`].
    pub fn create_parent(path: &str, resources: &LinuxResources) -> Result<Self, Error> {
        let group = Self::at(path)?;
        if group.exists() {
            create::folders(&group.mounts, &group.path)?;
            group.apply(resources)?;
            return Ok(group);
        }
        group.set_up(resources)
    }

    /// Takes a cgroup that systemd has made, with processes in it, and sets the
    /// limits. What hierarchies systemd leaves out is added.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn adopt(path: &str, resources: &LinuxResources) -> Result<Self, Error> {
        let group = Self::open(path)?;
        if group.mounts.hierarchy() != Hierarchy::Unified {
            create::folders(&group.mounts, &group.path)?;
        }
        group.apply(resources)?;
        Ok(group)
    }

    /// An existing cgroup.
    ///
    /// # Errors
    /// [`Error::Missing`] when no hierarchy has it.
    pub fn open(path: &str) -> Result<Self, Error> {
        let group = Self::at(path)?;
        if group.exists() { Ok(group) } else { Err(Error::Missing(group.path)) }
    }

    /// The cgroup `path`, whether it is there or not: to remove what a failure
    /// or a crash may have left of it.
    ///
    /// # Errors
    /// [`Error::Detect`]; a path that is none.
    pub fn at(path: &str) -> Result<Self, Error> {
        let path = hierarchy::checked(path)?;
        let mounts = Layout::detect()?;
        let here = mounts.join(&path);
        Ok(Self { path, mounts, here })
    }

    fn set_up(self, resources: &LinuxResources) -> Result<Self, Error> {
        let done = create::folders(&self.mounts, &self.path).and_then(|()| self.apply(resources));
        match done {
            Ok(()) => Ok(self),
            Err(error) => {
                // The first failure is what the caller must hear of.
                let _ = self.remove();
                Err(error)
            }
        }
    }

    /// False when no hierarchy has it.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.here.directories().any(std::path::Path::exists)
    }

    /// The absolute path in each hierarchy.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What the machine mounts.
    #[must_use]
    pub fn hierarchy(&self) -> Hierarchy {
        self.mounts.hierarchy()
    }

    /// Fds by which a new process enters the root of every hierarchy, for work
    /// that no cgroup of podrt's must wait for.
    ///
    /// # Errors
    /// [`Error::Detect`], [`Error::File`].
    pub fn root_entry() -> Result<Entry, Error> {
        let mounts = Layout::detect()?;
        Self { path: "/".to_owned(), here: mounts.clone(), mounts }.entry()
    }

    /// Moves a process to the root of every hierarchy, so that it keeps no
    /// cgroup of podrt's from going. A process that is gone is no error.
    ///
    /// # Errors
    /// [`Error::Detect`], [`Error::File`].
    pub fn move_to_root(pid: i32) -> Result<(), Error> {
        let mounts = Layout::detect()?;
        mounts.directories().try_for_each(|root| processes::move_into(root, pid))
    }

    /// Fds by which a new process enters.
    ///
    /// # Errors
    /// [`Error::File`] when the cgroup is gone.
    pub fn entry(&self) -> Result<Entry, Error> {
        let clone_into = self.here.v2.as_deref().map(file::open_directory).transpose()?;
        let join = self
            .here
            .v1
            .iter()
            .map(|v1| file::open_for_writing(&v1.directory.join("cgroup.procs")))
            .collect::<Result<_, _>>()?;
        Ok(Entry { clone_into, join })
    }

    /// Sets the limits that are given and leaves the others. Device rules, if
    /// any are given, replace all earlier ones at once.
    ///
    /// # Errors
    /// [`Error::MissingController`], [`Error::File`] for a refused value.
    pub fn apply(&self, resources: &LinuxResources) -> Result<(), Error> {
        limits::apply(&self.here, resources)?;
        match resources.devices() {
            Some(rules) if !rules.is_empty() => devices::apply(&self.path, &self.here, rules),
            _ => Ok(()),
        }
    }

    /// Usage so far.
    ///
    /// # Errors
    /// [`Error::File`] when the cgroup is gone.
    pub fn stats(&self) -> Result<Stats, Error> {
        Stats::read(&self.here)
    }

    /// Its CPUs and memory nodes.
    ///
    /// # Errors
    /// [`Error::File`] when the cgroup is gone.
    pub fn cpuset(&self) -> Result<CpusetStats, Error> {
        CpusetStats::read(&self.here)
    }

    /// Tells from now on of each time memory ran out; `None` without a memory
    /// controller.
    ///
    /// # Errors
    /// [`Error::File`] when the cgroup is gone.
    pub fn oom_watch(&self) -> Result<Option<OomWatch>, Error> {
        OomWatch::new(&self.here)
    }

    /// Stops every process; returns when the kernel says they are.
    ///
    /// # Errors
    /// [`Error::Freeze`] after a second.
    pub fn freeze(&self) -> Result<(), Error> {
        freeze::set(&self.path, &self.here, true)
    }

    /// Lets them run again.
    ///
    /// # Errors
    /// As [`Self::freeze`].
    pub fn thaw(&self) -> Result<(), Error> {
        freeze::set(&self.path, &self.here, false)
    }

    /// Whether the cgroup itself is frozen (or about to be).
    ///
    /// # Errors
    /// [`Error::File`] when the cgroup is gone.
    pub fn is_frozen(&self) -> Result<bool, Error> {
        freeze::is_frozen(&self.here)
    }

    /// What tells whether its processes stand still, to be asked many times.
    ///
    /// # Errors
    /// [`Error::File`] when the cgroup is gone.
    pub fn freezer(&self) -> Result<Freezer, Error> {
        Freezer::open(&self.here)
    }

    /// The folder by which it is frozen, and whether that is cgroup v2's way.
    #[must_use]
    pub fn freezer_folder(&self) -> Option<(std::path::PathBuf, bool)> {
        let v2 = self.here.v2.clone().map(|folder| (folder, true));
        v2.or_else(|| self.here.v1_of("freezer").map(|folder| (folder.to_owned(), false)))
    }

    /// The processes in it and below it.
    ///
    /// # Errors
    /// [`Error::File`] when reading fails; a cgroup that is gone has none.
    pub fn pids(&self) -> Result<Vec<i32>, Error> {
        processes::pids(&self.here)
    }

    /// Sends SIGKILL to all processes in it and below it, frozen ones too.
    /// Does not wait for their end.
    ///
    /// # Errors
    /// [`Error::File`]; a cgroup that is gone is killed.
    pub fn kill(&self) -> Result<(), Error> {
        processes::kill(&self.path, &self.here)
    }

    /// How many of its processes the OOM killer took.
    ///
    /// # Errors
    /// [`Error::File`] when reading fails; 0 without a memory controller.
    pub fn oom_kills(&self) -> Result<u64, Error> {
        processes::oom_kills(&self.here)
    }

    /// `cgroup.events` of the v2 hierarchy: POLLPRI when the cgroup becomes
    /// empty or populated, frozen or thawed (read it again before each poll).
    /// `None` on a legacy machine.
    ///
    /// # Errors
    /// [`Error::File`] when the cgroup is gone.
    pub fn populated_events(&self) -> Result<Option<OwnedFd>, Error> {
        self.here.v2.as_deref().map(processes::open_events).transpose()
    }

    /// Removes the cgroup and all below it from every hierarchy, waiting a
    /// moment for processes that are dying. One that is gone counts as removed.
    ///
    /// # Errors
    /// [`Error::Remove`] lists what stayed; the rest is removed.
    pub fn remove(&self) -> Result<(), Error> {
        remove::tree(&self.path, &self.here)
    }

    /// [`Self::remove`], then each empty parent down to and including `top`.
    /// A parent in use stays, which is no error.
    ///
    /// # Errors
    /// As [`Self::remove`].
    pub fn remove_up_to(&self, top: &str) -> Result<(), Error> {
        let top = hierarchy::checked(top)?;
        self.remove()?;
        remove::empty_parents(&self.mounts, &self.path, &top)
    }
}
