//! The cgroup hierarchies as a container sees them.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::Mode;

use super::error::Error;
use super::filesystem::set_readonly;
use super::options::Change;
use super::plan::CgroupView;
use crate::sys::SyscallError;
use crate::sys::cgroupfs::{self, CgroupKind, CgroupMount};
use crate::sys::mount::{self, Attributes, FsContext, attr};
use crate::sys::path;

/// A mount of type `cgroup`.
#[derive(Debug)]
pub(super) struct CgroupStep {
    view: View,
    attributes: Change,
}

#[derive(Debug)]
enum View {
    /// cgroup v2, seen from the container's own cgroup namespace.
    Own { fallback: PathBuf },
    /// cgroup v2, a clone of the host's mount. Never a fresh mount from the
    /// host's namespace, which would reset the host's mount options.
    Host(PathBuf),
    /// One folder for each hierarchy, with the container's own cgroup in it.
    Folders(Vec<Folder>),
}

#[derive(Debug)]
struct Folder {
    name: String,
    source: PathBuf,
    /// A folder of several controllers is known by each one's name too.
    aliases: Vec<String>,
}

impl CgroupStep {
    /// Looks at the host's mounts.
    pub fn plan(view: CgroupView<'_>, attributes: Change) -> Result<Self, Error> {
        let mounts = cgroupfs::mounts().map_err(|source| Error::Cgroups { source })?;
        let path = view.path.trim_start_matches('/');
        let view = match mounts.as_slice() {
            [CgroupMount { mount_point, kind: CgroupKind::V2 }] => {
                if view.own_namespace {
                    View::Own { fallback: mount_point.join(path) }
                } else {
                    View::Host(mount_point.clone())
                }
            }
            mounts => View::Folders(mounts.iter().map(|m| Folder::new(m, path)).collect()),
        };
        Ok(Self { view, attributes })
    }

    /// The detached mount for the destination.
    pub fn mount(&self) -> Result<OwnedFd, SyscallError> {
        match &self.view {
            View::Own { fallback } => match own_cgroup2(self.attributes.set) {
                Err(error) if matches!(error.errno, Errno::EPERM | Errno::EBUSY) => {
                    self.clone_of(fallback)
                }
                done => done,
            },
            View::Host(mount_point) => self.clone_of(mount_point),
            View::Folders(_) => folder_tmpfs(self.attributes.set & !attr::RDONLY),
        }
    }

    /// What goes into the mount once it is in place.
    pub fn fill(&self, mounted: BorrowedFd<'_>) -> Result<(), SyscallError> {
        let View::Folders(folders) = &self.view else { return Ok(()) };
        for folder in folders {
            self.fill_folder(mounted, folder)?;
        }
        if self.attributes.is_readonly() {
            set_readonly(mounted)?;
        }
        Ok(())
    }

    fn fill_folder(&self, mounted: BorrowedFd<'_>, folder: &Folder) -> Result<(), SyscallError> {
        let tree = match self.clone_of(&folder.source) {
            // A hierarchy that the container was not put into.
            Err(error) if error.errno == Errno::ENOENT => return Ok(()),
            tree => tree?,
        };
        let name = OsStr::new(&folder.name);
        let target = path::make_dir(mounted, name, Mode::from_bits_truncate(0o755))?;
        mount::move_mount(tree.as_fd(), target.as_fd())?;
        for alias in &folder.aliases {
            nix::unistd::symlinkat(name, mounted, alias.as_str())
                .map_err(|errno| SyscallError::new("symlinkat", format!("{alias:?}"), errno))?;
        }
        Ok(())
    }

    fn clone_of(&self, source: &Path) -> Result<OwnedFd, SyscallError> {
        let tree = mount::clone_tree(mount::at_cwd(), source, false)?;
        let change = Attributes {
            set: self.attributes.set,
            clear: self.attributes.clear,
            propagation: Some(mount::Propagation::Private),
            ..Attributes::default()
        };
        mount::set_attributes(tree.as_fd(), change, false)?;
        Ok(tree)
    }
}

impl Folder {
    fn new(mount: &CgroupMount, path: &str) -> Self {
        let name = mount.mount_point.file_name().unwrap_or(OsStr::new("cgroup"));
        let name = name.to_string_lossy().into_owned();
        let aliases = match &mount.kind {
            CgroupKind::V1(controllers) => controllers
                .iter()
                .filter(|one| **one != name && !one.contains('='))
                .cloned()
                .collect(),
            CgroupKind::V2 => Vec::new(),
        };
        Self { name, source: mount.mount_point.join(path), aliases }
    }
}

fn own_cgroup2(attributes: u64) -> Result<OwnedFd, SyscallError> {
    let context = FsContext::open("cgroup2")?;
    context.set("source", "cgroup")?;
    context.create()?;
    context.mount(attributes)
}

fn folder_tmpfs(attributes: u64) -> Result<OwnedFd, SyscallError> {
    let context = FsContext::open("tmpfs")?;
    context.set("source", "tmpfs")?;
    context.set("mode", "755")?;
    context.create()?;
    context.mount(attributes)
}
