//! start, kill, delete, pause, resume, ps.

use std::path::Path;

use nix::unistd::Pid;

use super::error::Result;
use crate::model::{ContainerId, Signal};

/// Lets a created container (with [`Gate::Fifo`](super::Gate)) execute its
/// program, and reports whether that worked.
///
/// # Errors
/// Wrong state, or what failed inside.
pub fn start(state_root: &Path, id: &ContainerId) -> Result<()> {
    let _ = (state_root, id);
    todo!()
}

/// Sends a signal to the container's first process, or with `all` to every
/// process of its cgroup.
///
/// # Errors
/// [`Error::NotRunning`](super::Error::NotRunning) unless `all`.
pub fn kill(state_root: &Path, id: &ContainerId, signal: Option<Signal>, all: bool) -> Result<()> {
    let _ = (state_root, id, signal, all);
    todo!()
}

/// Removes a stopped container; with `force` kills it first, and a missing one
/// is fine. For a pod's container this is also its end of life: processes of
/// the cgroup are killed, cgroup and state removed.
///
/// # Errors
/// [`Error::NotStopped`](super::Error::NotStopped) without `force`.
pub fn delete(state_root: &Path, id: &ContainerId, force: bool) -> Result<()> {
    let _ = (state_root, id, force);
    todo!()
}

/// Freezes every process of the container.
///
/// # Errors
/// Wrong state.
pub fn pause(state_root: &Path, id: &ContainerId) -> Result<()> {
    let _ = (state_root, id);
    todo!()
}

/// Undoes [`pause`].
///
/// # Errors
/// Wrong state.
pub fn resume(state_root: &Path, id: &ContainerId) -> Result<()> {
    let _ = (state_root, id);
    todo!()
}

/// The container's processes, in the caller's pid namespace.
///
/// # Errors
/// No such container.
pub fn processes(state_root: &Path, id: &ContainerId) -> Result<Vec<Pid>> {
    let _ = (state_root, id);
    todo!()
}
