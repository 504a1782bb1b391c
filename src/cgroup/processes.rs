//! The processes of a cgroup: who they are, and their end.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill as send};
use nix::unistd::Pid;

use super::error::Error;
use super::hierarchy::Layout;
use super::{file, freeze};

/// Rounds of SIGKILL against processes that keep forking.
const KILL_ROUNDS: u32 = 64;

/// Every process in the cgroup and below.
pub(super) fn pids(here: &Layout) -> Result<Vec<i32>, Error> {
    let mut pids = Vec::new();
    // On v1 a process may be missing in a hierarchy that it was moved out of.
    let folders = here
        .v2
        .iter()
        .map(PathBuf::as_path)
        .chain(here.v2.is_none().then_some(()).into_iter().flat_map(|()| here.directories()));
    for folder in folders {
        collect(folder, &mut pids)?;
    }
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

fn collect(folder: &Path, pids: &mut Vec<i32>) -> Result<(), Error> {
    match file::read_if_there(&folder.join("cgroup.procs")) {
        Ok(text) => {
            let text = text.unwrap_or_default();
            // 0 stands for a process of a pid namespace that is not ours.
            pids.extend(
                text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0),
            );
        }
        // A threaded cgroup: its domain above lists the processes.
        Err(error) if file::errno(&error) == Some(Errno::EOPNOTSUPP) => {}
        Err(error) => return Err(error),
    }
    children(folder)?.iter().try_for_each(|child| collect(child, pids))
}

/// Moves a process into one cgroup of one hierarchy; one that is gone need not.
pub(super) fn move_into(folder: &Path, pid: i32) -> Result<(), Error> {
    match file::write(&folder.join("cgroup.procs"), &pid.to_string()) {
        Err(Error::File { source, .. }) if source.errno == Errno::ESRCH => Ok(()),
        result => result,
    }
}

/// The cgroups directly below.
pub(super) fn children(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(file::failed("read", folder, "", &error)),
    };
    Ok(entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect())
}

/// SIGKILL for all: in one order where the kernel has `cgroup.kill` (Linux
/// 5.14), else one by one while they are frozen, so that none forks away.
pub(super) fn kill(path: &str, here: &Layout) -> Result<(), Error> {
    if let Some(v2) = &here.v2 {
        match file::write(&v2.join("cgroup.kill"), "1") {
            Err(error) if file::is_gone(&error) && v2.exists() => {}
            Err(error) if file::is_gone(&error) => return Ok(()),
            // A threaded cgroup has no such file of its own.
            Err(error) if file::errno(&error) == Some(Errno::EOPNOTSUPP) => {}
            done => return done,
        }
    }
    kill_one_by_one(path, here)
}

fn kill_one_by_one(path: &str, here: &Layout) -> Result<(), Error> {
    let frozen = freeze::set(path, here, true).is_ok();
    let mut sent: Vec<i32> = Vec::new();
    for _ in 0..KILL_ROUNDS {
        let new: Vec<i32> = pids(here)?.into_iter().filter(|pid| !sent.contains(pid)).collect();
        if new.is_empty() {
            break;
        }
        for pid in &new {
            let _ = send(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        sent.extend(new);
    }
    // v1 delivers a signal only to a process that runs.
    if frozen { freeze::set(path, here, false) } else { Ok(()) }
}

/// `oom_kill` counts every process that died for memory in the cgroup and, on
/// v2, below it.
pub(super) fn oom_kills(here: &Layout) -> Result<u64, Error> {
    let path = match (here.v1_of("memory"), &here.v2) {
        (Some(v1), _) => v1.join("memory.oom_control"),
        (None, Some(v2)) => v2.join("memory.events"),
        (None, None) => return Ok(0),
    };
    let text = file::read_if_there(&path)?.unwrap_or_default();
    Ok(file::keyed(&text, "oom_kill").unwrap_or(0))
}

pub(super) fn open_events(folder: &Path) -> Result<OwnedFd, Error> {
    let path = folder.join("cgroup.events");
    let opened = File::open(&path).map(OwnedFd::from);
    opened.map_err(|error| file::failed("open", &path, "", &error))
}

/// Waits until `key` of `cgroup.events` has this value; the kernel wakes us at
/// each change. False when the time is over; a cgroup that is gone is empty.
pub(super) fn wait_for(
    folder: &Path,
    key: &str,
    value: u64,
    limit: Duration,
) -> Result<bool, Error> {
    let path = folder.join("cgroup.events");
    let events = match File::open(&path) {
        Ok(events) => events,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(file::failed("open", &path, "", &error)),
    };
    let deadline = Instant::now() + limit;
    loop {
        let Some(text) = reread(&events, &path)? else { return Ok(true) };
        if file::keyed(&text, key) == Some(value) {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        let mut wanted = [PollFd::new(events.as_fd(), PollFlags::POLLPRI)];
        match poll(&mut wanted, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(file::failed("poll", &path, "", &errno.into())),
        }
    }
}

fn reread(events: &File, path: &Path) -> Result<Option<String>, Error> {
    let mut buffer = [0_u8; 256];
    match events.read_at(&mut buffer, 0) {
        Ok(length) => Ok(Some(String::from_utf8_lossy(&buffer[..length]).into_owned())),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(file::failed("read", path, "", &error)),
    }
}
