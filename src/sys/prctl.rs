//! Attributes of the calling process: prctl(2), capset(2), rlimits, ids,
//! keyrings, priorities.

use nix::errno::Errno;
use nix::unistd::{Gid, Pid, Uid};

use super::SyscallError;
use super::error::cerr;
use crate::model::Signal;

fn prctl(
    option: libc::c_int,
    args: [libc::c_ulong; 4],
    name: &'static str,
) -> Result<libc::c_long, SyscallError> {
    // SAFETY: every option used in this file takes integers only.
    let result = unsafe { libc::prctl(option, args[0], args[1], args[2], args[3]) };
    cerr(result.into(), "prctl", || format!("{name}, {}", args[0]))
}

/// Sets whether this process can be traced and dumped, and who owns its /proc
/// files. False keeps a container's processes off it.
///
/// # Errors
/// The errno of prctl(2).
pub fn set_dumpable(dumpable: bool) -> Result<(), SyscallError> {
    prctl(libc::PR_SET_DUMPABLE, [dumpable.into(), 0, 0, 0], "PR_SET_DUMPABLE").map(drop)
}

/// No later exec can raise privileges, irrevocably.
///
/// # Errors
/// The errno of prctl(2).
pub fn set_no_new_privs() -> Result<(), SyscallError> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, [1, 0, 0, 0], "PR_SET_NO_NEW_PRIVS").map(drop)
}

/// Orphaned descendants become children of this process.
///
/// # Errors
/// The errno of prctl(2).
pub fn set_child_subreaper(on: bool) -> Result<(), SyscallError> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, [on.into(), 0, 0, 0], "PR_SET_CHILD_SUBREAPER").map(drop)
}

/// The signal this process gets when its parent's thread ends; `None` clears.
///
/// # Errors
/// The errno of prctl(2).
pub fn set_parent_death_signal(signal: Option<Signal>) -> Result<(), SyscallError> {
    let number = signal.map_or(0, |signal| u64::from(signal.number().unsigned_abs()));
    prctl(libc::PR_SET_PDEATHSIG, [number, 0, 0, 0], "PR_SET_PDEATHSIG").map(drop)
}

/// Keeps the permitted capabilities over the next change of user.
///
/// # Errors
/// The errno of prctl(2).
pub fn set_keep_capabilities(keep: bool) -> Result<(), SyscallError> {
    prctl(libc::PR_SET_KEEPCAPS, [keep.into(), 0, 0, 0], "PR_SET_KEEPCAPS").map(drop)
}

/// Capabilities as bits: bit `n` is the capability numbered `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapabilitySets {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// The halves of a 64-bit set, low one first, as capset(2) wants them.
#[expect(clippy::cast_possible_truncation)]
fn halves(set: u64) -> [u32; 2] {
    [set as u32, (set >> 32) as u32]
}

/// Sets this process's capabilities (capset(2)).
///
/// # Errors
/// EPERM when a set grows beyond what the process may have.
pub fn set_capabilities(sets: CapabilitySets) -> Result<(), SyscallError> {
    let header = CapHeader { version: LINUX_CAPABILITY_VERSION_3, pid: 0 };
    let (e, p, i) = (halves(sets.effective), halves(sets.permitted), halves(sets.inheritable));
    let data = [0, 1].map(|n| CapData { effective: e[n], permitted: p[n], inheritable: i[n] });
    // SAFETY: version 3 reads one header and two data elements, laid out as in
    // linux/capability.h; all outlive the call.
    let result =
        unsafe { libc::syscall(libc::SYS_capset, std::ptr::from_ref(&header), data.as_ptr()) };
    cerr(result, "capset", || format!("{sets:x?}")).map(drop)
}

/// This process's capabilities (capget(2)).
///
/// # Errors
/// The errno of capget(2).
pub fn capabilities() -> Result<CapabilitySets, SyscallError> {
    let mut header = CapHeader { version: LINUX_CAPABILITY_VERSION_3, pid: 0 };
    let mut data = [CapData::default(); 2];
    // SAFETY: as in `set_capabilities`; version 3 writes two elements.
    let result = unsafe {
        libc::syscall(libc::SYS_capget, std::ptr::from_mut(&mut header), data.as_mut_ptr())
    };
    cerr(result, "capget", String::new)?;
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok(CapabilitySets {
        effective: join(data[0].effective, data[1].effective),
        permitted: join(data[0].permitted, data[1].permitted),
        inheritable: join(data[0].inheritable, data[1].inheritable),
    })
}

/// True if `capability` is in the bounding set; `None` if the kernel does not
/// know it.
#[must_use]
pub fn bounding_contains(capability: u8) -> Option<bool> {
    prctl(libc::PR_CAPBSET_READ, [capability.into(), 0, 0, 0], "PR_CAPBSET_READ")
        .ok()
        .map(|present| present == 1)
}

