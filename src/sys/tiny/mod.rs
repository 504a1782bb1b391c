//! What the programs without a standard library stand on: entry point, raw
//! system calls of the two architectures, memory routines.
//!
//! Compiled by `build.rs` into `pause` and `keeper`, never into the crate.

use core::arch::{asm, global_asm};

pub mod calls;
#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
pub mod numbers;

// The kernel enters with argc, argv and envp on the stack (System V ABI, both
// architectures); `podrt_main` gets that address.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor %ebp, %ebp",
    "mov %rsp, %rdi",
    "and $-16, %rsp",
    "call podrt_main",
    "ud2",
    options(att_syntax)
);
#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "mov x0, sp",
    "and sp, x0, #0xfffffffffffffff0",
    "bl podrt_main",
    "brk #1"
);

/// A system call with up to six arguments; the kernel's negative errno comes
/// back as it is.
///
/// # Safety
/// The arguments must be valid for the call `number`: pointers among them
/// point to memory of the size that the call reads or writes.
#[cfg(target_arch = "x86_64")]
pub unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = args;
    let result: isize;
    // SAFETY: the kernel's calling convention; rcx and r11 are what it
    // clobbers, the memory it writes is the caller's promise.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// As above.
///
/// # Safety
/// As above.
#[cfg(target_arch = "aarch64")]
pub unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = args;
    let result: isize;
    // SAFETY: the kernel's calling convention; it clobbers x0 only, the memory
    // it writes is the caller's promise.
    unsafe {
        asm!("svc #0", in("x8") number, inlateout("x0") a as isize => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f, options(nostack));
    }
    result
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    calls::exit(134)
}

// The compiler may call these for copies and comparisons; `no_builtins` keeps
// it from turning their loops into calls of themselves.

/// `memcpy(3)`.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    let mut at = 0;
    while at < len {
        // SAFETY: `at < len`, and the caller vouches for `len` bytes of both.
        unsafe { *to.add(at) = *from.add(at) };
        at += 1;
    }
    to
}

/// `memmove(3)`.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if (to as usize) <= from as usize {
        // SAFETY: a forward copy is right when the target lies lower.
        return unsafe { memcpy(to, from, len) };
    }
    let mut at = len;
    while at > 0 {
        at -= 1;
        // SAFETY: `at < len`, and the caller vouches for `len` bytes of both.
        unsafe { *to.add(at) = *from.add(at) };
    }
    to
}

/// `memset(3)`.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    let mut at = 0;
    while at < len {
        // SAFETY: `at < len`, and the caller vouches for `len` bytes.
        unsafe { *to.add(at) = byte as u8 };
        at += 1;
    }
    to
}

/// `memcmp(3)`.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    let mut at = 0;
    while at < len {
        // SAFETY: `at < len`, and the caller vouches for `len` bytes of both.
        let (l, r) = unsafe { (*left.add(at), *right.add(at)) };
        if l != r {
            return i32::from(l) - i32::from(r);
        }
        at += 1;
    }
    0
}

/// `bcmp(3)`.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    // SAFETY: the same contract.
    unsafe { memcmp(left, right, len) }
}
