//! Running from a file that nobody can write to.
//!
//! A container's process can reach the file of the runtime that started it
//! (`/proc/<pid>/exe`, or an entrypoint `#!/proc/self/exe`), and one with
//! enough privileges could overwrite it on the host (CVE-2019-5736). So a
//! program that enters containers executes itself once more from a view of
//! its file that has no writable side: an overlay mount without an upper layer
//! that is attached nowhere, or a sealed copy in memory where overlays cannot
//! be made.
//!
//! Whether that has happened is read from the running file itself, never from
//! arguments or environment, which a caller could forge.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, SealFlag, fcntl, openat};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, fstatfs};
use nix::sys::statvfs::FsFlags;

use super::SyscallError;
use super::exec::{ExecVector, execveat};
use super::mount::FsContext;

/// What the second execution has in its environment: a loop guard, and the
/// numbers of the view's mounts. It can only lead to a refusal, never to going
/// on unprotected.
const MARK: &str = "_PODRT_VIEW";

const OWN_FILE: &str = "/proc/self/exe";

/// The mounts that a view was opened through; the view does without them.
///
/// The last close of such a descriptor waits until every processor has left
/// its read-side critical sections (`synchronize_rcu_expedited` in
/// `namespace_unlock`): a millisecond, on a busy machine ten. So they are kept
/// until there is something else to wait for anyway. A clone has copies, which
/// it drops first.
#[derive(Debug, Default)]
#[must_use]
pub struct ViewMounts(Vec<OwnedFd>);

/// An unwritable view of an executable.
#[derive(Debug)]
pub struct View {
    pub file: OwnedFd,
    pub mounts: ViewMounts,
}

/// Returns when this program runs from an unwritable view; until then it
/// executes itself anew from one, with the same arguments and environment.
///
/// # Errors
/// When no view can be made, or when the one just made does not hold.
pub fn ensure() -> Result<ViewMounts, SyscallError> {
    let own = open_own()?;
    let mark = std::env::var_os(MARK);
    if is_unwritable(own.as_fd())? {
        return Ok(mark.map(|numbers| ViewMounts::inherited(&numbers)).unwrap_or_default());
    }
    if mark.is_some() {
        let what = format!("{OWN_FILE:?}: executed from a view that can be written");
        return Err(SyscallError::new("execveat", what, Errno::EPERM));
    }
    let args = vector(std::env::args_os().map(|arg| arg.as_bytes().to_vec()))?;
    let pairs =
        std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    let path = std::fs::read_link(OWN_FILE)
        .map_err(|error| SyscallError::from_io("readlink", OWN_FILE, &error))?;
    let view = view(&path, &own)?;
    let env = vector(pairs.chain([view.mounts.bequeath()?.into_bytes()]))?;
    Err(execveat(view.file.as_fd(), &args, &env))
}

impl ViewMounts {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Leaves them open across an exec; the text tells the next program which
    /// they are.
    fn bequeath(&self) -> Result<String, SyscallError> {
        for mount in &self.0 {
            fcntl(mount, FcntlArg::F_SETFD(FdFlag::empty()))
                .map_err(|errno| SyscallError::new("fcntl", "F_SETFD", errno))?;
        }
        let numbers: Vec<_> = self.0.iter().map(|mount| mount.as_raw_fd().to_string()).collect();
        Ok(format!("{MARK}={}", numbers.join(",")))
    }

    /// Takes over what [`Self::bequeath`] left. The text may be forged: what
    /// is not the top of such a mount is left alone.
    fn inherited(numbers: &OsStr) -> Self {
        let numbers = numbers.to_str().unwrap_or_default().split(',');
        let mounts = numbers.filter_map(|number| number.parse().ok()).filter_map(adopt);
        Self(mounts.collect())
    }
}

/// The descriptor of that number, if it is a path on a file system as views
/// have them, close-on-exec from now on.
fn adopt(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: an open descriptor of which this program knows nothing yet has
    // passed the exec; the first thing that a verb does is to ask for these.
    let fd = unsafe { super::fd::take(number) }?;
    let is_mount = || -> nix::Result<bool> {
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        let kind = fstatfs(&fd)?.filesystem_type();
        Ok(flags.contains(OFlag::O_PATH) && [OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC].contains(&kind))
    };
    if is_mount() == Ok(true) && fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).is_ok() {
        return Some(fd);
    }
    // Whoever opened it may need it: the caller's, for the container.
    let _ = fd.into_raw_fd();
    None
}

