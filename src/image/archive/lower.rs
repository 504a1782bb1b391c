//! What the layers below show at a path, as overlayfs would merge them.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::{FileStat, Mode, SFlag};

use super::attributes::OPAQUE;
use crate::sys::SyscallError;
use crate::sys::xattr::{self, Target};

/// The unpacked layers below the one being made, topmost first.
#[derive(Debug, Default)]
pub struct Lower {
    roots: Vec<OwnedFd>,
}

/// Something found below: opened by path only (`O_PATH`), never a symlink's
/// target.
#[derive(Debug)]
pub struct Found {
    pub fd: OwnedFd,
    pub stat: FileStat,
    /// The folder that holds it and its name there; the root has no name.
    pub parent: OwnedFd,
    pub name: OsString,
}

impl Lower {
    /// Opens the layers' folders.
    ///
    /// # Errors
    /// A folder that is not there.
    pub fn open<'a>(layers: impl Iterator<Item = &'a Path>) -> Result<Self, SyscallError> {
        let roots = layers.map(|path| {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            nix::fcntl::open(path, flags, Mode::empty())
                .map_err(|errno| SyscallError::new("open", format!("{path:?}"), errno))
        });
        Ok(Self { roots: roots.collect::<Result<_, _>>()? })
    }

    /// True when nothing is below.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// The roots, for a walk down with [`descend`].
    ///
    /// # Errors
    /// No free file descriptors.
    pub fn roots(&self) -> Result<Vec<OwnedFd>, SyscallError> {
        self.roots.iter().map(|root| reopen(root.as_fd())).collect()
    }

    /// What shows at `path`, whose components are plain names. A symlink or a
    /// file on the way hides what is behind it.
    ///
    /// # Errors
    /// Layers that cannot be read.
    pub fn look_up(&self, path: &[&OsStr]) -> Result<Option<Found>, SyscallError> {
        let mut folders = self.roots()?;
        let Some((last, parents)) = path.split_last() else {
            let Some(root) = folders.into_iter().next() else { return Ok(None) };
            let (stat, parent) = (stat(root.as_fd())?, reopen(root.as_fd())?);
            return Ok(Some(Found { fd: root, stat, parent, name: OsString::new() }));
        };
        for name in parents {
            folders = descend(&folders, name)?;
        }
        shown(&folders, last)
    }
}

/// What shows as `name` in folders that merge into one.
pub(super) fn shown(folders: &[OwnedFd], name: &OsStr) -> Result<Option<Found>, SyscallError> {
    for folder in folders {
        match entry(folder.as_fd(), name)? {
            None => {}
            Some((_, stat)) if is_whiteout(&stat) => return Ok(None),
            Some((fd, stat)) => {
                let parent = reopen(folder.as_fd())?;
                return Ok(Some(Found { fd, stat, parent, name: name.into() }));
            }
        }
    }
    Ok(None)
}

/// The folders `name` that merge into one: from the top down to the first that
/// is opaque or is no folder.
pub(super) fn descend(folders: &[OwnedFd], name: &OsStr) -> Result<Vec<OwnedFd>, SyscallError> {
    let mut merged = Vec::new();
    for folder in folders {
        let Some((fd, stat)) = entry(folder.as_fd(), name)? else { continue };
        if !is_folder(&stat) {
            break;
        }
        merged.push(fd);
        if is_opaque(folder.as_fd(), name)? {
            break;
        }
    }
    Ok(merged)
}

/// One component, by path only and not through a symlink.
pub(super) fn entry(
    folder: BorrowedFd<'_>,
    name: &OsStr,
) -> Result<Option<(OwnedFd, FileStat)>, SyscallError> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV);
    match nix::fcntl::openat2(folder, name, how) {
        Ok(fd) => {
            let stat = stat(fd.as_fd())?;
            Ok(Some((fd, stat)))
        }
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(SyscallError::new("openat2", format!("{name:?}"), errno)),
    }
}

/// Whether the folder `name` hides what is below it.
pub(super) fn is_opaque(folder: BorrowedFd<'_>, name: &OsStr) -> Result<bool, SyscallError> {
    let target = Target { dir: folder, name };
    Ok(xattr::get(target, OsStr::new(OPAQUE))?.as_deref() == Some(b"y"))
}

pub(super) fn is_folder(stat: &FileStat) -> bool {
    file_type(stat) == SFlag::S_IFDIR
}

/// A character device 0:0 (overlayfs documentation, "whiteouts and opaque
/// directories").
pub(super) fn is_whiteout(stat: &FileStat) -> bool {
    file_type(stat) == SFlag::S_IFCHR && stat.st_rdev == 0
}

pub(super) fn file_type(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn stat(fd: BorrowedFd<'_>) -> Result<FileStat, SyscallError> {
    nix::sys::stat::fstat(fd).map_err(|errno| SyscallError::new("fstat", "", errno))
}

fn reopen(fd: BorrowedFd<'_>) -> Result<OwnedFd, SyscallError> {
    fd.try_clone_to_owned().map_err(|e| SyscallError::from_io("fcntl", "", &e))
}
