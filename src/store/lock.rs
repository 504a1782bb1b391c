//! Exclusion between processes.
//!
//! flock(2) belongs to the open file description: it ends with its holder,
//! however that dies, and two holders in one process exclude each other too.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{Error, Result};
use crate::sys::SyscallError;

/// Holds the lock until dropped.
#[derive(Debug)]
#[must_use]
pub struct Guard {
    _lock: Flock<File>,
}

/// Waits for the lock file `path` and takes it; the file is made if missing
/// and stays.
///
/// # Errors
/// [`Error::File`] when the file cannot be opened or locked.
pub fn exclusive(path: &Path) -> Result<Guard> {
    let mut file = open(path)?;
    loop {
        match Flock::lock(file, FlockArg::LockExclusive) {
            Ok(lock) => return Ok(Guard { _lock: lock }),
            Err((again, Errno::EINTR)) => file = again,
            Err((_, errno)) => return Err(failed(path, errno)),
        }
    }
}

/// Takes the lock if nobody holds it.
///
/// # Errors
/// As for [`exclusive`].
pub fn try_exclusive(path: &Path) -> Result<Option<Guard>> {
    match Flock::lock(open(path)?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(Guard { _lock: lock })),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(failed(path, errno)),
    }
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(|e| Error::io("lock", path, "open", &e))
}

fn failed(path: &Path, errno: Errno) -> Error {
    let cause = SyscallError::new("flock", "LOCK_EX", errno);
    Error::File { verb: "lock", path: path.into(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_the_next_when_it_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = exclusive(&path).unwrap();
        assert!(try_exclusive(&path).unwrap().is_none());
        drop(first);
        assert!(try_exclusive(&path).unwrap().is_some());
    }

    #[test]
    fn a_waiter_gets_the_lock_when_it_is_released() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = exclusive(&path).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| exclusive(&path).unwrap());
            drop(first);
            drop(waiter.join().unwrap());
        });
    }
}
