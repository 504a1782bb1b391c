//! What can go wrong between a client, a shim and the machine.

use std::fmt;
use std::path::PathBuf;

use crate::model::{ErrorKind, PodUid};
use crate::sys::SyscallError;
use crate::{cgroup, container, image, network, store, volume};

pub type Result<T> = std::result::Result<T, Error>;

/// One line: `verb "object": cause`.
#[derive(Debug)]
pub enum Error {
    /// A record could not be read or written.
    Store(store::Error),
    /// A cgroup of the pod or of its shim.
    Cgroup(cgroup::Error),
    Container(container::Error),
    Network(network::Error),
    Volume(volume::Error),
    Image(image::Error),
    /// The shim's socket could not be worked on.
    Socket {
        verb: &'static str,
        path: PathBuf,
        cause: SyscallError,
    },
    /// A step of starting a pod's processes.
    Launch {
        step: &'static str,
        cause: SyscallError,
    },
    /// Something of the pod could not be removed.
    Remove {
        path: PathBuf,
        cause: SyscallError,
    },
    /// `podrt-shim` is neither beside `podrt` nor where it is installed.
    NoShim {
        searched: Vec<PathBuf>,
    },
    /// The shim ended, or closed the connection, before it had answered.
    NoAnswer {
        uid: PodUid,
    },
    /// The shim has not answered within the time it was given.
    TooSlow {
        uid: PodUid,
    },
    /// Killed, and still there.
    Stays {
        pid: i32,
    },
    /// The other side says something this podrt does not understand.
    Garbled {
        cause: String,
    },
    /// The other side speaks another version of the protocol.
    Version {
        found: u32,
    },
    /// The shim refused or failed; its own line.
    Refused {
        kind: ErrorKind,
        message: String,
    },
}

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(cause) => cause.kind(),
            Self::Cgroup(cause) => cause.kind(),
            Self::Container(cause) => cause.kind(),
            Self::Network(cause) => cause.kind(),
            Self::Volume(cause) => cause.kind(),
            Self::Image(cause) => cause.kind(),
            Self::Socket { cause, .. }
            | Self::Launch { cause, .. }
            | Self::Remove { cause, .. } => cause.kind(),
            Self::NoShim { .. } => ErrorKind::NotFound,
            Self::TooSlow { .. } | Self::Stays { .. } => ErrorKind::TimedOut,
            Self::NoAnswer { .. } | Self::Garbled { .. } => ErrorKind::System,
            Self::Version { .. } => ErrorKind::Unsupported,
            Self::Refused { kind, .. } => *kind,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(cause) => cause.fmt(f),
            Self::Cgroup(cause) => cause.fmt(f),
            Self::Container(cause) => cause.fmt(f),
            Self::Network(cause) => cause.fmt(f),
            Self::Volume(cause) => cause.fmt(f),
            Self::Image(cause) => cause.fmt(f),
            Self::Socket { verb, path, cause } => write!(f, "{verb} {path:?}: {cause}"),
            Self::Launch { step, cause } => write!(f, "start pod's processes: {step}: {cause}"),
            Self::Remove { path, cause } => write!(f, "remove {path:?}: {cause}"),
            Self::NoShim { searched } => {
                write!(f, "find \"podrt-shim\": not at any of {searched:?}")
            }
            Self::NoAnswer { uid } => write!(f, "ask pod with uid \"{uid}\": its shim ended first"),
            Self::TooSlow { uid } => {
                write!(f, "ask pod with uid \"{uid}\": its shim has not answered in time")
            }
            Self::Stays { pid } => {
                write!(f, "end process {pid} of the pod: still there after SIGKILL")
            }
            Self::Garbled { cause } => write!(f, "read message: {cause}"),
            Self::Version { found } => write!(
                f,
                "read message: protocol version {found}, this podrt knows version {}",
                super::control::protocol::PROTOCOL_VERSION
            ),
            Self::Refused { message, .. } => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

impl From<store::Error> for Error {
    fn from(cause: store::Error) -> Self {
        Self::Store(cause)
    }
}

impl From<cgroup::Error> for Error {
    fn from(cause: cgroup::Error) -> Self {
        Self::Cgroup(cause)
    }
}
