//! What may be typed behind `podrt image`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Manage images
#[derive(Debug, Parser)]
#[command(name = "image", bin_name = "podrt image", no_binary_name = true)]
#[command(disable_help_subcommand = true)]
pub struct ImageArgs {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make an image of one layer from a root file system
    Import(ImportArgs),
    /// Load images from an OCI layout or a docker archive
    Load(LoadArgs),
    /// Save images as an archive that podrt, docker and OCI tools load
    Save(SaveArgs),
    /// List images
    #[command(alias = "ls")]
    List(ListArgs),
    /// Show everything about images, as JSON
    Inspect {
        /// Names or ids
        #[arg(required = true)]
        images: Vec<String>,
    },
    /// Give an image another name
    Tag {
        /// A name or an id
        image: String,
        name: String,
    },
    /// Remove images by name or id
    #[command(alias = "remove")]
    Rm(RemoveArgs),
    /// Remove images without a name, and content that no image needs
    Prune {
        /// Remove all images that nothing uses
        #[arg(short, long)]
        all: bool,
    },
    /// Pull an image from a registry
    Pull { name: String },
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// A folder, a tar (plain, gzip or zstd), or - for a tar on standard input
    pub source: PathBuf,
    pub name: String,
    /// The command that always runs: a JSON list, or words for a shell
    #[arg(long)]
    pub entrypoint: Option<String>,
    /// The default command or arguments: a JSON list, or words for a shell
    #[arg(long)]
    pub cmd: Option<String>,
    /// A variable of the environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// The user, as name, uid, user:group or uid:gid
    #[arg(short, long)]
    pub user: Option<String>,
    /// The working directory
    #[arg(short, long)]
    pub workdir: Option<String>,
    /// The signal that asks the process to end
    #[arg(long)]
    pub stop_signal: Option<String>,
    /// A Dockerfile instruction: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub change: Vec<String>,
    /// Print only the id
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct LoadArgs {
    /// An OCI layout (folder or tar) or a docker archive; - for standard input
    #[arg(required_unless_present = "input")]
    pub source: Option<PathBuf>,
    /// The same, as docker spells it
    #[arg(short, long, conflicts_with = "source")]
    pub input: Option<PathBuf>,
    /// The name, for a source with one image
    #[arg(short = 't', long)]
    pub name: Option<String>,
    /// Print only the ids
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct SaveArgs {
    /// Names or ids
    #[arg(required = true)]
    pub images: Vec<String>,
    /// The archive to write, instead of standard output
    #[arg(short, long)]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only images of this repository, or with this name
    pub name: Option<String>,
    /// Output format: json, yaml, name or wide
    #[arg(short, long, default_value = "")]
    pub output: String,
    /// Print only ids
    #[arg(short, long)]
    pub quiet: bool,
    /// Leave the heading out
    #[arg(long)]
    pub no_headers: bool,
    /// Print whole ids
    #[arg(long)]
    pub no_trunc: bool,
}

#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Names or ids
    #[arg(required = true)]
    pub images: Vec<String>,
    /// Remove all names of an id; take the name of an image in use
    #[arg(short, long)]
    pub force: bool,
}
