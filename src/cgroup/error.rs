//! What can go wrong with a cgroup.

use std::fmt;
use std::path::PathBuf;

use crate::model::ErrorKind;
use crate::sys::SyscallError;

/// A failed operation on a cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The machine's cgroup mounts cannot be found.
    Detect { source: SyscallError },
    /// A path that is not absolute, or has `..` or control characters.
    Path(String),
    /// No such cgroup in any hierarchy.
    Missing(String),
    /// A cgroup of that name has processes.
    InUse(String),
    /// A limit was asked for whose controller the machine lacks (or does not
    /// delegate to this cgroup).
    MissingController { controller: String, setting: String },
    /// The kernel refused a limit.
    Limit { setting: &'static str, cause: Box<Error> },
    /// A value the kernel has no word for.
    Value { setting: &'static str, value: String },
    /// A file or directory of the cgroup file system failed.
    File { action: &'static str, path: PathBuf, value: String, source: SyscallError },
    /// Processes did not end after SIGKILL.
    Unkillable { path: String, pids: Vec<i32> },
    /// Freezing or thawing did not finish.
    Freeze { path: String, wanted: &'static str },
    /// systemd's socket.
    Bus { path: PathBuf, source: SyscallError },
    /// systemd refused, in its own words.
    Unit { verb: &'static str, unit: String, error: String, text: String },
    /// A property of systemd's whose value cannot be read.
    Property { name: String, value: String },
    /// The process that holds a scope open.
    Placeholder { source: SyscallError },
    /// The device program was refused.
    Devices { path: String, source: SyscallError },
    /// `linux.intelRdt` where there is none.
    NoResctrl,
    /// A resctrl group is not what it must be.
    Rdt { folder: PathBuf, problem: String },
    /// Removal went on past these.
    Remove { path: String, failures: Vec<Error> },
}

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Detect { source }
            | Self::File { source, .. }
            | Self::Devices { source, .. }
            | Self::Bus { source, .. }
            | Self::Placeholder { source } => source.kind(),
            Self::Unit { .. } => ErrorKind::System,
            Self::Property { .. } => ErrorKind::InvalidInput,
            Self::Path(_) | Self::Value { .. } => ErrorKind::InvalidInput,
            Self::Missing(_) => ErrorKind::NotFound,
            Self::InUse(_) => ErrorKind::AlreadyExists,
            Self::MissingController { .. } | Self::NoResctrl => ErrorKind::Unsupported,
            Self::Limit { cause, .. } => cause.kind(),
            Self::Unkillable { .. } | Self::Freeze { .. } => ErrorKind::TimedOut,
            Self::Remove { .. } | Self::Rdt { .. } => ErrorKind::System,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Detect { source } => write!(f, "find cgroup mounts: {source}"),
            Self::Path(path) => write!(f, "use cgroup path {path:?}: not a plain absolute path"),
            Self::Missing(path) => write!(f, "open cgroup {path:?}: does not exist"),
            Self::InUse(path) => write!(f, "create cgroup {path:?}: it has processes already"),
            Self::MissingController { controller, setting } => {
                write!(f, "set {setting}: controller {controller:?} is not available")
            }
            Self::Limit { setting, cause } => write!(f, "set {setting}: {cause}"),
            Self::Value { setting, value } => write!(f, "set {setting}: bad value {value:?}"),
            Self::File { action, path, value, source } if value.is_empty() => {
                write!(f, "{action} {path:?}: {source}")
            }
            Self::File { action, path, value, source } => {
                write!(f, "{action} {value:?} to {path:?}: {source}")
            }
            Self::Unkillable { path, pids } => {
                write!(f, "kill cgroup {path:?}: processes {pids:?} are still there")
            }
            Self::Freeze { path, wanted } => write!(f, "freeze cgroup {path:?}: not {wanted} yet"),
            Self::Bus { path, source } => write!(f, "talk to systemd at {path:?}: {source}"),
            Self::Unit { verb, unit, error, text } => {
                write!(f, "{verb} systemd unit {unit:?}: {error}: {text}")
            }
            Self::Property { name, value } => {
                write!(f, "set systemd property {name:?}: cannot read {value:?}")
            }
            Self::Placeholder { source } => write!(f, "hold a systemd scope open: {source}"),
            Self::Devices { path, source } => {
                write!(f, "set device rules of cgroup {path:?}: {source}")
            }
            Self::NoResctrl => f.write_str("set linux.intelRdt: no resctrl file system is mounted"),
            Self::Rdt { folder, problem } => {
                write!(f, "set linux.intelRdt: use {folder:?}: {problem}")
            }
            Self::Remove { path, failures } => {
                write!(f, "remove cgroup {path:?}: ")?;
                for (index, failure) in failures.iter().enumerate() {
                    write!(f, "{}{failure}", if index == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Error {}
