//! A container's root: an overlay of an image's layers that is mounted
//! nowhere.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::Error;

/// Where a container's changes go; both on one file system.
#[derive(Debug, Clone, Copy)]
pub struct Writable<'a> {
    /// Receives what the container writes.
    pub upper: &'a Path,
    /// Overlayfs's scratch folder, empty.
    pub work: &'a Path,
    /// Skips syncing the upper folder: right for what a crash may throw away.
    pub volatile: bool,
}

/// Makes an overlay of `layers` (topmost first) and, unless it is to be
/// read-only, the folders of `writable`. The mount is detached: it appears in
/// no mount table until someone moves it, and ends with the last fd.
///
/// # Errors
/// A layer or a folder that overlayfs refuses.
pub fn mount(layers: &[PathBuf], writable: Option<Writable<'_>>) -> Result<OwnedFd, Error> {
    let _ = (layers, writable);
    todo!("needs sys::mount")
}
