//! System call numbers of x86_64 (arch/x86/entry/syscalls/syscall_64.tbl).

pub const READ: usize = 0;
pub const WRITE: usize = 1;
pub const CLOSE: usize = 3;
pub const RT_SIGACTION: usize = 13;
pub const RT_SIGPROCMASK: usize = 14;
pub const PREAD64: usize = 17;
pub const PWRITE64: usize = 18;
pub const SENDTO: usize = 44;
pub const RECVMSG: usize = 47;
pub const SOCKETPAIR: usize = 53;
pub const CLONE: usize = 56;
pub const FCNTL: usize = 72;
pub const FTRUNCATE: usize = 77;
pub const SETSID: usize = 112;
pub const RT_SIGTIMEDWAIT: usize = 128;
pub const PRCTL: usize = 157;
pub const CLOCK_GETTIME: usize = 228;
pub const EXIT_GROUP: usize = 231;
pub const WAITID: usize = 247;
pub const OPENAT: usize = 257;
pub const PPOLL: usize = 271;
pub const SIGNALFD4: usize = 289;
pub const DUP3: usize = 292;
pub const PRLIMIT64: usize = 302;
pub const EXECVEAT: usize = 322;
