//! The short-lived process that removes the machine's bridge when no pod has
//! come for a while.

use std::os::fd::AsFd;

use super::{Error, Result};
use crate::cgroup::Cgroup;
use crate::network::Network;
use crate::sys::helper::run_apart;

/// Starts it, in the machine's root cgroup: whoever removes podrt's own ones
/// must not have to wait for it.
pub(super) fn start(network: &Network) -> Result<()> {
    // Nobody listens, and whatever stays is found by the next.
    let work = || drop(network.keep_house());
    let entry = Cgroup::root_entry()?;
    let clone_into = entry.clone_into.as_ref().map(AsFd::as_fd);
    let started = run_apart(c"podrt-house", clone_into, &entry.join, work);
    // In a cgroup namespace of its own the root may refuse processes.
    let started = started.or_else(|_| run_apart(c"podrt-house", None, &[], work));
    started.map_err(Error::call("start housekeeping"))
}
