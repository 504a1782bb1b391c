//! The cgroup of all keepers and shims of the machine: outside the pods, so
//! that neither a pod's limits nor the end of the caller's session take them.
//!
//! It comes with the first pod and goes with the last. A lock, shared by those
//! who enter and held alone by who removes, keeps a pod that starts from
//! entering a cgroup that is just going.

use std::fs::{DirBuilder, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Pid;
use oci_spec::runtime::LinuxResources;

use super::error::{Error, Result};
use crate::cgroup::{self, Cgroup};
use crate::model::roots::MACHINE_DIR;
use crate::sys::SyscallError;
use crate::sys::process::pidfd_open;

const PATH: &str = "/podrt/shims";
/// The parent of all cgroups of podrt.
const TOP: &str = "/podrt";

/// The way in, which stays there as long as the lock is held.
pub(super) struct Entrance {
    pub entry: cgroup::Entry,
    pub lock: Flock<File>,
}

/// Makes the cgroup or takes the one that is there.
pub(super) fn enter() -> Result<Entrance> {
    let lock = lock(FlockArg::LockShared)?;
    let entry = Cgroup::create_parent(PATH, &LinuxResources::default())?.entry()?;
    Ok(Entrance { entry, lock })
}

/// Moves those of these processes out that are in it (they are about to end)
/// and removes the cgroup if they were the last.
pub(super) fn leave(pids: &[i32]) {
    let members = Cgroup::open(PATH).and_then(|cgroup| cgroup.pids()).unwrap_or_default();
    for pid in pids.iter().filter(|pid| members.contains(pid)) {
        if let Err(error) = Cgroup::move_to_root(*pid) {
            tracing::warn!(%error, pid, "cannot leave the cgroup of the shims");
        }
    }
    remove_if_empty();
}

/// The keepers and shims among them whose last arguments are these.
pub(super) fn processes_called(arguments: &[String]) -> Result<Vec<(i32, OwnedFd)>> {
    let pids = match Cgroup::open(PATH) {
        Err(cgroup::Error::Missing(_)) => return Ok(Vec::new()),
        cgroup => cgroup?.pids()?,
    };
    let open = |pid: i32| {
        let pidfd = pidfd_open(Pid::from_raw(pid)).ok()?;
        // Only now, so that it is the same process; a zombie has none.
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<&[u8]> = line.strip_suffix(b"\0")?.split(|&byte| byte == 0).collect();
        let is_ours = matches!(words.first(), Some(&b"podrt-keeper" | &b"podrt-shim"));
        let called: Vec<&[u8]> = arguments.iter().map(String::as_bytes).collect();
        (is_ours && words.ends_with(&called)).then_some((pid, pidfd))
    };
    Ok(pids.into_iter().filter_map(open).collect())
}

/// Whoever comes last removes it: nobody waits for another, nor tells of a
/// cgroup that stayed because a pod is starting.
pub(super) fn remove_if_empty() {
    let Ok(_lock) = lock(FlockArg::LockExclusiveNonblock) else { return };
    if let Ok(cgroup) = Cgroup::open(PATH)
        && cgroup.pids().is_ok_and(|pids| pids.is_empty())
    {
        let _ = cgroup.remove_up_to(TOP);
    }
}

fn lock(how: FlockArg) -> Result<Flock<File>> {
    let path = format!("{MACHINE_DIR}/shims.lock");
    let failed = |call, error| {
        let cause = SyscallError::from_io(call, path.clone(), &error);
        Error::Launch { step: "lock the cgroup of the shims", cause }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(MACHINE_DIR)
        .map_err(|error| failed("mkdir", error))?;
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|error| failed("open", error))?;
    Flock::lock(file, how).map_err(|(_, errno)| failed("flock", errno.into()))
}
