//! What a client and a shim say to each other: JSON messages over a UNIX
//! socket that keeps message borders (`SOCK_SEQPACKET`), descriptors beside
//! the first packet of a message.
//!
//! A client sends one [`Request`] and reads [`Reply`]s until the one that ends
//! it. Every message carries the version; a shim answers a request of another
//! version with [`ErrorKind::Unsupported`].

use serde::{Deserialize, Serialize};

use crate::model::plan::PodPlan;
use crate::model::{ErrorKind, Signal};
use crate::store::StatusRecord;

/// Raised when a message changes its meaning; additions do not count.
pub const PROTOCOL_VERSION: u32 = 1;

/// The envelope of every message.
#[derive(Debug, Serialize, Deserialize)]
pub struct Message<T> {
    pub version: u32,
    pub body: T,
}

/// Only the version, for a message whose body may be of another one.
#[derive(Debug, Deserialize)]
pub struct Version {
    pub version: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// Answered by one `Status`.
    Status,
    /// Answered by a `Status` now and after every change (the newest only, for
    /// a reader that is slow), until the pod ends: `Ended`.
    Watch,
    /// Answered by `Accepted`; what becomes of it is seen by watching.
    Stop(StopOrder),
    /// Answered by `Ended` when nothing of the pod is left but its records.
    StopAndWait(StopOrder),
    /// Three descriptors come along (input, output, error) unless `tty`.
    /// Answered by `Running` and, when the process has ended, `Exited`.
    Exec(ExecOrder),
    /// Behind an `Exec` with `tty`, whose master end comes back: the client
    /// leaves, and the process keeps its terminal. Answered by `Accepted`.
    Detach,
    /// Two descriptors come along: where to write the container's output and
    /// its error output (one counts for both with a terminal). Answered by
    /// `Attached`, and by `Exited` when the container has.
    Attach(AttachOrder),
    /// Behind an `Attach` with input: no more comes. Not answered.
    InputEnded,
    /// Labels, annotations, images, deadline and new ephemeral containers are
    /// taken from this plan. Answered by `Accepted`.
    Amend(Box<PodPlan>),
    /// Answered by `Accepted`.
    Signal { container: String, signal: Signal },
}

/// How to end the pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopOrder {
    /// Seconds; `None` for the pod's own.
    pub grace_seconds: Option<u32>,
    pub force: bool,
    /// True sets a deletionTimestamp and tears everything down for good.
    pub delete: bool,
    /// The status reason and message where the pod is not deleted.
    pub reason: Option<String>,
    pub message: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecOrder {
    pub container: String,
    pub command: Vec<String>,
    /// The process gets a terminal of the container; its master end comes back
    /// with `Running`.
    pub tty: bool,
    /// Columns and rows of that terminal.
    pub size: Option<(u16, u16)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachOrder {
    pub container: String,
    /// Ask for the container's input too: its write end (or the terminal's
    /// master) comes back with `Attached`.
    pub stdin: bool,
    /// Wait for the container if it is not there yet.
    #[serde(default)]
    pub wait: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    Status(Box<StatusRecord>),
    Accepted,
    /// Nothing of the pod is left but its records.
    Ended,
    /// With `tty`: the master end comes along.
    Running {
        pid: i32,
    },
    /// The exit code as a shell tells it.
    Exited {
        code: i32,
    },
    /// With `stdin`: where to write comes along.
    Attached {
        tty: bool,
    },
    Failed {
        kind: WireKind,
        message: String,
    },
}

/// [`ErrorKind`] on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WireKind {
    NotFound,
    AlreadyExists,
    InvalidInput,
    WrongState,
    PermissionDenied,
    Unsupported,
    Exhausted,
    TimedOut,
    System,
}

impl From<ErrorKind> for WireKind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::AlreadyExists => Self::AlreadyExists,
            ErrorKind::InvalidInput => Self::InvalidInput,
            ErrorKind::WrongState => Self::WrongState,
            ErrorKind::PermissionDenied => Self::PermissionDenied,
            ErrorKind::Unsupported => Self::Unsupported,
            ErrorKind::Exhausted => Self::Exhausted,
            ErrorKind::TimedOut => Self::TimedOut,
            ErrorKind::System => Self::System,
        }
    }
}

impl From<WireKind> for ErrorKind {
    fn from(kind: WireKind) -> Self {
        match kind {
            WireKind::NotFound => Self::NotFound,
            WireKind::AlreadyExists => Self::AlreadyExists,
            WireKind::InvalidInput => Self::InvalidInput,
            WireKind::WrongState => Self::WrongState,
            WireKind::PermissionDenied => Self::PermissionDenied,
            WireKind::Unsupported => Self::Unsupported,
            WireKind::Exhausted => Self::Exhausted,
            WireKind::TimedOut => Self::TimedOut,
            WireKind::System => Self::System,
        }
    }
}
