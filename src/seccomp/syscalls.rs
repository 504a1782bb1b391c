//! Names of system calls and the ABIs they are called through.

use oci_spec::runtime::Arch;

use super::syscall_table::{NO, TABLE};

/// A way to call the kernel, with its own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abi {
    X86_64,
    /// x86_64 with 32-bit pointers: the same audit architecture, numbers with
    /// [`X32_BIT`].
    X32,
    I386,
    Aarch64,
}

/// `__X32_SYSCALL_BIT`.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// What seccomp calls the architecture of this program's own calls.
pub(super) const NATIVE: Abi =
    if cfg!(target_arch = "aarch64") { Abi::Aarch64 } else { Abi::X86_64 };

impl Abi {
    /// The ABI a profile means; `None` for those that this machine's kernel
    /// never shows to a filter, and for 32-bit ARM, whose calls stay refused.
    pub fn of(arch: Arch) -> Option<Self> {
        let abi = match arch {
            Arch::ScmpArchNative => NATIVE,
            Arch::ScmpArchX86_64 => Self::X86_64,
            Arch::ScmpArchX32 => Self::X32,
            Arch::ScmpArchX86 => Self::I386,
            Arch::ScmpArchAarch64 => Self::Aarch64,
            _ => return None,
        };
        ((abi == Self::Aarch64) == (NATIVE == Self::Aarch64)).then_some(abi)
    }

    /// `AUDIT_ARCH_*` of `linux/audit.h`.
    pub const fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
        }
    }

    /// True where arguments are 32 bits wide.
    pub const fn is_32_bit(self) -> bool {
        matches!(self, Self::X32 | Self::I386)
    }

    const fn column(self) -> usize {
        match self {
            Self::X86_64 => 0,
            Self::X32 => 1,
            Self::I386 => 2,
            Self::Aarch64 => 3,
        }
    }
}

/// One system call in all ABIs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Syscall([u16; 4]);

impl Syscall {
    pub fn by_name(name: &str) -> Option<Self> {
        let at = TABLE.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
        Some(Self(TABLE[at].1))
    }

    /// The number, without the x32 bit.
    pub fn number(self, abi: Abi) -> Option<u16> {
        Some(self.0[abi.column()]).filter(|number| *number != NO)
    }
}

/// i386 also has a call that stands for all of sockets, and one for System V
/// IPC: which of them, and its first argument, that does what `name` does.
pub(super) fn multiplexed(name: &str) -> Option<(&'static str, u64)> {
    // SYS_* of linux/net.h.
    let socket = match name {
        "socket" => 1,
        "bind" => 2,
        "connect" => 3,
        "listen" => 4,
        "accept" => 5,
        "getsockname" => 6,
        "getpeername" => 7,
        "socketpair" => 8,
        "send" => 9,
        "recv" => 10,
        "sendto" => 11,
        "recvfrom" => 12,
        "shutdown" => 13,
        "setsockopt" => 14,
        "getsockopt" => 15,
        "sendmsg" => 16,
        "recvmsg" => 17,
        "accept4" => 18,
        "recvmmsg" => 19,
        "sendmmsg" => 20,
        _ => 0,
    };
    // linux/ipc.h.
    let ipc = match name {
        "semop" => 1,
        "semget" => 2,
        "semctl" => 3,
        "semtimedop" => 4,
        "msgsnd" => 11,
        "msgrcv" => 12,
        "msgget" => 13,
        "msgctl" => 14,
        "shmat" => 21,
        "shmdt" => 22,
        "shmget" => 23,
        "shmctl" => 24,
        _ => 0,
    };
    match (socket, ipc) {
        (0, 0) => None,
        (0, call) => Some(("ipc", call)),
        (call, _) => Some(("socketcall", call)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_no_number_twice() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for abi in [Abi::X86_64, Abi::X32, Abi::I386, Abi::Aarch64] {
            let mut numbers: Vec<u16> =
                TABLE.iter().filter_map(|(_, row)| Syscall(*row).number(abi)).collect();
            let all = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), all, "{abi:?}");
        }
    }

    #[test]
    fn the_numbers_are_the_c_librarys() {
        let native = [
            ("read", libc::SYS_read),
            ("clone3", libc::SYS_clone3),
            ("openat2", libc::SYS_openat2),
            ("seccomp", libc::SYS_seccomp),
            ("umount2", libc::SYS_umount2),
            ("mount_setattr", libc::SYS_mount_setattr),
            ("exit_group", libc::SYS_exit_group),
        ];
        for (name, number) in native {
            let known = Syscall::by_name(name).and_then(|call| call.number(NATIVE));
            assert_eq!(known.map(i64::from), Some(number), "{name}");
        }
        assert!(Syscall::by_name("no_such_call").is_none());
    }

    #[test]
    fn sockets_and_ipc_have_two_ways_in() {
        assert_eq!(multiplexed("socket"), Some(("socketcall", 1)));
        assert_eq!(multiplexed("sendmmsg"), Some(("socketcall", 20)));
        assert_eq!(multiplexed("shmctl"), Some(("ipc", 24)));
        assert_eq!(multiplexed("read"), None);
    }
}
