//! Extended attributes (xattr(7)) by directory fd and name, never through a
//! symlink in the last place.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::errno::Errno;

use super::error::{SyscallError, cerr};

/// The kernel's limits (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const VALUE_MAX_BYTES: usize = 64 << 10;
const LIST_MAX_BYTES: usize = 64 << 10;

/// A file by its directory and name; an empty name is the directory itself.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub dir: BorrowedFd<'a>,
    pub name: &'a OsStr,
}

impl Target<'_> {
    /// The `*xattrat` calls came with Linux 6.13; `/proc` serves all kernels.
    fn path(&self, call: &'static str) -> Result<CString, SyscallError> {
        let mut path = format!("/proc/self/fd/{}/", self.dir.as_raw_fd()).into_bytes();
        path.extend_from_slice(if self.name.is_empty() { b"." } else { self.name.as_bytes() });
        CString::new(path).map_err(|_| self.error(call, Errno::EINVAL))
    }

    fn error(&self, call: &'static str, errno: Errno) -> SyscallError {
        SyscallError::new(call, format!("{:?}", self.name), errno)
    }
}

/// Sets `attribute` (with its namespace: `user.x`) to `value`.
///
/// # Errors
/// EOPNOTSUPP where the file system has no such attributes, EPERM for one this
/// kind of file cannot have, EINVAL for a NUL in a name.
pub fn set(target: Target<'_>, attribute: &OsStr, value: &[u8]) -> Result<(), SyscallError> {
    let path = target.path("lsetxattr")?;
    let name =
        CString::new(attribute.as_bytes()).map_err(|_| target.error("lsetxattr", Errno::EINVAL))?;
    // SAFETY: both strings are NUL-terminated and `value` is readable for its
    // length; all outlive the call.
    let done = unsafe {
        libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0)
    };
    let args = || format!("{:?}, {attribute:?}, {} bytes", target.name, value.len());
    cerr(done.into(), "lsetxattr", args).map(drop)
}

/// The value of `attribute`; `None` when the file does not have it.
///
/// # Errors
/// ERANGE when it is longer than the kernel allows.
pub fn get(target: Target<'_>, attribute: &OsStr) -> Result<Option<Vec<u8>>, SyscallError> {
    let path = target.path("lgetxattr")?;
    let name =
        CString::new(attribute.as_bytes()).map_err(|_| target.error("lgetxattr", Errno::EINVAL))?;
    let mut value = vec![0_u8; VALUE_MAX_BYTES];
    // SAFETY: both strings are NUL-terminated and `value` is writable for its
    // length; all outlive the call.
    let length = unsafe {
        libc::lgetxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len())
    };
    match usize::try_from(length) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(_) => match Errno::last() {
            Errno::ENODATA | Errno::EOPNOTSUPP => Ok(None),
            errno => Err(target.error("lgetxattr", errno)),
        },
    }
}

/// The names of the file's attributes.
///
/// # Errors
/// E2BIG when there are more than the kernel can list.
pub fn list(target: Target<'_>) -> Result<Vec<OsString>, SyscallError> {
    let path = target.path("llistxattr")?;
    let mut names = vec![0_u8; LIST_MAX_BYTES];
    // SAFETY: `path` is NUL-terminated and `names` is writable for its length;
    // both outlive the call.
    let length = unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    let Ok(length) = usize::try_from(length) else {
        return match Errno::last() {
            Errno::EOPNOTSUPP => Ok(Vec::new()),
            errno => Err(target.error("llistxattr", errno)),
        };
    };
    let names = names[..length].split(|&b| b == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| OsString::from_vec(name.to_vec())).collect())
}
