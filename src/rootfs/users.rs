//! Users by name: an image's `/etc/passwd` and `/etc/group`, read with
//! distrust.

use std::fmt;
use std::os::fd::BorrowedFd;

use crate::model::ErrorKind;
use crate::model::spec::UserSpec;
use crate::sys::SyscallError;

/// A user of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvedUser {
    /// Uid, gid, and the groups that `/etc/group` lists the user in.
    pub user: UserSpec,
    /// The home directory of `/etc/passwd`; `/` when there is no entry.
    pub home: String,
    /// The user was given (or found) as a number that has no entry.
    pub has_entry: bool,
}

/// Why a user string names nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserError {
    /// No such name in `/etc/passwd`.
    UnknownUser(String),
    /// No such name in `/etc/group`.
    UnknownGroup(String),
    /// A number beyond 2³¹−1.
    OutOfRange(String),
    /// A file could not be read.
    Read { file: &'static str, source: SyscallError },
}

impl UserError {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { source, .. } => source.kind(),
            _ => ErrorKind::InvalidInput,
        }
    }
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownUser(name) => {
                write!(f, "unable to find user {name}: no matching entries in passwd file")
            }
            Self::UnknownGroup(name) => {
                write!(f, "unable to find group {name}: no matching entries in group file")
            }
            Self::OutOfRange(id) => write!(f, "resolve user {id:?}: id out of range"),
            Self::Read { file, source } => write!(f, "read {file:?}: {source}"),
        }
    }
}

impl std::error::Error for UserError {}

/// Resolves `user[:group]`, names or numbers (the empty string is `0`), in the
/// root file system that `root` opens.
///
/// # Errors
/// [`UserError`]; a missing `/etc/passwd` or `/etc/group` counts as empty.
pub fn resolve(_root: BorrowedFd<'_>, _user: &str) -> Result<ResolvedUser, UserError> {
    todo!()
}
