//! The leaf of every error chain: a failed system call, readable like a line
//! of strace.

use std::fmt;

use nix::errno::Errno;

use crate::model::ErrorKind;

/// `openat2("/rootfs", "etc"): no such file or directory`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyscallError {
    /// The call's name.
    pub call: &'static str,
    /// The arguments worth reading, already formatted; may be empty.
    pub args: String,
    pub errno: Errno,
}

impl SyscallError {
    /// An error from its parts.
    pub fn new(call: &'static str, args: impl Into<String>, errno: Errno) -> Self {
        Self { call, args: args.into(), errno }
    }

    /// The errno that the C library's variable holds now.
    pub fn last(call: &'static str, args: impl Into<String>) -> Self {
        Self::new(call, args, Errno::last())
    }

    /// An error of `std`; one without an errno counts as EIO.
    pub fn from_io(call: &'static str, args: impl Into<String>, error: &std::io::Error) -> Self {
        Self::new(call, args, Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
    }

    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self.errno {
            Errno::ENOENT | Errno::ESRCH => ErrorKind::NotFound,
            Errno::EEXIST => ErrorKind::AlreadyExists,
            Errno::EPERM | Errno::EACCES => ErrorKind::PermissionDenied,
            Errno::ENOSYS | Errno::EOPNOTSUPP => ErrorKind::Unsupported,
            Errno::ENOSPC | Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EAGAIN => {
                ErrorKind::Exhausted
            }
            Errno::ETIMEDOUT => ErrorKind::TimedOut,
            _ => ErrorKind::System,
        }
    }
}

impl fmt::Display for SyscallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}): {}", self.call, self.args, describe(self.errno))
    }
}

impl std::error::Error for SyscallError {}

/// The C library's text with a small first letter, as Go prints it: callers of
/// an OCI runtime search for these words (`no such file or directory`).
#[must_use]
pub fn describe(errno: Errno) -> String {
    let text = errno.desc();
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

/// The errno turnstile: `-1` becomes an error that names the call.
///
/// # Errors
/// The errno of the moment, when `result` is negative.
pub fn cerr(
    result: libc::c_long,
    call: &'static str,
    args: impl FnOnce() -> String,
) -> Result<libc::c_long, SyscallError> {
    if result < 0 { Err(SyscallError::last(call, args())) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_like_a_strace_line_in_the_words_callers_search_for() {
        let error = SyscallError::new("openat2", "\"etc\"", Errno::ENOENT);
        assert_eq!(error.to_string(), "openat2(\"etc\"): no such file or directory");
        assert_eq!(describe(Errno::EPERM), "operation not permitted");
        assert_eq!(describe(Errno::EIO), "I/O error");
    }
}
