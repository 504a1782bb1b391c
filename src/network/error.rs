//! What can go wrong with a pod's network.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::Subnet;
use crate::model::ErrorKind;
use crate::store;
use crate::sys::SyscallError;

pub type Result<T> = std::result::Result<T, Error>;

/// One line: `verb "object": cause`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The kernel refused a step.
    Step { verb: &'static str, object: String, cause: SyscallError },
    /// A file of the pool could not be worked on.
    Pool { path: PathBuf, cause: SyscallError },
    /// A record or lock of the machine.
    Store(store::Error),
    /// Every address is in use.
    Exhausted { subnet: Subnet },
    /// Every network that might be taken overlaps a route of the machine.
    NoSubnet { tried: Vec<Subnet> },
    /// The bridge's name belongs to an interface without our gateway address.
    ForeignBridge { name: String, gateway: Ipv4Addr },
}

impl Error {
    pub(super) fn step(
        verb: &'static str,
        object: impl Into<String>,
    ) -> impl FnOnce(SyscallError) -> Self {
        let object = object.into();
        move |cause| Self::Step { verb, object, cause }
    }

    pub(super) fn pool(call: &'static str, path: &Path, error: &std::io::Error) -> Self {
        let cause = SyscallError::from_io(call, format!("{}", path.display()), error);
        Self::Pool { path: path.into(), cause }
    }

    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Step { cause, .. } | Self::Pool { cause, .. } => cause.kind(),
            Self::Store(cause) => cause.kind(),
            Self::Exhausted { .. } | Self::NoSubnet { .. } => ErrorKind::Exhausted,
            Self::ForeignBridge { .. } => ErrorKind::AlreadyExists,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { verb, object, cause } => write!(f, "{verb} {object:?}: {cause}"),
            Self::Pool { path, cause } => write!(f, "use address pool {path:?}: {cause}"),
            Self::Store(cause) => cause.fmt(f),
            Self::Exhausted { subnet } => {
                write!(f, "allocate address: every address of {subnet} is in use")
            }
            Self::NoSubnet { tried } => {
                let tried: Vec<String> = tried.iter().map(Subnet::to_string).collect();
                let tried = tried.join(", ");
                write!(f, "choose network: {tried} overlap routes of this machine")
            }
            Self::ForeignBridge { name, gateway } => {
                write!(f, "use bridge {name:?}: it exists without the address {gateway}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Step { cause, .. } | Self::Pool { cause, .. } => Some(cause),
            Self::Store(cause) => Some(cause),
            _ => None,
        }
    }
}

impl From<store::Error> for Error {
    fn from(cause: store::Error) -> Self {
        Self::Store(cause)
    }
}
