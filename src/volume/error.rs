//! Why a volume cannot be had.

use std::fmt;

use crate::model::ErrorKind;
use crate::model::plan::ObjectKind;
use crate::sys::SyscallError;

pub type Result<T> = std::result::Result<T, Error>;

/// The text is what the kubelet prints, for set-up after
/// `MountVolume.SetUp failed for volume "V" : `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A ConfigMap or Secret that is not optional does not exist.
    ObjectNotFound { kind: ObjectKind, name: String },
    /// The object lacks a key that `items` asks for.
    KeyNotFound { kind: ObjectKind, key: String },
    /// A service account token needs an API server.
    NoApiServer { volume: String },
    /// More than one source of a projected volume failed.
    Several(Vec<Error>),
    /// A file's path in the volume could lead out of it.
    FilePath { path: String, why: &'static str },
    /// The host path is not what its `type` says.
    HostPathType { path: String, wanted: &'static str },
    /// The container mounts a volume that the pod does not have.
    UnknownVolume { volume: String, container: String },
    /// The volume is asked for before it was set up.
    NotSetUp { volume: String },
    /// A missing directory of a `subPath` could not be made. The text leaves
    /// the cause out: it would tell a container's user about the host.
    SubPathCreate { volume: String, container: String, cause: SyscallError },
    /// A `subPath` leads out of its volume, or nowhere.
    SubPathPrepare { volume: String, container: String, cause: SyscallError },
    /// A `subPath` that an image volume does not have.
    ImageSubPath { volume: String, path: String, cause: SyscallError },
    /// A system call failed.
    System { verb: &'static str, object: String, cause: SyscallError },
}

impl Error {
    pub(super) fn system(
        verb: &'static str,
        object: impl Into<String>,
    ) -> impl FnOnce(SyscallError) -> Self {
        let object = object.into();
        move |cause| Self::System { verb, object, cause }
    }

    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::ObjectNotFound { .. } | Self::KeyNotFound { .. } => ErrorKind::NotFound,
            Self::NoApiServer { .. } => ErrorKind::Unsupported,
            Self::Several(errors) => errors.first().map_or(ErrorKind::System, Self::kind),
            Self::FilePath { .. } | Self::UnknownVolume { .. } => ErrorKind::InvalidInput,
            Self::HostPathType { .. } | Self::NotSetUp { .. } => ErrorKind::WrongState,
            Self::SubPathCreate { cause, .. }
            | Self::SubPathPrepare { cause, .. }
            | Self::ImageSubPath { cause, .. }
            | Self::System { cause, .. } => cause.kind(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ObjectNotFound { kind: ObjectKind::ConfigMap, name } => {
                write!(f, "configmap {name:?} not found")
            }
            Self::ObjectNotFound { kind: ObjectKind::Secret, name } => {
                write!(f, "secret {name:?} not found")
            }
            Self::KeyNotFound { kind: ObjectKind::ConfigMap, key } => {
                write!(f, "configmap references non-existent config key: {key}")
            }
            Self::KeyNotFound { kind: ObjectKind::Secret, key } => {
                write!(f, "references non-existent secret key: {key}")
            }
            Self::NoApiServer { volume } => write!(
                f,
                "cannot setup projected volume {volume} because kube client is not configured"
            ),
            Self::Several(errors) => {
                let texts: Vec<_> = errors.iter().map(Self::to_string).collect();
                write!(f, "[{}]", texts.join(", "))
            }
            Self::FilePath { path, why } => write!(f, "write file {path:?}: {why}"),
            Self::HostPathType { path, wanted } => {
                write!(f, "hostPath type check failed: {path} is not {wanted}")
            }
            Self::UnknownVolume { volume, container } => {
                write!(f, "cannot find volume {volume:?} to mount into container {container:?}")
            }
            Self::NotSetUp { volume } => write!(f, "mount volume {volume:?}: it is not set up"),
            Self::SubPathCreate { volume, container, .. } => write!(
                f,
                "failed to create subPath directory for volumeMount {volume:?} \
                 of container {container:?}"
            ),
            Self::SubPathPrepare { volume, container, .. } => write!(
                f,
                "failed to prepare subPath for volumeMount {volume:?} of container {container:?}"
            ),
            Self::ImageSubPath { volume, path, cause } => write!(
                f,
                "ImageVolumeMountFailed: failed to mount subPath {path:?} \
                 of image volume {volume:?}: {cause}"
            ),
            Self::System { verb, object, cause } => write!(f, "{verb} {object:?}: {cause}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::SubPathCreate { cause, .. } | Self::SubPathPrepare { cause, .. } => Some(cause),
            _ => None,
        }
    }
}
