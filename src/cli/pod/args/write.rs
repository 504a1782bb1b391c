//! What may be typed behind the verbs that change objects.

use clap::{Args, Parser};

use super::common::{Scope, WideScope, parse_duration};

/// `-f` and `-R`: where objects are read from.
#[derive(Debug, Clone, Args)]
pub struct Files {
    /// Manifests: files, folders of .yaml, .yml and .json files, or - for
    /// standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub names: Vec<String>,
    /// Go into the folders of folders
    #[arg(short = 'R', long)]
    pub recursive: bool,
}

/// Make objects what their manifests say
#[derive(Debug, Parser)]
#[command(name = "podrt apply", no_binary_name = true)]
pub struct ApplyArgs {
    #[command(flatten)]
    pub files: Files,
    /// json, yaml or name
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub output: String,
    #[command(flatten)]
    pub scope: Scope,
}

/// Make objects that are not there yet
#[derive(Debug, Parser)]
#[command(name = "podrt create", no_binary_name = true)]
pub struct CreateArgs {
    /// configmap NAME, secret generic NAME or namespace NAME, without a manifest
    #[arg(value_name = "TYPE NAME")]
    pub what: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    /// A key and its value (KEY=VALUE)
    #[arg(long, value_name = "KEY=VALUE")]
    pub from_literal: Vec<String>,
    /// A file, with its name for a key if none is given ([KEY=]FILE), or all
    /// files of a folder
    #[arg(long, value_name = "FILE")]
    pub from_file: Vec<String>,
    /// A file of lines NAME=VALUE
    #[arg(long, value_name = "FILE")]
    pub from_env_file: Vec<String>,
    /// A secret's type
    #[arg(long = "type", value_name = "TYPE")]
    pub secret_type: Option<String>,
    /// Append a hash of the contents to the name
    #[arg(long)]
    pub append_hash: bool,
    /// client: only print what would be made
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    pub dry_run: Option<String>,
    /// Remember the manifests for a later apply
    #[arg(long)]
    pub save_config: bool,
    /// json, yaml or name
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub output: String,
    #[command(flatten)]
    pub scope: Scope,
}

/// Replace objects that are there
#[derive(Debug, Parser)]
#[command(name = "podrt replace", no_binary_name = true)]
pub struct ReplaceArgs {
    #[command(flatten)]
    pub files: Files,
    /// Delete the objects and make them anew
    #[arg(long)]
    pub force: bool,
    /// With --force: seconds to end by itself; -1 for the pod's own
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    pub grace_period: i64,
    /// Remember the manifests for a later apply
    #[arg(long)]
    pub save_config: bool,
    /// json, yaml or name
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub output: String,
    #[command(flatten)]
    pub scope: Scope,
}

/// Set (KEY=VALUE) and remove (KEY-) labels or annotations of objects
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
#[allow(clippy::struct_excessive_bools, reason = "these are kubectl's flags")]
pub struct MetaArgs {
    /// TYPE NAME... or TYPE/NAME..., then KEY=VALUE... and KEY-...
    #[arg(value_name = "ARGUMENT")]
    pub words: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    /// Change values that are there
    #[arg(long)]
    pub overwrite: bool,
    /// All objects of the type
    #[arg(long)]
    pub all: bool,
    /// Select by labels
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    pub selector: String,
    /// Show what is set afterwards
    #[arg(long)]
    pub list: bool,
    #[command(flatten)]
    pub scope: WideScope,
}

/// Delete pods and other objects
#[derive(Debug, Parser)]
#[command(name = "podrt delete", no_binary_name = true)]
#[allow(clippy::struct_excessive_bools, reason = "these are kubectl's flags")]
pub struct DeleteArgs {
    /// TYPE NAME..., TYPE/NAME... or the name of a pod
    #[arg(value_name = "TYPE")]
    pub what: Vec<String>,
    #[command(flatten)]
    pub files: Files,
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
    /// Give up waiting after this long; with --force: take the pod down then
    /// without its own processes (30s)
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
