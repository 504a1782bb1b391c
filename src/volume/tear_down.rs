//! Removing a pod's folder, whatever its containers left in there.
//!
//! The folder is renamed away first: from then on the pod's place is free, and
//! what is left is emptied at leisure. Trees are emptied flat: a directory
//! that is not empty hands its own directories up to the top, so that no depth
//! exhausts stack, fds or path lengths. Names are resolved from open
//! directories only and symlinks never followed; a mount in the way is
//! detached, not entered.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::beneath::{self, failed, proc_path};
use super::{Error, Result};
use crate::sys::SyscallError;
use crate::sys::rename::{Existing, rename};

/// How many mounts may lie on top of each other.
const STACKED_MOUNTS: u32 = 1000;

/// How often the trash may be swept away before something is in it.
const TRASH_TRIES: u32 = 1000;

type Outcome<T> = std::result::Result<T, SyscallError>;

/// Renames the pod's folder ([`crate::model::Roots::pod_data`]) away, which
/// takes no time; [`sweep()`] removes it. Again is no harm.
///
/// # Errors
/// [`Error::System`].
pub fn put_aside(pod_data: &Path) -> Result<()> {
    let (Some(name), Some(trash)) = (pod_data.file_name(), trash(pod_data)) else { return Ok(()) };
    if !pod_data.exists() {
        return Ok(());
    }
    let mut tries_left = TRASH_TRIES;
    loop {
        match rename_into(&trash, pod_data, name) {
            // Another process was faster with the folder.
            Err(e) if e.errno == Errno::ENOENT && !pod_data.exists() => return Ok(()),
            // Another one has just swept, and the trash is gone.
            Err(e) if e.errno == Errno::ENOENT && tries_left > 0 => tries_left -= 1,
            done => {
                let pod = pod_data.display().to_string();
                return done.map_err(Error::system("remove volumes", pod));
            }
        }
    }
}

fn rename_into(trash: &Path, pod_data: &Path, name: &OsStr) -> Outcome<()> {
    fs::create_dir_all(trash)
        .map_err(|e| SyscallError::from_io("mkdir", format!("{trash:?}"), &e))?;
    let gone = beneath::open_dir(trash)?;
    rename_in(nix::fcntl::AT_FDCWD, pod_data, gone.as_fd(), &name.to_string_lossy())
}

/// Removes what [`put_aside`] renamed away, for this pod and any other of the
/// data root. What another process is removing is left to it.
///
/// # Errors
/// [`Error::System`].
pub fn sweep(pod_data: &Path) -> Result<()> {
    let Some(trash) = trash(pod_data) else { return Ok(()) };
    let failed = || Error::system("remove volumes", trash.display().to_string());
    let gone = match beneath::open_dir(&trash) {
        Err(e) if e.errno == Errno::ENOENT => return Ok(()),
        gone => gone.map_err(failed())?,
    };
    for name in beneath::names(gone.as_fd()).map_err(failed())? {
        remove_tree(gone.as_fd(), &name).map_err(failed())?;
    }
    // Fails while others have something in it: it goes with theirs.
    let _ = fs::remove_dir(&trash);
    Ok(())
}

/// Removes one folder of a pod that lives on, with whatever its containers
/// left in there; missing is no error.
///
/// # Errors
/// [`Error::System`].
pub fn remove(folder: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else { return Ok(()) };
    let removed = match beneath::open_dir(parent) {
        Err(e) if e.errno == Errno::ENOENT => Ok(()),
        parent => parent.and_then(|parent| remove_tree(parent.as_fd(), Path::new(name))),
    };
    removed.map_err(Error::system("remove", folder.display().to_string()))
}

/// Beside the pods' folders; no uid begins with a dot.
fn trash(pod_data: &Path) -> Option<PathBuf> {
    Some(pod_data.parent()?.join(".gone"))
}

