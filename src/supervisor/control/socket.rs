//! The socket's place in the file system.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};

use crate::supervisor::error::{Error, Result};
use crate::sys::SyscallError;

/// The socket of the pod with this folder below the root.
#[must_use]
pub fn path(pod_run: &Path) -> PathBuf {
    pod_run.join("control.sock")
}

/// A listening socket at [`path`], in place of an older one. It exists before
/// there is a shim: whoever connects waits until there is.
///
/// # Errors
/// [`Error::Socket`].
pub fn listener(pod_run: &Path) -> Result<OwnedFd> {
    let failed = |cause| Error::Socket { verb: "listen on", path: path(pod_run), cause };
    match fs::remove_file(path(pod_run)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(failed(SyscallError::from_io("unlink", "", &e)));
        }
        _ => {}
    }
    let socket = new_socket().map_err(failed)?;
    with_address(pod_run, |address| {
        bind(socket.as_raw_fd(), address).map_err(|errno| SyscallError::new("bind", "", errno))
    })
    .map_err(failed)?;
    let backlog = Backlog::new(128).unwrap_or(Backlog::MAXALLOWABLE);
    listen(&socket, backlog).map_err(|errno| failed(SyscallError::new("listen", "", errno)))?;
    Ok(socket)
}

/// A connection to the pod's shim; `None` when nobody listens: no shim runs,
/// and none is being started.
///
/// # Errors
/// [`Error::Socket`].
pub fn connection(pod_run: &Path) -> Result<Option<OwnedFd>> {
    let failed = |cause| Error::Socket { verb: "connect to", path: path(pod_run), cause };
    let socket = new_socket().map_err(failed)?;
    let result = with_address(pod_run, |address| {
        connect(socket.as_raw_fd(), address)
            .map_err(|errno| SyscallError::new("connect", "", errno))
    });
    match result {
        Ok(()) => Ok(Some(socket)),
        Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ECONNREFUSED) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn new_socket() -> std::result::Result<OwnedFd, SyscallError> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
        .map_err(|errno| SyscallError::new("socket", "SEQPACKET", errno))
}

/// The address holds 107 bytes; a folder with a longer path is reached through
/// its descriptor.
fn with_address(
    pod_run: &Path,
    call: impl FnOnce(&UnixAddr) -> std::result::Result<(), SyscallError>,
) -> std::result::Result<(), SyscallError> {
    let plain = path(pod_run);
    if let Ok(address) = UnixAddr::new(&plain) {
        return call(&address);
    }
    let dir = File::open(pod_run)
        .map_err(|e| SyscallError::from_io("open", pod_run.display().to_string(), &e))?;
    let short = path(Path::new(&format!("/proc/self/fd/{}", dir.as_raw_fd())));
    let address =
        UnixAddr::new(&short).map_err(|errno| SyscallError::new("sockaddr", "", errno))?;
    call(&address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_longer_than_a_socket_address_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(120));
        for pod_run in [dir.path(), &long] {
            fs::create_dir_all(pod_run).unwrap();
            assert!(connection(pod_run).unwrap().is_none(), "nobody listens");
            let first = listener(pod_run).unwrap();
            assert!(connection(pod_run).unwrap().is_some());
            drop(first);
            assert!(connection(pod_run).unwrap().is_none(), "the socket file is stale");
            let _second = listener(pod_run).unwrap();
            assert!(connection(pod_run).unwrap().is_some());
        }
    }
}
