//! Safe faces of the system calls that only the keeper makes.

use super::protocol::FIRST_FREE_FD;
use super::tiny::calls::{SIGCHLD, signal_bit};
use super::tiny::{numbers, syscall};

const F_GETFD: usize = 1;
const F_SETFD: usize = 2;
const F_DUPFD_CLOEXEC: usize = 1030;
const FD_CLOEXEC: usize = 1;
const O_CLOEXEC: usize = 0o2_000_000;
const SFD_NONBLOCK_CLOEXEC: usize = 0o2_004_000;

const AF_UNIX: usize = 1;
const SOCK_SEQPACKET_CLOEXEC: usize = 5 | 0o2_000_000;
const MSG_DONTWAIT: usize = 0x40;
const MSG_NOSIGNAL: usize = 0x4000;
const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;
const EAGAIN: isize = -11;
const EINTR: isize = -4;

const PR_SET_CHILD_SUBREAPER: usize = 36;
const RLIMIT_NOFILE: usize = 7;
const AT_EMPTY_PATH: usize = 0x1000;
const AT_FDCWD: usize = -100_isize as usize;
const P_PID: usize = 1;
const WEXITED: usize = 4;
const CLOCK_REALTIME: usize = 0;
const CLOCK_BOOTTIME: usize = 7;

fn call(number: usize, a: usize, b: usize, c: usize) -> isize {
    // SAFETY: only used for calls whose arguments are plain numbers.
    unsafe { syscall(number, [a, b, c, 0, 0, 0]) }
}

/// What the kernel laid on the stack of the program, passed on to the shim.
pub struct Arguments {
    argv: *const *const u8,
    envp: *const *const u8,
}

impl Arguments {
    /// Finds the vectors; the shim's own arguments begin after ours.
    ///
    /// # Safety
    /// `stack` is the initial stack pointer: argc, argv, NULL, envp, NULL.
    pub unsafe fn new(stack: *const usize) -> Self {
        // SAFETY: the layout is the caller's promise; argc is at least 1 since
        // Linux 5.18, and with 0 both vectors are empty all the same.
        unsafe {
            let count = *stack;
            let argv = stack.add(1);
            let envp = argv.add(count + 1);
            Self { argv: argv.add(count.min(1)).cast(), envp: envp.cast() }
        }
    }
}

/// Executes the file `fd`; returns the errno of the failure.
pub fn execute(fd: i32, arguments: &Arguments) -> i32 {
    let (argv, envp) = (arguments.argv as usize, arguments.envp as usize);
    let path = c"".as_ptr() as usize;
    // SAFETY: both vectors end with NULL and live as long as the process.
    let result =
        unsafe { syscall(numbers::EXECVEAT, [fd as usize, path, argv, envp, AT_EMPTY_PATH, 0]) };
    -result as i32
}

/// A shim that ignored SIGCHLD before it became the keeper must not make the
/// kernel reap for it.
pub fn reset_child_signal() {
    // struct sigaction of the kernel: handler, flags, restorer, mask.
    let default = [0_usize; 4];
    let at = default.as_ptr() as usize;
    // SAFETY: 32 bytes cover the structure on both architectures.
    unsafe { syscall(numbers::RT_SIGACTION, [SIGCHLD as usize, at, 0, 8, 0, 0]) };
}

pub fn become_subreaper() {
    call(numbers::PRCTL, PR_SET_CHILD_SUBREAPER, 1, 0);
}

/// Fails harmlessly for a process that leads its session already.
pub fn setsid() {
    call(numbers::SETSID, 0, 0, 0);
}

/// As many fds as the hard limit allows; the shim inherits the limit.
pub fn raise_fd_limit() {
    let mut limit = [0_u64; 2];
    let limit_at = &raw mut limit as usize;
    // SAFETY: `limit` has the 16 bytes of rlimit64.
    unsafe { syscall(numbers::PRLIMIT64, [0, RLIMIT_NOFILE, 0, limit_at, 0, 0]) };
    let [_, hard] = limit;
    let raised = [hard, hard];
    let raised_at = &raw const raised as usize;
    // SAFETY: as above, and the call only reads it.
    unsafe { syscall(numbers::PRLIMIT64, [0, RLIMIT_NOFILE, raised_at, 0, 0, 0]) };
}

/// An fd that is readable when a child has ended; negative on failure.
pub fn child_events() -> i32 {
    let set = signal_bit(SIGCHLD);
    let at = &raw const set as usize;
    // SAFETY: `set` is a kernel signal set of the size told.
    let fd =
        unsafe { syscall(numbers::SIGNALFD4, [usize::MAX, at, 8, SFD_NONBLOCK_CLOEXEC, 0, 0]) };
    raise(fd as i32).unwrap_or(-1)
}

