//! Paths inside a root that is not trusted: every component is resolved by the
//! kernel below an open directory (`openat2(2)`, `RESOLVE_IN_ROOT`), so that
//! no symlink, exchanged at whatever moment, leads out of it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::{FileStat, Mode, SFlag};

use super::error::SyscallError;

/// A directory that paths cannot leave.
#[derive(Debug, Clone, Copy)]
pub struct InRoot<'fd> {
    root: BorrowedFd<'fd>,
}

/// How many times an open is tried again that a concurrent rename made unsure.
const EAGAIN_TRIES: u32 = 128;

/// The kernel's own limit of symlinks in one path.
const MAX_LINKS: u32 = 40;

impl<'fd> InRoot<'fd> {
    /// Paths are resolved below `root`.
    #[must_use]
    pub fn new(root: BorrowedFd<'fd>) -> Self {
        Self { root }
    }

    /// The root itself.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'fd> {
        self.root
    }

    /// Opens `path` with these flags (`O_CLOEXEC` is added).
    ///
    /// # Errors
    /// ELOOP for a magic link, ENOENT, ENOTDIR, EAGAIN when renames race on.
    pub fn open(&self, path: &Path, flags: OFlag) -> Result<OwnedFd, SyscallError> {
        self.open_mode(path, flags, Mode::empty(), ResolveFlag::RESOLVE_IN_ROOT)
    }

    /// Opens `path` only as a handle (`O_PATH`), following its last symlink
    /// inside the root.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn handle(&self, path: &Path) -> Result<OwnedFd, SyscallError> {
        self.open(path, OFlag::O_PATH)
    }

    /// Like [`Self::handle`], but a last component that is a symlink is opened
    /// itself.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn handle_nofollow(&self, path: &Path) -> Result<OwnedFd, SyscallError> {
        self.open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW)
    }

    /// The directory `path`, made with missing parents where it does not exist.
    /// Symlinks on the way are followed inside the root, dangling ones to where
    /// they point.
    ///
    /// # Errors
    /// As [`Self::open`]; ENOTDIR where a component is a file, EINVAL for `..`
    /// below something missing.
    pub fn create_dirs(&self, path: &Path, mode: Mode) -> Result<OwnedFd, SyscallError> {
        let directory = OFlag::O_PATH | OFlag::O_DIRECTORY;
        match self.open(path, directory) {
            Err(error) if error.errno == Errno::ENOENT => {}
            done => return done,
        }
        let walk = self.walk(path)?;
        let mut current = self.open(&walk.existing, directory)?;
        for name in &walk.missing {
            current = make_dir(current.as_fd(), name, mode)?;
        }
        Ok(current)
    }

    /// Like [`Self::create_dirs`], but no component may be a symlink: for
    /// mounts that mean what their name says.
    ///
    /// # Errors
    /// ELOOP for a symlink.
    pub fn create_plain_dirs(&self, path: &Path, mode: Mode) -> Result<OwnedFd, SyscallError> {
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        match self.open_mode(path, flags, Mode::empty(), resolve) {
            Err(error) if error.errno == Errno::ENOENT => {}
            done => return done,
        }
        let mut current = self.open(Path::new("."), flags)?;
        for name in components(path) {
            if name == ".." {
                return Err(failed("openat2", path.as_os_str(), Errno::EINVAL));
            }
            current = make_dir(current.as_fd(), &name, mode)?;
        }
        Ok(current)
    }

    /// A handle on the file `path`, an empty regular one being made (with
    /// missing parents) where nothing exists.
    ///
    /// # Errors
    /// As [`Self::create_dirs`].
    pub fn create_file(&self, path: &Path, mode: Mode) -> Result<OwnedFd, SyscallError> {
        match self.handle(path) {
            Err(error) if error.errno == Errno::ENOENT => {}
            done => return done,
        }
        let mut walk = self.walk(path)?;
        let Some(name) = walk.missing.pop() else { return self.handle(&walk.existing) };
        let mut parent = self.open(&walk.existing, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        for directory in &walk.missing {
            parent = make_dir(parent.as_fd(), directory, Mode::from_bits_truncate(0o755))?;
        }
        make_file(parent.as_fd(), &name, mode)
    }

    /// Follows `path` as far as it exists, symlinks inside the root included.
    /// Only a hint: what is made by it is made by fd, without following.
    fn walk(&self, path: &Path) -> Result<Walk, SyscallError> {
        let mut pending = components(path);
        let mut walk = Walk::default();
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == ".." {
                if !walk.missing.is_empty() {
                    return Err(failed("openat2", path.as_os_str(), Errno::EINVAL));
                }
                walk.existing.pop();
                continue;
            }
            if !walk.missing.is_empty() {
                walk.missing.push(name);
                continue;
            }
            let next = walk.existing.join(&name);
            match self.symlink_target(&next) {
                Ok(None) => walk.existing = next,
                Ok(Some(_)) if links == MAX_LINKS => {
                    return Err(failed("openat2", path.as_os_str(), Errno::ELOOP));
                }
                Ok(Some(target)) => {
                    links += 1;
                    if target.is_absolute() {
                        walk.existing = PathBuf::new();
                    }
                    let mut ahead = components(&target);
                    ahead.append(&mut pending);
                    pending = ahead;
                }
                Err(error) if error.errno == Errno::ENOENT => walk.missing.push(name),
                Err(error) => return Err(error),
            }
        }
        Ok(walk)
    }

    fn symlink_target(&self, path: &Path) -> Result<Option<PathBuf>, SyscallError> {
        let handle = self.handle_nofollow(path)?;
        match nix::fcntl::readlinkat(&handle, "") {
            Ok(target) => Ok(Some(PathBuf::from(target))),
            Err(Errno::EINVAL | Errno::ENOENT) => Ok(None),
            Err(errno) => Err(failed("readlinkat", path.as_os_str(), errno)),
        }
    }

    /// The target of the symlink `path`.
    ///
    /// # Errors
    /// EINVAL when it is no symlink.
    pub fn read_link(&self, path: &Path) -> Result<PathBuf, SyscallError> {
        let link = self.handle_nofollow(path)?;
        nix::fcntl::readlinkat(&link, "")
            .map(PathBuf::from)
            .map_err(|errno| failed("readlinkat", path.as_os_str(), errno))
    }

    fn open_mode(
        &self,
        path: &Path,
        flags: OFlag,
        mode: Mode,
        resolve: ResolveFlag,
    ) -> Result<OwnedFd, SyscallError> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .mode(mode)
            .resolve(resolve | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        for _ in 0..EAGAIN_TRIES {
            match nix::fcntl::openat2(self.root, path, how) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                done => return done.map_err(|errno| failed("openat2", path.as_os_str(), errno)),
            }
        }
        Err(failed("openat2", path.as_os_str(), Errno::EAGAIN))
    }
}

