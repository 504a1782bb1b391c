//! `tmpcopyup`: a tmpfs starts with the content of the directory it covers.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag};
use nix::unistd::{Gid, Uid, fchownat};

use crate::sys::SyscallError;
use crate::sys::path;

/// Copies the content of the directory `from` into the directory `to`, with
/// owners and modes. Symlinks stay symlinks; sockets are left out.
pub(super) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), SyscallError> {
    let source = readable(from)?;
    let target = readable(to)?;
    copy_entries(source, target.as_fd())
}

fn copy_entries(source: OwnedFd, target: BorrowedFd<'_>) -> Result<(), SyscallError> {
    let mut directory = Dir::from_fd(source).map_err(failed("fdopendir", OsStr::new("")))?;
    let entries: Vec<_> =
        directory.iter().collect::<Result<_, _>>().map_err(failed("getdents64", OsStr::new("")))?;
    for entry in entries {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            copy_entry(directory.as_fd(), target, name)?;
        }
    }
    Ok(())
}

fn copy_entry(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    name: &OsStr,
) -> Result<(), SyscallError> {
    let handle = path::handle_at(source, name)?;
    let stat = path::stat(handle.as_fd())?;
    let mode = Mode::from_bits_truncate(stat.st_mode & 0o7777);
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFDIR => {
            let made = path::make_dir(target, name, mode)?;
            own(target, name, &stat)?;
            copy(handle.as_fd(), made.as_fd())
        }
        SFlag::S_IFREG => {
            copy_file(source, target, name, mode).and_then(|()| own(target, name, &stat))
        }
        SFlag::S_IFLNK => {
            let link = nix::fcntl::readlinkat(&handle, "").map_err(failed("readlinkat", name))?;
            nix::unistd::symlinkat(link.as_os_str(), target, name)
                .map_err(failed("symlinkat", name))?;
            own(target, name, &stat)
        }
        SFlag::S_IFSOCK => Ok(()),
        kind => {
            nix::sys::stat::mknodat(target, name, kind, mode, stat.st_rdev)
                .map_err(failed("mknodat", name))?;
            own(target, name, &stat)
        }
    }
}

fn copy_file(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    name: &OsStr,
    mode: Mode,
) -> Result<(), SyscallError> {
    // Without blocking: what was a file when looked at may be a FIFO by now.
    let read = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let write = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let from =
        nix::fcntl::openat(source, name, read, Mode::empty()).map_err(failed("openat", name))?;
    let to = nix::fcntl::openat(target, name, write, mode).map_err(failed("openat", name))?;
    io::copy(&mut std::fs::File::from(from), &mut std::fs::File::from(to))
        .map(drop)
        .map_err(|error| SyscallError::from_io("copy_file_range", format!("{name:?}"), &error))
}

fn own(target: BorrowedFd<'_>, name: &OsStr, stat: &FileStat) -> Result<(), SyscallError> {
    if (stat.st_uid, stat.st_gid) == (0, 0) {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fchownat(target, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
        .map_err(failed("fchownat", name))
}

/// A descriptor that can be read as a directory, of one that is only a handle.
fn readable(directory: BorrowedFd<'_>) -> Result<OwnedFd, SyscallError> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::openat(directory, Path::new("."), flags, Mode::empty())
        .map_err(failed("openat", OsStr::new(".")))
}

fn failed(call: &'static str, name: &OsStr) -> impl FnOnce(nix::errno::Errno) -> SyscallError {
    let name = format!("{name:?}");
    move |errno| SyscallError::new(call, name, errno)
}
