//! Opening and walking a tree that others change meanwhile: nothing leads out
//! of it, and nothing mounted into it is entered.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

use crate::sys::SyscallError;

/// How often an open is tried again that concurrent renames made unsure.
const EAGAIN_TRIES: u32 = 128;

/// Opens `path` below `root`, following symlinks as long as they stay in it.
pub(super) fn open(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlag,
) -> Result<OwnedFd, SyscallError> {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    resolve_in(root, path, flags, resolve)
}

/// Opens the directory `path` below `root` for reading; a symlink or a mount
/// on the way is an error (ELOOP, EXDEV).
pub(super) fn open_plain_dir(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, SyscallError> {
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    resolve_in(root, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, resolve)
}

fn resolve_in(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlag,
    resolve: ResolveFlag,
) -> Result<OwnedFd, SyscallError> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    for _ in 0..EAGAIN_TRIES {
        match nix::fcntl::openat2(root, path, how) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            done => return done.map_err(|errno| failed("openat2", path, errno)),
        }
    }
    Err(failed("openat2", path, Errno::EAGAIN))
}

/// Opens a directory of podrt's own, for reading.
pub(super) fn open_dir(path: &Path) -> Result<OwnedFd, SyscallError> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::open(path, flags, Mode::empty()).map_err(|errno| failed("open", path, errno))
}

/// The names in an open directory, without `.` and `..`.
pub(super) fn names(dir: BorrowedFd<'_>) -> Result<Vec<PathBuf>, SyscallError> {
    // A description of its own: the position is not the caller's.
    let own = open_plain_dir(dir, Path::new("."))?;
    let read = |errno| SyscallError::new("getdents64", "", errno);
    let mut names = Vec::new();
    for entry in Dir::from_fd(own).map_err(read)?.iter() {
        let entry = entry.map_err(read)?;
        let name: &CStr = entry.file_name();
        if name != c"." && name != c".." {
            names.push(OsStr::from_bytes(name.to_bytes()).into());
        }
    }
    Ok(names)
}

/// A file met by [`walk`].
#[derive(Debug)]
pub(super) struct Met<'a> {
    pub dir: BorrowedFd<'a>,
    pub name: &'a Path,
    pub stat: FileStat,
}

impl Met<'_> {
    pub fn is(&self, kind: SFlag) -> bool {
        self.stat.st_mode & SFlag::S_IFMT.bits() == kind.bits()
    }
}

/// Shows every file below `root`, each directory before what is in it. Files
/// that vanish meanwhile, what is mounted into the tree, and what lies deeper
/// than a path can say are left out.
pub(super) fn walk<E: From<SyscallError>>(
    root: BorrowedFd<'_>,
    mut visit: impl FnMut(Met<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut pending = vec![PathBuf::new()];
    while let Some(path) = pending.pop() {
        let dir = match open_plain_dir(root, &path) {
            Ok(dir) => dir,
            Err(e) if !path.as_os_str().is_empty() && is_passing(e.errno) => continue,
            Err(e) => return Err(e.into()),
        };
        for name in names(dir.as_fd())? {
            let stat = match fstatat(&dir, &name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::ENOENT) => continue,
                Err(errno) => return Err(failed("fstatat", &name, errno).into()),
            };
            let met = Met { dir: dir.as_fd(), name: &name, stat };
            if met.is(SFlag::S_IFDIR) {
                pending.push(path.join(&name));
            }
            visit(met)?;
        }
    }
    Ok(())
}

/// What a tree in use may answer when a directory was replaced or is a mount.
fn is_passing(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EXDEV | Errno::ENAMETOOLONG
    )
}

/// An open file's path for calls that take no fd.
pub(super) fn proc_path(fd: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/thread-self/fd/{}", fd.as_raw_fd()).into()
}

pub(super) fn failed(call: &'static str, path: &Path, errno: Errno) -> SyscallError {
    SyscallError::new(call, format!("{path:?}"), errno)
}
