//! The mount API of Linux 5.2 and later: file systems are configured through a
//! context, mounted detached and put in place by file descriptor, so that no
//! path is walked twice and nothing shows in a mount table before it is ready.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;

use super::error::{SyscallError, cerr};

/// Per-mount attributes, `mount_setattr(2)`.
pub mod attr {
    pub const RDONLY: u64 = 0x1;
    pub const NOSUID: u64 = 0x2;
    pub const NODEV: u64 = 0x4;
    pub const NOEXEC: u64 = 0x8;
    /// The field of the access time setting: clear it to set one of the three.
    pub const ATIME_FIELD: u64 = 0x70;
    /// The kernel's default: all bits of the field unset.
    pub const RELATIME: u64 = 0x0;
    pub const NOATIME: u64 = 0x10;
    pub const STRICTATIME: u64 = 0x20;
    pub const NODIRATIME: u64 = 0x80;
    pub const IDMAP: u64 = 0x0010_0000;
    /// Linux 5.14.
    pub const NOSYMFOLLOW: u64 = 0x0020_0000;
}

/// How mounts under a mount point spread, `mount_namespaces(7)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Propagation {
    Private,
    Shared,
    Slave,
    Unbindable,
}

impl Propagation {
    const fn bits(self) -> u64 {
        match self {
            Self::Unbindable => libc::MS_UNBINDABLE,
            Self::Private => libc::MS_PRIVATE,
            Self::Slave => libc::MS_SLAVE,
            Self::Shared => libc::MS_SHARED,
        }
    }
}

/// What [`set_attributes`] changes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes<'fd> {
    /// Bits of [`attr`] to set.
    pub set: u64,
    /// Bits of [`attr`] to clear, before setting.
    pub clear: u64,
    pub propagation: Option<Propagation>,
    /// Map the owners of files through this user namespace (`attr::IDMAP` is
    /// added by itself). Linux 5.12; only on a detached tree.
    pub user_namespace: Option<BorrowedFd<'fd>>,
}

const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_SET_FD: libc::c_uint = 5;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const FSCONFIG_CMD_RECONFIGURE: libc::c_uint = 7;

const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
const FSPICK_CLOEXEC: libc::c_uint = 1;
const FSPICK_EMPTY_PATH: libc::c_uint = 8;
const OPEN_TREE_CLONE: libc::c_uint = 1;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;

const AT_RECURSIVE: libc::c_int = 0x8000;

/// A file system being configured (`fsopen(2)`), or the super block of a mount
/// being reconfigured (`fspick(2)`).
#[derive(Debug)]
pub struct FsContext {
    fd: OwnedFd,
    fs_type: String,
}

