//! Network interfaces by ioctl, where netlink would be too much: netdevice(7).

use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::SyscallError;
use super::error::cerr;

/// Brings `lo` of this network namespace up.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN over the namespace.
pub fn loopback_up() -> Result<(), SyscallError> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)
        .map_err(|errno| SyscallError::new("socket", "AF_UNIX", errno))?;
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    // An interface that just came with its namespace has no other flag that
    // could be lost.
    #[expect(clippy::cast_possible_truncation)]
    let up = (libc::IFF_UP | libc::IFF_RUNNING | libc::IFF_LOOPBACK) as i16;
    request.ifr_ifru.ifru_flags = up;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which outlives the call.
    // The request's type differs between C libraries; its value fits both.
    #[expect(clippy::cast_possible_truncation)]
    let done =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    cerr(done.into(), "ioctl", || "SIOCSIFFLAGS, \"lo\"".to_owned()).map(drop)
}
