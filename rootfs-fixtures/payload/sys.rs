//! The few C functions that std does not offer.

use std::ffi::{c_char, c_int, c_long, c_void};
use std::io::Error;

pub const SIGCHLD: c_int = 17;
pub const SIGTERM: c_int = 15;
pub const SIGINT: c_int = 2;

/// The C library's `sigset_t` is 128 bytes with musl and glibc.
#[repr(C, align(8))]
struct SignalSet([u8; 128]);

unsafe extern "C" {
    fn fork() -> c_int;
    fn _exit(code: c_int) -> !;
    fn pause() -> c_int;
    fn isatty(fd: c_int) -> c_int;
    fn ioctl(fd: c_int, request: c_int, ...) -> c_int;
    fn getrusage(who: c_int, usage: *mut [c_long; 34]) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn sigemptyset(set: *mut SignalSet) -> c_int;
    fn sigaddset(set: *mut SignalSet, signal: c_int) -> c_int;
    fn sigprocmask(how: c_int, set: *const SignalSet, old: *mut SignalSet) -> c_int;
    fn sigwait(set: *const SignalSet, signal: *mut c_int) -> c_int;
    fn shmget(key: c_int, size: usize, flags: c_int) -> c_int;
    fn shmat(id: c_int, at: *const c_void, flags: c_int) -> *mut c_void;
    fn sysconf(name: c_int) -> c_long;
    fn mmap(
        at: *mut c_void,
        size: usize,
        protection: c_int,
        flags: c_int,
        fd: c_int,
        offset: i64,
    ) -> *mut c_void;
    fn strlen(text: *const c_char) -> usize;
    fn syscall(number: c_long, ...) -> c_long;
}

/// Forks; the child runs `child` and ends. The payload has one thread, so the
/// child may do anything.
pub fn fork_child(child: impl FnOnce() -> u8) -> Result<i32, String> {
    // SAFETY: this process has one thread: no lock can be held by another.
    match unsafe { fork() } {
        -1 => Err(format!("fork: {}", Error::last_os_error())),
        0 => {
            let code = child();
            // SAFETY: ends the child without the parent's exit handlers.
            unsafe { _exit(code.into()) }
        }
        pid => Ok(pid),
    }
}

/// Waits for a signal that ends or is handled, for ever.
pub fn wait_for_ever() -> ! {
    loop {
        // SAFETY: takes nothing.
        unsafe { pause() };
    }
}

pub fn is_terminal(fd: c_int) -> bool {
    // SAFETY: any number is a valid argument.
    unsafe { isatty(fd) == 1 }
}

/// TIOCSTI: puts a byte into what a terminal's readers have not read yet.
pub fn type_into(fd: c_int, byte: u8) -> Result<(), String> {
    // SAFETY: the byte lives until the call returns.
    match unsafe { ioctl(fd, 0x5412, &raw const byte) } {
        0 => Ok(()),
        _ => Err(format!("ioctl TIOCSTI: {}", Error::last_os_error())),
    }
}

/// The most memory that one of the children waited for ever had, in KiB.
pub fn peak_of_children() -> Result<c_long, String> {
    let mut usage = [0; 34];
    // SAFETY: `struct rusage` has 18 words, and with musl's reserve 34.
    // RUSAGE_CHILDREN is -1.
    match unsafe { getrusage(-1, &raw mut usage) } {
        // Behind two times of two words each.
        0 => Ok(usage[4]),
        _ => Err(format!("getrusage: {}", Error::last_os_error())),
    }
}

pub fn signal_self(signal: c_int) -> Result<(), String> {
    let pid = c_int::try_from(std::process::id()).map_err(|error| error.to_string())?;
    // SAFETY: any numbers are valid arguments.
    match unsafe { kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(format!("kill: {}", Error::last_os_error())),
    }
}

/// Signals that are blocked and taken one by one.
pub struct Signals(SignalSet);

impl Signals {
    pub fn block(signals: &[c_int]) -> Self {
        const SIG_BLOCK: c_int = 0;
        let mut set = SignalSet([0; 128]);
        // SAFETY: `set` is as large as the C library's sigset_t, and the old
        // mask is not asked for.
        unsafe {
            sigemptyset(&mut set);
            for &signal in signals {
                sigaddset(&mut set, signal);
            }
            sigprocmask(SIG_BLOCK, &set, std::ptr::null_mut());
        }
        Self(set)
    }

    pub fn wait(&self) -> c_int {
        let mut signal = 0;
        // SAFETY: both point to live memory of the right size.
        while unsafe { sigwait(&self.0, &mut signal) } != 0 {}
        signal
    }
}

