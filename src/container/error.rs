//! What can go wrong with a container.

use std::fmt;
use std::path::PathBuf;

use super::stage::StepError;
use crate::model::ErrorKind;
use crate::sys::SyscallError;

/// An error of this room. The texts hold the phrases that callers of an OCI
/// runtime search for.
#[derive(Debug)]
pub enum Error {
    /// No container of that id.
    DoesNotExist,
    /// The id is taken.
    Exists { id: String },
    /// `kill` and its like on one that has ended.
    NotRunning,
    /// `delete` without force on one that has not ended.
    NotStopped { id: String, status: String },
    /// The verb does not fit the container's state.
    WrongState { verb: &'static str, status: String },
    /// The spec contradicts itself or asks for what cannot be.
    Spec { problem: String },
    /// A file of the state or the bundle does not parse.
    Parse { path: PathBuf, problem: String },
    /// A step inside the new process.
    Step(StepError),
    /// The new process ended without a word.
    Died { what: String },
    /// A hook failed.
    Hook { kind: &'static str, path: PathBuf, problem: String },
    /// criu refused or failed.
    Criu { problem: String, log: Option<PathBuf> },
    /// Another room, by its finished line.
    Resource { what: &'static str, kind: ErrorKind, problem: String },
    /// A system call.
    Call { what: String, source: SyscallError },
}

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::DoesNotExist => ErrorKind::NotFound,
            Self::Exists { .. } => ErrorKind::AlreadyExists,
            Self::NotRunning | Self::NotStopped { .. } | Self::WrongState { .. } => {
                ErrorKind::WrongState
            }
            Self::Spec { .. } | Self::Parse { .. } => ErrorKind::InvalidInput,
            Self::Step(step) => SyscallError::new("", "", step.errno).kind(),
            Self::Died { .. } | Self::Hook { .. } | Self::Criu { .. } => ErrorKind::System,
            Self::Resource { kind, .. } => *kind,
            Self::Call { source, .. } => source.kind(),
        }
    }

    /// A failed call with what it was for.
    pub fn call(what: impl Into<String>) -> impl FnOnce(SyscallError) -> Self {
        let what = what.into();
        move |source| Self::Call { what, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DoesNotExist => f.write_str("container does not exist"),
            Self::Exists { id } => write!(f, "container with given ID already exists: {id:?}"),
            Self::NotRunning => f.write_str("container not running"),
            Self::NotStopped { id, status } => {
                write!(f, "cannot delete container {id} that is not stopped: {status}")
            }
            Self::WrongState { verb, status } => {
                write!(f, "cannot {verb} a container that is {status}")
            }
            Self::Spec { problem } => write!(f, "invalid spec: {problem}"),
            Self::Parse { path, problem } => write!(f, "parse {path:?}: {problem}"),
            Self::Step(step) => step.fmt(f),
            Self::Died { what } => write!(f, "{what} ended unexpectedly"),
            Self::Hook { kind, path, problem } => write!(f, "{kind} hook {path:?}: {problem}"),
            Self::Criu { problem, log: None } => write!(f, "criu: {problem}"),
            Self::Criu { problem, log: Some(log) } => write!(f, "criu: {problem} (log: {log:?})"),
            Self::Resource { what, problem, .. } => write!(f, "{what}: {problem}"),
            Self::Call { what, source } => write!(f, "{what}: {source}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<StepError> for Error {
    fn from(step: StepError) -> Self {
        Self::Step(step)
    }
}

/// Results of this room.
pub type Result<T> = std::result::Result<T, Error>;