/// Removes `name` in `parent`, a file or a whole tree; missing is no error.
/// A tree that another process is removing is left to it.
pub(super) fn remove_tree(parent: BorrowedFd<'_>, name: &Path) -> Outcome<()> {
    for _ in 0..STACKED_MOUNTS {
        match remove_file(parent, name)? {
            Removed::Yes => return Ok(()),
            Removed::Mount => detach(parent, name)?,
            Removed::Directory => match lock(parent, name) {
                Ok(Some(dir)) => {
                    empty(dir.as_fd())?;
                    return remove_dir(parent, name);
                }
                Ok(None) => return Ok(()),
                Err(e) if e.errno == Errno::EXDEV => detach(parent, name)?,
                Err(e) if e.errno == Errno::ENOENT => return Ok(()),
                Err(e) => return Err(e),
            },
        }
    }
    Err(failed("unlinkat", name, Errno::EBUSY))
}

fn lock(parent: BorrowedFd<'_>, name: &Path) -> Outcome<Option<Flock<OwnedFd>>> {
    let dir = beneath::open_plain_dir(parent, name)?;
    match Flock::lock(dir, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(failed("flock", name, errno)),
    }
}

/// Removes everything in `top`.
fn empty(top: BorrowedFd<'_>) -> Outcome<()> {
    loop {
        let names = beneath::names(top)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            remove_from(top, top, &name)?;
        }
    }
}

/// Removes `name` from `dir`. A directory is emptied of files, and what it has
/// of directories moves up to `top`, which is visited again.
fn remove_from(top: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &Path) -> Outcome<()> {
    for _ in 0..STACKED_MOUNTS {
        match remove_file(dir, name)? {
            Removed::Yes => return Ok(()),
            Removed::Mount => detach(dir, name)?,
            Removed::Directory => match beneath::open_plain_dir(dir, name) {
                Ok(inner) => {
                    hand_up(top, inner.as_fd())?;
                    match unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
                        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
                        Err(Errno::EBUSY) => detach(dir, name)?,
                        Err(errno) => return Err(failed("rmdir", name, errno)),
                    }
                }
                Err(e) if e.errno == Errno::EXDEV => detach(dir, name)?,
                Err(e) if e.errno == Errno::ENOENT => return Ok(()),
                Err(e) => return Err(e),
            },
        }
    }
    Err(failed("unlinkat", name, Errno::EBUSY))
}

fn hand_up(top: BorrowedFd<'_>, dir: BorrowedFd<'_>) -> Outcome<()> {
    for name in beneath::names(dir)? {
        for _ in 0..STACKED_MOUNTS {
            match remove_file(dir, &name)? {
                Removed::Yes => break,
                Removed::Mount => detach(dir, &name)?,
                Removed::Directory => match rename_in(dir, &name, top, "up") {
                    Err(e) if matches!(e.errno, Errno::EBUSY | Errno::EXDEV) => {
                        detach(dir, &name)?;
                    }
                    Err(e) if e.errno == Errno::ENOENT => break,
                    done => {
                        done?;
                        break;
                    }
                },
            }
        }
    }
    Ok(())
}

enum Removed {
    Yes,
    Directory,
    Mount,
}

fn remove_file(dir: BorrowedFd<'_>, name: &Path) -> Outcome<Removed> {
    match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(Removed::Yes),
        Err(Errno::EISDIR) => Ok(Removed::Directory),
        Err(Errno::EBUSY) => Ok(Removed::Mount),
        Err(errno) => Err(failed("unlinkat", name, errno)),
    }
}

fn remove_dir(parent: BorrowedFd<'_>, name: &Path) -> Outcome<()> {
    match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(failed("rmdir", name, errno)),
    }
}

/// Takes off the topmost mount at `name`.
fn detach(dir: BorrowedFd<'_>, name: &Path) -> Outcome<()> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mounted = nix::fcntl::openat(dir, name, flags, Mode::empty())
        .map_err(|errno| failed("openat", name, errno))?;
    // The magic link leads to the root of the mount, which is what goes.
    umount2(&proc_path(mounted.as_fd()), MntFlags::MNT_DETACH)
        .map_err(|errno| failed("umount2", name, errno))
}

