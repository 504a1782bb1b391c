//! The volumes of a pod, and the files podrt generates for it.
//!
//! - [`VolumeSet`]: sets volumes up, hands out what containers bind, tears
//!   down.
//! - [`content`]: what is in configMap, secret, downwardAPI and projected
//!   volumes; pure.
//! - [`files`]: `/etc/hosts`, `/etc/resolv.conf`, `/etc/hostname`; pure.
#![forbid(unsafe_code)]

pub mod content;
pub mod files;

mod error;
mod set;

pub use content::{ContentSource, FileEntry};
pub use error::{Error, Result};
pub use set::{VolumeSet, tear_down};
