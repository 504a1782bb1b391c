//! `bpf(2)`, as far as cgroup device programs need it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::SyscallError;
use super::error::cerr;

/// One instruction of eBPF (`struct bpf_insn`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    pub code: u8,
    /// Destination in the low four bits, source in the high four.
    pub registers: u8,
    pub offset: i16,
    pub immediate: i32,
}

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;

const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_TYPE_CGROUP_DEVICE: u32 = 6;
const F_ALLOW_MULTI: u32 = 2;
/// Linux 5.6.
const F_REPLACE: u32 = 4;

/// The verifier's report is only wanted when a program is refused.
const LOG_BYTES: usize = 4096;

/// The most programs that one cgroup can have (`BPF_CGROUP_MAX_PROGS`).
const MAX_PROGRAMS: usize = 64;

#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct GetFdAttr {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// Loads a program of type `BPF_PROG_TYPE_CGROUP_DEVICE`.
///
/// # Errors
/// EINVAL or EACCES with the verifier's report, EPERM without `CAP_BPF`.
pub fn load_device_program(program: &[Instruction]) -> Result<OwnedFd, SyscallError> {
    match load(program, &mut []) {
        Err(error) if matches!(error.errno, Errno::EINVAL | Errno::EACCES) => {
            load(program, &mut [0_u8; LOG_BYTES])
        }
        done => done,
    }
}

fn load(program: &[Instruction], log: &mut [u8]) -> Result<OwnedFd, SyscallError> {
    let attr = LoadAttr {
        prog_type: PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).unwrap_or(u32::MAX),
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: u32::try_from(log.len()).unwrap_or(0),
        log_buf: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        prog_name: *b"podrt_devices\0\0\0",
        ..LoadAttr::default()
    };
    // SAFETY: instructions, licence and log are alive until the call returns,
    // and their lengths in `attr` are their own.
    let fd = unsafe { bpf(PROG_LOAD, &attr) };
    let fd = cerr(fd, "bpf", || {
        let report = String::from_utf8_lossy(log);
        let report = report.trim_matches('\0').trim().lines().last().unwrap_or_default();
        format!("BPF_PROG_LOAD, {} instructions {report}", program.len())
    })?;
    Ok(owned(fd))
}

/// Makes `program` the only device program of the cgroup2 folder `cgroup`. One
/// program that was there is exchanged in one step; where there were several,
/// the new one rules beside them until they are detached.
///
/// # Errors
/// EPERM where a parent's program may not be added to.
pub fn set_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
) -> Result<(), SyscallError> {
    let old: Vec<OwnedFd> =
        device_programs(cgroup)?.into_iter().map(program_by_id).collect::<Result<_, _>>()?;
    if let [only] = old.as_slice() {
        match attach(cgroup, program, F_ALLOW_MULTI | F_REPLACE, Some(only.as_fd())) {
            // A program attached without BPF_F_ALLOW_MULTI by someone else.
            Err(error) if error.errno == Errno::EINVAL || error.errno == Errno::EPERM => {}
            done => return done,
        }
    }
    attach(cgroup, program, F_ALLOW_MULTI, None)?;
    old.iter().try_for_each(|program| detach(cgroup, program.as_fd()))
}

/// Ids of the device programs attached to this very cgroup.
///
/// # Errors
/// EBADF, EINVAL when `cgroup` is no cgroup2 folder.
pub fn device_programs(cgroup: BorrowedFd<'_>) -> Result<Vec<u32>, SyscallError> {
    let mut ids = [0_u32; MAX_PROGRAMS];
    let mut attr = QueryAttr {
        target_fd: raw(cgroup),
        attach_type: ATTACH_TYPE_CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: 64,
        ..QueryAttr::default()
    };
    // SAFETY: the kernel writes at most `prog_cnt` ids, which `ids` has room
    // for, and the count back into `attr`; both outlive the call.
    let done =
        unsafe { libc::syscall(libc::SYS_bpf, PROG_QUERY, &raw mut attr, size_of::<QueryAttr>()) };
    cerr(done, "bpf", || "BPF_PROG_QUERY".to_owned())?;
    let count = usize::try_from(attr.prog_cnt).unwrap_or(0).min(MAX_PROGRAMS);
    Ok(ids[..count].to_vec())
}

/// Takes every device program off a cgroup that is not ours to replace.
///
/// # Errors
/// `bpf`.
pub fn clear_device_programs(cgroup: BorrowedFd<'_>) -> Result<(), SyscallError> {
    for id in device_programs(cgroup)? {
        detach(cgroup, program_by_id(id)?.as_fd())?;
    }
    Ok(())
}

fn program_by_id(id: u32) -> Result<OwnedFd, SyscallError> {
    let attr = GetFdAttr { prog_id: id, ..GetFdAttr::default() };
    // SAFETY: `attr` has no pointers and outlives the call.
    let fd = unsafe { bpf(PROG_GET_FD_BY_ID, &attr) };
    cerr(fd, "bpf", || format!("BPF_PROG_GET_FD_BY_ID, {id}")).map(owned)
}

fn attach(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    flags: u32,
    replaced: Option<BorrowedFd<'_>>,
) -> Result<(), SyscallError> {
    let attr = AttachAttr {
        target_fd: raw(cgroup),
        attach_bpf_fd: raw(program),
        attach_type: ATTACH_TYPE_CGROUP_DEVICE,
        attach_flags: flags,
        replace_bpf_fd: replaced.map_or(0, raw),
    };
    // SAFETY: `attr` has no pointers and outlives the call.
    let done = unsafe { bpf(PROG_ATTACH, &attr) };
    cerr(done, "bpf", || format!("BPF_PROG_ATTACH, flags {flags:#x}")).map(drop)
}

fn detach(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), SyscallError> {
    let attr = AttachAttr {
        target_fd: raw(cgroup),
        attach_bpf_fd: raw(program),
        attach_type: ATTACH_TYPE_CGROUP_DEVICE,
        ..AttachAttr::default()
    };
    // SAFETY: `attr` has no pointers and outlives the call.
    let done = unsafe { bpf(PROG_DETACH, &attr) };
    cerr(done, "bpf", || "BPF_PROG_DETACH".to_owned()).map(drop)
}

/// # Safety
/// `T` must be the kernel's layout for `command`, and pointers in it must be
/// valid for the lengths beside them until the call returns.
unsafe fn bpf<T>(command: libc::c_int, attr: &T) -> libc::c_long {
    // SAFETY: the caller keeps what `attr` points to; its size is its own.
    unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attr), size_of::<T>()) }
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

fn owned(fd: libc::c_long) -> OwnedFd {
    let raw = libc::c_int::try_from(fd).expect("the kernel returns fds that fit an int");
    // SAFETY: the kernel just made this fd for the caller; nobody else has it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}