/// A directory `name` directly below `parent`: made, or opened where one is
/// there already. A symlink of that name is refused.
///
/// # Errors
/// ENOTDIR or ELOOP where `name` is something else.
pub fn make_dir(parent: BorrowedFd<'_>, name: &OsStr, mode: Mode) -> Result<OwnedFd, SyscallError> {
    match nix::sys::stat::mkdirat(parent, name, mode) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(failed("mkdirat", name, errno)),
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    nix::fcntl::openat(parent, name, flags, Mode::empty())
        .map_err(|errno| failed("openat", name, errno))
}

/// A handle on the file `name` directly below `parent`: an empty regular one is
/// made where there is none. A symlink of that name is opened itself.
///
/// # Errors
/// EROFS, EACCES.
pub fn make_file(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    mode: Mode,
) -> Result<OwnedFd, SyscallError> {
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match nix::fcntl::openat(parent, name, flags | OFlag::O_WRONLY, mode) {
        Ok(_) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(failed("openat", name, errno)),
    }
    handle_at(parent, name)
}

/// A handle on `name` directly below `parent`, symlinks not followed.
///
/// # Errors
/// ENOENT.
pub fn handle_at(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, SyscallError> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    nix::fcntl::openat(parent, name, flags, Mode::empty())
        .map_err(|errno| failed("openat", name, errno))
}

