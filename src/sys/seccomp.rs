//! `seccomp(2)`: a filter for good on the calling thread.

use std::os::fd::{FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::error::SyscallError;

/// Flags of `SECCOMP_SET_MODE_FILTER`, `linux/seccomp.h`.
pub mod flag {
    /// All threads of the process get the filter (Linux 3.17).
    pub const TSYNC: u32 = 1 << 0;
    /// Actions other than allow are logged (Linux 4.14).
    pub const LOG: u32 = 1 << 1;
    /// No mitigation of Speculative Store Bypass for this thread (Linux 4.17).
    pub const SPEC_ALLOW: u32 = 1 << 2;
    /// A listener for notifications is returned (Linux 5.0).
    pub const NEW_LISTENER: u32 = 1 << 3;
    /// A thread that cannot be synchronised is ESRCH (Linux 5.7); needed for
    /// `TSYNC` with `NEW_LISTENER`, where its id would look like an fd.
    pub const TSYNC_ESRCH: u32 = 1 << 4;
    /// Only fatal signals interrupt a call whose notification was received
    /// (Linux 5.19); needs `NEW_LISTENER`.
    pub const WAIT_KILLABLE_RECV: u32 = 1 << 5;
}

const SET_MODE_FILTER: libc::c_uint = 1;

/// Installs `program`; with [`flag::NEW_LISTENER`] the listener is returned,
/// close-on-exec. Allocates nothing unless it fails.
///
/// # Errors
/// EACCES without `no_new_privs` and without `CAP_SYS_ADMIN`, EINVAL for a
/// program the kernel refuses or flags it does not know, EBUSY when there is a
/// listener already, ESRCH when a thread cannot be synchronised.
pub fn set_filter(
    program: &[libc::sock_filter],
    flags: u32,
) -> Result<Option<OwnedFd>, SyscallError> {
    let flags = if flags & flag::TSYNC == 0 { flags } else { flags | flag::TSYNC_ESRCH };
    let failed = |errno| {
        let args = format!("SET_MODE_FILTER, {flags:#x}, {} instructions", program.len());
        SyscallError::new("seccomp", args, errno)
    };
    // The kernel takes at most 4096 instructions.
    let len = u16::try_from(program.len()).map_err(|_| failed(Errno::EINVAL))?;
    let fprog = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: `fprog` describes `program`, which the kernel only reads and
    // copies, and both outlive the call.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const fprog) };
    if result < 0 {
        return Err(failed(Errno::last()));
    }
    if flags & flag::NEW_LISTENER == 0 {
        return Ok(None);
    }
    // An fd fits an int.
    #[expect(clippy::cast_possible_truncation)]
    let raw = result as i32;
    // SAFETY: with this flag the result is a new descriptor nobody else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(raw) }))
}

#[cfg(test)]
mod tests {
    use std::mem::zeroed;
    use std::os::fd::AsRawFd;
    use std::sync::mpsc::channel;

    use super::*;

    const ALLOW: libc::sock_filter = ret(libc::SECCOMP_RET_ALLOW);

    const fn ret(value: u32) -> libc::sock_filter {
        libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: value }
    }

    fn notify_on_getppid() -> [libc::sock_filter; 4] {
        let nr = u32::try_from(libc::SYS_getppid).unwrap();
        [
            libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 },
            libc::sock_filter { code: 0x15, jt: 0, jf: 1, k: nr },
            ret(libc::SECCOMP_RET_USER_NOTIF),
            ALLOW,
        ]
    }

    /// Answers one call with `value`; true when it was getppid.
    fn answer(listener: &OwnedFd, value: i64) -> bool {
        // SECCOMP_IOCTL_NOTIF_RECV and _SEND of linux/seccomp.h.
        const RECV: libc::Ioctl = 0xc050_2100_u32 as libc::Ioctl;
        const SEND: libc::Ioctl = 0xc018_2101_u32 as libc::Ioctl;
        // SAFETY: the structs are plain data of the sizes that the request
        // codes name (80 and 24 bytes); the kernel wants them zeroed.
        unsafe {
            let mut call: libc::seccomp_notif = zeroed();
            assert_eq!(libc::ioctl(listener.as_raw_fd(), RECV, &raw mut call), 0);
            let mut reply: libc::seccomp_notif_resp = zeroed();
            (reply.id, reply.val) = (call.id, value);
            assert_eq!(libc::ioctl(listener.as_raw_fd(), SEND, &raw mut reply), 0);
            i64::from(call.data.nr) == libc::SYS_getppid
        }
    }

    #[test]
    fn a_listener_answers_for_the_kernel() {
        let (send, receive) = channel();
        // A filter is the thread's own.
        let caller = std::thread::spawn(move || {
            let flags = flag::NEW_LISTENER | flag::WAIT_KILLABLE_RECV | flag::LOG;
            send.send(set_filter(&notify_on_getppid(), flags).unwrap().unwrap()).unwrap();
            nix::unistd::getppid().as_raw()
        });
        let listener = receive.recv().unwrap();
        assert!(answer(&listener, 4242));
        assert_eq!(caller.join().unwrap(), 4242);
    }

    #[test]
    fn the_kernels_refusal_is_told() {
        let text = set_filter(&[], 0).unwrap_err().to_string();
        assert_eq!(text, "seccomp(SET_MODE_FILTER, 0x0, 0 instructions): invalid argument");
        assert!(set_filter(&[ALLOW], flag::WAIT_KILLABLE_RECV).is_err());
    }
}
