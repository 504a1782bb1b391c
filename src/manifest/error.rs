//! What is wrong with a manifest, in the API server's words.

use std::fmt;

use super::yaml::SyntaxError;
use crate::model::ErrorKind;

/// Where in a manifest something stands; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

/// The API server's classes of field errors, and one of podrt's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldErrorKind {
    Required,
    Invalid,
    NotSupported,
    NotFound,
    Duplicate,
    Forbidden,
    TooLong,
    TooMany,
    /// Valid, but podrt cannot honour it (yet, or on one machine).
    CannotHonour,
}

/// One broken rule at one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// `spec.containers[0].image`, as the API server writes it.
    pub path: String,
    pub kind: FieldErrorKind,
    /// The value as it is shown (strings quoted); none where none is shown.
    pub value: Option<String>,
    pub detail: String,
    /// Where the field stands, or the nearest of its parents that is there.
    pub position: Option<Position>,
}

/// A value that cannot be read into its field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    pub message: String,
    /// True for unknown and duplicate fields, which strict decoding refuses.
    pub is_strict: bool,
    pub at: Option<Position>,
}

/// A pod that a kubelet would refuse at admission: phase Failed with this
/// reason, and `Pod was rejected: ` before the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub reason: &'static str,
    pub message: String,
}

/// What is wrong with one object, or with the text as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The text is neither YAML nor JSON.
    Syntax { message: String, at: Position },
    /// The object has no kind, or one that podrt does not run.
    Object { message: String, at: Option<Position> },
    /// The object does not have the fields and types of its kind.
    Decode { kind: String, version: String, errors: Vec<DecodeError> },
    /// The object breaks rules of its kind.
    Invalid { kind: String, name: String, errors: Vec<FieldError> },
    /// The pod is valid, but cannot run here.
    CannotHonour { kind: String, name: String, errors: Vec<FieldError> },
    /// A kubelet would not admit the pod.
    Rejected { kind: String, name: String, rejection: Rejection },
}

/// Everything that is wrong with one file, printed as kubectl prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What errors call the manifest; empty for stored objects.
    pub file: String,
    pub problems: Vec<Problem>,
}

impl Report {
    pub(super) fn new(file: &str, problems: Vec<Problem>) -> Self {
        Self { file: file.to_owned(), problems }
    }

    pub(super) fn syntax(file: &str, error: SyntaxError) -> Self {
        Self::new(file, vec![Problem::Syntax { message: error.message, at: error.at }])
    }

    /// The class of the errors: always bad input.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        let honoured = |problem: &Problem| !matches!(problem, Problem::CannotHonour { .. });
        if self.problems.iter().any(honoured) {
            ErrorKind::InvalidInput
        } else {
            ErrorKind::Unsupported
        }
    }

    /// The kubelet's refusal, where that is what the report says.
    #[must_use]
    pub fn rejection(&self) -> Option<&Rejection> {
        self.problems.iter().find_map(|problem| match problem {
            Problem::Rejected { rejection, .. } => Some(rejection),
            _ => None,
        })
    }

    /// Every field error in it, in the order of validation.
    pub fn field_errors(&self) -> impl Iterator<Item = &FieldError> {
        self.problems.iter().flat_map(|problem| match problem {
            Problem::Invalid { errors, .. } | Problem::CannotHonour { errors, .. } => {
                errors.as_slice()
            }
            _ => &[],
        })
    }

    fn write(&self, problem: &Problem, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match problem {
            Problem::Syntax { message, at } => {
                write!(f, "error parsing {}: {message}{}", self.file, self.place(Some(*at)))
            }
            Problem::Object { message, at } => write!(f, "{message}{}", self.place(*at)),
            Problem::Decode { kind, version, errors } => {
                write!(f, "{kind} in version {version:?} cannot be handled as a {kind}: ")?;
                self.write_decode_errors(errors, f)
            }
            Problem::Invalid { kind, name, errors } => {
                write!(f, "The {kind} {name:?} is invalid: ")?;
                self.write_field_errors(errors, f)
            }
            Problem::CannotHonour { kind, name, errors } => {
                write!(f, "The {kind} {name:?} cannot run here: ")?;
                self.write_field_errors(errors, f)
            }
            Problem::Rejected { kind, name, rejection } => {
                let Rejection { reason, message } = rejection;
                write!(f, "The {kind} {name:?} was rejected: {reason}: {message}")
            }
        }
    }

    fn write_decode_errors(
        &self,
        errors: &[DecodeError],
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        let line = |error: &DecodeError| format!("{}{}", error.message, self.place(error.at));
        if errors.iter().all(|error| error.is_strict) {
            let lines: Vec<_> = errors.iter().map(line).collect();
            return write!(f, "strict decoding error: {}", lines.join(", "));
        }
        let prefixed = |error: &DecodeError| {
            let prefix = if error.is_strict { "strict decoding error: " } else { "" };
            format!("{prefix}{}", line(error))
        };
        write_lines(&errors.iter().map(prefixed).collect::<Vec<_>>(), f)
    }

    fn write_field_errors(&self, errors: &[FieldError], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |error: &FieldError| format!("{error}{}", self.place(error.position));
        write_lines(&errors.iter().map(line).collect::<Vec<_>>(), f)
    }

    fn place(&self, at: Option<Position>) -> String {
        match at {
            Some(Position { line, column }) if !self.file.is_empty() => {
                format!(" ({}:{line}:{column})", self.file)
            }
            _ => String::new(),
        }
    }
}

/// One behind the heading, several below it; equal ones once.
fn write_lines(lines: &[String], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let [line] = lines {
        return f.write_str(line);
    }
    let mut seen = std::collections::HashSet::new();
    for line in lines.iter().filter(|line| seen.insert(line.as_str())) {
        write!(f, "\n* {line}")?;
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            self.write(problem, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

impl fmt::Display for FieldErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "Required value",
            Self::Invalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::NotFound => "Not found",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::CannotHonour => "Not supported by podrt",
        })
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.kind)?;
        if let Some(value) = &self.value {
            write!(f, ": {value}")?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}
