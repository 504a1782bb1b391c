//! Safe faces of the system calls that both programs make.

use super::{numbers, syscall};

pub const SIGKILL: i32 = 9;
pub const SIGINT: i32 = 2;
pub const SIGTERM: i32 = 15;
pub const SIGCHLD: i32 = 17;

const SIG_SETMASK: usize = 2;
const PR_SET_NAME: usize = 15;
const P_ALL: usize = 0;
pub const WNOHANG: usize = 1;
pub const WEXITED: usize = 4;
pub const WNOWAIT: usize = 0x0100_0000;
/// The kernel's sigset_t is one word of 64 bits, not the C library's 128 bytes.
const SIGSET_BYTES: usize = 8;

/// Ends the process.
pub fn exit(code: i32) -> ! {
    // SAFETY: no pointers.
    unsafe { syscall(numbers::EXIT_GROUP, [code as usize, 0, 0, 0, 0, 0]) };
    loop {}
}

/// The bit of `signal` in a signal set.
pub const fn signal_bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Replaces the set of blocked signals.
pub fn block_signals(set: u64) {
    let set_at = &raw const set as usize;
    // SAFETY: `set` lives through the call and has the size told.
    unsafe { syscall(numbers::RT_SIGPROCMASK, [SIG_SETMASK, set_at, 0, SIGSET_BYTES, 0, 0]) };
}

/// Waits for one of the blocked signals in `set`; negative errno on failure.
pub fn wait_for_signal(set: u64) -> isize {
    let set_at = &raw const set as usize;
    // SAFETY: `set` lives through the call; no siginfo and no timeout is asked.
    unsafe { syscall(numbers::RT_SIGTIMEDWAIT, [set_at, 0, 0, SIGSET_BYTES, 0, 0]) }
}

/// Names the process as `ps` shows it.
pub fn set_name(name: &core::ffi::CStr) {
    // SAFETY: a NUL-terminated string that lives through the call.
    unsafe { syscall(numbers::PRCTL, [PR_SET_NAME, name.as_ptr() as usize, 0, 0, 0, 0]) };
}

/// A child that ended.
pub struct Ended {
    pub pid: i32,
    /// As `wait4(2)` encodes it.
    pub status: i32,
}

/// The next ended child; `None` when there is none.
pub fn wait_any(options: usize) -> Option<Ended> {
    const CLD_EXITED: i32 = 1;
    const CLD_DUMPED: i32 = 3;
    // siginfo_t: signo, errno, code, padding, pid, uid, status.
    let mut info = [0_i32; 32];
    let info_at = &raw mut info as usize;
    // SAFETY: `info` has the 128 bytes of siginfo_t.
    let result = unsafe { syscall(numbers::WAITID, [P_ALL, 0, info_at, options, 0, 0]) };
    let [_, _, code, _, pid, _, status, ..] = info;
    if result < 0 || pid == 0 {
        return None;
    }
    let status = match code {
        CLD_EXITED => (status & 0xff) << 8,
        CLD_DUMPED => status | 0x80,
        _ => status,
    };
    Some(Ended { pid, status })
}
