//! Intel RDT by way of the resctrl file system: what share of cache and memory
//! bandwidth a container has, and how much it uses. Source: the kernel's
//! `resctrl` document, and `linux.intelRdt` of the runtime specification.
//!
//! Not a cgroup, but made, entered and removed beside one.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use oci_spec::runtime::LinuxIntelRdt;
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::file;
use super::schemata;
use crate::sys::mountinfo;

/// `RDTGROUP_SUPER_MAGIC` of linux/magic.h.
const MAGIC: i128 = 0x0765_5821;
/// Folders of resctrl's own at its top.
const RESERVED: [&str; 3] = ["info", "mon_groups", "mon_data"];
const MONITORS: &str = "mon_groups";

/// The mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resctrl {
    root: PathBuf,
}

/// What `linux.intelRdt` of one container asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The group's name; `None` for the group at the top.
    group: Option<String>,
    /// The spec names the group: others may be in it.
    named: bool,
    lines: Vec<String>,
    /// The name of a monitoring group.
    monitor: Option<String>,
}

/// A container's group. What podrt has made of it goes with the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    folder: PathBuf,
    made: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    monitor: Option<PathBuf>,
}

impl Resctrl {
    /// Looks for it among the mounts, and at what is mounted there.
    ///
    /// # Errors
    /// [`Error::NoResctrl`].
    pub fn find() -> Result<Self, Error> {
        let mounts = mountinfo::of("thread-self").map_err(|source| Error::Detect { source })?;
        let found = mounts.into_iter().find(|mount| mount.fs_type == "resctrl");
        let root = found.map(|mount| mount.mount_point).filter(|root| is_resctrl(root));
        root.map(|root| Self { root }).ok_or(Error::NoResctrl)
    }

    /// Makes or takes the group that is asked for. What was made is removed
    /// again when something fails.
    ///
    /// # Errors
    /// [`Error::Rdt`], with the kernel's own words where it has any.
    pub fn make(&self, wish: &Wish) -> Result<Group, Error> {
        let folder =
            wish.group.as_ref().map_or_else(|| self.root.clone(), |name| self.root.join(name));
        let exists = folder.is_dir();
        let mut group = Group { folder, made: false, monitor: None };
        match (wish.named, exists) {
            (true, false) if wish.lines.is_empty() => {
                return Err(rdt(&group.folder, "the closID does not exist"));
            }
            (true, true) if !wish.lines.is_empty() => self.compare(&group.folder, &wish.lines)?,
            (true, true) => {}
            // Left by a crash, or somebody's.
            (false, true) if !tasks(&group.folder)?.is_empty() => {
                return Err(rdt(&group.folder, "the group has processes already"));
            }
            _ => self.make_group(&mut group, &wish.lines)?,
        }
        match self.make_monitor(&mut group, wish) {
            Ok(()) => Ok(group),
            Err(error) => {
                // The first failure is what the caller must hear of.
                let _ = group.remove();
                Err(error)
            }
        }
    }

    fn make_group(&self, group: &mut Group, lines: &[String]) -> Result<(), Error> {
        self.make_folder(&group.folder)?;
        group.made = true;
        self.write(&group.folder, lines).inspect_err(|_| drop(group.remove()))
    }

    fn make_monitor(&self, group: &mut Group, wish: &Wish) -> Result<(), Error> {
        let Some(name) = &wish.monitor else { return Ok(()) };
        let all = group.folder.join(MONITORS);
        if !all.is_dir() {
            return Err(rdt(&group.folder, "this machine has no monitoring"));
        }
        let folder = all.join(name);
        if folder.is_dir() && !tasks(&folder)?.is_empty() {
            return Err(rdt(&folder, "the group has processes already"));
        }
        self.make_folder(&folder)?;
        group.monitor = Some(folder);
        Ok(())
    }

    fn make_folder(&self, folder: &Path) -> Result<(), Error> {
        file::make_directory(folder).map_err(|error| self.explained(folder, error))
    }

    fn compare(&self, folder: &Path, wanted: &[String]) -> Result<(), Error> {
        let present = file::read(&folder.join("schemata"))?;
        match schemata::difference(&present, wanted) {
            None => Ok(()),
            Some(line) => Err(rdt(folder, &format!("the existing group has not {line:?}"))),
        }
    }

