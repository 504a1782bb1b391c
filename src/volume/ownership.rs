//! `fsGroup`: a volume's files belong to a group and are open to it.

use std::fs::{Permissions, set_permissions};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, SFlag};
use nix::unistd::{Gid, fchownat};

use super::beneath::{self, failed, proc_path};
use crate::sys::SyscallError;
use crate::sys::path::stat;

const GROUP_READ_WRITE: u32 = 0o660;
const GROUP_READ: u32 = 0o440;
/// Added to directories: entered by the group, which their new files inherit.
const DIRECTORY: u32 = 0o2110;

/// Gives everything in the tree to the group `gid`. `read_only`: the group may
/// read but not write.
///
/// # Errors
/// fchownat(2)'s and fchmod(2)'s.
pub(super) fn give_to_group(
    root: BorrowedFd<'_>,
    gid: u32,
    read_only: bool,
) -> Result<(), SyscallError> {
    let read_write = if read_only { GROUP_READ } else { GROUP_READ_WRITE };
    beneath::walk(root, |met| match change(met.dir, met.name, gid, read_write) {
        // It vanished meanwhile.
        Err(e) if e.errno == Errno::ENOENT => Ok(()),
        done => done,
    })?;
    // Last, so that an interrupted change is not taken for a finished one.
    change(root, Path::new("."), gid, read_write)
}

/// True when the root already looks as [`give_to_group`] leaves it
/// (`fsGroupChangePolicy: OnRootMismatch`).
///
/// # Errors
/// fstat(2)'s.
pub(super) fn root_matches(
    root: BorrowedFd<'_>,
    gid: u32,
    read_only: bool,
) -> Result<bool, SyscallError> {
    let stat = stat(root)?;
    let wanted = DIRECTORY | if read_only { GROUP_READ } else { GROUP_READ_WRITE };
    Ok(stat.st_gid == gid && stat.st_mode & wanted == wanted)
}

fn change(dir: BorrowedFd<'_>, name: &Path, gid: u32, read_write: u32) -> Result<(), SyscallError> {
    // By handle: a container may put a symlink in the file's place any time.
    let file = nix::fcntl::openat(
        dir,
        name,
        OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        nix::sys::stat::Mode::empty(),
    )
    .map_err(|errno| failed("openat", name, errno))?;
    let before = stat(file.as_fd())?;
    fchownat(&file, "", None, Some(Gid::from_raw(gid)), AtFlags::AT_EMPTY_PATH)
        .map_err(|errno| failed("fchownat", name, errno))?;
    match mode_for_group(&before, read_write) {
        None => Ok(()),
        // After the chown, which clears the set-user-id bit.
        Some(mode) => set_permissions(proc_path(file.as_fd()), Permissions::from_mode(mode))
            .map_err(|e| SyscallError::from_io("chmod", format!("{name:?}, {mode:o}"), &e)),
    }
}

/// `None` for a symlink, which has no mode.
fn mode_for_group(stat: &FileStat, read_write: u32) -> Option<u32> {
    let mode = stat.st_mode & 0o7777;
    match stat.st_mode & SFlag::S_IFMT.bits() {
        kind if kind == SFlag::S_IFLNK.bits() => None,
        kind if kind == SFlag::S_IFDIR.bits() => Some(mode | read_write | DIRECTORY),
        _ => Some(mode | read_write),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn everything_goes_to_the_group_and_symlinks_are_not_followed() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("a/b")).unwrap();
        for (name, mode) in [("f", 0o400), ("a/b/set", 0o4755)] {
            fs::write(path(name), "").unwrap();
            fs::set_permissions(path(name), Permissions::from_mode(mode)).unwrap();
        }
        for name in ["", "a/b"] {
            fs::set_permissions(path(name), Permissions::from_mode(0o700)).unwrap();
        }
        symlink(outside.path(), path("link")).unwrap();

        let root = beneath::open_dir(dir.path()).unwrap();
        assert!(!root_matches(root.as_fd(), 2000, false).unwrap());
        give_to_group(root.as_fd(), 2000, false).unwrap();
        assert!(root_matches(root.as_fd(), 2000, false).unwrap());
        assert!(!root_matches(root.as_fd(), 2001, false).unwrap());

        let modes = [("f", 0o660), ("a/b", 0o2770), ("a/b/set", 0o4775), ("", 0o2770)];
        for (name, mode) in modes {
            let file = fs::metadata(path(name)).unwrap();
            assert_eq!((file.gid(), file.mode() & 0o7777), (2000, mode), "{name}");
        }
        assert_eq!(fs::symlink_metadata(path("link")).unwrap().gid(), 2000);
        let outside = fs::metadata(outside.path()).unwrap();
        assert_eq!((outside.gid(), outside.mode() & 0o7777), (0, 0o600));
    }

    #[test]
    fn a_read_only_volume_opens_files_for_reading_only() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("f"), "").unwrap();
        fs::set_permissions(dir.path().join("f"), Permissions::from_mode(0o400)).unwrap();
        give_to_group(beneath::open_dir(dir.path()).unwrap().as_fd(), 2000, true).unwrap();
        assert_eq!(fs::metadata(dir.path().join("f")).unwrap().mode() & 0o7777, 0o440);
    }
}
