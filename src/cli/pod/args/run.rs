//! What may be typed behind `run`.

use clap::{Parser, ValueEnum};

use crate::model::Quantity;
use crate::model::plan::NetworkMode;

use super::common::{Scope, parse_duration};

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