pub fn drain_child_events(fd: i32) {
    let mut info = [0_u8; 128];
    while read(fd, &mut info) > 0 {}
}

/// `struct pollfd`.
#[repr(C)]
pub struct PollFd {
    fd: i32,
    events: i16,
    revents: i16,
}

impl PollFd {
    /// Waits for data or the end; a negative fd never becomes ready.
    pub fn readable(fd: i32) -> Self {
        Self { fd, events: 1, revents: 0 }
    }

    pub fn is_ready(&self) -> bool {
        self.revents != 0
    }
}

/// Waits for one of `fds`, for ever without a timeout.
pub fn poll(fds: &mut [PollFd], timeout_ms: Option<u64>) {
    let time = timeout_ms.map(|ms| [ms / 1000, ms % 1000 * 1_000_000]);
    let time_at = time.as_ref().map_or(0, |time| time.as_ptr() as usize);
    let fds_at = fds.as_mut_ptr() as usize;
    // SAFETY: the slice and the timespec live through the call.
    unsafe { syscall(numbers::PPOLL, [fds_at, fds.len(), time_at, 0, 0, 0]) };
}

/// What came of a fork.
pub enum Child {
    Failed,
    Here,
    Parent(i32),
}

pub fn fork() -> Child {
    // SAFETY: a plain fork: one thread, the memory is copied.
    match unsafe { syscall(numbers::CLONE, [SIGCHLD as usize, 0, 0, 0, 0, 0]) } {
        0 => Child::Here,
        pid if pid > 0 => Child::Parent(pid as i32),
        _ => Child::Failed,
    }
}

/// Takes the zombie of `pid` away.
pub fn reap(pid: i32) {
    let mut info = [0_i32; 32];
    let at = &raw mut info as usize;
    // SAFETY: `info` has the 128 bytes of siginfo_t.
    unsafe { syscall(numbers::WAITID, [P_PID, pid as usize, at, WEXITED, 0, 0]) };
}

pub fn close(fd: i32) {
    if fd >= 0 {
        call(numbers::CLOSE, fd as usize, 0, 0);
    }
}

/// Makes `to` a copy of `from`.
pub fn dup_to(from: i32, to: i32, close_on_exec: bool) {
    if from == to {
        set_inheritable(to);
        return;
    }
    let flags = if close_on_exec { O_CLOEXEC } else { 0 };
    call(numbers::DUP3, from as usize, to as usize, flags);
}

/// Moves `fd` above the numbers that are spoken for.
pub fn raise(fd: i32) -> Option<i32> {
    if fd < 0 {
        return None;
    }
    if fd >= FIRST_FREE_FD {
        return Some(fd);
    }
    let raised = call(numbers::FCNTL, fd as usize, F_DUPFD_CLOEXEC, FIRST_FREE_FD as usize);
    if raised < 0 {
        return None;
    }
    close(fd);
    Some(raised as i32)
}

/// False when `fd` is not open.
pub fn set_close_on_exec(fd: i32) -> bool {
    call(numbers::FCNTL, fd as usize, F_SETFD, FD_CLOEXEC) >= 0
}

pub fn set_inheritable(fd: i32) {
    if call(numbers::FCNTL, fd as usize, F_GETFD, 0) >= 0 {
        call(numbers::FCNTL, fd as usize, F_SETFD, 0);
    }
}

pub fn truncate(fd: i32, len: usize) -> bool {
    call(numbers::FTRUNCATE, fd as usize, len, 0) >= 0
}

pub fn read(fd: i32, buffer: &mut [u8]) -> isize {
    let at = buffer.as_mut_ptr() as usize;
    // SAFETY: the slice lives through the call.
    unsafe { syscall(numbers::READ, [fd as usize, at, buffer.len(), 0, 0, 0]) }
}

pub fn write(fd: i32, bytes: &[u8]) -> isize {
    let at = bytes.as_ptr() as usize;
    // SAFETY: the slice lives through the call.
    unsafe { syscall(numbers::WRITE, [fd as usize, at, bytes.len(), 0, 0, 0]) }
}

pub fn pread(fd: i32, buffer: &mut [u8], offset: usize) -> isize {
    let at = buffer.as_mut_ptr() as usize;
    // SAFETY: the slice lives through the call.
    unsafe { syscall(numbers::PREAD64, [fd as usize, at, buffer.len(), offset, 0, 0]) }
}

pub fn pwrite(fd: i32, bytes: &[u8], offset: usize) -> isize {
    let at = bytes.as_ptr() as usize;
    // SAFETY: the slice lives through the call.
    unsafe { syscall(numbers::PWRITE64, [fd as usize, at, bytes.len(), offset, 0, 0]) }
}