/// An unwritable view of the executable at `path`, for [`execveat`]: how a
/// program that enters containers later on is started.
///
/// # Errors
/// When the file cannot be opened or neither kind of view can be made.
pub fn open(path: &Path) -> Result<View, SyscallError> {
    let file = File::open(path)
        .map_err(|error| SyscallError::from_io("open", format!("{path:?}"), &error))?;
    view(path, &file)
}

fn open_own() -> Result<File, SyscallError> {
    File::open(OWN_FILE).map_err(|error| SyscallError::from_io("open", OWN_FILE, &error))
}

fn vector(items: impl Iterator<Item = Vec<u8>>) -> Result<ExecVector, SyscallError> {
    let strings: Result<Vec<CString>, _> = items.map(CString::new).collect();
    let strings = strings.map_err(|_| SyscallError::new("execveat", "NUL", Errno::EINVAL))?;
    Ok(strings.into_iter().collect())
}

/// True for a file on an overlay whose super block is read-only (without an
/// upper layer it cannot be made anything else), and for a memory file with
/// every seal.
fn is_unwritable(file: BorrowedFd) -> Result<bool, SyscallError> {
    let stat = fstatfs(file).map_err(|errno| SyscallError::new("fstatfs", OWN_FILE, errno))?;
    if stat.filesystem_type() == OVERLAYFS_SUPER_MAGIC {
        return Ok(stat.flags().contains(FsFlags::ST_RDONLY) && refuses_upper(file));
    }
    let seals = fcntl(file, FcntlArg::F_GET_SEALS).unwrap_or(0);
    Ok(SealFlag::from_bits_truncate(seals).contains(all_seals()))
}

/// A read-only overlay that has an upper layer could be remounted writable:
/// such a mount is listed with `upperdir=`. One that is attached nowhere is in
/// no list, and out of everybody's reach.
fn refuses_upper(file: BorrowedFd) -> bool {
    let info = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
    let Ok(info) = std::fs::read_to_string(info) else { return false };
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(str::trim);
    let Some(id) = id else { return false };
    let Ok(table) = std::fs::read_to_string("/proc/self/mountinfo") else { return false };
    let mut attached = table.lines().filter(|line| line.split(' ').next() == Some(id));
    attached.next().is_none_or(|line| !line.contains("upperdir="))
}

fn all_seals() -> SealFlag {
    SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE
}

fn view(path: &Path, file: &File) -> Result<View, SyscallError> {
    overlay(path, file).or_else(|_| sealed_copy(file))
}

/// The file through an overlay of its folder. A second, empty layer is needed:
/// an overlay of one folder must have an upper.
fn overlay(path: &Path, file: &File) -> Result<View, SyscallError> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(SyscallError::new("open", format!("{path:?}"), Errno::EINVAL));
    };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let lower = nix::fcntl::open(folder, flags, Mode::empty())
        .map_err(|errno| SyscallError::new("open", format!("{folder:?}"), errno))?;
    require_same(&lower, name, file)?;
    let tmpfs = FsContext::open("tmpfs")?;
    tmpfs.set("size", "0")?;
    tmpfs.create()?;
    let empty = tmpfs.mount(0)?;
    let layers = [&empty, &lower].map(|fd| format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let overlay = FsContext::open("overlay")?;
    overlay.set("lowerdir", &layers.join(":"))?;
    overlay.create()?;
    let mount = overlay.mount(0)?;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let file = openat(&mount, name, flags, Mode::empty())
        .map_err(|errno| SyscallError::new("openat", format!("overlay, {name:?}"), errno))?;
    Ok(View { file, mounts: ViewMounts(vec![mount, empty]) })
}

/// The name must still lead to the file, which may have been replaced.
fn require_same(folder: &OwnedFd, name: &OsStr, file: &File) -> Result<(), SyscallError> {
    let failed = |errno| SyscallError::new("fstat", format!("{name:?}"), errno);
    let ours = fstat(file).map_err(failed)?;
    let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
    let found = nix::sys::stat::fstatat(folder, name, flags).map_err(failed)?;
    if (ours.st_dev, ours.st_ino) == (found.st_dev, found.st_ino) {
        Ok(())
    } else {
        Err(failed(Errno::ESTALE))
    }
}

