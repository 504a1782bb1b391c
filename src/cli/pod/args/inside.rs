//! What may be typed behind the verbs that reach into containers.

use clap::{Args, Parser};

use super::common::Scope;

/// How a verb is attached to a container.
#[derive(Debug, Args)]
pub struct Streams {
    /// Pass standard input on
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// The container has a terminal, or gets one
    #[arg(short, long)]
    pub tty: bool,
    /// Only the container's own output
    #[arg(short, long)]
    pub quiet: bool,
    /// The keys that leave a terminal without ending the container; empty for
    /// none
    #[arg(long, default_value = "ctrl-p,ctrl-q")]
    pub detach_keys: String,
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
    /// The keys that leave the command running, e.g. ctrl-p,ctrl-q; none by
    /// default, as with kubectl
    #[arg(long, default_value = "", hide_default_value = true)]
    pub detach_keys: String,
    #[command(flatten)]
    pub scope: Scope,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// Attach to a container that runs
#[derive(Debug, Parser)]
#[command(name = "podrt attach", no_binary_name = true)]
pub struct AttachArgs {
    #[arg(value_name = "POD")]
    pub pod: String,
    #[arg(short, long)]
    pub container: Option<String>,
    #[command(flatten)]
    pub streams: Streams,
    #[command(flatten)]
    pub scope: Scope,
}

/// Add a container to a pod that runs, to look into it
#[derive(Debug, Parser)]
#[command(name = "podrt debug", no_binary_name = true)]
pub struct DebugArgs {
    #[arg(value_name = "POD")]
    pub pod: String,
    #[arg(long)]
    pub image: String,
    /// The container whose processes the new one sees
    #[arg(long)]
    pub target: Option<String>,
    /// The new container's name
    #[arg(short, long)]
    pub container: Option<String>,
    /// A variable of the environment (NAME=VALUE)
    #[arg(long)]
    pub env: Vec<String>,
    /// Always, IfNotPresent or Never
    #[arg(long)]
    pub image_pull_policy: Option<String>,
    /// legacy, general, baseline, restricted, netadmin or sysadmin
    #[arg(long, default_value = "legacy")]
    pub profile: String,
    /// What follows are the arguments, not the command
    #[arg(long)]
    pub arguments_only: bool,
    /// Attach to the container (default with -i)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub attach: Option<bool>,
    #[command(flatten)]
    pub streams: Streams,
    #[command(flatten)]
    pub scope: Scope,
    /// The command
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}
