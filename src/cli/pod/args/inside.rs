//! What may be typed behind the verbs that reach into containers.

use clap::Parser;

use super::common::Scope;

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
