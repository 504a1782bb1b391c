//! What may be typed behind the verbs that show something.

use clap::Parser;

use super::common::{Scope, WideScope, parse_duration};

/// Show pods and other objects
#[derive(Debug, Parser)]
#[command(name = "podrt get", no_binary_name = true)]
#[allow(clippy::struct_excessive_bools, reason = "these are kubectl's flags")]
pub struct GetArgs {
    /// TYPE [NAME...], TYPE/NAME... or all
    #[arg(required = true, value_name = "TYPE")]
    pub what: Vec<String>,
    /// json, yaml, wide, name, jsonpath=TEMPLATE or custom-columns=SPEC
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub output: String,
    /// Go on with every change
    #[arg(short, long)]
    pub watch: bool,
    /// Only the changes from now on
    #[arg(long)]
    pub watch_only: bool,
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

/// Show the events of pods
#[derive(Debug, Parser)]
#[command(name = "podrt events", no_binary_name = true)]
pub struct EventsArgs {
    /// Only those of one object (pod/NAME)
    #[arg(long = "for", value_name = "TYPE/NAME")]
    pub of: Option<String>,
    /// Only Normal or Warning
    #[arg(long, value_delimiter = ',')]
    pub types: Vec<String>,
    /// Go on with those to come
    #[arg(short, long)]
    pub watch: bool,
    /// json or yaml
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub output: String,
    /// Leave out the heading
    #[arg(long)]
    pub no_headers: bool,
    #[command(flatten)]
    pub scope: WideScope,
}

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    Within(std::time::Duration),
    /// A negative time was typed.
    Unlimited,
}

fn parse_timeout(text: &str) -> Result<Timeout, String> {
    match text.strip_prefix('-') {
        Some(rest) => parse_duration(rest).map(|_| Timeout::Unlimited),
        None => parse_duration(text).map(Timeout::Within),
    }
}

/// Wait until objects are as they shall be
#[derive(Debug, Parser)]
#[command(name = "podrt wait", no_binary_name = true)]
pub struct WaitArgs {
    /// TYPE NAME..., TYPE/NAME...
    #[arg(value_name = "TYPE")]
    pub what: Vec<String>,
    /// condition=NAME[=VALUE], jsonpath=PATH[=VALUE], delete or create
    #[arg(long = "for", value_name = "GOAL")]
    pub goal: String,
    /// Give up after this long; 0 looks once, a negative time is a week
    #[arg(long, value_parser = parse_timeout, default_value = "30s", allow_hyphen_values = true)]
    pub timeout: Timeout,
    /// All of the type
    #[arg(long)]
    pub all: bool,
    /// Select by labels
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    pub selector: String,
    /// name
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub output: String,
    #[command(flatten)]
    pub files: super::write::Files,
    #[command(flatten)]
    pub scope: WideScope,
}
