//! What can go wrong with a record.

use std::fmt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::model::{ErrorKind, PodUid};
use crate::sys::SyscallError;

pub type Result<T> = std::result::Result<T, Error>;

/// One line: `verb "object": cause`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A file or directory could not be worked on.
    File { verb: &'static str, path: PathBuf, cause: SyscallError },
    /// The file is no record: truncated, not JSON, of another shape.
    Garbled { path: PathBuf, cause: String },
    /// The file is far larger than any record.
    TooLarge { path: PathBuf, limit_bytes: u64 },
    /// Another podrt wrote it, in a format this one does not know.
    Version { path: PathBuf, found: u64, known: u32 },
    /// The name cannot be a file's name.
    Name { what: &'static str, name: String, why: &'static str },
    /// A pod of that name has a record, running or ended.
    PodNameTaken { namespace: String, name: String, uid: PodUid },
    /// A pod of that uid has a record.
    PodUidTaken { uid: PodUid },
    /// No pod has that uid.
    NoSuchPod { uid: PodUid },
    /// Another process supervises the pod.
    PodSupervised { uid: PodUid },
    /// An object of that kind and name exists.
    ObjectExists { kind: String, name: String },
    /// The object has changed since the version the caller knows.
    ObjectChanged { kind: String, name: String, given: String, stored: String },
    /// The value is no API object: it has no `metadata` map.
    NoObject { kind: String, name: String },
}

impl Error {
    pub(super) fn io(
        verb: &'static str,
        path: &Path,
        call: &'static str,
        e: &std::io::Error,
    ) -> Self {
        let cause = SyscallError::from_io(call, format!("{}", path.display()), e);
        Self::File { verb, path: path.into(), cause }
    }

    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { cause, .. } => cause.kind(),
            Self::Garbled { .. } | Self::TooLarge { .. } => ErrorKind::System,
            Self::Version { .. } => ErrorKind::Unsupported,
            Self::Name { .. } | Self::NoObject { .. } => ErrorKind::InvalidInput,
            Self::PodNameTaken { .. } | Self::PodUidTaken { .. } | Self::ObjectExists { .. } => {
                ErrorKind::AlreadyExists
            }
            Self::NoSuchPod { .. } => ErrorKind::NotFound,
            Self::PodSupervised { .. } | Self::ObjectChanged { .. } => ErrorKind::WrongState,
        }
    }

    pub(super) fn is_missing_file(&self) -> bool {
        matches!(self, Self::File { cause, .. } if cause.kind() == ErrorKind::NotFound)
    }

    /// What the path was made of came or went meanwhile.
    pub(super) fn is_lost_race(&self) -> bool {
        matches!(self, Self::File { cause, .. } if matches!(cause.errno, Errno::ENOENT | Errno::EEXIST))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { verb, path, cause } => write!(f, "{verb} {path:?}: {cause}"),
            Self::Garbled { path, cause } => write!(f, "read record {path:?}: {cause}"),
            Self::TooLarge { path, limit_bytes } => {
                write!(f, "read record {path:?}: larger than {limit_bytes} bytes")
            }
            Self::Version { path, found, known } => write!(
                f,
                "read record {path:?}: format version {found}, this podrt knows version {known}"
            ),
            Self::Name { what, name, why } => write!(f, "use {what} {name:?}: {why}"),
            Self::PodNameTaken { namespace, name, uid } => {
                write!(f, "create pod \"{namespace}/{name}\": already exists (uid {uid})")
            }
            Self::PodUidTaken { uid } => write!(f, "create pod with uid \"{uid}\": already exists"),
            Self::NoSuchPod { uid } => write!(f, "open pod with uid \"{uid}\": no such pod"),
            Self::PodSupervised { uid } => {
                write!(f, "supervise pod with uid \"{uid}\": another process does")
            }
            Self::ObjectExists { kind, name } => {
                write!(f, "create {kind} {name:?}: already exists")
            }
            Self::ObjectChanged { kind, name, given, stored } => write!(
                f,
                "update {kind} {name:?}: the object has been modified \
                 (resource version {given} was given, {stored} is stored)"
            ),
            Self::NoObject { kind, name } => write!(f, "store {kind} {name:?}: no metadata"),
        }
    }
}

impl std::error::Error for Error {}