/// Drops every capability from the bounding set that `keep` lacks.
///
/// # Errors
/// EPERM without CAP_SETPCAP.
pub fn limit_bounding(keep: u64) -> Result<(), SyscallError> {
    for capability in 0..64_u8 {
        match bounding_contains(capability) {
            None => break,
            Some(true) if keep & (1 << capability) == 0 => {
                prctl(libc::PR_CAPBSET_DROP, [capability.into(), 0, 0, 0], "PR_CAPBSET_DROP")?;
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Makes `set` the ambient set; its capabilities must be permitted and
/// inheritable.
///
/// # Errors
/// EPERM for one that is not.
pub fn set_ambient(set: u64) -> Result<(), SyscallError> {
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL.unsigned_abs().into();
    let raise = libc::PR_CAP_AMBIENT_RAISE.unsigned_abs().into();
    prctl(libc::PR_CAP_AMBIENT, [clear, 0, 0, 0], "PR_CAP_AMBIENT_CLEAR_ALL")?;
    for capability in (0..64_u64).filter(|n| set & (1 << n) != 0) {
        prctl(libc::PR_CAP_AMBIENT, [raise, capability, 0, 0], "PR_CAP_AMBIENT_RAISE")?;
    }
    Ok(())
}

/// Becomes `uid` and `gid` (real, effective, saved) with exactly these
/// supplementary groups, and checks that the kernel agrees. By system call, for
/// this thread only: the process has no other.
///
/// # Errors
/// EPERM without privilege or, as a check's result, when an id did not stick.
pub fn become_user(uid: Uid, gid: Gid, groups: &[Gid]) -> Result<(), SyscallError> {
    set_groups(groups)?;
    nix::unistd::setresgid(gid, gid, gid)
        .map_err(|errno| SyscallError::new("setresgid", gid.to_string(), errno))?;
    nix::unistd::setresuid(uid, uid, uid)
        .map_err(|errno| SyscallError::new("setresuid", uid.to_string(), errno))?;
    let uids =
        nix::unistd::getresuid().map_err(|errno| SyscallError::new("getresuid", "", errno))?;
    let gids =
        nix::unistd::getresgid().map_err(|errno| SyscallError::new("getresgid", "", errno))?;
    let uid_holds = [uids.real, uids.effective, uids.saved].iter().all(|have| *have == uid);
    let gid_holds = [gids.real, gids.effective, gids.saved].iter().all(|have| *have == gid);
    if uid_holds && gid_holds {
        Ok(())
    } else {
        Err(SyscallError::new("getresuid", format!("not {uid}:{gid}"), Errno::EPERM))
    }
}

/// Replaces the supplementary groups and reads them back. Where the user
/// namespace denies setgroups(2), an empty wish is left alone.
fn set_groups(groups: &[Gid]) -> Result<(), SyscallError> {
    match nix::unistd::setgroups(groups) {
        Err(Errno::EPERM) if groups.is_empty() && setgroups_denied() => return Ok(()),
        result => {
            result.map_err(|errno| SyscallError::new("setgroups", format!("{groups:?}"), errno))?;
        }
    }
    let mut have =
        nix::unistd::getgroups().map_err(|errno| SyscallError::new("getgroups", "", errno))?;
    let mut want = groups.to_vec();
    have.sort_unstable_by_key(|gid| gid.as_raw());
    want.sort_unstable_by_key(|gid| gid.as_raw());
    if have == want {
        Ok(())
    } else {
        Err(SyscallError::new("getgroups", format!("{have:?}, not {want:?}"), Errno::EPERM))
    }
}

/// By the namespace's own word or, where /proc does not show this process (it
/// has joined a container, but not its pid namespace yet), because nothing else
/// can refuse a process that holds CAP_SETGID.
fn setgroups_denied() -> bool {
    const CAP_SETGID: u64 = 1 << 6;
    if capabilities().is_ok_and(|sets| sets.effective & CAP_SETGID != 0) {
        return true;
    }
    std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny")
}

/// A resource of setrlimit(2), by its number on x86_64 and aarch64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    /// `RLIMIT_*`.
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

/// Sets one limit of this process.
///
/// # Errors
/// EPERM for a raised hard limit without CAP_SYS_RESOURCE.
pub fn set_rlimit(limit: Rlimit) -> Result<(), SyscallError> {
    set_rlimit_of(Pid::from_raw(0), limit)
}

/// Sets one limit of another process: a child that has not been reaped.
///
/// # Errors
/// As [`set_rlimit`].
pub fn set_rlimit_of(pid: Pid, limit: Rlimit) -> Result<(), SyscallError> {
    let raw = libc::rlimit64 { rlim_cur: limit.soft, rlim_max: limit.hard };
    // SAFETY: `raw` is a valid rlimit64 that outlives the call; the old value
    // is not asked for.
    let result = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            pid.as_raw(),
            limit.resource,
            std::ptr::from_ref(&raw),
            std::ptr::null_mut::<libc::rlimit64>(),
        )
    };
    let args = || format!("{}, {}, {}", limit.resource, limit.soft, limit.hard);
    cerr(result, "setrlimit", args).map(drop)
}

/// This process's (soft, hard) limit of a resource.
///
/// # Errors
/// EINVAL for an unknown resource.
pub fn rlimit(resource: u32) -> Result<(u64, u64), SyscallError> {
    let mut raw = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `raw` outlives the call; nothing is set.
    let result = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            0,
            resource,
            std::ptr::null::<libc::rlimit64>(),
            std::ptr::from_mut(&mut raw),
        )
    };
    cerr(result, "getrlimit", || resource.to_string())?;
    Ok((raw.rlim_cur, raw.rlim_max))
}

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
const KEYCTL_SETPERM: libc::c_int = 5;
const KEYCTL_DESCRIBE: libc::c_int = 6;

