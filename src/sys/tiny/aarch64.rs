//! System call numbers of aarch64 (include/uapi/asm-generic/unistd.h).

pub const DUP3: usize = 24;
pub const FCNTL: usize = 25;
pub const FTRUNCATE: usize = 46;
pub const OPENAT: usize = 56;
pub const CLOSE: usize = 57;
pub const READ: usize = 63;
pub const WRITE: usize = 64;
pub const PREAD64: usize = 67;
pub const PWRITE64: usize = 68;
pub const PPOLL: usize = 73;
pub const SIGNALFD4: usize = 74;
pub const EXIT_GROUP: usize = 94;
pub const WAITID: usize = 95;
pub const CLOCK_GETTIME: usize = 113;
pub const RT_SIGACTION: usize = 134;
pub const RT_SIGPROCMASK: usize = 135;
pub const RT_SIGTIMEDWAIT: usize = 137;
pub const SETSID: usize = 157;
pub const PRCTL: usize = 167;
pub const SOCKETPAIR: usize = 199;
pub const SENDTO: usize = 206;
pub const RECVMSG: usize = 212;
pub const CLONE: usize = 220;
pub const PRLIMIT64: usize = 261;
pub const EXECVEAT: usize = 281;
