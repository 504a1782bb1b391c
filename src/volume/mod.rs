//! The volumes of a pod, and the files podrt generates for it.
//!
//! - [`VolumeSet`]: sets volumes up, hands out what containers bind.
//! - [`content`]: what is in configMap, secret, downwardAPI and projected
//!   volumes; pure.
//! - [`files`]: `/etc/hosts`, `/etc/resolv.conf`, `/etc/hostname`; pure.
//! - [`put_aside`], [`sweep`]: remove a pod's folder, whatever its
//!   containers left in there.
//!
//! Containers write into volumes while podrt works on them: every path in a
//! volume is resolved by the kernel beneath an open directory.
#![forbid(unsafe_code)]

pub mod content;
pub mod files;

mod atomic_writer;
mod beneath;
mod error;
mod hidden_mount;
mod host_path;
mod nested;
mod ownership;
mod set;
mod sub_path;
mod tear_down;
mod usage;

pub use content::{ContentSource, FileEntry};
pub use error::{Error, Result};
pub use hidden_mount::HiddenMount;
pub use set::VolumeSet;
pub use tear_down::{put_aside, remove, sweep};
