//! `renameat2(2)`, which not every C library wraps.

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

use super::error::{SyscallError, cerr};

/// What happens to a file that has the new name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// EEXIST.
    Keep,
    /// It gets the old name.
    Exchange,
}

/// Renames `from` below `from_dir` to `to` below `to_dir`.
///
/// # Errors
/// renameat2(2)'s; EINVAL where the file system cannot do it.
pub fn rename(
    from_dir: BorrowedFd<'_>,
    from: &Path,
    to_dir: BorrowedFd<'_>,
    to: &Path,
    existing: Existing,
) -> Result<(), SyscallError> {
    let flags = match existing {
        Existing::Keep => libc::RENAME_NOREPLACE,
        Existing::Exchange => libc::RENAME_EXCHANGE,
    };
    let (old, new) = (c_path(from)?, c_path(to)?);
    // SAFETY: both paths are NUL-terminated and outlive the call, which writes
    // to no memory of the caller's; the directories are open while borrowed.
    let done = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            from_dir.as_raw_fd(),
            old.as_ptr(),
            to_dir.as_raw_fd(),
            new.as_ptr(),
            flags,
        )
    };
    cerr(done, "renameat2", || format!("{from:?}, {to:?}")).map(drop)
}

fn c_path(path: &Path) -> Result<CString, SyscallError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| SyscallError::new("renameat2", format!("{path:?}"), Errno::EINVAL))
}
