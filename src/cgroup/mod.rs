//! Control groups: one object for a container's or a pod's cgroup, whatever
//! hierarchies the machine has.
//!
//! Limits are translated by pure functions ([`limits`]) into files and values
//! and then written; a limit whose controller the machine lacks is an error
//! that names it. On a hybrid machine the cgroup exists in the v2 hierarchy,
//! where it is entered, killed and frozen, and in each v1 hierarchy.
#![forbid(unsafe_code)]

mod cpuset;
mod create;
mod devices;
mod error;
mod file;
mod freeze;
mod group;
mod hierarchy;
mod limits;
mod limits_v1;
mod limits_v2;
mod oom;
mod processes;
mod remove;
pub mod resctrl;
mod schemata;
mod stats;
pub mod systemd;
#[cfg(test)]
mod tests;

pub use cpuset::CpusetStats;
pub use error::Error;
pub use freeze::Freezer;
pub use group::{Cgroup, Entry};
pub use hierarchy::{Hierarchy, is_on_v2};
pub use limits::weight_of_shares;
pub use oom::OomWatch;
pub use stats::{BlkioStats, CpuStats, HugetlbStats, MemoryStats, PidsStats, Stats};
