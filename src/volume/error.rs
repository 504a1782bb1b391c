//! Why a volume cannot be had.

use std::fmt;

use crate::model::ErrorKind;
use crate::sys::SyscallError;

pub type Result<T> = std::result::Result<T, Error>;

/// The text is what the kubelet prints after
/// `MountVolume.SetUp failed for volume "V" : `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// `configmap "x" not found`.
    ObjectNotFound {
        what: &'static str,
        name: String,
    },
    /// `references non-existent secret key: x`.
    KeyNotFound {
        text: &'static str,
        key: String,
    },
    System {
        verb: &'static str,
        object: String,
        cause: SyscallError,
    },
}

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::ObjectNotFound { .. } | Self::KeyNotFound { .. } => ErrorKind::NotFound,
            Self::System { cause, .. } => cause.kind(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ObjectNotFound { what, name } => write!(f, "{what} {name:?} not found"),
            Self::KeyNotFound { text, key } => write!(f, "{text}: {key}"),
            Self::System { verb, object, cause } => write!(f, "{verb} {object:?}: {cause}"),
        }
    }
}

impl std::error::Error for Error {}
