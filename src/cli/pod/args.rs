//! What may be typed behind each pod verb.

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

use crate::cli::error::CliError;
use crate::model::PodKey;
use crate::model::plan::NetworkMode;

/// Which namespaces a verb looks at.
#[derive(Debug, Clone, Args)]
pub struct Scope {
    /// The namespace of the names that follow
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
}

impl Scope {
    /// The key of a pod typed as `NAME` or `pod/NAME`.
    #[must_use]
    pub fn key(&self, name: &str) -> PodKey {
        let name = name.split_once('/').map_or(name, |(_, name)| name);
        PodKey { namespace: self.namespace.clone(), name: name.to_owned() }
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
        (!self.all_namespaces).then(|| self.scope.namespace.clone())
    }

    /// The key of a pod typed as `NAME`.
    #[must_use]
    pub fn key(&self, name: &str) -> PodKey {
        self.scope.key(name)
    }
}

/// How far `run -d` waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WaitFor {
    /// Until the pod was handed over
    None,
    /// Until every container has started, or cannot
    Started,
    /// Until the pod is Ready
    Ready,
    /// Until the pod has Succeeded or Failed
    Completed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// Only a loopback of the pod's own
    None,
    /// The machine's network
    Host,
    /// An address on podrt's bridge
    Bridge,
}

impl From<Network> for NetworkMode {
    fn from(network: Network) -> Self {
        match network {
            Network::None => Self::None,
            Network::Host => Self::Host,
            Network::Bridge => Self::Bridge,
        }
    }
}

/// Run the pods of Kubernetes manifests
#[derive(Debug, Parser)]
#[command(name = "podrt run", no_binary_name = true)]
pub struct RunArgs {
    /// Manifests: YAML or JSON files, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Leave the pods running and return
    #[arg(short, long)]
    pub detach: bool,
    /// With --detach: how far to wait
    #[arg(long, value_enum, default_value = "started")]
    pub wait: WaitFor,
    /// With --detach: give up waiting after this long (30s, 5m), and fail
    #[arg(long, value_parser = parse_duration)]
    pub timeout: Option<std::time::Duration>,
    /// Remove the pods when they have ended
    #[arg(long)]
    pub rm: bool,
    /// Replace pods of the same name
    #[arg(long)]
    pub replace: bool,
    /// The network of pods without hostNetwork
    #[arg(long, value_enum, default_value = "bridge")]
    pub network: Network,
    #[command(flatten)]
    pub scope: Scope,
    /// Seccomp profile RuntimeDefault instead of Unconfined where none is set
    #[arg(long)]
    pub seccomp_default: bool,
    /// The longest delay between restarts of a container (1s to 300s)
    #[arg(long, value_parser = parse_duration, default_value = "300s")]
    pub max_container_backoff: std::time::Duration,
    /// Print the containers' output without their names in front
    #[arg(long)]
    pub no_prefix: bool,
}

/// Show pods and other objects
#[derive(Debug, Parser)]
#[command(name = "podrt get", no_binary_name = true)]
pub struct GetArgs {
    /// TYPE [NAME...], TYPE/NAME... or all
    #[arg(required = true, value_name = "TYPE")]
    pub what: Vec<String>,
    /// json, yaml, wide or name
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub output: String,
    /// Select by labels
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    pub selector: String,
    /// A column with the labels
    #[arg(long)]
    pub show_labels: bool,
    /// Leave out the heading
    #[arg(long)]
    pub no_headers: bool,
    /// No error for what is not there
    #[arg(long)]
    pub ignore_not_found: bool,
    #[command(flatten)]
    pub scope: WideScope,
}

/// Show all about a pod
#[derive(Debug, Parser)]
#[command(name = "podrt describe", no_binary_name = true)]
pub struct DescribeArgs {
    /// pod
    #[arg(value_name = "TYPE")]
    pub kind: String,
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Select by labels
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    pub selector: String,
    #[command(flatten)]
    pub scope: WideScope,
}

/// Print the output of a pod's containers
#[derive(Debug, Parser)]
#[command(name = "podrt logs", no_binary_name = true)]
#[allow(clippy::struct_excessive_bools, reason = "these are kubectl's flags")]
pub struct LogsArgs {
    #[arg(value_name = "POD")]
    pub pod: Option<String>,
    #[arg(value_name = "CONTAINER", conflicts_with = "container")]
    pub container_argument: Option<String>,
    #[arg(short, long)]
    pub container: Option<String>,
    /// All containers of the pod
    #[arg(long)]
    pub all_containers: bool,
    /// Go on until the containers have ended for good
    #[arg(short, long)]
    pub follow: bool,
    /// The instance before the current one
    #[arg(short, long)]
    pub previous: bool,
    /// Only the last lines; -1 for all
    #[arg(long, allow_hyphen_values = true)]
    pub tail: Option<i64>,
    /// Only what is younger than this (5s, 2m, 3h)
    #[arg(long, value_parser = parse_duration)]
    pub since: Option<std::time::Duration>,
    /// Only what is younger than this RFC 3339 time
    #[arg(long)]
    pub since_time: Option<String>,
    /// Stop after so many bytes
    #[arg(long)]
    pub limit_bytes: Option<usize>,
    /// The time in front of each line
    #[arg(long)]
    pub timestamps: bool,
    /// Pod and container in front of each line
    #[arg(long)]
    pub prefix: bool,
    /// Select pods by labels
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    pub selector: String,
    #[command(flatten)]
    pub scope: Scope,
}

/// Run a command in a container of a pod
#[derive(Debug, Parser)]
#[command(name = "podrt exec", no_binary_name = true)]
pub struct ExecArgs {
    #[arg(value_name = "POD")]
    pub pod: String,
    #[arg(short, long)]
    pub container: Option<String>,
    /// Pass standard input on
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Only the command's own output
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub scope: Scope,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// Delete pods and other objects
#[derive(Debug, Parser)]
#[command(name = "podrt delete", no_binary_name = true)]
#[allow(clippy::struct_excessive_bools, reason = "these are kubectl's flags")]
pub struct DeleteArgs {
    /// TYPE NAME..., TYPE/NAME... or the name of a pod
    #[arg(value_name = "TYPE")]
    pub what: Vec<String>,
    /// The objects of these manifests
    #[arg(short = 'f', long = "filename")]
    pub files: Vec<PathBuf>,
    /// Select by labels
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    pub selector: String,
    /// All of the type
    #[arg(long)]
    pub all: bool,
    /// Seconds to end by itself; -1 for the pod's own
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    pub grace_period: i64,
    /// End at once
    #[arg(long)]
    pub force: bool,
    /// A grace period of one second
    #[arg(long)]
    pub now: bool,
    /// Return when nothing is left
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub wait: bool,
    /// Give up waiting after this long
    #[arg(long, value_parser = parse_duration)]
    pub timeout: Option<std::time::Duration>,
    /// No error for what is not there
    #[arg(long)]
    pub ignore_not_found: bool,
    /// name
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub output: String,
    #[command(flatten)]
    pub scope: WideScope,
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
fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
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

    #[test]
    fn every_verb_has_a_consistent_parser() {
        use clap::CommandFactory as _;
        RunArgs::command().debug_assert();
        GetArgs::command().debug_assert();
        DescribeArgs::command().debug_assert();
        LogsArgs::command().debug_assert();
        ExecArgs::command().debug_assert();
        DeleteArgs::command().debug_assert();
    }
}
