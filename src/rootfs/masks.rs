//! Paths a container must not read, and such it must not write.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::{SFlag, makedev};

use super::error::{Stage, StepError};
use super::filesystem::set_readonly;
use super::plan::plain;
use crate::sys::SyscallError;
use crate::sys::mount::{self, FsContext, attr};
use crate::sys::path::{self, InRoot, Shown};

/// Where the paths are that a container must not read or not write.
pub(super) struct Covered<'a> {
    pub(super) root: BorrowedFd<'a>,
    /// Mounts by their destinations: a path below one is looked for in the
    /// mount itself. A neighbour who shares the root file system can rename the
    /// mount point in the meantime; the mount goes along, and its masks must.
    pub(super) views: &'a [(PathBuf, OwnedFd)],
}

impl Covered<'_> {
    /// Binds each path over itself, read-only. One that does not exist is left
    /// out.
    pub(super) fn make_readonly(&self, paths: &[PathBuf]) -> Result<(), StepError> {
        self.each(paths, Stage::ReadonlyPaths, |target| {
            let tree = mount::clone_tree(target, "", true)?;
            set_readonly(tree.as_fd())?;
            mount::move_mount(tree.as_fd(), target)
        })
    }

    /// Covers each path: directories with one empty read-only tmpfs, everything
    /// else with `/dev/null`. One that does not exist is left out.
    pub(super) fn mask(&self, paths: &[PathBuf]) -> Result<(), StepError> {
        let mut null = None;
        let mut empty = None;
        self.each(paths, Stage::MaskedPaths, |target| {
            let stat = path::stat(target)?;
            let cover = if path::is_directory(&stat) {
                covering_directory(&mut empty)?
            } else {
                covering_file(&mut null)?
            };
            mount::move_mount(cover.as_fd(), target)
        })
    }

    fn each(
        &self,
        paths: &[PathBuf],
        stage: Stage,
        mut cover: impl FnMut(BorrowedFd<'_>) -> Result<(), SyscallError>,
    ) -> Result<(), StepError> {
        for path in paths {
            let (base, below) = self.place(path);
            let done = match InRoot::new(base).handle(&below) {
                Ok(target) => cover(target.as_fd()),
                Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ENOTDIR) => Ok(()),
                Err(error) => Err(error),
            };
            done.map_err(|error| StepError::new(stage, path, error))?;
        }
        Ok(())
    }

    /// The innermost place that a path is below, and the rest of the path.
    fn place(&self, path: &Path) -> (BorrowedFd<'_>, PathBuf) {
        let named = plain(path);
        let found = self.views.iter().rev().find_map(|(at, view)| {
            let rest = named.strip_prefix(at).ok()?;
            (!rest.as_os_str().is_empty()).then(|| (view.as_fd(), rest.to_owned()))
        });
        found.unwrap_or((self.root, path.to_owned()))
    }
}

/// The first directory gets the tmpfs itself, the others clones of it.
fn covering_directory(first: &mut Option<OwnedFd>) -> Result<OwnedFd, SyscallError> {
    if let Some(first) = first {
        return mount::clone_tree(first.as_fd(), "", false);
    }
    let made = empty_tmpfs()?;
    let attached =
        made.try_clone().map_err(|error| SyscallError::from_io("fcntl", "F_DUPFD", &error))?;
    *first = Some(attached);
    Ok(made)
}

/// A clone of the host's null device, which is looked up once.
fn covering_file(null: &mut Option<OwnedFd>) -> Result<OwnedFd, SyscallError> {
    let found = match null.take() {
        Some(found) => found,
        None => host_null()?,
    };
    let tree = mount::clone_tree(found.as_fd(), "", false)?;
    *null = Some(found);
    Ok(tree)
}

pub(super) fn empty_tmpfs() -> Result<OwnedFd, SyscallError> {
    let context = FsContext::open("tmpfs")?;
    context.set("source", "tmpfs")?;
    context.set("nr_inodes", "1")?;
    context.set("mode", "755")?;
    context.create()?;
    context.mount(attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC)
}

/// The host's null device, looked up below the old root (the container's own
/// may be anything, CVE-2025-31133) and checked to be it.
fn host_null() -> Result<OwnedFd, SyscallError> {
    let null = path::handle_at(mount::at_cwd(), "/dev/null".as_ref())?;
    let found = path::stat(null.as_fd())?;
    let kind = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFCHR && found.st_rdev == makedev(1, 3) {
        return Ok(null);
    }
    let text = format!("{}: not the null device", Shown(null.as_fd()));
    Err(SyscallError::new("fstat", text, Errno::ENODEV))
}
