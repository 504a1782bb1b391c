//! What may be typed behind `run`.

use clap::{Parser, ValueEnum};

use crate::model::Quantity;
use crate::model::plan::NetworkMode;

use super::common::{Scope, parse_duration};
use super::inside::Streams;

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
    /// The network of pods without hostNetwork (default: bridge)
    #[arg(long, value_enum)]
    pub network: Option<Network>,
    #[command(flatten)]
    pub scope: Scope,
    /// Seccomp profile RuntimeDefault instead of Unconfined where none is set
    #[arg(long)]
    pub seccomp_default: bool,
    /// The longest delay between restarts of a container (1s to 300s; default:
    /// 300s)
    #[arg(long, value_parser = parse_duration)]
    pub max_container_backoff: Option<std::time::Duration>,
    /// Rotate a container's log when it has this size (default: 10Mi)
    #[arg(long, value_parser = parse_size)]
    pub log_max_size: Option<u64>,
    /// Log files of a container at most, rotated ones included (default: 5)
    #[arg(long, value_parser = clap::value_parser!(u16).range(2..))]
    pub log_max_files: Option<u16>,
    /// Print the containers' output without their names in front
    #[arg(long)]
    pub no_prefix: bool,
}

/// Bytes as Kubernetes writes them: `10Mi`, `500k`, `4096`.
fn parse_size(text: &str) -> Result<u64, String> {
    let bytes = Quantity::parse(text).map(|quantity| quantity.value());
    let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok()).filter(|&bytes| bytes > 0);
    bytes.ok_or_else(|| "must be a size such as 10Mi, greater than 0".to_owned())
}

/// Run an image in a pod of one container
#[derive(Debug, Parser)]
#[command(name = "podrt run NAME", no_binary_name = true)]
#[allow(clippy::struct_excessive_bools, reason = "these are kubectl's flags")]
pub struct RunImageArgs {
    /// The name of the pod and of its container
    pub name: String,
    #[arg(long)]
    pub image: String,
    /// Always, OnFailure or Never
    #[arg(long, default_value = "Always")]
    pub restart: String,
    /// A variable of the environment (NAME=VALUE)
    #[arg(long)]
    pub env: Vec<String>,
    /// A port of the container
    #[arg(long)]
    pub port: Option<u16>,
    /// Labels instead of run=NAME (KEY=VALUE,...)
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub labels: String,
    /// An annotation (KEY=VALUE)
    #[arg(long)]
    pub annotations: Vec<String>,
    /// Always, IfNotPresent or Never
    #[arg(long)]
    pub image_pull_policy: Option<String>,
    /// What follows is the command, not its arguments
    #[arg(long)]
    pub command: bool,
    /// Run the container privileged
    #[arg(long)]
    pub privileged: bool,
    /// Leave the container's input open when this command's ends
    #[arg(long)]
    pub leave_stdin_open: bool,
    /// Wait for the container and show its output (default with -i)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub attach: Option<bool>,
    /// Remove the pod afterwards
    #[arg(long)]
    pub rm: bool,
    /// JSON that is merged into the pod
    #[arg(long)]
    pub overrides: Option<String>,
    /// client: only print what would be made
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    pub dry_run: Option<String>,
    /// json, yaml or name
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub output: String,
    #[command(flatten)]
    pub streams: Streams,
    #[command(flatten)]
    pub scope: Scope,
    /// The command or its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub command_line: Vec<String>,
}

impl RunImageArgs {
    /// Whether the command stays with the container.
    #[must_use]
    pub fn attaches(&self) -> bool {
        self.attach.unwrap_or(self.streams.stdin || self.streams.tty)
    }
}
