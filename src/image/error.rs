//! What can go wrong with images.

use std::fmt;
use std::path::PathBuf;

use super::digest::Digest;
use super::reference::InvalidReference;
use crate::model::ErrorKind;
use crate::sys::SyscallError;

/// An error of this room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A name outside the grammar.
    Reference { text: String, problem: InvalidReference },
    /// No image of this name or id here.
    NotFound { name: String },
    /// A short id that several images share.
    Ambiguous { id: String },
    /// An image that cannot go while something uses it.
    InUse { image: String, owner: String },
    /// An image that cannot go by id while several names mean it.
    ManyNames { image: String },
    /// A record or a blob of the store cannot be read as what it should be.
    Corrupt { path: PathBuf, problem: String },
    /// An archive, a layout or a layer is not what it claims to be.
    Malformed { what: String, problem: String },
    /// Content does not have the digest it is known by.
    DigestMismatch { what: String, want: Digest, got: Digest },
    /// Content exceeds a limit that protects the machine.
    TooLarge { what: String, limit: String },
    /// No manifest of an index fits this machine.
    NoPlatform { what: String, platform: String },
    /// Something podrt does not do.
    Unsupported { what: String },
    /// A record of the store.
    Store(crate::store::Error),
    /// A system call on an object of the store or of a container.
    System { verb: &'static str, object: String, cause: SyscallError },
}

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Reference { .. }
            | Self::Ambiguous { .. }
            | Self::Malformed { .. }
            | Self::DigestMismatch { .. } => ErrorKind::InvalidInput,
            Self::NotFound { .. } | Self::NoPlatform { .. } => ErrorKind::NotFound,
            Self::InUse { .. } | Self::ManyNames { .. } => ErrorKind::WrongState,
            Self::Corrupt { .. } => ErrorKind::System,
            Self::TooLarge { .. } => ErrorKind::Exhausted,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Store(cause) => cause.kind(),
            Self::System { cause, .. } => cause.kind(),
        }
    }

    /// The constructor that `map_err` wants: `.map_err(Error::system("open", path))`.
    pub(super) fn system(
        verb: &'static str,
        object: impl fmt::Display,
    ) -> impl FnOnce(SyscallError) -> Self {
        let object = object.to_string();
        move |cause| Self::System { verb, object, cause }
    }

    /// As [`Error::system`], for a call of `std`.
    pub(super) fn io(
        verb: &'static str,
        object: impl fmt::Display,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let object = object.to_string();
        move |error| Self::System { verb, object, cause: SyscallError::from_io(verb, "", &error) }
    }

    /// An archive or a layout that breaks its own format.
    pub(super) fn malformed(what: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self::Malformed { what: what.to_string(), problem: problem.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference { text, problem } => write!(f, "parse image name {text:?}: {problem}"),
            Self::NotFound { name } => write!(f, "image {name:?} not found"),
            Self::Ambiguous { id } => write!(f, "image id {id:?} is ambiguous"),
            Self::InUse { image, owner } => write!(f, "image {image:?} is in use by {owner}"),
            Self::ManyNames { image } => {
                write!(f, "image {image:?} has several names, remove them or use --force")
            }
            Self::Corrupt { path, problem } => write!(f, "read {path:?}: {problem}"),
            Self::Malformed { what, problem } => write!(f, "read {what}: {problem}"),
            Self::DigestMismatch { what, want, got } => {
                write!(f, "verify {what}: want {want}, got {got}")
            }
            Self::TooLarge { what, limit } => write!(f, "read {what}: more than {limit}"),
            Self::NoPlatform { what, platform } => {
                write!(f, "read {what}: no image for platform {platform}")
            }
            Self::Unsupported { what } => f.write_str(what),
            Self::Store(cause) => cause.fmt(f),
            Self::System { verb, object, cause } => write!(f, "{verb} {object:?}: {cause}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<crate::store::Error> for Error {
    fn from(cause: crate::store::Error) -> Self {
        Self::Store(cause)
    }
}