    fn write(&self, folder: &Path, lines: &[String]) -> Result<(), Error> {
        if lines.is_empty() {
            return Ok(());
        }
        let text = format!("{}\n", lines.join("\n"));
        file::write(&folder.join("schemata"), &text).map_err(|error| self.explained(folder, error))
    }

    /// Sets other limits.
    ///
    /// # Errors
    /// [`Error::Rdt`], with the kernel's own words where it has any.
    pub fn update(&self, group: &Group, wish: &Wish) -> Result<(), Error> {
        self.write(&group.folder, &wish.lines)
    }

    /// The kernel tells here what was wrong with the last order.
    fn explained(&self, folder: &Path, error: Error) -> Error {
        let words = file::read(&self.root.join("info/last_cmd_status")).unwrap_or_default();
        match words.trim() {
            "" | "ok" => error,
            words => rdt(folder, words),
        }
    }
}

fn is_resctrl(root: &Path) -> bool {
    nix::sys::statfs::statfs(root).is_ok_and(|found| i128::from(found.filesystem_type().0) == MAGIC)
}

fn rdt(folder: &Path, problem: &str) -> Error {
    Error::Rdt { folder: folder.to_owned(), problem: problem.to_owned() }
}

fn tasks(folder: &Path) -> Result<String, Error> {
    file::read(&folder.join("tasks")).map(|text| text.trim().to_owned())
}

impl Wish {
    /// What the spec of container `id` asks for.
    ///
    /// # Errors
    /// [`Error::Value`].
    pub fn new(rdt: &LinuxIntelRdt, id: &str) -> Result<Self, Error> {
        let named = rdt.clos_id().as_deref().filter(|name| !name.is_empty());
        let group = match named {
            Some("/") => None,
            name => Some(checked(name.unwrap_or(id))?),
        };
        let lines = schemata::lines(
            rdt.l3_cache_schema().as_deref(),
            rdt.mem_bw_schema().as_deref(),
            rdt.schemata().as_deref().unwrap_or_default(),
        )?;
        Ok(Self {
            group,
            named: named.is_some(),
            lines,
            monitor: rdt.enable_monitoring().unwrap_or(false).then(|| checked(id)).transpose()?,
        })
    }
}

fn checked(name: &str) -> Result<String, Error> {
    let plain = !matches!(name, "." | "..") && !name.contains(['/', '\n', '\0']);
    if plain && !RESERVED.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(Error::Value { setting: "linux.intelRdt.closID", value: name.to_owned() })
}

impl Group {
    /// Files into each of which a process writes `0` to enter, in this order.
    ///
    /// # Errors
    /// [`Error::File`] when the group is gone.
    pub fn entry(&self) -> Result<Vec<OwnedFd>, Error> {
        self.folders().map(|folder| file::open_for_writing(&folder.join("tasks"))).collect()
    }

    /// Takes a process in; one that has ended is no error.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn take(&self, pid: i32) -> Result<(), Error> {
        self.folders().try_for_each(|folder| {
            match file::write(&folder.join("tasks"), &pid.to_string()) {
                Err(Error::File { source, .. }) if source.errno == Errno::ESRCH => Ok(()),
                done => done,
            }
        })
    }

    fn folders(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.folder.as_path()).chain(self.monitor.as_deref())
    }

    /// Removes what was made for the container; a group that others have
    /// entered meanwhile stays. The kernel moves processes that are still
    /// dying to the group above.
    ///
    /// # Errors
    /// [`Error::File`]; what is gone is removed.
    pub fn remove(&self) -> Result<(), Error> {
        if let Some(monitor) = &self.monitor {
            remove_folder(monitor)?;
        }
        let stays = !self.made || tasks(&self.folder).is_ok_and(|tasks| !tasks.is_empty());
        if stays { Ok(()) } else { remove_folder(&self.folder) }
    }
}

fn remove_folder(folder: &Path) -> Result<(), Error> {
    match std::fs::remove_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(file::failed("remove", folder, "", &error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "resctrl_tests.rs"]
mod tests;
