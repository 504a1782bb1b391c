//! Terminals of a container's own devpts.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, major, minor};
use nix::sys::statfs::DEVPTS_SUPER_MAGIC;

use super::SyscallError;
use super::error::cerr;
use super::path::{Shown, stat};

/// Major and minor number of `ptmx`.
const PTMX: (u64, u64) = (5, 2);
/// Majors of terminals' slave sides.
const SLAVE_MAJORS: std::ops::RangeInclusive<u64> = 136..=143;

/// A terminal: what the supervisor reads, and what the container has.
#[derive(Debug)]
pub struct Pty {
    pub master: OwnedFd,
    pub slave: OwnedFd,
}

/// Opens a new terminal by `ptmx`, which must be the `ptmx` of a devpts
/// (whatever an image put in its place is refused, CVE-2025-52565).
///
/// # Errors
/// EXDEV when it is something else; ENOSPC when the devpts is full.
pub fn open(ptmx: BorrowedFd<'_>) -> Result<Pty, SyscallError> {
    check_ptmx(ptmx)?;
    // Opening through the handle cannot reach another file than the checked.
    let path = format!("/proc/self/fd/{}", ptmx.as_raw_fd());
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = nix::fcntl::open(path.as_str(), flags, nix::sys::stat::Mode::empty())
        .map_err(|errno| SyscallError::new("open", "ptmx", errno))?;
    of_master(master)
}

/// Checks that a handle (`O_PATH` will do) is the `ptmx` of a devpts.
///
/// # Errors
/// EXDEV when it is something else.
pub fn check_ptmx(ptmx: BorrowedFd<'_>) -> Result<(), SyscallError> {
    require_device(ptmx, |found| found == PTMX)
}

/// The terminal of an opened `ptmx`.
///
/// # Errors
/// EXDEV when the other side is no terminal of a devpts.
pub fn of_master(master: OwnedFd) -> Result<Pty, SyscallError> {
    let slave = unlock(master.as_fd())?;
    require_device(slave.as_fd(), |(major, _)| SLAVE_MAJORS.contains(&major))?;
    Ok(Pty { master, slave })
}

fn unlock(master: BorrowedFd<'_>) -> Result<OwnedFd, SyscallError> {
    let unlocked: libc::c_int = 0;
    let raw = master.as_raw_fd();
    // SAFETY: TIOCSPTLCK reads one int, which lives until the call returns.
    let done = unsafe { libc::ioctl(raw, libc::TIOCSPTLCK, &raw const unlocked) };
    cerr(done.into(), "ioctl", || "TIOCSPTLCK".to_owned())?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes open flags by value and returns a new fd.
    let fd = unsafe { libc::ioctl(raw, libc::TIOCGPTPEER, flags) };
    cerr(fd.into(), "ioctl", || "TIOCGPTPEER".to_owned())?;
    // SAFETY: the kernel just made `fd`, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn require_device(
    fd: BorrowedFd<'_>,
    expected: impl Fn((u64, u64)) -> bool,
) -> Result<(), SyscallError> {
    let found = stat(fd)?;
    let character = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR;
    let statfs = nix::sys::statfs::fstatfs(fd)
        .map_err(|errno| SyscallError::new("fstatfs", Shown(fd).to_string(), errno))?;
    let devpts = statfs.filesystem_type() == DEVPTS_SUPER_MAGIC;
    if character && devpts && expected((major(found.st_rdev), minor(found.st_rdev))) {
        return Ok(());
    }
    Err(SyscallError::new("fstat", format!("{}: no terminal of a devpts", Shown(fd)), Errno::EXDEV))
}
