//! A container's file system: mounts, devices, masks and the change of root.
//!
//! The parent plans ([`RootfsPlan::prepare`]) and opens what the child could
//! not; the child, alone in its new mount namespace, only carries the steps
//! out ([`RootfsPlan::enter`]) and reports the one that failed.
#![forbid(unsafe_code)]

mod error;
mod plan;
pub mod users;

pub use error::{Error, Stage, StepError};
pub use plan::{CgroupView, Entered, Pty, RootSource, RootfsInput, RootfsPlan};
