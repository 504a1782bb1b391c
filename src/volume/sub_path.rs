//! `subPath`: a part of a volume, in a tree that containers write to.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, fchmod, mkdirat};

use super::beneath::{self, failed};
use crate::sys::SyscallError;
use crate::sys::path::stat;

/// Where it failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Making the missing directories.
    Create(SyscallError),
    /// Opening what is there.
    Prepare(SyscallError),
}

impl From<SyscallError> for Failure {
    fn from(cause: SyscallError) -> Self {
        Self::Prepare(cause)
    }
}

/// A handle on `path` below `root`. Symlinks on the way may not leave the
/// volume. Missing directories are made with the root's mode when `create`.
pub(super) fn open(root: BorrowedFd<'_>, path: &Path, create: bool) -> Result<OwnedFd, Failure> {
    match beneath::open(root, path, OFlag::O_PATH) {
        Err(e) if create && matches!(e.errno, Errno::ENOENT | Errno::ENOTDIR) => {
            make_dirs(root, path).map_err(Failure::Create)
        }
        done => done.map_err(Failure::Prepare),
    }
}

fn make_dirs(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, SyscallError> {
    let mode = Mode::from_bits_truncate(stat(root)?.st_mode & 0o7777);
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let mut so_far = PathBuf::new();
    let mut current = beneath::open(root, &so_far, flags)?;
    for component in path.components() {
        let name = match component {
            Component::Normal(name) => Path::new(name),
            Component::CurDir => continue,
            _ => return Err(failed("openat2", path, Errno::EINVAL)),
        };
        so_far.push(name);
        current = match beneath::open(root, &so_far, flags) {
            Err(e) if e.errno == Errno::ENOENT => make_dir(current.as_fd(), name, mode)?,
            done => done?,
        };
    }
    Ok(current)
}

fn make_dir(parent: BorrowedFd<'_>, name: &Path, mode: Mode) -> Result<OwnedFd, SyscallError> {
    mkdirat(parent, name, mode).map_err(|errno| failed("mkdirat", name, errno))?;
    let dir = beneath::open_plain_dir(parent, name)?;
    // Whatever the umask was.
    fchmod(&dir, mode).map_err(|errno| failed("fchmod", name, errno))?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::sys::rename::{Existing, rename};

    fn volume() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o2777)).unwrap();
        let root = beneath::open_dir(dir.path()).unwrap();
        (dir, root)
    }

    fn target(fd: &OwnedFd) -> PathBuf {
        fs::read_link(beneath::proc_path(fd.as_fd())).unwrap()
    }

    #[test]
    fn missing_directories_get_the_roots_mode() {
        let (dir, root) = volume();
        symlink("real", dir.path().join("link")).unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        let made = open(root.as_fd(), Path::new("./link/a/b"), true).unwrap();
        assert_eq!(target(&made), dir.path().canonicalize().unwrap().join("real/a/b"));
        for name in ["real/a", "real/a/b"] {
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o2777, "{name}");
        }
    }

    #[test]
    fn files_and_directories_are_opened_as_they_are() {
        let (dir, root) = volume();
        fs::write(dir.path().join("file"), "x").unwrap();
        symlink("file", dir.path().join("link")).unwrap();
        for name in ["file", "link"] {
            let opened = open(root.as_fd(), Path::new(name), true).unwrap();
            assert!(target(&opened).ends_with("file"));
        }
        let missing = open(root.as_fd(), Path::new("none"), false);
        assert!(matches!(missing, Err(Failure::Prepare(_))), "{missing:?}");
    }

    #[test]
    fn nothing_leads_out_of_the_volume() {
        let (dir, root) = volume();
        for (name, to) in [("up", ".."), ("abs", "/etc"), ("deep", "a/../../..")] {
            symlink(to, dir.path().join(name)).unwrap();
        }
        fs::create_dir(dir.path().join("a")).unwrap();
        symlink("/nonexistent/x", dir.path().join("dangling")).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        for path in ["up", "up/etc", "abs", "abs/passwd", "deep/etc", "..", "a/../../x", "dangling"]
        {
            let outcome = open(root.as_fd(), Path::new(path), true);
            assert!(outcome.is_err(), "{path}: {outcome:?}");
        }
        assert!(matches!(open(root.as_fd(), Path::new("file/x"), true), Err(Failure::Create(_))));
    }

    #[test]
    fn an_exchange_of_directory_and_symlink_never_leads_out() {
        let (dir, root) = volume();
        let inside = dir.path().canonicalize().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        symlink("/etc", dir.path().join("other")).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let (sub, other) = (Path::new("sub"), Path::new("other"));
                    rename(root.as_fd(), sub, root.as_fd(), other, Existing::Exchange).unwrap();
                }
            });
            for n in 0..2000 {
                let path = format!("sub/new{}", n % 7);
                if let Ok(opened) = open(root.as_fd(), Path::new(&path), true) {
                    assert!(target(&opened).starts_with(&inside), "{:?}", target(&opened));
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(!Path::new("/etc/new0").exists());
    }
}