/// The parent and the last name of a path.
///
/// # Errors
/// EINVAL when the path has no last name (`/`, `..`).
pub fn split(path: &Path) -> Result<(&Path, &OsStr), SyscallError> {
    let name =
        path.file_name().ok_or_else(|| failed("openat2", path.as_os_str(), Errno::EINVAL))?;
    Ok((path.parent().unwrap_or(Path::new("/")), name))
}

/// How far a path exists.
#[derive(Debug, Default)]
struct Walk {
    /// Without symlinks when it was looked at.
    existing: PathBuf,
    missing: Vec<OsString>,
}

/// The names in `path` with `..`, but without `.` and the leading `/`.
fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

/// `fstat(2)` of an open file.
///
/// # Errors
/// EBADF only.
pub fn stat(fd: BorrowedFd<'_>) -> Result<FileStat, SyscallError> {
    nix::sys::stat::fstat(fd).map_err(|errno| SyscallError::new("fstat", "", errno))
}

/// Whether this is a directory.
#[must_use]
pub fn is_directory(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR
}

/// `/proc`, checked to be a procfs and nothing an image or a mount put there.
#[derive(Debug)]
pub struct Procfs(OwnedFd);

impl Procfs {
    /// Opens the machine's `/proc`.
    ///
    /// # Errors
    /// EXDEV when `/proc` is no procfs.
    pub fn open() -> Result<Self, SyscallError> {
        Self::below(super::mount::at_cwd(), Path::new("/proc"))
    }

    /// Opens `path` below `dir` as a procfs.
    ///
    /// # Errors
    /// EXDEV when it is none.
    pub fn below(dir: BorrowedFd<'_>, path: &Path) -> Result<Self, SyscallError> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::openat(dir, path, flags, Mode::empty())
            .map_err(|errno| failed("openat", path.as_os_str(), errno))?;
        require_procfs(fd.as_fd())?;
        Ok(Self(fd))
    }

    /// Opens a file of it (`self/attr/exec`, `sys/net/ipv4/ip_forward`), never
    /// through a symlink or onto something mounted over it.
    ///
    /// # Errors
    /// EXDEV where another mount covers the file; ENOENT.
    pub fn open_file(&self, path: &Path, flags: OFlag) -> Result<OwnedFd, SyscallError> {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV;
        let fd = InRoot::new(self.0.as_fd()).open_mode(path, flags, Mode::empty(), resolve)?;
        require_procfs(fd.as_fd())?;
        Ok(fd)
    }
}

/// Checks that an open file lives on a procfs.
///
/// # Errors
/// EXDEV when it does not.
pub fn require_procfs(fd: BorrowedFd<'_>) -> Result<(), SyscallError> {
    let statfs = nix::sys::statfs::fstatfs(fd)
        .map_err(|errno| SyscallError::new("fstatfs", format!("{}", Shown(fd)), errno))?;
    if statfs.filesystem_type() == nix::sys::statfs::PROC_SUPER_MAGIC {
        return Ok(());
    }
    Err(SyscallError::new("fstatfs", format!("{}: not a procfs", Shown(fd)), Errno::EXDEV))
}

/// An open file printed as its path, for error texts.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'fd>(pub BorrowedFd<'fd>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let raw = self.0.as_raw_fd();
        match nix::fcntl::readlink(format!("/proc/thread-self/fd/{raw}").as_str()) {
            Ok(path) => write!(f, "{path:?}"),
            Err(_) => write!(f, "fd {raw}"),
        }
    }
}

/// Exchanges two names in one step, as an attacker would.
///
/// # Errors
/// ENOENT.
#[cfg(test)]
pub fn exchange(one: &Path, other: &Path) -> Result<(), SyscallError> {
    let name = |path: &Path| std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
    let (from, to) = (name(one), name(other));
    // SAFETY: both names are NUL-terminated and outlive the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    super::error::cerr(done, "renameat2", || format!("{one:?}, {other:?}")).map(drop)
}

