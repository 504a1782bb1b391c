//! What a pidfd tells of a process that is nobody's child here
//! (PIDFD_GET_INFO, Linux 6.13; the exit code since 6.15).

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use crate::model::ExitStatus;

/// `struct pidfd_info` of linux/pidfd.h, first version.
#[repr(C)]
#[derive(Default)]
struct RawInfo {
    mask: u64,
    cgroup_id: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}

const _: () = assert!(size_of::<RawInfo>() == 64);

/// `_IOWR(0xFF, 11, struct pidfd_info)`.
const PIDFD_GET_INFO: u64 = (3 << 30) | (64 << 16) | (0xff << 8) | 11;
const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// How a process ended, as far as its pidfd knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitInfo {
    /// It has been reaped, and this was its status.
    Ended(ExitStatus),
    /// It runs, or waits for its parent; the pidfd hangs up when it is reaped.
    NotReaped,
    /// The kernel does not tell.
    Unknown,
}

/// How the process of `pidfd` ended.
#[must_use]
pub fn exit_info(pidfd: BorrowedFd) -> ExitInfo {
    let mut info = RawInfo { mask: PIDFD_INFO_EXIT, ..RawInfo::default() };
    #[expect(clippy::cast_possible_truncation)]
    let request = PIDFD_GET_INFO as libc::Ioctl;
    // SAFETY: the request names the size of `info`, which outlives the call.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), request, &raw mut info) };
    if result < 0 {
        return ExitInfo::Unknown;
    }
    if info.mask & PIDFD_INFO_EXIT == 0 {
        // A kernel that knows nothing of exits answers ESRCH after the reap,
        // and for a living process the same as one that does.
        return ExitInfo::NotReaped;
    }
    ExitStatus::from_wait_status(info.exit_code).map_or(ExitInfo::Unknown, ExitInfo::Ended)
}

/// True when [`exit_info`] will tell the status of this process, once it has
/// been reaped, and the pidfd will hang up then.
#[must_use]
pub fn tells_exits() -> bool {
    use super::process::{Clone, Wait, exit_now, fork_with_pidfd, wait_pidfd};
    use std::os::fd::AsFd;
    match fork_with_pidfd() {
        Ok(Clone::Child) => exit_now(7),
        Ok(Clone::Parent { pidfd, .. }) => {
            let reaped = wait_pidfd(pidfd.as_fd(), Wait::Block);
            reaped.is_ok() && exit_info(pidfd.as_fd()) == ExitInfo::Ended(ExitStatus::Exited(7))
        }
        Err(_) => false,
    }
}

/// The parent of a process, by /proc (proc_pid_stat(5), field 4).
///
/// # Errors
/// ENOENT or ESRCH when it has been reaped.
pub fn parent_of(pid: i32) -> Result<i32, super::SyscallError> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| super::SyscallError::from_io("read", path.clone(), &error))?;
    // The name in brackets may hold anything, brackets too.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ppid = rest.split_ascii_whitespace().nth(1).and_then(|field| field.parse().ok());
    ppid.ok_or_else(|| super::SyscallError::new("read", path, Errno::EINVAL))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::model::Signal;
    use crate::sys::process::{
        Clone, Wait, exit_now, fork_with_pidfd, pidfd_send_signal, wait_pidfd,
    };

    #[test]
    fn a_reaped_process_still_has_its_status_where_the_kernel_tells() {
        let Clone::Parent { pid, pidfd } = fork_with_pidfd().unwrap() else {
            nix::unistd::pause();
            exit_now(0)
        };
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(parent_of(pid.as_raw()), Ok(own));
        assert!(parent_of(own).is_ok());
        pidfd_send_signal(pidfd.as_fd(), Signal::KILL).unwrap();
        wait_pidfd(pidfd.as_fd(), Wait::Block).unwrap();
        let want = ExitInfo::Ended(ExitStatus::Signaled(Signal::KILL));
        if tells_exits() {
            assert_eq!(exit_info(pidfd.as_fd()), want);
        } else {
            assert_eq!(exit_info(pidfd.as_fd()), ExitInfo::Unknown);
        }
        assert!(parent_of(pid.as_raw()).is_err());
    }
}
