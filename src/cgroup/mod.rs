//! Control groups: one object for a container's or a pod's cgroup, whatever
//! hierarchies the machine has.
#![forbid(unsafe_code)]

mod error;
mod group;
mod stats;

pub use error::Error;
pub use group::{Cgroup, Entry, Hierarchy};
pub use stats::Stats;
