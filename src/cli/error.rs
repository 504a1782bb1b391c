//! What a command can fail with, and the exit code of each.

use std::fmt;

use crate::model::ErrorKind;

/// An error of the command line itself, or a room's error with its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CliError {
    UnknownFlag(String),
    FlagNeedsValue(String),
    BadFlagValue {
        flag: String,
        value: String,
        want: &'static str,
    },
    UnknownVerb(String),
    UnknownOutput(String),
    /// clap's own message, already more than one line.
    Usage(String),
    NotRoot {
        verb: String,
    },
    /// `pods "web" not found`
    NotFound {
        kind: &'static str,
        name: String,
    },
    UnknownKind(String),
    /// A manifest's errors, one a line.
    Manifest(String),
    /// A file that could not be read.
    File {
        path: String,
        cause: String,
    },
    /// A verb's refusal in kubectl's words.
    Refused(String),
    /// A room's error: its one line and its class.
    Room {
        line: String,
        kind: ErrorKind,
    },
    /// Something the user can do about the error before it.
    Hinted {
        error: Box<CliError>,
        hint: String,
    },
}

impl CliError {
    /// A room's error with its class.
    pub fn room(error: &impl fmt::Display, kind: ErrorKind) -> Self {
        Self::Room { line: error.to_string(), kind }
    }

    /// The same error with a line telling what the user can do.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self::Hinted { error: Box::new(self), hint: hint.into() }
    }

    /// The exit code of a pod verb: kubectl's 1 for everything, and 2 for a
    /// command line that could not be read.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::UnknownFlag(_)
            | Self::FlagNeedsValue(_)
            | Self::BadFlagValue { .. }
            | Self::UnknownVerb(_)
            | Self::Usage(_) => 2,
            Self::Hinted { error, .. } => error.exit_code(),
            _ => 1,
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFlag(flag) => write!(f, "unknown flag: {flag}"),
            Self::FlagNeedsValue(flag) => write!(f, "flag needs an argument: {flag}"),
            Self::BadFlagValue { flag, value, want } => {
                write!(f, "invalid argument {value:?} for {flag}: want {want}")
            }
            Self::UnknownVerb(verb) => write!(f, "unknown command {verb:?}; see 'podrt --help'"),
            Self::UnknownOutput(format) => write!(
                f,
                "unable to match a printer suitable for the output format {format:?}, \
                 allowed formats are: \
                 custom-columns,json,jsonpath,jsonpath-as-json,jsonpath-file,name,wide,yaml"
            ),
            Self::Usage(text) | Self::Manifest(text) | Self::Refused(text) => f.write_str(text),
            Self::NotRoot { verb } => {
                write!(f, "{verb}: must be root (pods need namespaces, cgroups and mounts)")
            }
            Self::NotFound { kind, name } => write!(f, "{kind} {name:?} not found"),
            Self::UnknownKind(kind) => {
                write!(f, "the server doesn't have a resource type {kind:?}")
            }
            Self::File { path, cause } => write!(f, "{path}: {cause}"),
            Self::Room { line, .. } => f.write_str(line),
            Self::Hinted { error, hint } => write!(f, "{error}\nhint: {hint}"),
        }
    }
}

impl std::error::Error for CliError {}
