//! What a caller says when it checkpoints or restores a container.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::super::error::{Error, Result};
use super::super::options::CreateOptions;
use crate::sys::SyscallError;

/// How criu treats the cgroups of the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CgroupMode {
    Soft,
    Full,
    Strict,
    Ignore,
    /// criu's own choice.
    #[default]
    Default,
}

impl CgroupMode {
    /// By the name that callers use.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "soft" => Self::Soft,
            "full" => Self::Full,
            "strict" => Self::Strict,
            "ignore" => Self::Ignore,
            _ => return None,
        })
    }
}

/// Where the files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The folder of the images. Absolute.
    pub folder: PathBuf,
    /// The folder of logs and statistics, if it is another one. Absolute.
    pub work: Option<PathBuf>,
}

/// What both ways have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shared {
    pub tcp_established: bool,
    pub ext_unix_sk: bool,
    pub shell_job: bool,
    pub file_locks: bool,
    pub lazy_pages: bool,
    pub auto_dedup: bool,
    /// Leave the contents of the network namespace out.
    pub empty_network: bool,
    pub cgroups: CgroupMode,
}

/// Another machine that takes the memory's pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageServer {
    pub address: String,
    pub port: u16,
}

/// Everything [`checkpoint`](super::checkpoint()) needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointOptions {
    pub images: Images,
    pub shared: Shared,
    /// The images of an earlier pre-dump, relative to the images' folder.
    pub parent: Option<PathBuf>,
    pub leave_running: bool,
    /// Only memory, and the container goes on.
    pub pre_dump: bool,
    pub tcp_skip_in_flight: bool,
    pub link_remap: bool,
    pub page_server: Option<PageServer>,
    /// Gets a zero byte once pages can be fetched.
    pub status_fd: Option<i32>,
}

/// Everything [`restore`](super::restore()) needs to know.
#[derive(Debug)]
pub struct RestoreOptions {
    /// As for a new container of the same spec.
    pub create: CreateOptions,
    pub images: Images,
    pub shared: Shared,
    pub lsm_profile: Option<String>,
    pub lsm_mount_context: Option<String>,
}

impl Images {
    /// Where criu writes its logs.
    pub(super) fn log_folder(&self) -> &Path {
        self.work.as_deref().unwrap_or(&self.folder)
    }

    /// One or both.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.folder.as_path()).chain(self.work.as_deref())
    }

    /// Makes the folders that are missing: that of the images only with
    /// `both`, for what is to be read must be there.
    pub(super) fn make(&self, both: bool) -> Result<()> {
        let failed = |call, folder: &Path, error: &std::io::Error| Error::Call {
            what: "checkpoint folder".to_owned(),
            source: SyscallError::from_io(call, format!("{folder:?}"), error),
        };
        let made = self.folders().skip(usize::from(!both));
        for folder in made {
            match std::fs::DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(failed("mkdir", folder, &error));
                }
                _ => {}
            }
        }
        std::fs::read_dir(&self.folder)
            .map(drop)
            .map_err(|error| failed("opendir", &self.folder, &error))
    }
}
