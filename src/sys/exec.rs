//! execve(2) and execveat(2) with vectors prepared before the clone.

use std::ffi::{CStr, CString, NulError};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::SyscallError;

/// A NULL-terminated vector of C strings, as exec wants its arguments.
#[derive(Debug)]
pub struct ExecVector {
    strings: Vec<CString>,
}

impl ExecVector {
    /// # Errors
    /// For a string with a NUL byte inside.
    pub fn new<S: AsRef<str>>(strings: impl IntoIterator<Item = S>) -> Result<Self, NulError> {
        let strings =
            strings.into_iter().map(|s| CString::new(s.as_ref())).collect::<Result<_, _>>();
        Ok(Self { strings: strings? })
    }

    /// The strings.
    #[must_use]
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }

    fn pointers(&self) -> Vec<*const libc::c_char> {
        let null = std::iter::once(std::ptr::null());
        self.strings.iter().map(|s| s.as_ptr()).chain(null).collect()
    }
}

impl FromIterator<CString> for ExecVector {
    fn from_iter<I: IntoIterator<Item = CString>>(strings: I) -> Self {
        Self { strings: strings.into_iter().collect() }
    }
}

/// Replaces this process's program; returns only on failure.
#[must_use]
pub fn execve(path: &CStr, args: &ExecVector, env: &ExecVector) -> SyscallError {
    let (args, env) = (args.pointers(), env.pointers());
    // SAFETY: all three are NUL-terminated, the vectors NULL-terminated, and
    // the strings behind them are borrowed for the whole call.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    SyscallError::last("execve", format!("{path:?}"))
}

/// As [`execve`], of an open file (execveat(2) with AT_EMPTY_PATH).
#[must_use]
pub fn execveat(file: BorrowedFd, args: &ExecVector, env: &ExecVector) -> SyscallError {
    let (args, env) = (args.pointers(), env.pointers());
    // SAFETY: as in `execve`; the path is the empty string.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            args.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    SyscallError::last("execveat", format!("{}", file.as_raw_fd()))
}