/// Renames to `name.N` in `to`, with the first N that is free.
fn rename_in(from_dir: BorrowedFd<'_>, from: &Path, to: BorrowedFd<'_>, name: &str) -> Outcome<()> {
    for n in 0_u32.. {
        let free = PathBuf::from(format!("{name}.{n}"));
        match rename(from_dir, from, to, &free, Existing::Keep) {
            Err(e) if e.errno == Errno::EEXIST => {}
            done => return done,
        }
    }
    Err(failed("renameat2", from, Errno::EEXIST))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::mount::{MsFlags, mount};

    use super::*;

    fn tear_down(pod_data: &Path) -> Result<()> {
        put_aside(pod_data)?;
        sweep(pod_data)
    }

    fn pod() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let pod = dir.path().join("pods/u1");
        fs::create_dir_all(pod.join("volumes/v")).unwrap();
        (dir, pod)
    }

    #[test]
    fn the_folder_goes_and_going_again_is_no_harm() {
        let (dir, pod) = pod();
        fs::write(pod.join("volumes/v/f"), "x").unwrap();
        tear_down(&pod).unwrap();
        tear_down(&pod).unwrap();
        assert!(!pod.exists());
        assert!(!dir.path().join("pods/.gone").exists());
        tear_down(Path::new("/nonexistent/pods/u1")).unwrap();
    }

    #[test]
    fn what_a_crash_left_goes_with_the_next_pod() {
        let (dir, pod) = pod();
        put_aside(&pod).unwrap();
        assert!(!pod.exists());
        fs::create_dir_all(&pod).unwrap();
        put_aside(&pod).unwrap();
        tear_down(&dir.path().join("pods/other")).unwrap();
        assert!(!dir.path().join("pods/.gone").exists());
    }

    #[test]
    fn symlinks_are_removed_and_not_followed() {
        let (dir, pod) = pod();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "x").unwrap();
        symlink(&outside, pod.join("volumes/v/link")).unwrap();
        symlink("..", pod.join("volumes/v/up")).unwrap();
        tear_down(&pod).unwrap();
        assert!(outside.join("precious").exists());
    }

    #[test]
    fn a_tree_deeper_than_any_path_goes() {
        let (_dir, pod) = pod();
        let mut dir = beneath::open_dir(&pod).unwrap();
        for _ in 0..3000 {
            let name = Path::new("deeper");
            nix::sys::stat::mkdirat(&dir, name, Mode::from_bits_truncate(0o700)).unwrap();
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT;
            drop(nix::fcntl::openat(&dir, "f", flags, Mode::from_bits_truncate(0o600)).unwrap());
            dir = beneath::open_plain_dir(dir.as_fd(), name).unwrap();
        }
        drop(dir);
        tear_down(&pod).unwrap();
        assert!(!pod.exists());
    }

    #[test]
    fn mounts_are_detached_and_what_they_show_stays() {
        let (dir, pod) = pod();
        let outside = dir.path().join("outside");
        fs::create_dir_all(outside.join("sub")).unwrap();
        fs::write(outside.join("precious"), "x").unwrap();
        fs::create_dir_all(pod.join("volumes/v/a/b")).unwrap();
        fs::write(pod.join("volumes/v/a/f"), "").unwrap();
        std::thread::scope(|scope| {
            // In a mount namespace of its own, so that nothing can be left.
            let thread = scope.spawn(|| {
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
                let none = None::<&str>;
                let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
                mount(none, "/", none, private, none).unwrap();
                let bind = |target: &str, source: &Path| {
                    let target = pod.join("volumes/v").join(target);
                    mount(Some(source), &target, none, MsFlags::MS_BIND, none).unwrap();
                };
                bind("a", &pod.join("volumes/v/a"));
                bind("a/b", &outside);
                bind("a/b", &outside);
                bind("a/f", &outside.join("precious"));
                tear_down(&pod).unwrap();
            });
            thread.join().unwrap();
        });
        assert!(!pod.exists());
        assert_eq!(fs::read(outside.join("precious")).unwrap(), b"x");
        assert!(outside.join("sub").exists());
    }

    #[test]
    fn several_at_once_do_not_disturb_each_other() {
        let (dir, pod) = pod();
        for n in 0..300 {
            fs::create_dir_all(pod.join(format!("{n}/a/b/{n}"))).unwrap();
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| tear_down(&pod).unwrap());
            }
            for n in 0..4 {
                let pods = dir.path().join("pods");
                scope.spawn(move || {
                    for round in 0..100 {
                        let pod = pods.join(format!("{n}-{round}"));
                        fs::create_dir(&pod).unwrap();
                        tear_down(&pod).unwrap();
                        assert!(!pod.exists());
                    }
                });
            }
        });
        tear_down(&pod).unwrap();
        assert!(!dir.path().join("pods/.gone").exists());
    }
}
