//! The cgroup of all keepers and shims of the machine: outside the pods, so
//! that neither a pod's limits nor the end of the caller's session take them.
//!
//! It comes with the first pod and goes with the last. A lock, shared by those
//! who enter and held alone by who removes, keeps a pod that starts from
//! entering a cgroup that is just going.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;
use oci_spec::runtime::LinuxResources;

use super::error::Result;
use crate::cgroup::{self, Cgroup};
use crate::model::roots::MACHINE_DIR;
use crate::store::atomic::{self, Durability};
use crate::store::lock::{self, Guard};
use crate::sys::process::pidfd_open;

/// Where the cgroup and its locks are.
#[derive(Debug)]
pub(super) struct ShimsCgroup<'a> {
    path: &'a str,
    /// The parent of all cgroups of podrt.
    top: &'a str,
    locks: &'a Path,
}

/// The way in, which stays there as long as the lock is held.
pub(super) struct Entrance {
    pub entry: cgroup::Entry,
    pub lock: Guard,
}

impl ShimsCgroup<'_> {
    /// The one that all roots of this machine share.
    pub(super) fn of_machine() -> Self {
        Self { path: "/podrt/shims", top: "/podrt", locks: Path::new(MACHINE_DIR) }
    }

    /// Makes the cgroup or takes the one that is there.
    pub(super) fn enter(&self) -> Result<Entrance> {
        let lock = lock::shared(&self.lock_file("shims.lock")?)?;
        let entry = Cgroup::create_parent(self.path, &LinuxResources::default())?.entry()?;
        Ok(Entrance { entry, lock })
    }

    /// Moves those of these processes out that are in it (they are about to
    /// end) and removes the cgroup if they were the last.
    pub(super) fn leave(&self, pids: &[i32]) {
        let members = Cgroup::open(self.path).and_then(|cgroup| cgroup.pids()).unwrap_or_default();
        for pid in pids.iter().filter(|pid| members.contains(pid)) {
            if let Err(error) = Cgroup::move_to_root(*pid) {
                tracing::warn!(%error, pid, "cannot leave the cgroup of the shims");
            }
        }
        self.remove_if_empty();
    }

    /// The keepers and shims among them whose last arguments are these.
    pub(super) fn processes_called(&self, arguments: &[String]) -> Result<Vec<(i32, OwnedFd)>> {
        let called: Vec<&[u8]> = arguments.iter().map(String::as_bytes).collect();
        let open = |pid: i32| {
            let pidfd = pidfd_open(Pid::from_raw(pid)).ok()?;
            // Only now, so that it is the same process; a zombie has none.
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let words: Vec<&[u8]> = line.strip_suffix(b"\0")?.split(|&byte| byte == 0).collect();
            let is_ours = matches!(words.first(), Some(&b"podrt-keeper" | &b"podrt-shim"));
            (is_ours && words.ends_with(&called)).then_some((pid, pidfd))
        };
        Ok(Cgroup::at(self.path)?.pids()?.into_iter().filter_map(open).collect())
    }

    /// Whoever comes last removes it. Those who remove wait for each other: of
    /// two that end at once, the second finds nobody left. For a pod that is
    /// starting nobody waits: its own end comes.
    pub(super) fn remove_if_empty(&self) {
        if let Err(error) = self.try_remove() {
            tracing::warn!(%error, "cannot remove the cgroup of the shims, ignoring");
        }
    }

    fn try_remove(&self) -> Result<()> {
        let _one_by_one = lock::exclusive(&self.lock_file("shims.removal.lock")?)?;
        let Some(_nobody_enters) = lock::try_exclusive(&self.lock_file("shims.lock")?)? else {
            return Ok(());
        };
        let group = Cgroup::at(self.path)?;
        if group.pids()?.is_empty() {
            group.remove_up_to(self.top)?;
        }
        Ok(())
    }

    fn lock_file(&self, name: &str) -> Result<PathBuf> {
        atomic::create_dirs_with_mode(self.locks, 0o700, Durability::Volatile)?;
        Ok(self.locks.join(name))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::process::{Child, Command};
    use std::sync::Barrier;

    use super::*;

    /// A process that is in the cgroup, as a shim is.
    fn member(place: &ShimsCgroup<'_>) -> Child {
        let entrance = place.enter().unwrap();
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = child.id().to_string();
        let v2 = entrance.entry.clone_into.iter().map(|folder| {
            let procs = format!("/proc/self/fd/{}/cgroup.procs", folder.as_raw_fd());
            File::options().write(true).open(procs).unwrap()
        });
        let v1 = entrance.entry.join.iter().map(|fd| fd.try_clone().unwrap().into());
        for mut procs in v2.chain(v1) {
            procs.write_all(pid.as_bytes()).unwrap();
        }
        child
    }

    #[test]
    fn whoever_of_two_that_leave_at_once_is_the_last_removes_the_cgroup() {
        let dir = tempfile::tempdir().unwrap();
        let top = format!("/podrt-test-shims-{}", std::process::id());
        let path = format!("{top}/shims");
        let place = ShimsCgroup { path: &path, top: &top, locks: dir.path() };
        for round in 0..20 {
            let mut members = [member(&place), member(&place)];
            let both = Barrier::new(members.len());
            std::thread::scope(|scope| {
                for one in &members {
                    scope.spawn(|| {
                        both.wait();
                        place.leave(&[one.id().cast_signed()]);
                    });
                }
            });
            for one in &mut members {
                one.kill().unwrap();
                one.wait().unwrap();
            }
            assert!(!Cgroup::at(&top).unwrap().exists(), "round {round}");
        }
    }
}