/// Joins a new session keyring of that name: the host's keys are out of reach.
/// Returns its serial.
///
/// # Errors
/// ENOSYS without keyrings, EDQUOT when the user has too many.
pub fn join_session_keyring(name: &std::ffi::CStr) -> Result<i32, SyscallError> {
    // SAFETY: the name is NUL-terminated and outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    let serial = cerr(result, "keyctl", || format!("JOIN_SESSION_KEYRING, {name:?}"))?;
    #[expect(clippy::cast_possible_truncation)]
    Ok(serial as i32)
}

/// Gives the keyring's user full use of it (view, read, write, search, link,
/// setattr), which the possessor alone has after the creation.
///
/// # Errors
/// The errno of keyctl(2); EINVAL for a description of another form.
pub fn open_keyring_to_user(serial: i32) -> Result<(), SyscallError> {
    let mut text = [0_u8; 1024];
    // SAFETY: the buffer and its length belong together and outlive the call.
    let length = unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_DESCRIBE, serial, text.as_mut_ptr(), text.len())
    };
    let length = cerr(length, "keyctl", || format!("DESCRIBE, {serial}"))?;
    let described = usize::try_from(length).ok().and_then(|length| text.get(..length));
    let permissions = described
        .and_then(|text| std::str::from_utf8(text).ok())
        .and_then(|text| text.split(';').nth(3))
        .and_then(|field| u32::from_str_radix(field, 16).ok())
        .ok_or_else(|| SyscallError::new("keyctl", "DESCRIBE", Errno::EINVAL))?;
    // Bits 16..22 are the user's; 0x3f is all of them.
    let opened = permissions | 0x003f_0000;
    // SAFETY: integer arguments only.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, serial, opened) };
    cerr(result, "keyctl", || format!("SETPERM, {serial}")).map(drop)
}

/// Sets the I/O priority of this process (ioprio_set(2)): class 1 to 3, level
/// 0 to 7.
///
/// # Errors
/// EPERM without privilege for the real-time class.
pub fn set_io_priority(class: u8, level: u8) -> Result<(), SyscallError> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    let value = u32::from(class) << 13 | u32::from(level);
    // SAFETY: integer arguments only.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) };
    cerr(result, "ioprio_set", || format!("{class}, {level}")).map(drop)
}

/// `struct sched_attr` of sched_setattr(2), its first version (48 bytes).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchedAttr {
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    /// Nanoseconds.
    pub runtime: u64,
    /// Nanoseconds.
    pub deadline: u64,
    /// Nanoseconds.
    pub period: u64,
}

/// Sets the scheduling policy of this process.
///
/// # Errors
/// The errno of sched_setattr(2).
pub fn set_scheduler(attr: SchedAttr) -> Result<(), SyscallError> {
    let attr = SchedAttr { size: 48, ..attr };
    // SAFETY: `attr` has the layout and the size it states, and outlives the
    // call.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, std::ptr::from_ref(&attr), 0) };
    cerr(result, "sched_setattr", || format!("{attr:?}")).map(drop)
}

/// Sets the execution domain (personality(2)).
///
/// # Errors
/// The errno of personality(2).
pub fn set_personality(persona: u64) -> Result<(), SyscallError> {
    // SAFETY: an integer argument only.
    let result = unsafe { libc::syscall(libc::SYS_personality, persona) };
    cerr(result, "personality", || format!("{persona:#x}")).map(drop)
}

/// The NIS domain name of this uts namespace.
///
/// # Errors
/// EPERM without privilege, EINVAL for a name of more than 64 bytes.
pub fn set_domainname(name: &str) -> Result<(), SyscallError> {
    // SAFETY: pointer and length belong to `name`.
    let result = unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) };
    cerr(result.into(), "setdomainname", || format!("{name:?}")).map(drop)
}

/// Gives SIGCHLD its default action: where a caller ignored it, the kernel
/// would reap our children before we can ask for their status.
pub fn default_sigchld() {
    // SAFETY: SIG_DFL is a valid action for a valid signal.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
}

/// Unblocks every signal and gives every one its default action: what the
/// caller of podrt ignored or blocked is no business of the container.
pub fn reset_signals() {
    for number in 1..=64 {
        // SAFETY: a null-mask SIG_DFL action; KILL, STOP and the two signals
        // of the C library refuse with EINVAL, which changes nothing.
        unsafe {
            libc::signal(number, libc::SIG_DFL);
        }
    }
    // An empty set is always a valid mask.
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
}