/// A page of System V shared memory, made when `create`.
pub fn shared_memory(key: i32, create: bool) -> Result<*mut u8, String> {
    const IPC_CREAT: c_int = 0o1000;
    const SC_PAGESIZE: c_int = 30;
    let failed = |call| move || format!("{call}: {}", Error::last_os_error());
    // SAFETY: takes a number.
    let page = usize::try_from(unsafe { sysconf(SC_PAGESIZE) }).unwrap_or(4096);
    let flags = 0o666 | if create { IPC_CREAT } else { 0 };
    // SAFETY: takes numbers.
    let id = unsafe { shmget(key, page, flags) };
    if id < 0 {
        return Err(failed("shmget")());
    }
    // SAFETY: the kernel chooses the address; no memory of ours is touched.
    let at = unsafe { shmat(id, std::ptr::null(), 0) };
    if at.addr() == usize::MAX { Err(failed("shmat")()) } else { Ok(at.cast()) }
}

/// The text at the start of a page of shared memory.
pub fn text_at(page: *const u8) -> String {
    // SAFETY: a fresh page is zero and `put_text` ends texts within it.
    let bytes = unsafe { std::slice::from_raw_parts(page, strlen(page.cast())) };
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn put_text(page: *mut u8, text: &str) {
    let length = text.len().min(4000);
    // SAFETY: a page holds the text and its NUL.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), page, length);
        page.add(length).write(0);
    }
}

/// Maps `bytes` of huge pages and writes to each; a page that cannot be had ends
/// the process with SIGBUS.
pub fn touch_huge_pages(bytes: usize) -> Result<(), String> {
    const READ_WRITE: c_int = 3;
    const PRIVATE_ANONYMOUS_HUGE: c_int = 0x2 | 0x20 | 0x40000;
    // SAFETY: the kernel chooses the address; no memory of ours is touched.
    let at = unsafe {
        mmap(std::ptr::null_mut(), bytes, READ_WRITE, PRIVATE_ANONYMOUS_HUGE, -1, 0)
    };
    if at.addr() == usize::MAX {
        return Err(format!("mmap: {}", Error::last_os_error()));
    }
    for offset in (0..bytes).step_by(1 << 20) {
        // SAFETY: within the mapping just made, which nothing else knows.
        unsafe { at.cast::<u8>().add(offset).write_volatile(1) };
    }
    Ok(())
}

/// `struct sched_attr`, its first version.
#[repr(C)]
#[derive(Default)]
pub struct Scheduler {
    size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

#[cfg(target_arch = "x86_64")]
mod number {
    pub const PERSONALITY: i64 = 135;
    pub const GET_MEMPOLICY: i64 = 239;
    pub const IOPRIO_GET: i64 = 252;
    pub const SCHED_GETATTR: i64 = 315;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const PERSONALITY: i64 = 92;
    pub const GET_MEMPOLICY: i64 = 236;
    pub const IOPRIO_GET: i64 = 31;
    pub const SCHED_GETATTR: i64 = 275;
}

fn checked(call: &str, result: c_long) -> Result<c_long, String> {
    if result < 0 { Err(format!("{call}: {}", Error::last_os_error())) } else { Ok(result) }
}

pub fn scheduler() -> Result<Scheduler, String> {
    let mut attr = Scheduler::default();
    // SAFETY: `attr` is as large as the call is told.
    let done = unsafe { syscall(number::SCHED_GETATTR, 0, &raw mut attr, 48, 0) };
    checked("sched_getattr", done).map(|_| attr)
}

pub fn io_priority() -> Result<c_long, String> {
    const WHO_PROCESS: c_int = 1;
    // SAFETY: takes numbers.
    checked("ioprio_get", unsafe { syscall(number::IOPRIO_GET, WHO_PROCESS, 0) })
}

pub fn personality() -> Result<c_long, String> {
    // SAFETY: takes a number; this one only asks.
    checked("personality", unsafe { syscall(number::PERSONALITY, 0xffff_ffff_u64) })
}

/// Mode with flags, and the nodes below 64.
pub fn memory_policy() -> Result<(c_int, u64), String> {
    let mut mode = 0;
    let mut nodes = [0_u64; 16];
    // SAFETY: the mask has 1024 bits, which the call is told; no address is
    // given, nor asked for.
    let done = unsafe {
        let (mode, nodes) = (&raw mut mode, &raw mut nodes);
        syscall(number::GET_MEMPOLICY, mode, nodes, 1024_u64, 0_u64, 0_u64)
    };
    checked("get_mempolicy", done).map(|_| (mode, nodes[0]))
}

/// getpid(2) by the entry of 32-bit programs.
#[cfg(target_arch = "x86_64")]
pub fn getpid32() -> Result<i32, String> {
    const GETPID: i32 = 20;
    let result: i32;
    // SAFETY: the call reads no memory; its result is in eax, and the kernel
    // may clobber r8 to r11 on this entry.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("eax") GETPID => result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    if result < 0 { Err(format!("errno {}", -result)) } else { Ok(result) }
}

#[cfg(target_arch = "aarch64")]
pub fn getpid32() -> Result<i32, String> {
    Err("no 32-bit entry on this architecture".to_owned())
}
