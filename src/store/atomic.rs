//! Files that change as a whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Error, Result};

/// What a write must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The loss of power: file and directory are synced before the return.
    Disk,
    /// The death of any process. For file systems that a reboot empties.
    Volatile,
}

/// Replaces the file at `path` by `bytes`, mode 0600. Whoever reads sees the
/// old content or the new one; a crash leaves at most a file `.tmp-*` beside.
///
/// # Errors
/// [`Error::File`]; the old content is then still in place.
pub fn write(path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    write_with_mode(path, bytes, 0o600, durability)
}

/// As [`write()`], with the permission bits `mode` whatever the umask.
///
/// # Errors
/// As for [`write()`].
pub fn write_with_mode(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> Result<()> {
    let (temporary, file) = create_temporary(path, mode)?;
    let written = fill(file, &temporary, bytes, mode, durability)
        .and_then(|()| rename(&temporary, path))
        .inspect_err(|_| drop(fs::remove_file(&temporary)));
    written?;
    if durability == Durability::Disk { sync_dir(parent(path)) } else { Ok(()) }
}

/// Creates `path` and its missing parents with permission bits 0700.
///
/// # Errors
/// [`Error::File`], also when something else than a directory is in the way.
pub fn create_dirs(path: &Path, durability: Durability) -> Result<()> {
    create_dirs_with_mode(path, 0o700, durability)
}

/// As [`create_dirs`], with other permission bits, less the umask.
///
/// # Errors
/// As for [`create_dirs`].
pub fn create_dirs_with_mode(path: &Path, mode: u32, durability: Durability) -> Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) if durability == Durability::Disk => sync_dir(parent(path)),
        Ok(()) => Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound && path.parent().is_some() => {
            create_dirs_with_mode(parent(path), mode, durability)?;
            create_dirs_with_mode(path, mode, durability)
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(e) => Err(Error::io("create directory", path, "mkdir", &e)),
    }
}

/// Makes renames and removals in a directory survive the loss of power.
pub(super) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| Error::io("sync directory", dir, "fsync", &e))
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|e| Error::io("replace", to, "rename", &e))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn create_temporary(path: &Path, mode: u32) -> Result<(PathBuf, File)> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = parent(path).join(format!(".tmp-{}-{n}", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            // A process of the same pid crashed here once.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io("write", path, "open", &e)),
        }
    }
}

fn fill(
    mut file: File,
    path: &Path,
    bytes: &[u8],
    mode: u32,
    durability: Durability,
) -> Result<()> {
    let failed = |call| move |e: std::io::Error| Error::io("write", path, call, &e);
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed("fchmod"))?;
    file.write_all(bytes).map_err(failed("write"))?;
    if durability == Durability::Disk { file.sync_all().map_err(failed("fsync")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        write(&path, b"old, and longer", Durability::Disk).unwrap();
        write_with_mode(&path, b"new", 0o666, Durability::Volatile).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o666);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::create_dir(&path).unwrap();
        let error = write(&path, b"x", Durability::Volatile).unwrap_err();
        assert!(error.to_string().starts_with("replace \""), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_leftover_of_a_crashed_process_of_the_same_pid_is_stepped_over() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..2000 {
            fs::write(dir.path().join(format!(".tmp-{}-{n}", std::process::id())), "").unwrap();
        }
        write(&dir.path().join("a"), b"x", Durability::Volatile).unwrap();
    }

    #[test]
    fn missing_parents_are_made_and_a_file_in_the_way_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        create_dirs(&dir.path().join("a/b/c"), Durability::Disk).unwrap();
        create_dirs(&dir.path().join("a/b/c"), Durability::Disk).unwrap();
        fs::write(dir.path().join("f"), "").unwrap();
        assert!(create_dirs(&dir.path().join("f"), Durability::Volatile).is_err());
        assert!(create_dirs(&dir.path().join("f/g"), Durability::Volatile).is_err());
    }
}
