//! A container's file system: mounts, devices, masks and the change of root.
//!
//! The parent plans ([`RootfsPlan::prepare`]) and opens what the child could
//! not; the child, alone in its new mount namespace, only carries the steps
//! out ([`RootfsPlan::enter`]) and reports the one that failed.
//!
//! Nothing here trusts a path inside the rootfs: each is resolved by the kernel
//! below an open directory, and what is mounted or made goes to that very
//! descriptor.
#![forbid(unsafe_code)]

mod assembly;
mod cgroup_view;
mod copy_up;
mod devices;
mod error;
mod filesystem;
mod masks;
mod options;
mod pivot;
mod plan;
mod sources;
#[cfg(test)]
mod tests;
pub mod users;

pub use crate::sys::pty::Pty;
pub use error::{Error, Stage, StepError};
pub use plan::{CgroupView, Entered, RootSource, RootfsInput, RootfsPlan};
