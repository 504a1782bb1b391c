//! New limits for a container that exists.

use std::path::Path;

use oci_spec::runtime::{LinuxIntelRdt, LinuxResources};

use super::error::{Error, Result};
use super::record::{Record, StateDir, cgroup_error};
use super::state::Status;
use super::systemd;
use crate::cgroup::resctrl::{Resctrl, Wish};
use crate::cgroup::{self, Cgroup};
use crate::model::ContainerId;

/// Sets the limits that `resources` has and leaves the others. Device rules,
/// if there are any, replace the container's at once.
///
/// # Errors
/// [`Error::NotRunning`], or what the kernel refuses; limits of other
/// controllers may have been set by then.
pub fn update(state_root: &Path, id: &ContainerId, mut resources: LinuxResources) -> Result<()> {
    let dir = StateDir::of(state_root, id);
    let record = Record::load(&dir)?;
    if record.status(&dir) == Status::Stopped {
        return Err(Error::NotRunning);
    }
    let cgroup = record.require_cgroup()?;
    keep_memory_limit(&cgroup, &mut resources)?;
    systemd::set_limits(&record, &resources)
        .and_then(|()| cgroup.apply(&resources))
        .map_err(|error| cgroup_error(&error))
}

/// Gives the container another share of cache or memory bandwidth; one that had
/// none gets a group of its own.
///
/// # Errors
/// [`Error::NotRunning`]; no resctrl on this machine; what the kernel refuses.
pub fn update_rdt(state_root: &Path, id: &ContainerId, share: &LinuxIntelRdt) -> Result<()> {
    let dir = StateDir::of(state_root, id);
    let mut record = Record::load(&dir)?;
    if record.status(&dir) == Status::Stopped {
        return Err(Error::NotRunning);
    }
    let failed = |error: cgroup::Error| cgroup_error(&error);
    let wish = Wish::new(share, id.as_str()).map_err(failed)?;
    let resctrl = Resctrl::find().map_err(failed)?;
    if let Some(group) = &record.rdt {
        return resctrl.update(group, &wish).map_err(failed);
    }
    let group = resctrl.make(&wish).map_err(failed)?;
    record.rdt = Some(group.clone());
    record.save(&dir)?;
    let pids = record.require_cgroup()?.pids().map_err(failed)?;
    pids.into_iter().try_for_each(|pid| group.take(pid)).map_err(failed)
}

/// The specification limits memory and swap together: a new sum alone goes
/// with the limit on memory that is there.
fn keep_memory_limit(cgroup: &Cgroup, resources: &mut LinuxResources) -> Result<()> {
    let Some(memory) = resources.memory() else { return Ok(()) };
    let given = |value: Option<i64>| value.is_some_and(|value| value != 0);
    if !given(memory.swap()) || given(memory.limit()) {
        return Ok(());
    }
    let now = cgroup.stats().map_err(|error| cgroup_error(&error))?.memory.limit;
    let mut memory = *memory;
    memory.set_limit(now.and_then(|limit| i64::try_from(limit).ok()));
    resources.set_memory(Some(memory));
    Ok(())
}