/// A copy in memory that can never be changed again.
fn sealed_copy(file: &File) -> Result<View, SyscallError> {
    let copy = memory_file()?;
    let failed = |error: std::io::Error| SyscallError::from_io("copy", "memory file", &error);
    let mut from = file.try_clone().map_err(failed)?;
    let mut to = File::from(copy);
    std::io::Seek::rewind(&mut from).map_err(failed)?;
    let length = from.metadata().map_err(failed)?.len();
    let copied = std::io::copy(&mut from.by_ref().take(length), &mut to).map_err(failed)?;
    if copied != length {
        return Err(SyscallError::new("copy", "executable changed", Errno::ESTALE));
    }
    fcntl(&to, FcntlArg::F_ADD_SEALS(all_seals()))
        .map_err(|errno| SyscallError::new("fcntl", "F_ADD_SEALS", errno))?;
    Ok(View { file: to.into(), mounts: ViewMounts::default() })
}

/// Executable also where the machine forbids that for memory files by default
/// (Linux 6.3 knows the flag).
fn memory_file() -> Result<OwnedFd, SyscallError> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let executable = MFdFlags::from_bits_retain(libc::MFD_EXEC);
    match memfd_create(c"podrt", flags | executable) {
        Err(Errno::EINVAL) => memfd_create(c"podrt", flags),
        made => made,
    }
    .map_err(|errno| SyscallError::new("memfd_create", "podrt", errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writable(fd: BorrowedFd) -> bool {
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let opened = std::fs::OpenOptions::new().write(true).open(path);
        opened.is_ok_and(|mut file| std::io::Write::write_all(&mut file, b"content").is_ok())
    }

    #[test]
    fn both_kinds_of_view_hold_the_file_and_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tool");
        std::fs::write(&path, "content").unwrap();
        let file = File::open(&path).unwrap();
        assert!(!is_unwritable(file.as_fd()).unwrap());
        assert!(writable(file.as_fd()));
        for view in [overlay(&path, &file), sealed_copy(&file)] {
            let view = view.unwrap().file;
            assert!(is_unwritable(view.as_fd()).unwrap());
            assert!(!writable(view.as_fd()));
            let mut view = File::from(view);
            let mut text = String::new();
            std::io::Seek::rewind(&mut view).unwrap();
            view.read_to_string(&mut text).unwrap();
            assert_eq!(text, "content");
        }
    }

    #[test]
    fn a_name_that_leads_elsewhere_meanwhile_is_not_taken_for_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tool");
        std::fs::write(&path, "old").unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "new").unwrap();
        assert_eq!(overlay(&path, &file).unwrap_err().errno, Errno::ESTALE);
        assert!(view(&path, &file).is_ok(), "the copy in memory is of the right one");
    }

    #[test]
    fn mounts_pass_an_exec_and_what_only_claims_to_be_one_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tool");
        std::fs::write(&path, "content").unwrap();
        let file = File::open(&path).unwrap();
        let View { file: view, mounts } = overlay(&path, &file).unwrap();
        let text = mounts.bequeath().unwrap();
        let numbers: Vec<_> = mounts.0.into_iter().map(IntoRawFd::into_raw_fd).collect();
        let forged = [file.as_raw_fd(), view.as_raw_fd(), 9999, -1].map(|fd| fd.to_string());
        let text = format!("{},{},x", text.split_once('=').unwrap().1, forged.join(","));
        let inherited = ViewMounts::inherited(OsStr::new(&text));
        assert_eq!(inherited.0.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>(), numbers);
        for mount in &inherited.0 {
            assert_eq!(fcntl(mount, FcntlArg::F_GETFD), Ok(libc::FD_CLOEXEC));
        }
        drop(inherited);
        assert!(is_unwritable(view.as_fd()).unwrap(), "the view does without its mounts");
    }

    #[test]
    fn a_memory_file_that_misses_a_seal_is_no_view() {
        let file = File::from(memory_file().unwrap());
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)).unwrap();
        assert!(!is_unwritable(file.as_fd()).unwrap());
    }
}
