//! What a container needs on the machine before its process is cloned: state
//! directory, cgroup, and the gate that holds the process back.

use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::draft::Draft;
use super::error::{Error, Result};
use super::init::child::Entrance;
use super::options::{CgroupDriver, Gate};
use super::record::{StateDir, cgroup_error};
use super::systemd;
use crate::cgroup::systemd::Placeholder;
use crate::cgroup::{Cgroup, resctrl};
use crate::sys::fault::{self, Point};
use crate::sys::{SyscallError, fd};

/// What exists so far; undone when dropped, unless the container is complete.
#[derive(Debug)]
pub(super) struct Undo {
    pub(super) dir: StateDir,
    cgroup: Option<Cgroup>,
    driver: CgroupDriver,
    rdt: Option<resctrl::Group>,
    armed: bool,
}

impl Undo {
    /// Whether the container has a cgroup.
    pub(super) fn has_cgroup(&self) -> bool {
        self.cgroup.is_some()
    }

    /// Its resctrl group, for the record.
    pub(super) fn rdt(&self) -> Option<resctrl::Group> {
        self.rdt.clone()
    }

    /// The container is complete: nothing is undone any more.
    pub(super) fn disarm(&mut self) {
        self.armed = false;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        // Whatever fails here, the first failure is the one to be told.
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill();
            let _ = systemd::remove(self.driver, cgroup);
        }
        if let Some(rdt) = &self.rdt {
            let _ = rdt.remove();
        }
        let _ = self.dir.remove();
    }
}

/// The maker's ends of the gate, where it holds them.
#[derive(Debug, Default)]
pub(super) struct HeldGate {
    pub(super) gate: Option<OwnedFd>,
    pub(super) status: Option<OwnedFd>,
}

/// All that stands.
#[derive(Debug)]
pub(super) struct Outset {
    pub(super) undo: Undo,
    pub(super) held: HeldGate,
    /// For CLONE_INTO_CGROUP.
    pub(super) clone_into: Option<OwnedFd>,
    /// Keeps a scope of systemd's from being empty.
    pub(super) placeholder: Option<Placeholder>,
    pub(super) entrance: Entrance,
}

impl Outset {
    /// Makes it.
    ///
    /// # Errors
    /// [`Error::Exists`], a cgroup in use, a limit that cannot be set; nothing
    /// is left behind.
    pub(super) fn make(draft: &Draft) -> Result<Self> {
        let fault = |point| fault::at(point).map_err(Error::call("make the container"));
        fault(Point::ClaimState)?;
        let dir = StateDir::claim(&draft.state_root, &draft.record.id)?;
        let driver = draft.record.cgroup_driver;
        let mut undo = Undo { dir, cgroup: None, driver, rdt: None, armed: true };
        // Before the cgroup: `delete` finds that by the spec when this process
        // is killed on the way.
        fault(Point::SaveSpec)?;
        draft.keep.keep(undo.dir.path(), &draft.spec)?;
        fault(Point::MakeCgroup)?;
        let (cgroup, placeholder) = systemd::make(&draft.record, &draft.resources)?;
        undo.cgroup = cgroup;
        let entry = undo.cgroup.as_ref().map(Cgroup::entry).transpose();
        let mut entry = entry.map_err(|error| cgroup_error(&error))?.unwrap_or_default();
        if let Some((resctrl, wish)) = &draft.rdt {
            let group = resctrl.make(wish).map_err(|error| cgroup_error(&error))?;
            let group = undo.rdt.insert(group);
            entry.join.extend(group.entry().map_err(|error| cgroup_error(&error))?);
        }
        fault(Point::MakeGate)?;
        let (held, gate, status) = gates(draft.gate, &undo.dir)?;
        let entrance = Entrance { join_cgroups: entry.join, gate, status };
        Ok(Self { undo, held, clone_into: entry.clone_into, placeholder, entrance })
    }
}

/// The maker's ends, then the child's of gate and status.
fn gates(kind: Gate, dir: &StateDir) -> Result<(HeldGate, OwnedFd, OwnedFd)> {
    match kind {
        Gate::Held => {
            let (child_gate, gate) = fd::pipe().map_err(Error::call("make the gate"))?;
            let (status, child_status) = fd::pipe().map_err(Error::call("make the gate"))?;
            let held = HeldGate { gate: Some(gate), status: Some(status) };
            Ok((held, child_gate, child_status))
        }
        Gate::Fifo => {
            Ok((HeldGate::default(), fifo(dir, "exec.fifo.new")?, fifo(dir, "exec.status")?))
        }
    }
}

/// A fifo, open for both directions: reading it then waits for a writer
/// instead of finding none.
fn fifo(dir: &StateDir, name: &str) -> Result<OwnedFd> {
    let path = dir.file(name);
    let failed = |call| {
        let args = format!("{path:?}");
        move |errno| Error::Call {
            what: "make the gate".to_owned(),
            source: SyscallError::new(call, args, errno),
        }
    };
    nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).map_err(failed("mkfifo"))?;
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    nix::fcntl::open(&path, flags, Mode::empty()).map_err(failed("open"))
}
