//! What may be typed behind `node`.

use std::path::PathBuf;

use clap::Parser;

/// Run the pods of a manifest directory, and those of before a reboot
#[derive(Debug, Parser)]
#[command(name = "podrt node", no_binary_name = true)]
pub struct NodeArgs {
    /// A folder of Pod manifests, or one manifest
    #[arg(long, default_value = "/etc/podrt/manifests")]
    pub manifests: PathBuf,
    /// How often the folder is read anew, besides the changes that the kernel
    /// tells
    #[arg(long, default_value = "20s", value_parser = crate::cli::pod::args::parse_duration)]
    pub file_check_frequency: std::time::Duration,
}
