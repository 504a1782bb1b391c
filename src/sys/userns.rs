//! User namespaces: the one we are in, and such that exist only as an id
//! mapping, for idmapped mounts.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;

use super::SyscallError;
use super::error::cerr;

/// One line of `uid_map`: ids inside, ids outside, how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

/// The inode of the first user namespace (`PROC_USER_INIT_INO` of the kernel).
const FIRST: u64 = 0xEFFF_FFFD;

/// Whether this process is in another user namespace than the machine's first:
/// its root may not do all.
#[must_use]
pub fn inside() -> bool {
    nix::sys::stat::stat("/proc/self/ns/user").is_ok_and(|stat| stat.st_ino != FIRST)
}

/// A user namespace with these mappings. No process stays in it; it lives as
/// long as the descriptor (or a mount that uses it).
///
/// # Errors
/// EINVAL for ranges that overlap or are empty, EPERM for ids the caller may
/// not map.
pub fn with_mappings(uids: &[IdRange], gids: &[IdRange]) -> Result<OwnedFd, SyscallError> {
    let (reader, writer) = super::fd::pipe()?;
    let pid = fork_into_user_namespace(reader.as_raw_fd(), writer.as_raw_fd())?;
    let result = configure(pid, uids, gids);
    // The process waits for the end of the pipe.
    drop(writer);
    let _ = nix::sys::wait::waitpid(
        nix::unistd::Pid::from_raw(pid),
        Some(nix::sys::wait::WaitPidFlag::__WALL),
    );
    result
}

fn configure(pid: i32, uids: &[IdRange], gids: &[IdRange]) -> Result<OwnedFd, SyscallError> {
    write(&format!("/proc/{pid}/uid_map"), &lines(uids))?;
    write(&format!("/proc/{pid}/gid_map"), &lines(gids))?;
    let path = format!("/proc/{pid}/ns/user");
    let file = File::open(&path)
        .map_err(|error| SyscallError::from_io("open", format!("{path:?}"), &error))?;
    Ok(file.into())
}

fn lines(ranges: &[IdRange]) -> String {
    ranges.iter().map(|r| format!("{} {} {}\n", r.inside, r.outside, r.count)).collect()
}

fn write(path: &str, text: &str) -> Result<(), SyscallError> {
    std::fs::write(path, text)
        .map_err(|error| SyscallError::from_io("write", format!("{path:?}, {text:?}"), &error))
}

/// A child in a new user namespace that ends when the pipe does.
fn fork_into_user_namespace(reader: i32, writer: i32) -> Result<i32, SyscallError> {
    // No exit signal: a SIGCHLD handler of the caller's never hears of it.
    let flags = libc::CLONE_NEWUSER;
    // SAFETY: without CLONE_VM the child has a copy of the memory and of the
    // stack. It only makes system calls and touches no lock or allocator, so
    // other threads of the caller do not matter.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    if pid == 0 {
        let mut byte = 0_u8;
        // SAFETY: `byte` is one writable byte on the child's own stack; the
        // descriptors are the child's copies; _exit runs nothing of ours.
        unsafe {
            libc::syscall(libc::SYS_close, writer);
            libc::syscall(libc::SYS_read, reader, &raw mut byte, 1);
            libc::syscall(libc::SYS_exit_group, 0);
        }
    }
    let pid = cerr(pid, "clone", || "CLONE_NEWUSER".to_owned())?;
    i32::try_from(pid).map_err(|_| SyscallError::new("clone", "", Errno::EOVERFLOW))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_lives_without_a_process() {
        let range = IdRange { inside: 0, outside: 100_000, count: 65_536 };
        let fd = with_mappings(&[range], &[range]).unwrap();
        assert!(nix::sys::stat::fstat(&fd).is_ok());
        let overlap = IdRange { inside: 5, outside: 0, count: 1 };
        let refused = with_mappings(&[range, overlap], &[range]).unwrap_err();
        assert_eq!(refused.errno, Errno::EINVAL);
    }
}
