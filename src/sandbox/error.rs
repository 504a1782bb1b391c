//! What can go wrong with a sandbox.

use std::fmt;

use nix::errno::Errno;

use super::Step;
use crate::model::ErrorKind;
use crate::sys::SyscallError;
use crate::{cgroup, network};

pub type Result<T> = std::result::Result<T, Error>;

/// One line: `verb "object": cause`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A step of the machine's side.
    Call {
        verb: &'static str,
        cause: SyscallError,
    },
    /// A step inside the new namespaces.
    Inside {
        step: Step,
        errno: Errno,
        detail: String,
    },
    /// A sysctl that no namespace of this pod keeps from the machine.
    ForeignSysctl {
        name: String,
        needs: &'static str,
    },
    /// A name that is no sysctl's.
    MalformedSysctl {
        name: String,
    },
    /// The pause process ended before it could be used.
    PauseDied,
    /// The pause process does not end after SIGKILL.
    PauseStays {
        pid: i32,
    },
    Cgroup(cgroup::Error),
    Network(network::Error),
}

impl Error {
    pub(super) fn call(verb: &'static str) -> impl FnOnce(SyscallError) -> Self {
        move |cause| Self::Call { verb, cause }
    }

    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Call { cause, .. } => cause.kind(),
            Self::Inside { errno, .. } => SyscallError::new("", "", *errno).kind(),
            Self::ForeignSysctl { .. } | Self::MalformedSysctl { .. } => ErrorKind::InvalidInput,
            Self::PauseDied => ErrorKind::System,
            Self::PauseStays { .. } => ErrorKind::TimedOut,
            Self::Cgroup(cause) => cause.kind(),
            Self::Network(cause) => cause.kind(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { verb, cause } => write!(f, "{verb}: {cause}"),
            Self::Inside { step, detail, .. } => write!(f, "{step}: {detail}"),
            Self::ForeignSysctl { name, needs } => {
                write!(f, "set sysctl {name:?}: it needs {needs} of the pod's own")
            }
            Self::MalformedSysctl { name } => write!(f, "set sysctl {name:?}: no such name"),
            Self::PauseDied => f.write_str("start pause: it ended at once"),
            Self::PauseStays { pid } => write!(f, "stop pause: process {pid} survives SIGKILL"),
            Self::Cgroup(cause) => cause.fmt(f),
            Self::Network(cause) => cause.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Call { cause, .. } => Some(cause),
            Self::Cgroup(cause) => Some(cause),
            Self::Network(cause) => Some(cause),
            _ => None,
        }
    }
}

impl From<cgroup::Error> for Error {
    fn from(cause: cgroup::Error) -> Self {
        Self::Cgroup(cause)
    }
}

impl From<network::Error> for Error {
    fn from(cause: network::Error) -> Self {
        Self::Network(cause)
    }
}
