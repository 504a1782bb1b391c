//! What the machine mounts, and where one cgroup lies in it.

use std::path::{Path, PathBuf};

use super::error::Error;
use super::file;
use crate::sys::cgroupfs::{self, CgroupKind, CgroupMount};

/// What the machine mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hierarchy {
    /// cgroup v2 at `/sys/fs/cgroup`.
    Unified,
    /// Controllers on v1, and a v2 hierarchy beside them.
    Hybrid,
    /// v1 only.
    Legacy,
}

impl Hierarchy {
    /// Looks at the machine's mounts.
    ///
    /// # Errors
    /// [`Error::Detect`] where no cgroup file system is mounted.
    pub fn detect() -> Result<Self, Error> {
        Layout::detect().map(|layout| layout.hierarchy())
    }
}

/// Whether `controller` (by its v2 name) belongs to the v2 hierarchy here.
#[must_use]
pub fn is_on_v2(controller: &str) -> bool {
    let Ok(Layout { v2: Some(root), .. }) = Layout::detect() else { return false };
    let controllers = file::read(&root.join("cgroup.controllers")).unwrap_or_default();
    controllers.split_ascii_whitespace().any(|one| one == controller)
}

/// A v1 hierarchy: its controllers (or `name=…`) and a folder in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct V1 {
    pub controllers: Vec<String>,
    pub directory: PathBuf,
}

impl V1 {
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|one| one == controller)
    }
}

/// A folder in each hierarchy: the mount points, or one cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub v2: Option<PathBuf>,
    pub v1: Vec<V1>,
}

/// Where a controller's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    V1(&'a Path),
    V2(&'a Path),
}

impl Layout {
    pub fn detect() -> Result<Self, Error> {
        let mounts = cgroupfs::mounts().map_err(|source| Error::Detect { source })?;
        if mounts.is_empty() {
            let text = "no cgroup file system is mounted";
            let source = crate::sys::SyscallError::new("statfs", text, nix::errno::Errno::ENODEV);
            return Err(Error::Detect { source });
        }
        Ok(Self::of(mounts))
    }

    fn of(mounts: Vec<CgroupMount>) -> Self {
        let mut layout = Self { v2: None, v1: Vec::new() };
        for CgroupMount { mount_point, kind } in mounts {
            match kind {
                CgroupKind::V2 => layout.v2 = Some(mount_point),
                CgroupKind::V1(controllers) => {
                    layout.v1.push(V1 { controllers, directory: mount_point });
                }
            }
        }
        layout
    }

    pub fn hierarchy(&self) -> Hierarchy {
        match (&self.v2, self.v1.is_empty()) {
            (Some(_), true) => Hierarchy::Unified,
            (Some(_), false) => Hierarchy::Hybrid,
            (None, _) => Hierarchy::Legacy,
        }
    }

    /// The same layout one or more folders deeper.
    pub fn join(&self, path: &str) -> Self {
        let path = path.trim_start_matches('/');
        let deeper = |directory: &PathBuf| directory.join(path);
        Self {
            v2: self.v2.as_ref().map(deeper),
            v1: self
                .v1
                .iter()
                .map(|v1| V1 {
                    controllers: v1.controllers.clone(),
                    directory: deeper(&v1.directory),
                })
                .collect(),
        }
    }

    /// Every folder, the v2 one first.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.v2.iter().map(PathBuf::as_path).chain(self.v1.iter().map(|v1| v1.directory.as_path()))
    }

    /// The v1 folder of a controller; `blkio` and `io` are one.
    pub fn v1_of(&self, controller: &str) -> Option<&Path> {
        self.v1.iter().find(|v1| v1.has(controller)).map(|v1| v1.directory.as_path())
    }

    /// Where `controller` (by its v1 name) is in this cgroup; on v2 it must
    /// have been handed down.
    pub fn place(&self, controller: &str) -> Option<Place<'_>> {
        if let Some(directory) = self.v1_of(controller) {
            return Some(Place::V1(directory));
        }
        let v2 = self.v2.as_deref()?;
        let name = v2_name(controller);
        let available = file::read(&v2.join("cgroup.controllers")).ok()?;
        available.split_ascii_whitespace().any(|one| one == name).then_some(Place::V2(v2))
    }
}

/// v2 calls two controllers by other names.
pub(super) fn v2_name(controller: &str) -> &str {
    match controller {
        "blkio" => "io",
        "cpuacct" => "cpu",
        other => other,
    }
}

/// An absolute path of plain names, without the trailing slash.
pub(super) fn checked(path: &str) -> Result<String, Error> {
    let refused = || Error::Path(path.to_owned());
    let names = path.strip_prefix('/').ok_or_else(refused)?.trim_end_matches('/');
    let plain = |name: &str| {
        !name.is_empty()
            && name != "."
            && name != ".."
            && name.len() <= 255
            && !name.chars().any(char::is_control)
    };
    if names.split('/').all(plain) { Ok(format!("/{names}")) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_absolute_paths_name_a_cgroup() {
        for (good, path) in [("/a", "/a"), ("/a/b-c.d/", "/a/b-c.d"), ("/a/ä b", "/a/ä b")] {
            assert_eq!(checked(good).unwrap(), path);
        }
        for bad in ["", "/", "a", "/a//b", "/a/../b", "/./a", "/a\n", "/a\0b"] {
            assert_eq!(checked(bad), Err(Error::Path(bad.to_owned())), "{bad:?}");
        }
        assert!(checked(&format!("/{}", "x".repeat(256))).is_err());
    }
}
