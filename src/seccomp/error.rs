//! Why a profile cannot be used.

use std::fmt;

use crate::model::ErrorKind;
use crate::sys::SyscallError;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    Install(SyscallError),
}

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Install(cause) => cause.kind(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Install(cause) => write!(f, "install seccomp filter: {cause}"),
        }
    }
}

impl std::error::Error for Error {}