impl FsContext {
    /// Starts configuring a new file system of this type.
    ///
    /// # Errors
    /// ENODEV for a type the kernel does not know, EPERM without privilege.
    pub fn open(fs_type: &str) -> Result<Self, SyscallError> {
        let name = cstring("fsopen", fs_type)?;
        // SAFETY: `name` is a NUL-terminated string that outlives the call.
        let fd = unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), FSOPEN_CLOEXEC) };
        let fd = owned(cerr(fd, "fsopen", || format!("{fs_type:?}"))?);
        Ok(Self { fd, fs_type: fs_type.to_owned() })
    }

    /// Starts reconfiguring the super block of the mount that `mount` opens.
    ///
    /// # Errors
    /// EINVAL when `mount` is no mount's root.
    pub fn pick(mount: BorrowedFd<'_>) -> Result<Self, SyscallError> {
        let flags = FSPICK_CLOEXEC | FSPICK_EMPTY_PATH;
        // SAFETY: the empty string is NUL-terminated and static; `mount` is open.
        let fd = unsafe { libc::syscall(libc::SYS_fspick, mount.as_raw_fd(), c"".as_ptr(), flags) };
        let fd = owned(cerr(fd, "fspick", || "\"\"".to_owned())?);
        Ok(Self { fd, fs_type: "(picked)".to_owned() })
    }

    /// Sets `key` to a string.
    ///
    /// # Errors
    /// EINVAL for a key or value the file system refuses; the kernel's reason
    /// is added where it gives one.
    pub fn set(&self, key: &str, value: &str) -> Result<(), SyscallError> {
        let name = cstring("fsconfig", key)?;
        let text = cstring("fsconfig", value)?;
        // SAFETY: both strings are NUL-terminated and outlive the call.
        let done =
            unsafe { self.fsconfig(FSCONFIG_SET_STRING, name.as_ptr(), text.as_ptr().cast(), 0) };
        self.check(done, || format!("{key}={value:?}"))
    }

    /// Sets a flag such as `ro`.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_flag(&self, key: &str) -> Result<(), SyscallError> {
        let name = cstring("fsconfig", key)?;
        // SAFETY: `name` is NUL-terminated; a flag has no value.
        let done = unsafe { self.fsconfig(FSCONFIG_SET_FLAG, name.as_ptr(), std::ptr::null(), 0) };
        self.check(done, || key.to_owned())
    }

    /// Sets `key` to an open file (overlay's `lowerdir+` from Linux 6.13).
    ///
    /// # Errors
    /// EINVAL where the file system takes no fd for this key.
    pub fn set_fd(&self, key: &str, value: BorrowedFd<'_>) -> Result<(), SyscallError> {
        let name = cstring("fsconfig", key)?;
        let raw = value.as_raw_fd();
        // SAFETY: `name` is NUL-terminated; `value` is open as long as borrowed.
        let done = unsafe { self.fsconfig(FSCONFIG_SET_FD, name.as_ptr(), std::ptr::null(), raw) };
        self.check(done, || format!("{key}=fd {raw}"))
    }

    /// Makes the super block.
    ///
    /// # Errors
    /// What mounting the file system would say.
    pub fn create(&self) -> Result<(), SyscallError> {
        self.command(FSCONFIG_CMD_CREATE, "create")
    }

    /// Applies what was set to the super block that [`Self::pick`] opened.
    ///
    /// # Errors
    /// What remounting the file system would say.
    pub fn reconfigure(&self) -> Result<(), SyscallError> {
        self.command(FSCONFIG_CMD_RECONFIGURE, "reconfigure")
    }

    /// A detached mount of the created super block, with bits of [`attr`].
    ///
    /// # Errors
    /// EBUSY when [`Self::create`] was not called, EPERM where attributes the
    /// user namespace locks are missing.
    pub fn mount(&self, attributes: u64) -> Result<OwnedFd, SyscallError> {
        // SAFETY: no pointers; the context is open as long as `self` lives.
        let fd = unsafe {
            libc::syscall(libc::SYS_fsmount, self.fd.as_raw_fd(), FSMOUNT_CLOEXEC, attributes)
        };
        Ok(owned(cerr(fd, "fsmount", || format!("{}, {attributes:#x}", self.fs_type))?))
    }

    fn command(&self, command: libc::c_uint, name: &str) -> Result<(), SyscallError> {
        // SAFETY: a command takes neither key nor value.
        let done = unsafe { self.fsconfig(command, std::ptr::null(), std::ptr::null(), 0) };
        self.check(done, || name.to_owned())
    }

    /// # Safety
    /// `key` and `value` must be null or NUL-terminated strings that live
    /// until the call returns, as `command` demands.
    unsafe fn fsconfig(
        &self,
        command: libc::c_uint,
        key: *const libc::c_char,
        value: *const libc::c_void,
        aux: libc::c_int,
    ) -> libc::c_long {
        let fd = self.fd.as_raw_fd();
        // SAFETY: the caller keeps the pointers valid; the context is open.
        unsafe { libc::syscall(libc::SYS_fsconfig, fd, command, key, value, aux) }
    }

    fn check(&self, done: libc::c_long, what: impl FnOnce() -> String) -> Result<(), SyscallError> {
        if done >= 0 {
            return Ok(());
        }
        let errno = Errno::last();
        let reason = self.reason().map(|text| format!(": {text}")).unwrap_or_default();
        Err(SyscallError::new("fsconfig", format!("{}, {}{reason}", self.fs_type, what()), errno))
    }

    /// The last error line that the kernel left in the context.
    fn reason(&self) -> Option<String> {
        let mut last = None;
        let mut line = [0_u8; 512];
        while let Ok(length) = nix::unistd::read(&self.fd, &mut line) {
            let text = String::from_utf8_lossy(&line[..length]);
            if let Some(error) = text.strip_prefix("e ") {
                last = Some(error.trim_end().to_owned());
            }
        }
        last
    }
}

