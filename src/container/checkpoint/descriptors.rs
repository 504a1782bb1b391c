//! The standard streams of a container, which belong to somebody outside of
//! it: noted when it is dumped, replaced by the caller's when it is restored.

use std::path::Path;

use nix::sys::stat::{SFlag, major};

use super::super::error::{Error, Result};
use super::names;
use super::request::Options;
use crate::sys::SyscallError;
use crate::sys::mountinfo::Mount;

/// Where they are noted, in the folder of the images; runc's has the same name.
const FILE: &str = "descriptors.json";

/// Major numbers of terminals: the console's, and UNIX98 ones.
const TTY_MAJORS: std::ops::RangeInclusive<u64> = 4..=5;
const PTS_MAJORS: std::ops::RangeInclusive<u64> = 136..=143;

/// What 0, 1 and 2 of a process are, in criu's words where they are from
/// outside of its mounts.
pub(super) fn of_process(pid: i32, mounts: &[Mount]) -> Vec<String> {
    (0..3).map(|number| describe(pid, number, mounts).unwrap_or_default()).collect()
}

fn describe(pid: i32, number: i32, mounts: &[Mount]) -> Option<String> {
    let path = format!("/proc/{pid}/fd/{number}");
    let target = std::fs::read_link(&path).ok()?.to_string_lossy().into_owned();
    if !target.starts_with('/') {
        return Some(target);
    }
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
    let mount = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    let mount: u64 = mount.trim().parse().ok()?;
    if mounts.iter().any(|known| known.id == mount) {
        return Some(target);
    }
    let stat = nix::sys::stat::stat(path.as_str()).ok()?;
    let is_device = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR;
    let kind = major(stat.st_rdev);
    Some(if is_device && (TTY_MAJORS.contains(&kind) || PTS_MAJORS.contains(&kind)) {
        format!("tty[{:x}:{:x}]", stat.st_rdev, stat.st_dev)
    } else {
        format!("file[{mount:x}:{:x}]", stat.st_ino)
    })
}

/// Tells criu that those it cannot know are none of its business.
pub(super) fn leave_out(descriptors: &[String], options: &mut Options) {
    let mut foreign: Vec<&String> = descriptors
        .iter()
        .filter(|one| one.starts_with("file[") || one.starts_with("tty["))
        .collect();
    foreign.dedup();
    for one in foreign {
        options.external(one);
    }
}

/// Notes them beside the images.
pub(super) fn save(folder: &Path, descriptors: &[String]) -> Result<()> {
    names::write(&folder.join(FILE), descriptors)
}

/// Puts the caller's streams in the place of those that were noted.
///
/// # Errors
/// When there is no note: the folder holds no checkpoint.
pub(super) fn inherit(folder: &Path, options: &mut Options) -> Result<()> {
    let descriptors = names::read(&folder.join(FILE))?.ok_or_else(|| Error::Call {
        what: "read checkpoint".to_owned(),
        source: SyscallError::new(
            "open",
            format!("{:?}", folder.join(FILE)),
            nix::errno::Errno::ENOENT,
        ),
    })?;
    let mut seen: Vec<&String> = Vec::new();
    for (number, one) in (0..3).zip(&descriptors) {
        let outside = ["pipe:", "file[", "tty["].iter().any(|kind| one.starts_with(kind));
        if outside && !seen.contains(&one) {
            options.inherit(one, number);
            seen.push(one);
        }
    }
    Ok(())
}
