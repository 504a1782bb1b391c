//! Exclusion between processes.
//!
//! flock(2) belongs to the open file description: it ends with its holder,
//! however that dies, and two holders in one process exclude each other too.
//! Children inherit it. Where the holder's own life is what counts, a record
//! lock of fcntl(2) is taken: it belongs to the process, whatever children
//! outlive it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};

use super::{Error, Result};
use crate::sys::SyscallError;

/// Holds the lock until dropped.
#[derive(Debug)]
#[must_use]
pub struct Guard {
    _lock: Flock<File>,
}

/// Holds a lock of this process until dropped.
#[derive(Debug)]
#[must_use]
pub struct OwnGuard {
    _file: File,
}

/// Waits for the lock file `path` and takes it; the file is made if missing.
/// It may be removed by who holds it exclusively, and by nobody else.
///
/// # Errors
/// [`Error::File`] when the file cannot be opened or locked.
pub fn exclusive(path: &Path) -> Result<Guard> {
    wait(path, FlockArg::LockExclusive)
}

/// Waits until nobody holds the lock alone, and holds it with others.
///
/// # Errors
/// As for [`exclusive`].
pub fn shared(path: &Path) -> Result<Guard> {
    wait(path, FlockArg::LockShared)
}

fn wait(path: &Path, how: FlockArg) -> Result<Guard> {
    loop {
        let lock = flock(open(path)?, how).map_err(|errno| failed(path, errno))?;
        if is_at(&lock, path) {
            return Ok(Guard { _lock: lock });
        }
    }
}

fn flock(mut file: File, how: FlockArg) -> std::result::Result<Flock<File>, Errno> {
    loop {
        match Flock::lock(file, how) {
            Ok(lock) => return Ok(lock),
            Err((again, Errno::EINTR)) => file = again,
            Err((_, errno)) => return Err(errno),
        }
    }
}

/// False when the last holder has removed the file that was waited for: whoever
/// comes next opens another one, so that this lock keeps nobody out.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(named)) = (file.metadata(), std::fs::symlink_metadata(path)) else {
        return false;
    };
    (held.dev(), held.ino()) == (named.dev(), named.ino())
}

/// Takes the lock if nobody holds it.
///
/// # Errors
/// As for [`exclusive`].
pub fn try_exclusive(path: &Path) -> Result<Option<Guard>> {
    loop {
        match flock(open(path)?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) if is_at(&lock, path) => return Ok(Some(Guard { _lock: lock })),
            Ok(_) => {}
            Err(Errno::EWOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(failed(path, errno)),
        }
    }
}

/// Takes the lock for this process, not for its children, if no other process
/// has it. Closing any descriptor of the file gives it up, so that a process
/// that holds it must not open the file again.
///
/// # Errors
/// As for [`exclusive`].
pub fn try_own(path: &Path) -> Result<Option<OwnGuard>> {
    let file = open(path)?;
    match fcntl(&file, FcntlArg::F_SETLK(&whole_file())) {
        Ok(_) => Ok(Some(OwnGuard { _file: file })),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
        Err(errno) => Err(own_failed(path, errno)),
    }
}

/// True while another process has the lock of [`try_own`].
///
/// # Errors
/// As for [`exclusive`]; [`Error::is_missing_file`] when there is no such file.
pub fn is_owned(path: &Path) -> Result<bool> {
    let file = File::open(path).map_err(|e| Error::io("lock", path, "open", &e))?;
    let mut found = whole_file();
    fcntl(&file, FcntlArg::F_GETLK(&mut found)).map_err(|errno| own_failed(path, errno))?;
    Ok(i32::from(found.l_type) != libc::F_UNLCK)
}

/// An exclusive lock on everything.
fn whole_file() -> libc::flock {
    // The constants are small whatever their type.
    #[expect(clippy::cast_possible_truncation)]
    let (l_type, l_whence) = (libc::F_WRLCK as i16, libc::SEEK_SET as i16);
    libc::flock { l_type, l_whence, l_start: 0, l_len: 0, l_pid: 0 }
}

fn own_failed(path: &Path, errno: Errno) -> Error {
    let cause = SyscallError::new("fcntl", "F_SETLK", errno);
    Error::File { verb: "lock", path: path.into(), cause }
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
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::sys::testing::alone;

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
    fn many_share_what_nobody_holds_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let shares = (shared(&path).unwrap(), shared(&path).unwrap());
        assert!(try_exclusive(&path).unwrap().is_none());
        drop(shares);
        assert!(try_exclusive(&path).unwrap().is_some());
    }

    #[test]
    fn a_lock_file_that_its_holder_removes_keeps_out_who_waited_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let inside = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _guard = exclusive(&path).unwrap();
                        assert!(!inside.swap(true, Ordering::SeqCst));
                        inside.store(false, Ordering::SeqCst);
                        std::fs::remove_file(&path).unwrap();
                    }
                });
            }
        });
        assert!(!path.exists());
    }

    #[test]
    fn a_lock_of_a_process_is_seen_by_others_and_not_inherited() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(is_owned(&path).unwrap_err().is_missing_file());
        let guard = try_own(&path).unwrap().expect("free");
        alone(|| {
            assert!(is_owned(&path).unwrap());
            assert!(try_own(&path).unwrap().is_none());
        });
        drop(guard);
        alone(|| {
            assert!(!is_owned(&path).unwrap());
            let _guard = try_own(&path).unwrap().expect("free again");
            // A copy of this process that outlives the holder holds nothing.
            alone(|| assert!(try_own(&path).unwrap().is_none()));
        });
        assert!(try_own(&path).unwrap().is_some());
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
