//! Files that change together, in the layout the kubelet's users know:
//!
//! ```text
//! ..2026_01_31_23_59_59.1234567890/   the files
//! ..data -> ..2026_01_31_23_59_59.1234567890
//! key    -> ..data/key                one link for each first path component
//! ```
//!
//! A rename over `..data` shows all new files at once; a reader that has
//! opened one of the old keeps it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat, renameat};
use nix::sys::stat::{Mode, SFlag, fchmod, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

use super::beneath::{self, failed};
use super::{Error, FileEntry, Result, ownership, tear_down};
use crate::sys::{SyscallError, clock};

const DATA: &str = "..data";
const DATA_TEMPORARY: &str = "..data_tmp";

/// Makes `root` show exactly `files`; false when it did already. With `group`
/// the new files are given to it before they are shown.
///
/// # Errors
/// [`Error::FilePath`] for a path that is not plain; [`Error::System`]. The
/// old files are then still shown.
pub(super) fn write(root: BorrowedFd<'_>, files: &[FileEntry], group: Option<u32>) -> Result<bool> {
    files.iter().try_for_each(|file| check_path(&file.path))?;
    let failed = || Error::system("write files below", DATA);
    let old = current(root).map_err(failed())?;
    if let Some(old) = &old
        && shows(root, old, files).map_err(failed())?
    {
        return Ok(false);
    }
    let new = make_version(root, files, group).map_err(failed())?;
    point(root, &new).map_err(failed())?;
    link_names(root, files).map_err(failed())?;
    clean_up(root, &new, files).map_err(failed())?;
    Ok(true)
}

/// The rules of the kubelet's writer.
fn check_path(path: &str) -> Result<()> {
    let refuse = |why| Err(Error::FilePath { path: path.to_owned(), why });
    if path.is_empty() {
        return refuse("the path is empty");
    }
    if path.len() > 4096 || path.split('/').any(|element| element.len() > 255) {
        return refuse("the path is too long");
    }
    if path.starts_with("..") {
        return refuse("the path must not start with '..'");
    }
    let plain = |c| matches!(c, Component::Normal(_) | Component::CurDir);
    if path.contains('\0') || !Path::new(path).components().all(plain) {
        return refuse("the path must be relative and must not contain '..'");
    }
    Ok(())
}

fn current(root: BorrowedFd<'_>) -> std::result::Result<Option<PathBuf>, SyscallError> {
    match readlinkat(root, DATA) {
        Ok(target) => Ok(Some(target.into())),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(failed("readlinkat", Path::new(DATA), errno)),
    }
}

/// Compares content, not modes, as the kubelet does.
fn shows(
    root: BorrowedFd<'_>,
    version: &Path,
    files: &[FileEntry],
) -> std::result::Result<bool, SyscallError> {
    let dir = match beneath::open_plain_dir(root, version) {
        Ok(dir) => dir,
        Err(e) if e.errno == Errno::ENOENT => return Ok(false),
        Err(e) => return Err(e),
    };
    let mut there = 0;
    beneath::walk::<SyscallError>(dir.as_fd(), |met| {
        there += usize::from(met.is(SFlag::S_IFREG));
        Ok(())
    })?;
    Ok(there == files.len() && files.iter().all(|file| holds(dir.as_fd(), file)))
}

fn holds(dir: BorrowedFd<'_>, file: &FileEntry) -> bool {
    let opened = beneath::open(dir, Path::new(&file.path), OFlag::O_RDONLY | OFlag::O_NONBLOCK);
    let mut data = Vec::new();
    let limit = file.data.len() as u64 + 1;
    opened.is_ok_and(|opened| File::from(opened).take(limit).read_to_end(&mut data).is_ok())
        && data == file.data
}

fn make_version(
    root: BorrowedFd<'_>,
    files: &[FileEntry],
    group: Option<u32>,
) -> std::result::Result<PathBuf, SyscallError> {
    let (name, dir) = make_version_dir(root)?;
    for file in files {
        write_file(dir.as_fd(), file)?;
    }
    if let Some(gid) = group {
        ownership::give_to_group(dir.as_fd(), gid, true)?;
    }
    Ok(name)
}

/// UTC time and digits that make the name new.
fn make_version_dir(root: BorrowedFd<'_>) -> std::result::Result<(PathBuf, OwnedFd), SyscallError> {
    let now = clock::now().wall;
    let [year, month, day, hour, minute, second] = now.civil();
    let time = format!("..{year:04}_{month:02}_{day:02}_{hour:02}_{minute:02}_{second:02}");
    let first = now.0 % 1_000_000_000;
    for n in 0..1000 {
        let name = PathBuf::from(format!("{time}.{}", first + n));
        match mkdirat(root, &name, Mode::from_bits_truncate(0o755)) {
            Err(Errno::EEXIST) => {}
            made => {
                made.map_err(|errno| failed("mkdirat", &name, errno))?;
                let dir = open_dir(root, &name, 0o755)?;
                return Ok((name, dir));
            }
        }
    }
    Err(failed("mkdirat", Path::new(&time), Errno::EEXIST))
}

/// Opens a directory just made, with its mode set whatever the umask.
fn open_dir(
    parent: BorrowedFd<'_>,
    name: &Path,
    mode: u32,
) -> std::result::Result<OwnedFd, SyscallError> {
    let dir = beneath::open_plain_dir(parent, name)?;
    fchmod(&dir, Mode::from_bits_truncate(mode)).map_err(|errno| failed("fchmod", name, errno))?;
    Ok(dir)
}

fn write_file(dir: BorrowedFd<'_>, file: &FileEntry) -> std::result::Result<(), SyscallError> {
    let path: PathBuf = Path::new(&file.path).components().collect();
    let mut parent = PathBuf::new();
    for component in path.parent().into_iter().flat_map(Path::components) {
        parent.push(component);
        match mkdirat(dir, &parent, Mode::from_bits_truncate(0o755)) {
            Ok(()) => drop(open_dir(dir, &parent, 0o755)?),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(failed("mkdirat", &parent, errno)),
        }
    }
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let opened = nix::fcntl::openat(dir, &path, flags, Mode::from_bits_truncate(0o600))
        .map_err(|errno| failed("openat", &path, errno))?;
    fchmod(&opened, Mode::from_bits_truncate(file.mode & 0o777))
        .map_err(|errno| failed("fchmod", &path, errno))?;
    File::from(opened)
        .write_all(&file.data)
        .map_err(|e| SyscallError::from_io("write", format!("{path:?}"), &e))
}

/// The moment at which readers see the new files.
fn point(root: BorrowedFd<'_>, version: &Path) -> std::result::Result<(), SyscallError> {
    remove_link(root, Path::new(DATA_TEMPORARY))?;
    symlinkat(version, root, DATA_TEMPORARY)
        .map_err(|errno| failed("symlinkat", Path::new(DATA_TEMPORARY), errno))?;
    renameat(root, DATA_TEMPORARY, root, DATA)
        .map_err(|errno| failed("renameat", Path::new(DATA), errno))
}

fn first_components(files: &[FileEntry]) -> BTreeSet<PathBuf> {
    let first = |file: &FileEntry| {
        let mut parts = Path::new(&file.path).components();
        parts.find(|c| matches!(c, Component::Normal(_))).map(|c| PathBuf::from(c.as_os_str()))
    };
    files.iter().filter_map(first).collect()
}

fn link_names(root: BorrowedFd<'_>, files: &[FileEntry]) -> std::result::Result<(), SyscallError> {
    for name in first_components(files) {
        match symlinkat(&Path::new(DATA).join(&name), root, &name) {
            // The link of an earlier version, or a nested mount's directory.
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(failed("symlinkat", &name, errno)),
        }
    }
    Ok(())
}

/// Removes links to files that are no more, and every version but `keep`: the
/// last one and what crashes left.
fn clean_up(
    root: BorrowedFd<'_>,
    keep: &Path,
    files: &[FileEntry],
) -> std::result::Result<(), SyscallError> {
    let wanted = first_components(files);
    for name in beneath::names(root)? {
        let is_version = name.to_string_lossy().starts_with("..") && name != Path::new(DATA);
        if is_version && name != keep {
            tear_down::remove_tree(root, &name)?;
        } else if !is_version && !wanted.contains(&name) && is_link_to_data(root, &name) {
            remove_link(root, &name)?;
        }
    }
    Ok(())
}

fn is_link_to_data(root: BorrowedFd<'_>, name: &Path) -> bool {
    readlinkat(root, name).is_ok_and(|target| Path::new(&target) == Path::new(DATA).join(name))
}

fn remove_link(root: BorrowedFd<'_>, name: &Path) -> std::result::Result<(), SyscallError> {
    match unlinkat(root, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(failed("unlinkat", name, errno)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use proptest::prelude::*;

    use super::*;

    fn file(path: &str, data: &str, mode: u32) -> FileEntry {
        FileEntry { path: path.into(), data: data.into(), mode }
    }

    fn volume() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let root = beneath::open_dir(dir.path()).unwrap();
        (dir, root)
    }

    fn listing(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| if name.starts_with("..2") { "..time".into() } else { name })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_layout_is_the_kubelets() {
        let (dir, root) = volume();
        let files = [file("key", "1", 0o644), file("sub/deep/x", "2", 0o400)];
        assert_eq!(write(root.as_fd(), &files, None), Ok(true));
        assert_eq!(listing(dir.path()), ["..data", "..time", "key", "sub"]);
        let link = |name: &str| fs::read_link(dir.path().join(name)).unwrap();
        assert_eq!(link("key"), Path::new("..data/key"));
        assert_eq!(link("sub"), Path::new("..data/sub"));
        let version = link("..data").to_str().unwrap().to_owned();
        assert_eq!(version.split('.').nth(2).map(str::len), Some("2026_01_31_23_59_59".len()));
        assert_eq!(fs::read(dir.path().join("sub/deep/x")).unwrap(), b"2");
        let modes = [("key", 0o644), ("sub/deep/x", 0o400), ("sub/deep", 0o755), ("..data", 0o755)];
        for (name, mode) in modes {
            let permissions = fs::metadata(dir.path().join(name)).unwrap().permissions();
            assert_eq!(permissions.mode() & 0o7777, mode, "{name}");
        }
    }

    #[test]
    fn an_update_replaces_all_files_and_equal_content_writes_nothing() {
        let (dir, root) = volume();
        write(root.as_fd(), &[file("a", "1", 0o644), file("b", "1", 0o644)], None).unwrap();
        let before = fs::read_link(dir.path().join("..data")).unwrap();
        let kept = fs::File::open(dir.path().join("a")).unwrap();
        let same = [file("b", "1", 0o600), file("a", "1", 0o644)];
        assert_eq!(write(root.as_fd(), &same, None), Ok(false));
        assert_eq!(fs::read_link(dir.path().join("..data")).unwrap(), before);

        let files = [file("b", "2", 0o644), file("c", "3", 0o644)];
        assert_eq!(write(root.as_fd(), &files, None), Ok(true));
        assert_eq!(listing(dir.path()), ["..data", "..time", "b", "c"]);
        assert_eq!(fs::read(dir.path().join("b")).unwrap(), b"2");
        assert_eq!(std::io::read_to_string(kept).unwrap(), "1");
        assert_eq!(write(root.as_fd(), &[], None), Ok(true));
        assert_eq!(listing(dir.path()), ["..data", "..time"]);
    }

    #[test]
    fn what_a_crash_left_is_cleaned_up_and_strangers_stay() {
        let (dir, root) = volume();
        write(root.as_fd(), &[file("a", "1", 0o644)], None).unwrap();
        fs::create_dir_all(dir.path().join("..2020_01_01_00_00_00.1/x")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("..data_tmp")).unwrap();
        fs::create_dir(dir.path().join("mount-point")).unwrap();
        write(root.as_fd(), &[file("a", "2", 0o644)], None).unwrap();
        assert_eq!(listing(dir.path()), ["..data", "..time", "a", "mount-point"]);
    }

    #[test]
    fn the_group_owns_the_files_from_the_first_moment() {
        let (dir, root) = volume();
        write(root.as_fd(), &[file("a", "1", 0o400)], Some(2000)).unwrap();
        let a = fs::metadata(dir.path().join("a")).unwrap();
        assert_eq!((a.gid(), a.mode() & 0o7777), (2000, 0o440));
        let version = fs::metadata(dir.path().join("..data")).unwrap();
        assert_eq!((version.gid(), version.mode() & 0o7777), (2000, 0o2755));
    }

    #[test]
    fn paths_that_could_lead_out_are_refused() {
        let (dir, root) = volume();
        let long = "x".repeat(256);
        for path in ["", "/a", "../a", "a/../b", "..a", "..data", "a\0", "a/..", long.as_str()] {
            let error = write(root.as_fd(), &[file(path, "", 0o644)], None).unwrap_err();
            assert!(matches!(error, Error::FilePath { .. }), "{path:?}: {error}");
        }
        assert!(listing(dir.path()).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn after_any_series_of_updates_exactly_the_last_files_show(
            updates in proptest::collection::vec(
                proptest::collection::btree_map("[a-c](/[d-e])?", "[x-z]{0,3}", 0..4), 1..5)
        ) {
            let (dir, root) = volume();
            let mut last = Vec::new();
            for update in updates {
                // A path cannot be a file and a directory at once.
                let files: Vec<_> = update.iter()
                    .filter(|(path, _)| path.len() == 3 || !update.keys().any(|other|
                        other.len() == 3 && other.starts_with(path.as_str())))
                    .map(|(path, data)| file(path, data, 0o644)).collect();
                write(root.as_fd(), &files, None).unwrap();
                last = files;
            }
            for entry in &last {
                prop_assert_eq!(&fs::read(dir.path().join(&entry.path)).unwrap(), &entry.data);
            }
            let names: BTreeSet<_> = listing(dir.path()).into_iter()
                .filter(|name| !name.starts_with("..")).map(PathBuf::from).collect();
            prop_assert_eq!(names, first_components(&last));
        }
    }
}
