//! TCP connections that are begun without waiting for them.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::SyscallError;
use super::error::cerr;

/// A socket that is on its way to `address` and never blocks: writable once it
/// is connected or has failed, which [`TcpStream::take_error`] tells.
///
/// # Errors
/// The errno of socket(2), or of connect(2) where that fails at once.
pub fn begin_connect(address: SocketAddr) -> Result<TcpStream, SyscallError> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: integer arguments only.
    let socket = unsafe { libc::socket(family, kind, 0) };
    cerr(socket.into(), "socket", || address.to_string())?;
    // SAFETY: a new descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    match connect(&socket, address) {
        Err(error) if error.errno != Errno::EINPROGRESS => Err(error),
        _ => Ok(socket.into()),
    }
}

fn connect(socket: &OwnedFd, address: SocketAddr) -> Result<(), SyscallError> {
    let describe = || address.to_string();
    let result = match address {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                // The constants of address families are small.
                #[expect(clippy::cast_possible_truncation)]
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: `raw` is a whole sockaddr_in that lives through the call,
            // and its true size is told.
            unsafe { connect_raw(socket, &raw) }
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                #[expect(clippy::cast_possible_truncation)]
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above, a sockaddr_in6.
            unsafe { connect_raw(socket, &raw) }
        }
    };
    cerr(result.into(), "connect", describe).map(drop)
}

/// # Safety
/// `A` is one of the C library's socket address structures.
unsafe fn connect_raw<A>(socket: &OwnedFd, address: &A) -> libc::c_int {
    let length = u32::try_from(size_of::<A>()).unwrap_or(0);
    // SAFETY: the caller's promise; the reference is valid for its size.
    unsafe { libc::connect(socket.as_raw_fd(), std::ptr::from_ref(address).cast(), length) }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_connection_comes_up_in_both_families_or_tells_why_not() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else { continue };
            let address = listener.local_addr().unwrap();
            let stream = begin_connect(address).unwrap();
            let (peer, _) = listener.accept().unwrap();
            assert_eq!(stream.peer_addr().unwrap(), address);
            drop(peer);
            stream.set_nonblocking(false).unwrap();
            assert_eq!((&stream).read(&mut [0]).unwrap(), 0);
            drop(listener);
            match begin_connect(address) {
                Err(error) => assert_eq!(error.errno, Errno::ECONNREFUSED),
                Ok(stream) => {
                    let error = stream.take_error().unwrap().unwrap();
                    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
                }
            }
        }
    }
}
