//! Why a profile cannot be used.

use std::fmt;

use crate::model::ErrorKind;
use crate::sys::SyscallError;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// System calls have the arguments 0 to 5.
    ArgumentIndex { syscall: String, index: usize },
    /// Every call would wait for the agent, those that start it too.
    NotifyByDefault,
    /// The listener could not be handed to the agent: that takes a write.
    NotifyOnWrite,
    /// More instructions than the kernel takes.
    TooLarge { instructions: usize },
    /// The kernel refused the filter.
    Install(SyscallError),
}

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Install(cause) => cause.kind(),
            _ => ErrorKind::InvalidInput,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ArgumentIndex { syscall, index } => write!(
                f,
                "compile seccomp profile: rule for {syscall:?}: \
                 argument index {index} is greater than 5"
            ),
            Self::NotifyByDefault => f.write_str(
                "compile seccomp profile: SCMP_ACT_NOTIFY cannot be used as default action",
            ),
            Self::NotifyOnWrite => f.write_str(
                "compile seccomp profile: SCMP_ACT_NOTIFY cannot be used for the write syscall",
            ),
            Self::TooLarge { instructions } => write!(
                f,
                "compile seccomp profile: {instructions} instructions, the kernel takes 4096"
            ),
            Self::Install(cause) => write!(f, "install seccomp filter: {cause}"),
        }
    }
}

impl std::error::Error for Error {}
