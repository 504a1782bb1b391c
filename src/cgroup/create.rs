//! Making cgroups, and handing controllers down to them.

use std::collections::BTreeSet;
use std::path::Path;

use nix::errno::Errno;

use super::error::Error;
use super::file;
use super::hierarchy::{Layout, V1};

/// How often a folder is made again whose parent another process just removed.
const RACES: u32 = 16;

/// Makes `path` in every hierarchy, with missing parents.
pub(super) fn folders(mounts: &Layout, path: &str) -> Result<(), Error> {
    if let Some(v2) = &mounts.v2 {
        make_path(v2, path, hand_down)?;
        check_type(&v2.join(path.trim_start_matches('/')))?;
    }
    for v1 in &mounts.v1 {
        make_v1(v1, path)?;
    }
    Ok(())
}

fn make_v1(v1: &V1, path: &str) -> Result<(), Error> {
    if !v1.has("cpuset") {
        return make_path(&v1.directory, path, |_| Ok(()));
    }
    let mut parent = v1.directory.clone();
    make_path(&v1.directory, path, |_| Ok(()))?;
    for name in names(path) {
        let folder = parent.join(name);
        inherit_cpuset(&parent, &folder)?;
        parent = folder;
    }
    Ok(())
}

/// Makes each folder on the way, `before` its child is made in it. A parent
/// that vanishes meanwhile (another pod's, now empty) is made again.
fn make_path(
    top: &Path,
    path: &str,
    before: impl Fn(&Path) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut races = 0;
    loop {
        match make_path_once(top, path, &before) {
            Err(error) if file::is_gone(&error) && races < RACES => races += 1,
            done => return done,
        }
    }
}

fn make_path_once(
    top: &Path,
    path: &str,
    before: &impl Fn(&Path) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut folder = top.to_owned();
    for name in names(path) {
        before(&folder)?;
        folder.push(name);
        file::make_directory(&folder)?;
    }
    Ok(())
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

/// Gives every controller of a v2 cgroup to its children. One that cannot be
/// given (the cgroup has processes of its own, realtime processes keep `cpu`
/// back) stays; whoever needs it says so when a limit is set.
fn hand_down(folder: &Path) -> Result<(), Error> {
    let available = file::read(&folder.join("cgroup.controllers"))?;
    let control = folder.join("cgroup.subtree_control");
    let given = file::read(&control)?;
    let given: BTreeSet<&str> = given.split_ascii_whitespace().collect();
    let missing: Vec<String> = available
        .split_ascii_whitespace()
        .filter(|name| !given.contains(name))
        .map(|name| format!("+{name}"))
        .collect();
    if missing.is_empty() || file::write(&control, &missing.join(" ")).is_ok() {
        return Ok(());
    }
    for one in &missing {
        match file::write(&control, one) {
            Err(error) if file::is_gone(&error) && !folder.exists() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A child of a threaded cgroup can hold no container: say so at once.
fn check_type(folder: &Path) -> Result<(), Error> {
    let path = folder.join("cgroup.type");
    let Some(kind) = file::read_if_there(&path)? else { return Ok(()) };
    if kind.trim() == "domain" || kind.trim() == "domain threaded" {
        return Ok(());
    }
    let _ = std::fs::remove_dir(folder);
    let refused = std::io::Error::from_raw_os_error(Errno::EOPNOTSUPP as i32);
    Err(file::failed("use", &path, kind.trim(), &refused))
}

/// v1: a cpuset without CPUs or memory nodes takes no process.
fn inherit_cpuset(parent: &Path, folder: &Path) -> Result<(), Error> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let path = folder.join(name);
        if file::read(&path)?.trim().is_empty() {
            file::write(&path, file::read(&parent.join(name))?.trim())?;
        }
    }
    Ok(())
}