/// The content of `/proc/PID/NAME`, cut to the buffer; empty when unreadable.
pub fn read_proc<'a>(pid: i32, name: &[u8], buffer: &'a mut [u8]) -> &'a [u8] {
    let path = super::line::Line::new(b"/proc/").number(pid).text(b"/").text(name).text(b"\0");
    let path_at = path.bytes().as_ptr() as usize;
    // SAFETY: the path ends with NUL and lives through the call.
    let fd = unsafe { syscall(numbers::OPENAT, [AT_FDCWD, path_at, O_CLOEXEC, 0, 0, 0]) };
    if fd < 0 {
        return &[];
    }
    let len = read(fd as i32, buffer);
    close(fd as i32);
    buffer.get(..len.max(0) as usize).unwrap_or(&[])
}

/// Our end and the shim's end of a new control socket.
pub fn socket_pair() -> Option<(i32, i32)> {
    let mut pair = [-1_i32; 2];
    let at = pair.as_mut_ptr() as usize;
    // SAFETY: `pair` has room for the two fds.
    let result =
        unsafe { syscall(numbers::SOCKETPAIR, [AF_UNIX, SOCK_SEQPACKET_CLOEXEC, 0, at, 0, 0]) };
    let [ours, theirs] = pair;
    (result == 0).then_some((ours, theirs))
}

/// One look into the control socket's queue.
pub enum Received {
    Nothing,
    End,
    Message { len: usize, fd: Option<i32> },
}

/// `struct msghdr` of the kernel (64 bits).
#[repr(C)]
struct MessageHeader {
    name: usize,
    name_len: u32,
    iov: *mut [usize; 2],
    iov_len: usize,
    control: *mut Control,
    control_len: usize,
    flags: i32,
}

/// `struct cmsghdr` with room for one fd.
#[repr(C)]
struct Control {
    len: usize,
    level: i32,
    kind: i32,
    fd: i32,
    padding: i32,
}

/// Takes the next message without waiting.
pub fn receive(socket: i32, buffer: &mut [u8]) -> Received {
    const SOL_SOCKET: i32 = 1;
    const SCM_RIGHTS: i32 = 1;
    let mut iov = [buffer.as_mut_ptr() as usize, buffer.len()];
    let mut control = Control { len: 0, level: 0, kind: 0, fd: -1, padding: 0 };
    let mut header = MessageHeader {
        name: 0,
        name_len: 0,
        iov: &raw mut iov,
        iov_len: 1,
        control: &raw mut control,
        // Room for exactly one: the kernel closes further fds itself.
        control_len: size_of::<Control>() - 4,
        flags: 0,
    };
    let header_at = &raw mut header as usize;
    let flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to buffers that live through the call, with
    // their true sizes.
    let len = unsafe { syscall(numbers::RECVMSG, [socket as usize, header_at, flags, 0, 0, 0]) };
    match len {
        EAGAIN | EINTR => Received::Nothing,
        len if len <= 0 => Received::End,
        len => {
            let has_fd = header.control_len > 0
                && control.level == SOL_SOCKET
                && control.kind == SCM_RIGHTS;
            Received::Message { len: len as usize, fd: has_fd.then_some(control.fd) }
        }
    }
}

/// Sends a message, or drops it when the queue is full or nobody listens.
pub fn send(socket: i32, kind: u8, key: &[u8]) {
    let line = super::line::Line::new(&[kind]).text(key);
    let (at, len) = (line.bytes().as_ptr() as usize, line.bytes().len());
    let flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    // SAFETY: the bytes live through the call.
    unsafe { syscall(numbers::SENDTO, [socket as usize, at, len, flags, 0, 0]) };
}

fn clock_ns(clock: usize) -> i64 {
    let mut time = [0_i64; 2];
    let at = &raw mut time as usize;
    // SAFETY: `time` has the 16 bytes of timespec.
    unsafe { syscall(numbers::CLOCK_GETTIME, [clock, at, 0, 0, 0, 0]) };
    let [seconds, nanos] = time;
    seconds * 1_000_000_000 + nanos
}

/// `CLOCK_BOOTTIME` in nanoseconds.
pub fn boot_ns() -> i64 {
    clock_ns(CLOCK_BOOTTIME)
}

/// `CLOCK_REALTIME` in nanoseconds.
pub fn wall_ns() -> i64 {
    clock_ns(CLOCK_REALTIME)
}

/// `CLOCK_BOOTTIME` in milliseconds.
pub fn boot_ms() -> u64 {
    (boot_ns() / 1_000_000) as u64
}