fn failed(call: &'static str, path: &OsStr, errno: Errno) -> SyscallError {
    SyscallError::new(call, format!("{path:?}"), errno)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const MODE: Mode = Mode::from_bits_truncate(0o755);

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let fd = fs::File::open(dir.path()).unwrap().into();
        (dir, fd)
    }

    fn target_of(fd: &OwnedFd) -> PathBuf {
        fs::read_link(format!("/proc/thread-self/fd/{}", fd.as_raw_fd())).unwrap()
    }

    #[test]
    fn directories_are_made_where_symlinks_lead_inside_the_root() {
        let (dir, fd) = root();
        let inside = InRoot::new(fd.as_fd());
        symlink("/a/b", dir.path().join("absolute")).unwrap();
        symlink("../../../x", dir.path().join("upwards")).unwrap();
        symlink("absolute/c", dir.path().join("chained")).unwrap();
        for (path, made) in [
            ("/plain/deep", "plain/deep"),
            ("absolute/new", "a/b/new"),
            ("/upwards/y", "x/y"),
            ("chained/d", "a/b/c/d"),
            ("../../top", "top"),
            ("a/../b", "b"),
            ("/", ""),
        ] {
            let found = inside.create_dirs(Path::new(path), MODE).unwrap();
            assert_eq!(target_of(&found), dir.path().join(made), "{path}");
        }
        let file = inside.create_file(Path::new("absolute/f/g"), MODE).unwrap();
        assert_eq!(target_of(&file), dir.path().join("a/b/f/g"));
        assert!(!is_directory(&stat(file.as_fd()).unwrap()));
    }

    #[test]
    fn what_cannot_be_made_plainly_is_refused() {
        let (dir, fd) = root();
        let inside = InRoot::new(fd.as_fd());
        fs::write(dir.path().join("file"), "").unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        symlink("missing/../up", dir.path().join("odd")).unwrap();
        for (path, errno) in [
            ("file/below", Errno::ENOTDIR),
            ("file", Errno::ENOTDIR),
            ("loop/x", Errno::ELOOP),
            ("odd", Errno::EINVAL),
        ] {
            let error = inside.create_dirs(Path::new(path), MODE).unwrap_err();
            assert_eq!(error.errno, errno, "{path}: {error}");
        }
        let refused = inside.create_plain_dirs(Path::new("loop"), MODE).unwrap_err();
        assert_eq!(refused.errno, Errno::ELOOP);
        let made = inside.create_plain_dirs(Path::new("/new/deep"), MODE).unwrap();
        assert_eq!(target_of(&made), dir.path().join("new/deep"));
    }

    #[test]
    fn magic_links_lead_nowhere() {
        let proc = OwnedFd::from(fs::File::open("/proc").unwrap());
        let inside = InRoot::new(proc.as_fd());
        for path in ["self/root", "self/cwd", "self/exe", "self/fd/0"] {
            assert_eq!(inside.handle(Path::new(path)).unwrap_err().errno, Errno::ELOOP, "{path}");
        }
        assert!(inside.handle_nofollow(Path::new("self/exe")).is_ok());
    }

    #[test]
    fn a_procfs_is_told_from_what_only_looks_like_one() {
        let (dir, fd) = root();
        fs::create_dir(dir.path().join("proc")).unwrap();
        assert_eq!(Procfs::below(fd.as_fd(), Path::new("proc")).unwrap_err().errno, Errno::EXDEV);
        let proc = Procfs::open().unwrap();
        assert!(proc.open_file(Path::new("self/comm"), OFlag::O_RDONLY).is_ok());
        let outside = proc.open_file(Path::new("self/root/etc"), OFlag::O_PATH).unwrap_err();
        assert_eq!(outside.errno, Errno::ELOOP);
    }

    #[test]
    fn a_file_mounted_over_in_proc_is_not_written() {
        std::thread::spawn(|| {
            let flags = nix::sched::CloneFlags::CLONE_NEWNS | nix::sched::CloneFlags::CLONE_FS;
            nix::sched::unshare(flags).unwrap();
            let none = None::<&str>;
            let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
            nix::mount::mount(none, "/", none, private, none).unwrap();
            let bind = nix::mount::MsFlags::MS_BIND;
            nix::mount::mount(Some("/dev/null"), "/proc/uptime", none, bind, none).unwrap();
            let proc = Procfs::open().unwrap();
            let covered = proc.open_file(Path::new("uptime"), OFlag::O_RDONLY).unwrap_err();
            assert_eq!(covered.errno, Errno::EXDEV);
        })
        .join()
        .unwrap();
    }
}
