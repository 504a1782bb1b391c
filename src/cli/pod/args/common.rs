//! What several verbs take, and how it is read.

use clap::{Args, Parser};

use crate::cli::error::CliError;
use crate::model::PodKey;

/// Which namespaces a verb looks at.
#[derive(Debug, Clone, Args)]
pub struct Scope {
    /// The namespace of the names that follow (default: default)
    #[arg(short, long)]
    namespace: Option<String>,
}

impl Scope {
    /// The namespace that counts.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.given().unwrap_or("default")
    }

    /// The namespace that was typed.
    #[must_use]
    pub fn given(&self) -> Option<&str> {
        self.namespace.as_deref().filter(|namespace| !namespace.is_empty())
    }

    /// The key of a pod typed as `NAME` or `pod/NAME`.
    #[must_use]
    pub fn key(&self, name: &str) -> PodKey {
        let name = name.split_once('/').map_or(name, |(_, name)| name);
        PodKey { namespace: self.namespace().to_owned(), name: name.to_owned() }
    }
}

/// `-n` or `-A`.
#[derive(Debug, Clone, Args)]
pub struct WideScope {
    #[command(flatten)]
    pub scope: Scope,
    /// All namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
}

impl WideScope {
    /// The namespace to look in; `None` for all.
    #[must_use]
    pub fn query_namespace(&self) -> Option<String> {
        (!self.all_namespaces).then(|| self.scope.namespace().to_owned())
    }

    /// The key of a pod typed as `NAME`.
    #[must_use]
    pub fn key(&self, name: &str) -> PodKey {
        self.scope.key(name)
    }
}

/// Parses what was typed behind a verb; help and usage errors are the parser's
/// own text.
///
/// # Errors
/// The usage error.
pub fn parse<T: Parser>(rest: Vec<std::ffi::OsString>) -> Result<Parsed<T>, CliError> {
    match T::try_parse_from(rest) {
        Ok(args) => Ok(Parsed::Args(args)),
        Err(error) if !error.use_stderr() => Ok(Parsed::Help(error.to_string())),
        Err(error) => {
            let text = error.to_string();
            Err(CliError::Usage(text.trim_start_matches("error: ").trim_end().to_owned()))
        }
    }
}

/// Arguments, or the help that was asked for.
#[derive(Debug)]
pub enum Parsed<T> {
    Args(T),
    Help(String),
}

/// A duration as Go reads it: `300ms`, `5s`, `1m30s`, `2h`.
///
/// # Errors
/// What is none.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let invalid = || format!("invalid duration {text:?}: want a number with a unit, as 30s or 5m");
    if text == "0" {
        return Ok(std::time::Duration::ZERO);
    }
    let (mut rest, mut seconds) = (text, 0_f64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(invalid)?;
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        seconds += number
            * match &rest[..unit] {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(invalid()),
            };
        rest = &rest[unit..];
    }
    if text.is_empty() {
        return Err(invalid());
    }
    std::time::Duration::try_from_secs_f64(seconds).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_go_reads_them() {
        let millis = |text: &str| parse_duration(text).map(|d| d.as_millis());
        assert_eq!(millis("1m30s"), Ok(90_000));
        assert_eq!(millis("1.5h"), Ok(5_400_000));
        assert_eq!(millis("300ms"), Ok(300));
        assert_eq!(millis("0"), Ok(0));
        for bad in ["", "5", "s", "5x", "-1s", "1..5s"] {
            assert!(millis(bad).is_err(), "{bad}");
        }
    }
}
