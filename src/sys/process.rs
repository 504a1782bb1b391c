//! Making, watching and ending processes: clone3(2), pidfds, waitid(2).

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use super::SyscallError;
use super::error::cerr;
use crate::model::{ExitStatus, Signal};

/// What a clone makes anew or shares: the `CLONE_*` bits of clone3(2), without
/// those that share memory, files or signal handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CloneFlags(u64);

impl CloneFlags {
    pub const NEWNS: Self = Self(0x0002_0000);
    pub const NEWCGROUP: Self = Self(0x0200_0000);
    pub const NEWUTS: Self = Self(0x0400_0000);
    pub const NEWIPC: Self = Self(0x0800_0000);
    pub const NEWUSER: Self = Self(0x1000_0000);
    pub const NEWPID: Self = Self(0x2000_0000);
    pub const NEWNET: Self = Self(0x4000_0000);
    pub const NEWTIME: Self = Self(0x0000_0080);
    /// The new process becomes a sibling: a child of the caller's parent.
    pub const PARENT: Self = Self(0x0000_8000);

    /// No flag.
    #[must_use]
    pub const fn empty() -> Self {
        Self(0)
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if every bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if no bit is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The bits as clone3(2) and setns(2) take them.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl std::ops::BitOr for CloneFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl std::ops::BitOrAssign for CloneFlags {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.union(other);
    }
}

/// The arguments of [`clone3`].
#[derive(Debug, Clone, Copy)]
pub struct CloneArgs<'a> {
    pub flags: CloneFlags,
    /// A cgroup2 directory in which the child is born (Linux 5.7).
    pub cgroup: Option<BorrowedFd<'a>>,
    /// What the parent gets when the child ends; SIGCHLD as a rule. Ignored
    /// with [`CloneFlags::PARENT`], where the kernel copies the caller's own.
    pub exit_signal: Option<Signal>,
}

impl Default for CloneArgs<'_> {
    fn default() -> Self {
        Self { flags: CloneFlags::empty(), cgroup: None, exit_signal: Signal::new(libc::SIGCHLD) }
    }
}

/// On which side of the clone the caller is.
#[derive(Debug)]
pub enum Clone {
    Parent {
        /// As seen from the caller's pid namespace.
        pid: Pid,
        /// Close-on-exec.
        pidfd: OwnedFd,
    },
    Child,
}

/// `struct clone_args` of linux/sched.h, size 88 (`CLONE_ARGS_SIZE_VER2`).
#[repr(C, align(8))]
#[derive(Default)]
struct RawCloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Set in every process that [`clone3`] made: it has one thread, and may be
/// where there is no /proc to count them.
static IS_CLONED: AtomicBool = AtomicBool::new(false);

/// A copy of this process in a new one, with a pidfd to it (clone3(2), no
/// shared memory). Refused with EDEADLK while other threads exist: their locks
/// would stay taken in the child for ever.
///
/// # Errors
/// The errno of clone3(2).
pub fn clone3(args: &CloneArgs) -> Result<Clone, SyscallError> {
    let describe = || format!("flags={:#x}, cgroup={}", args.flags.0, args.cgroup.is_some());
    if !single_threaded() {
        return Err(SyscallError::new("clone3", describe(), Errno::EDEADLK));
    }
    let mut pidfd: libc::c_int = -1;
    let mut raw = RawCloneArgs {
        flags: args.flags.0 | CLONE_PIDFD,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        ..RawCloneArgs::default()
    };
    if let Some(cgroup) = args.cgroup {
        raw.flags |= CLONE_INTO_CGROUP;
        raw.cgroup = u64::from(cgroup.as_raw_fd().unsigned_abs());
    }
    if !args.flags.contains(CloneFlags::PARENT) {
        raw.exit_signal =
            args.exit_signal.map_or(0, |signal| u64::from(signal.number().unsigned_abs()));
    }
    // SAFETY: without CLONE_VM the child gets its own copy of this address
    // space, as after fork(2), and the process was checked above to have no
    // other thread, so no lock of the allocator or of std can be held by a
    // thread that the copy lacks. `raw` and `pidfd` outlive the call and have
    // the layout and size that the kernel is told.
    let result = unsafe {
        libc::syscall(libc::SYS_clone3, std::ptr::from_mut(&mut raw), size_of::<RawCloneArgs>())
    };
    match cerr(result, "clone3", describe)? {
        0 => {
            IS_CLONED.store(true, Ordering::Relaxed);
            Ok(Clone::Child)
        }
        pid => {
            // SAFETY: the kernel stored a new descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Clone::Parent { pid: pid_from(pid), pidfd })
        }
    }
}

