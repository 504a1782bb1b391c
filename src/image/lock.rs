//! Who may change the store. Those who add share the lock: imports and pods'
//! starts never wait for each other. Those who remove have it alone.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{Error, Store};
use crate::sys::SyscallError;

/// Held while something is added or leased: nothing is removed meanwhile.
#[derive(Debug)]
#[must_use]
pub(super) struct Adding {
    _lock: Flock<File>,
}

/// Held while something is removed: nothing is added or leased meanwhile.
#[derive(Debug)]
#[must_use]
pub(super) struct Removing {
    _lock: Flock<File>,
}

impl Adding {
    /// Waits until nobody removes. What an interrupted command left in `tmp`
    /// is cleared by the first who finds the store idle.
    pub(super) fn begin(store: &Store) -> Result<Self, Error> {
        let garbage = garbage(store);
        let file = open(store)?;
        if garbage.is_empty() {
            return Ok(Self { _lock: lock(file, FlockArg::LockShared, store)? });
        }
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            // Alone: whoever made those folders is dead.
            Ok(held) => {
                let garbage = self::garbage(store);
                loop {
                    match held.relock(FlockArg::LockShared) {
                        Err(Errno::EINTR) => {}
                        done => break done.map_err(|errno| failed(store, errno))?,
                    }
                }
                garbage.iter().for_each(|path| discard(path));
                Ok(Self { _lock: held })
            }
            Err((file, _)) => Ok(Self { _lock: lock(file, FlockArg::LockShared, store)? }),
        }
    }
}

impl Removing {
    /// Waits until nobody adds or removes.
    pub(super) fn begin(store: &Store) -> Result<Self, Error> {
        let held = lock(open(store)?, FlockArg::LockExclusive, store)?;
        Ok(Self { _lock: held })
    }
}

/// Everything in `tmp`. Under the exclusive lock all of it is garbage.
pub(super) fn garbage(store: &Store) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(store.temporary()) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).collect()
}

/// Removes a file or a tree of `tmp`. Another command may be at the same one;
/// what stays is found again by the next.
pub(super) fn discard(path: &Path) {
    if fs::remove_dir_all(path).is_err() {
        let _ = fs::remove_file(path);
    }
}

/// A new path in `tmp`, unlike any other.
pub(super) fn temporary(store: &Store) -> PathBuf {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanoseconds = now.map(|now| now.as_nanos()).unwrap_or_default();
    store.temporary().join(format!("{}-{nanoseconds}-{number}", std::process::id()))
}

fn open(store: &Store) -> Result<File, Error> {
    let path = store.root().join("lock");
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(&path)
        .map_err(Error::io("open", path.display()))
}

fn lock(mut file: File, how: FlockArg, store: &Store) -> Result<Flock<File>, Error> {
    loop {
        match Flock::lock(file, how) {
            Ok(held) => return Ok(held),
            Err((again, Errno::EINTR)) => file = again,
            Err((_, errno)) => return Err(failed(store, errno)),
        }
    }
}

fn failed(store: &Store, errno: Errno) -> Error {
    let object = store.root().join("lock");
    Error::system("lock", object.display())(SyscallError::new("flock", "", errno))
}
