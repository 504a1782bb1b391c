//! How an OCI verb tells what went wrong: one line on standard error, and one
//! in the `--log` file in the form that callers of a runtime read.

use std::fmt;
use std::io::Write;

use serde_json::json;

use super::flags::UsageError;
use crate::cli::globals::{Globals, LogFormat};
use crate::container;
use crate::model::ids::InvalidId;
use crate::sys::{SyscallError, clock};

/// Why a verb failed.
#[derive(Debug)]
pub enum Failure {
    Usage(UsageError),
    Id(InvalidId),
    Container {
        /// What was being done, with the container's id.
        doing: String,
        source: container::Error,
    },
    /// A resource of the container, by its finished line.
    Resource {
        doing: String,
        problem: String,
    },
    /// A file that the caller named.
    File {
        doing: &'static str,
        path: String,
        problem: String,
    },
    /// The command line asks for what does not go together.
    Contradiction(String),
    Call {
        doing: &'static str,
        source: SyscallError,
    },
}

/// Results of OCI verbs: an exit code.
pub type Outcome = Result<u8, Failure>;

impl Failure {
    /// Says for which verb and container an error is.
    pub fn of(verb: &str, id: &str) -> impl FnOnce(container::Error) -> Self {
        let doing = format!("{verb} container {id:?}");
        move |source| Self::Container { doing, source }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(f),
            Self::Id(error) => error.fmt(f),
            Self::Container { doing, source } => write!(f, "{doing}: {source}"),
            Self::Resource { doing, problem } => write!(f, "{doing}: {problem}"),
            Self::File { doing, path, problem } => write!(f, "{doing} {path:?}: {problem}"),
            Self::Contradiction(what) => f.write_str(what),
            Self::Call { doing, source } => write!(f, "{doing}: {source}"),
        }
    }
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<InvalidId> for Failure {
    fn from(error: InvalidId) -> Self {
        Self::Id(error)
    }
}

/// Prints a failure and logs it.
pub fn tell(globals: &Globals, failure: &Failure) {
    let message = failure.to_string();
    eprintln!("podrt: {message}");
    if let Err(error) = log(globals, &message) {
        let path = globals.log.clone().unwrap_or_default();
        eprintln!("podrt: write log {path:?}: {error}, ignoring");
    }
}

fn log(globals: &Globals, message: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let Some(path) = &globals.log else { return Ok(()) };
    let time = clock::now().wall.rfc3339_nanos();
    let line = match globals.log_format {
        LogFormat::Json => json!({"level": "error", "msg": message, "time": time}).to_string(),
        LogFormat::Text => format!("time={time:?} level=error msg={message:?}"),
    };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o644).open(path)?;
    // One write: a reader never sees half a line.
    file.write_all(format!("{line}\n").as_bytes())
}