/// A sibling by the older clone(2), for processes whose seccomp filter answers
/// clone3 with ENOSYS because it cannot look at its arguments. Only for a
/// process that [`clone3`] itself has made.
///
/// # Errors
/// The errno of clone(2).
pub fn clone_sibling() -> Result<Clone, SyscallError> {
    if !single_threaded() {
        return Err(SyscallError::new("clone", "CLONE_PARENT", Errno::EDEADLK));
    }
    let mut pidfd: libc::c_int = -1;
    // SIGCHLD is ignored with CLONE_PARENT, but filters know the value.
    let flags = CLONE_PIDFD | CloneFlags::PARENT.0 | libc::SIGCHLD.unsigned_abs() as u64;
    let pidfd_at = std::ptr::from_mut(&mut pidfd);
    let null = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: as in `clone3`: no shared memory (the stack 0 is the copied
    // one), one thread; `pidfd` outlives the call. The order of arguments is
    // x86_64's and aarch64's up to the parent_tid that CLONE_PIDFD uses; the
    // rest is null.
    let result = unsafe { libc::syscall(libc::SYS_clone, flags, 0, pidfd_at, null, null) };
    match cerr(result, "clone", || "CLONE_PARENT".to_owned())? {
        0 => Ok(Clone::Child),
        pid => {
            // SAFETY: the kernel stored a new descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Clone::Parent { pid: pid_from(pid), pidfd })
        }
    }
}

/// Makes the terminal the controlling one of this process's session, which it
/// leads.
///
/// # Errors
/// EPERM when it leads none or the terminal has a session already.
pub fn set_controlling_terminal(terminal: BorrowedFd) -> Result<(), SyscallError> {
    // SAFETY: TIOCSCTTY takes an integer.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) };
    cerr(result.into(), "ioctl", || "TIOCSCTTY".to_owned()).map(drop)
}

/// A plain copy of this process: [`clone3`] without flags.
///
/// # Errors
/// As [`clone3`].
pub fn fork_with_pidfd() -> Result<Clone, SyscallError> {
    clone3(&CloneArgs::default())
}

fn pid_from(raw: libc::c_long) -> Pid {
    // A pid is at most 4194304 (PID_MAX_LIMIT).
    #[expect(clippy::cast_possible_truncation)]
    Pid::from_raw(raw as i32)
}

/// How long a thread that was joined may take to leave the kernel.
const THREAD_EXIT_PATIENCE: Duration = Duration::from_millis(500);

/// True if this process has one thread: /proc/self/task has a link for each
/// thread besides `.` and `..`. Unit tests run in threads and count as single.
///
/// A thread counts until the kernel is done with it, which is a moment after
/// it was joined, and nothing tells when: so that moment is waited for.
fn single_threaded() -> bool {
    if cfg!(test) || IS_CLONED.load(Ordering::Relaxed) {
        return true;
    }
    let deadline = Instant::now() + THREAD_EXIT_PATIENCE;
    loop {
        if nix::sys::stat::stat("/proc/self/task").is_ok_and(|stat| stat.st_nlink == 3) {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Ends this process at once: no destructors, no flushing, as a cloned child
/// must (the buffers belong to its parent).
pub fn exit_now(code: u8) -> ! {
    // SAFETY: _exit(2) has no preconditions and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}

/// A pidfd of a process that may not be our child, close-on-exec.
///
/// # Errors
/// ESRCH when there is no such process (pidfd_open(2)).
pub fn pidfd_open(pid: Pid) -> Result<OwnedFd, SyscallError> {
    // SAFETY: integer arguments only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let fd = cerr(fd, "pidfd_open", || pid.to_string())?;
    Ok(owned(fd))
}

/// Takes ownership of a descriptor that a system call just returned.
pub(super) fn owned(fd: libc::c_long) -> OwnedFd {
    // SAFETY: callers pass the non-negative result of a call that makes a new
    // descriptor, which nobody else owns yet.
    #[expect(clippy::cast_possible_truncation)]
    unsafe {
        OwnedFd::from_raw_fd(fd as i32)
    }
}

/// Sends a signal through a pidfd: never hits another process of the same pid.
///
/// # Errors
/// ESRCH when the process has been reaped, EPERM (pidfd_send_signal(2)).
pub fn pidfd_send_signal(pidfd: BorrowedFd, signal: Signal) -> Result<(), SyscallError> {
    send_raw(pidfd, signal.number())
}

/// True while the process has not been reaped (a zombie counts).
#[must_use]
pub fn pidfd_exists(pidfd: BorrowedFd) -> bool {
    send_raw(pidfd, 0).is_ok()
}

fn send_raw(pidfd: BorrowedFd, signal: i32) -> Result<(), SyscallError> {
    // SAFETY: integers and a null siginfo, which the call documents as allowed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    cerr(result, "pidfd_send_signal", || format!("{signal}")).map(drop)
}

/// True once the process has ended (its pidfd is readable), reaped or not.
///
/// # Errors
/// The errno of poll(2).
pub fn pidfd_has_exited(pidfd: BorrowedFd) -> Result<bool, SyscallError> {
    pidfd_wait_exit(pidfd, Some(Duration::ZERO))
}

/// Waits until the process ends, at most `timeout`; false when that passed.
/// Reaps nothing, and works for processes that are no children.
///
/// # Errors
/// The errno of poll(2).
pub fn pidfd_wait_exit(pidfd: BorrowedFd, timeout: Option<Duration>) -> Result<bool, SyscallError> {
    let deadline = timeout.map(|timeout| std::time::Instant::now() + timeout);
    loop {
        let left = match deadline {
            None => PollTimeout::NONE,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(std::time::Instant::now());
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) if deadline.is_some_and(|d| std::time::Instant::now() < d) => {}
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(SyscallError::new("poll", "pidfd", errno)),
        }
    }
}

/// Whether [`wait_pidfd`] may sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until the child ends.
    Block,
    /// Not at all.
    NoHang,
}

/// Reaps one child by its pidfd (waitid(2) with P_PIDFD): no other child's
/// status can be taken by mistake. `None` with [`Wait::NoHang`] while it runs.
///
/// # Errors
/// ECHILD when it is no child of ours, or reaped already.
pub fn wait_pidfd(pidfd: BorrowedFd, wait: Wait) -> Result<Option<ExitStatus>, SyscallError> {
    let options = libc::WEXITED | if wait == Wait::NoHang { libc::WNOHANG } else { 0 };
    loop {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: `info` is large enough, zeroed and outlives the call.
        let result = unsafe {
            libc::waitid(
                libc::P_PIDFD,
                pidfd.as_raw_fd().unsigned_abs(),
                info.as_mut_ptr(),
                options,
            )
        };
        match cerr(result.into(), "waitid", || "pidfd".to_owned()) {
            Err(error) if error.errno == Errno::EINTR => {}
            Err(error) => return Err(error),
            Ok(_) => {
                // SAFETY: all-zero is a valid siginfo_t, and waitid filled in
                // the fields of a SIGCHLD or left it zero.
                let info = unsafe { info.assume_init() };
                // SAFETY: si_pid and si_status are the SIGCHLD fields.
                let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
                return Ok((pid != 0).then(|| decode(info.si_code, status)));
            }
        }
    }
}

fn decode(code: i32, status: i32) -> ExitStatus {
    match Signal::new(status) {
        Some(signal) if code != libc::CLD_EXITED => ExitStatus::Signaled(signal),
        // An exit code has eight bits.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        _ => ExitStatus::Exited(status as u8),
    }
}

/// The part of `/proc/<pid>/stat` that tells whose process a pid is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat {
    /// `R`, `S`, `D`, `Z`, `X`, ….
    pub state: char,
    /// Clock ticks after boot (field 22): with the pid, a unique name.
    pub start_time: u64,
}

impl ProcessStat {
    /// True for a process that has ended and waits to be reaped.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// Reads `/proc/<pid>/stat` (proc_pid_stat(5)).
///
/// # Errors
/// ENOENT or ESRCH when there is no such process, EINVAL for text of another
/// form.
pub fn process_stat(pid: Pid) -> Result<ProcessStat, SyscallError> {
    use std::io::Read;
    let path = format!("/proc/{pid}/stat");
    let mut text = [0_u8; 1024];
    let length = std::fs::File::open(&path)
        .and_then(|mut file| file.read(&mut text))
        .map_err(|error| SyscallError::from_io("read", path.clone(), &error))?;
    parse_stat(&text[..length]).ok_or_else(|| SyscallError::new("read", path, Errno::EINVAL))
}

/// The name in brackets may hold anything, brackets too: the last one counts.
fn parse_stat(text: &[u8]) -> Option<ProcessStat> {
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 2..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let start_time = fields.nth(18)?.parse().ok()?;
    Some(ProcessStat { state, start_time })
}

/// When the process began, in clock ticks after boot.
///
/// # Errors
/// As [`process_stat`].
pub fn process_start_time(pid: Pid) -> Result<u64, SyscallError> {
    process_stat(pid).map(|stat| stat.start_time)
}

/// Joins the namespaces of `kinds` that `target` names: one namespace file, or
/// a pidfd for several at once (Linux 5.8).
///
/// # Errors
/// The errno of setns(2).
pub fn setns(target: BorrowedFd, kinds: CloneFlags) -> Result<(), SyscallError> {
    // The namespace bits all fit in 31 bits.
    #[expect(clippy::cast_possible_truncation)]
    // SAFETY: integer arguments only.
    let result = unsafe { libc::setns(target.as_raw_fd(), kinds.0 as i32) };
    cerr(result.into(), "setns", || format!("{:#x}", kinds.0)).map(drop)
}

/// Leaves the namespaces of `kinds` for new ones.
///
/// # Errors
/// The errno of unshare(2).
pub fn unshare(kinds: CloneFlags) -> Result<(), SyscallError> {
    #[expect(clippy::cast_possible_truncation)]
    // SAFETY: integer arguments only.
    let result = unsafe { libc::unshare(kinds.0 as i32) };
    cerr(result.into(), "unshare", || format!("{:#x}", kinds.0)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields_of_stat() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        let text = format!("42 (a) b) {rest}");
        let stat = parse_stat(text.as_bytes()).expect("parses");
        assert_eq!(stat, ProcessStat { state: 'S', start_time: 777 });
        assert_eq!(parse_stat(b"42 (x"), None);
        assert_eq!(parse_stat(b"42 (x)"), None);
    }

    #[test]
    fn a_child_is_reaped_by_its_pidfd_with_its_own_status() {
        match fork_with_pidfd().expect("fork") {
            Clone::Child => exit_now(7),
            Clone::Parent { pidfd, .. } => {
                let status = wait_pidfd(pidfd.as_fd(), Wait::Block).expect("wait");
                assert_eq!(status, Some(ExitStatus::Exited(7)));
                let again = wait_pidfd(pidfd.as_fd(), Wait::NoHang);
                assert_eq!(again.expect_err("reaped").errno, Errno::ECHILD);
            }
        }
    }

    #[test]
    fn a_running_child_is_not_reaped_and_can_be_killed() {
        match fork_with_pidfd().expect("fork") {
            Clone::Child => loop {
                nix::unistd::pause();
            },
            Clone::Parent { pid, pidfd } => {
                assert_eq!(wait_pidfd(pidfd.as_fd(), Wait::NoHang).expect("wait"), None);
                assert!(process_start_time(pid).expect("stat") > 0);
                pidfd_send_signal(pidfd.as_fd(), Signal::KILL).expect("kill");
                assert!(pidfd_wait_exit(pidfd.as_fd(), None).expect("poll"));
                let status = wait_pidfd(pidfd.as_fd(), Wait::Block).expect("wait");
                assert_eq!(status, Some(ExitStatus::Signaled(Signal::KILL)));
            }
        }
    }
}