/// A detached clone of the mount at `path` below `dir` (`""`: `dir` itself),
/// with the mounts below it when `recursive`.
///
/// # Errors
/// ENOENT, EPERM without privilege, EINVAL for an unbindable mount.
pub fn clone_tree(
    dir: BorrowedFd<'_>,
    path: impl AsRef<Path>,
    recursive: bool,
) -> Result<OwnedFd, SyscallError> {
    let path = path.as_ref();
    let name = CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| SyscallError::new("open_tree", format!("{path:?}"), Errno::EINVAL))?;
    let mut flags = OPEN_TREE_CLONE | as_uint(libc::O_CLOEXEC) | as_uint(libc::AT_EMPTY_PATH);
    if recursive {
        flags |= as_uint(AT_RECURSIVE);
    }
    // SAFETY: `name` is NUL-terminated and outlives the call; `dir` is open.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), name.as_ptr(), flags) };
    Ok(owned(cerr(fd, "open_tree", || format!("{path:?}, {flags:#x}"))?))
}

/// Puts the (detached or attached) mount that `mount` opens onto the file or
/// directory that `target` opens.
///
/// # Errors
/// ENOTDIR when one is a file and the other a directory, EINVAL when the
/// target is in no mount namespace of the caller's.
pub fn move_mount(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), SyscallError> {
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: the empty strings are NUL-terminated and static; both fds are open.
    let done = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            flags,
        )
    };
    cerr(done, "move_mount", || format!("{}", super::path::Shown(target))).map(drop)
}

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Changes attributes of the mount that `mount` opens, and of all mounts below
/// it when `recursive` (all or none).
///
/// # Errors
/// EPERM for locked attributes, EINVAL for what a file system cannot do
/// (idmapped overlay).
pub fn set_attributes(
    mount: BorrowedFd<'_>,
    change: Attributes<'_>,
    recursive: bool,
) -> Result<(), SyscallError> {
    let mut set = change.set;
    let mut userns_fd = 0;
    if let Some(fd) = change.user_namespace {
        set |= attr::IDMAP;
        userns_fd = u64::from(fd.as_raw_fd().unsigned_abs());
    }
    let argument = MountAttr {
        attr_set: set,
        attr_clr: change.clear,
        propagation: change.propagation.map_or(0, Propagation::bits),
        userns_fd,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: `argument` is the kernel's struct mount_attr of the size given
    // and outlives the call; the fds are open as long as borrowed.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const argument,
            size_of::<MountAttr>(),
        )
    };
    cerr(done, "mount_setattr", || {
        format!("set {set:#x}, clear {:#x}, recursive {recursive}", change.clear)
    })
    .map(drop)
}

/// Unmounts the mount at the current directory and all below it, lazily.
///
/// # Errors
/// EINVAL when the current directory is no mount point.
pub fn detach_current_directory() -> Result<(), SyscallError> {
    nix::mount::umount2(".", nix::mount::MntFlags::MNT_DETACH)
        .map_err(|errno| SyscallError::new("umount2", "\".\", MNT_DETACH", errno))
}

fn owned(fd: libc::c_long) -> OwnedFd {
    let raw = libc::c_int::try_from(fd).expect("the kernel returns fds that fit an int");
    // SAFETY: the kernel just made this fd for the caller; nobody else has it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

const fn as_uint(flag: libc::c_int) -> libc::c_uint {
    flag.cast_unsigned()
}

fn cstring(call: &'static str, text: &str) -> Result<CString, SyscallError> {
    CString::new(text).map_err(|_| SyscallError::new(call, format!("{text:?}"), Errno::EINVAL))
}

/// The file system of the caller's root, for paths that start at `/`.
#[must_use]
pub fn at_cwd() -> BorrowedFd<'static> {
    nix::fcntl::AT_FDCWD.as_fd()
}
