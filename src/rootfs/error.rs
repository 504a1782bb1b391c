//! What can go wrong, in the parent ([`Error`]) and in the child ([`StepError`]).

use std::fmt;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::model::ErrorKind;
use crate::sys::SyscallError;

/// A root file system that cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The rootfs directory cannot be opened.
    Root { path: PathBuf, source: SyscallError },
    /// A bind mount's source cannot be opened.
    Source { destination: PathBuf, source: SyscallError },
    /// A mount entry that contradicts itself or asks for the unknown.
    Mount { destination: PathBuf, reason: &'static str, value: String },
    /// A field of the spec that is not understood.
    Field { field: &'static str, value: String },
    /// A mapping's user namespace cannot be made.
    Mapping { destination: PathBuf, source: SyscallError },
    /// What cgroups the machine has cannot be read.
    Cgroups { source: SyscallError },
}

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Root { source, .. }
            | Self::Source { source, .. }
            | Self::Mapping { source, .. }
            | Self::Cgroups { source } => source.kind(),
            Self::Mount { .. } | Self::Field { .. } => ErrorKind::InvalidInput,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root { path, source } => write!(f, "open rootfs {path:?}: {source}"),
            Self::Source { destination, source } => {
                write!(f, "open source of mount {destination:?}: {source}")
            }
            Self::Mount { destination, reason, value } => {
                write!(f, "plan mount {destination:?}: {reason}: {value:?}")
            }
            Self::Field { field, value } => write!(f, "read {field} {value:?}: unknown value"),
            Self::Mapping { destination, source } => {
                write!(f, "map owners of mount {destination:?}: {source}")
            }
            Self::Cgroups { source } => write!(f, "read cgroup mounts: {source}"),
        }
    }
}

impl std::error::Error for Error {}

/// The steps of [`super::RootfsPlan::enter`], in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// The mount namespace stops sending mounts to the host.
    Propagation,
    /// The rootfs is put in place.
    Root,
    /// The spec's mounts.
    Mounts,
    /// Device nodes.
    Devices,
    /// `/dev/fd`, `/dev/stdin`, `/dev/ptmx` and their like.
    Symlinks,
    /// The terminal and `/dev/console`.
    Console,
    /// Read-only paths.
    ReadonlyPaths,
    /// Masked paths.
    MaskedPaths,
    /// `pivot_root(2)`, or `chroot(2)` with `no_pivot`.
    ChangeRoot,
    /// The rootfs itself becomes read-only, with its own propagation.
    RootAttributes,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 10] = [
        Self::Propagation,
        Self::Root,
        Self::Mounts,
        Self::Devices,
        Self::Symlinks,
        Self::Console,
        Self::ReadonlyPaths,
        Self::MaskedPaths,
        Self::ChangeRoot,
        Self::RootAttributes,
    ];

    /// The words for an error line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Propagation => "set mount propagation",
            Self::Root => "mount rootfs",
            Self::Mounts => "mount",
            Self::Devices => "create device",
            Self::Symlinks => "create symlink",
            Self::Console => "set up console",
            Self::ChangeRoot => "change root",
            Self::ReadonlyPaths => "make path read-only",
            Self::MaskedPaths => "mask path",
            Self::RootAttributes => "set rootfs attributes",
        }
    }
}

/// A step that failed in the child; small enough to be sent to the parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError {
    pub stage: Stage,
    /// The system call that failed.
    pub call: &'static str,
    pub errno: Errno,
    /// The object (a destination, a path) and the call's arguments.
    pub detail: String,
}

impl StepError {
    /// `source` failed in `stage` while working on `object`.
    #[must_use]
    pub fn new(stage: Stage, object: impl fmt::Debug, source: SyscallError) -> Self {
        let detail = format!("{object:?}: {}({})", source.call, source.args);
        Self { stage, call: source.call, errno: source.errno, detail }
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = crate::sys::error::describe(self.errno);
        write!(f, "{} {}: {cause}", self.stage.as_str(), self.detail)
    }
}

impl std::error::Error for StepError {}
