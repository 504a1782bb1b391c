//! Freezing a container into files and thawing it again, with CRIU's help.
//!
//! criu is a program of its own: `criu swrk FD` serves one request over a
//! socket and tells of each stage, at which it waits for us. It does the dump
//! and the restore; what a container is (its mounts from outside, its cgroup,
//! its hooks, its record) is done here.

mod criu;
mod descriptors;
mod dump;
mod mounts;
mod names;
mod namespaces;
mod options;
mod request;
mod restore;
mod wire;

pub use criu::installed;
pub use dump::checkpoint;
pub use options::{CgroupMode, CheckpointOptions, Images, PageServer, RestoreOptions, Shared};
pub use restore::restore;
