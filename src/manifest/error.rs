//! What is wrong with a manifest, in the API server's words.

use std::fmt;

use crate::model::ErrorKind;

/// Where in a manifest something stands; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

/// The API server's classes of field errors.
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
}

/// One broken rule at one field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    pub path: String,
    pub kind: FieldErrorKind,
    pub value: Option<String>,
    pub detail: String,
    pub position: Option<Position>,
}

/// Every error of one file, printed as kubectl prints them.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    lines: Vec<String>,
}

impl Report {
    /// The class of the errors: always bad input.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl std::error::Error for Report {}
