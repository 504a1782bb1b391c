//! Removing cgroups, bottom-up and in every hierarchy.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::error::Error;
use super::hierarchy::Layout;
use super::{file, processes};

/// How long processes that were killed may take to be gone.
const LIMIT: Duration = Duration::from_secs(10);

/// v1 does not say when a cgroup becomes empty: first and longest pause.
const PAUSES: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(5));

/// Removes one cgroup with all below it.
pub(super) fn tree(path: &str, here: &Layout) -> Result<(), Error> {
    let deadline = Instant::now() + LIMIT;
    let mut failures = Vec::new();
    if let Some(v2) = &here.v2 {
        failures.extend(remove_below(v2, deadline, &wait_v2).err());
    }
    for v1 in &here.v1 {
        failures.extend(remove_below(&v1.directory, deadline, &wait_v1).err());
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(Error::Remove { path: path.to_owned(), failures })
}

/// Waits for a busy cgroup; false when the time is over.
type Wait = dyn Fn(&Path, Instant, u32) -> Result<bool, Error>;

fn remove_below(folder: &Path, deadline: Instant, wait: &Wait) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        let error = match std::fs::remove_dir(folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => error,
        };
        let failed = || file::failed("remove", folder, "", &error);
        if error.raw_os_error() != Some(Errno::EBUSY as i32) {
            return Err(failed());
        }
        let children = processes::children(folder)?;
        for child in &children {
            remove_below(child, deadline, wait)?;
        }
        if children.is_empty() && !wait(folder, deadline, tries)? {
            return Err(failed());
        }
        tries += 1;
    }
}

/// The kernel tells when the last process has left; the css of the dead may
/// take some microseconds more.
fn wait_v2(folder: &Path, deadline: Instant, tries: u32) -> Result<bool, Error> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() || !processes::wait_for(folder, "populated", 0, left)? {
        return Ok(false);
    }
    if tries > 0 {
        pause(tries);
    }
    Ok(true)
}

fn wait_v1(_folder: &Path, deadline: Instant, tries: u32) -> Result<bool, Error> {
    pause(tries);
    Ok(Instant::now() < deadline)
}

fn pause(tries: u32) {
    let (first, longest) = PAUSES;
    std::thread::sleep(first.saturating_mul(1 << tries.min(10)).min(longest));
}

/// Removes the parents of `path` that are empty now, `top` the last of them.
pub(super) fn empty_parents(mounts: &Layout, path: &str, top: &str) -> Result<(), Error> {
    let mut failures = Vec::new();
    for mount in mounts.directories() {
        failures.extend(empty_parents_in(mount, path, top).err());
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(Error::Remove { path: top.to_owned(), failures })
}

fn empty_parents_in(mount: &Path, path: &str, top: &str) -> Result<(), Error> {
    let top = Path::new(top);
    for parent in Path::new(path).ancestors().skip(1).take_while(|one| one.starts_with(top)) {
        let folder = mount.join(parent.strip_prefix("/").unwrap_or(parent));
        match std::fs::remove_dir(&folder) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => return Ok(()),
            Err(error) => return Err(file::failed("remove", &folder, "", &error)),
        }
    }
    Ok(())
}
