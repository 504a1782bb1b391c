//! Descriptors: passing them over UNIX sockets, sealing the rest off.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};

use super::SyscallError;
use super::error::cerr;

/// As many descriptors as one message may carry (the kernel's SCM_MAX_FD).
pub const MAX_FDS: usize = 253;

/// A connected pair of SOCK_SEQPACKET sockets, close-on-exec: messages keep
/// their borders, and the end of the peer is seen as an empty read.
///
/// # Errors
/// The errno of socketpair(2).
pub fn seqpacket_pair() -> Result<(OwnedFd, OwnedFd), SyscallError> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(|errno| SyscallError::new("socketpair", "SEQPACKET", errno))
}

/// A pipe (read end, write end), close-on-exec.
///
/// # Errors
/// The errno of pipe2(2).
pub fn pipe() -> Result<(OwnedFd, OwnedFd), SyscallError> {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
        .map_err(|errno| SyscallError::new("pipe2", "O_CLOEXEC", errno))
}

/// Sends `bytes` (at least one) and descriptors in one message.
///
/// # Errors
/// The errno of sendmsg(2); EPIPE without a signal when the peer is gone.
pub fn send_with_fds(
    socket: BorrowedFd,
    bytes: &[u8],
    fds: &[BorrowedFd],
) -> Result<(), SyscallError> {
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage] = if raw.is_empty() { &[] } else { &rights };
    let parts = [IoSlice::new(bytes)];
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &parts, control, MsgFlags::MSG_NOSIGNAL, None) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => {
                let args = format!("{} bytes, {} fds", bytes.len(), fds.len());
                return Err(SyscallError::new("sendmsg", args, errno));
            }
        }
    }
}

/// Receives one message: the number of bytes in `buffer` (0: the peer closed)
/// and the descriptors that came along, close-on-exec.
///
/// # Errors
/// The errno of recvmsg(2) (EAGAIN on a non-blocking socket without a message);
/// EMSGSIZE when the message or its descriptors were cut, which are then closed.
pub fn receive_with_fds(
    socket: BorrowedFd,
    buffer: &mut [u8],
) -> Result<(usize, Vec<OwnedFd>), SyscallError> {
    let mut control = nix::cmsg_space!([RawFd; MAX_FDS]);
    loop {
        let mut parts = [IoSliceMut::new(buffer)];
        let message = match recvmsg::<()>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::MSG_CMSG_CLOEXEC,
        ) {
            Ok(message) => message,
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(SyscallError::new("recvmsg", "", errno)),
        };
        let mut fds = Vec::new();
        for part in message.cmsgs().into_iter().flatten() {
            if let ControlMessageOwned::ScmRights(received) = part {
                // SAFETY: the kernel has just installed these for us; each is
                // wrapped once.
                fds.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
        if message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
            return Err(SyscallError::new("recvmsg", "truncated", Errno::EMSGSIZE));
        }
        return Ok((message.bytes, fds));
    }
}

/// Marks every descriptor from `first` on close-on-exec (close_range(2),
/// Linux 5.11).
///
/// # Errors
/// The errno of close_range(2).
pub fn close_range_cloexec(first: u32) -> Result<(), SyscallError> {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes everything but `keep` (sorted, no number twice). For a cloned child
/// that will only exec or `_exit`: the `OwnedFd`s of its maker's memory, which
/// it has a copy of, must not be used or dropped afterwards.
pub fn close_all_but(keep: &[i32]) {
    let mut first = 0;
    for fd in keep.iter().map(|fd| fd.unsigned_abs()) {
        if fd > first {
            close_between(first, fd - 1);
        }
        first = fd + 1;
    }
    close_between(first, u32::MAX);
}

fn close_between(first: u32, last: u32) {
    // SAFETY: integers only. The callers, cloned children on their way to
    // exec, touch no descriptor any more that is not in their keep list.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}

fn close_range(first: u32, flags: u32) -> Result<(), SyscallError> {
    // SAFETY: with CLOSE_RANGE_CLOEXEC nothing is closed now, so no OwnedFd of
    // this process loses its descriptor.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) };
    cerr(result, "close_range", || format!("{first}..")).map(drop)
}

/// Takes the standard streams 0, 1, 2 from `fds`, which stay open. In a cloned
/// child just before exec.
///
/// # Errors
/// The errno of dup2(2).
pub fn install_stdio(fds: [BorrowedFd; 3]) -> Result<(), SyscallError> {
    // A source may itself be one of 0..2 and be overwritten before its turn:
    // lift those out of the way first.
    let mut lifted = Vec::new();
    for fd in fds {
        lifted.push(if fd.as_raw_fd() <= 2 { Some(duplicate_above_stdio(fd)?) } else { None });
    }
    for (target, (fd, lifted)) in (0..).zip(fds.iter().zip(&lifted)) {
        let source = lifted.as_ref().map_or(fd.as_raw_fd(), AsRawFd::as_raw_fd);
        // SAFETY: 0, 1 and 2 are never owned by an OwnedFd in this program.
        let result = unsafe { libc::dup2(source, target) };
        cerr(result.into(), "dup2", || format!("{source}, {target}"))?;
    }
    Ok(())
}

/// A close-on-exec duplicate numbered 3 or more.
///
/// # Errors
/// The errno of fcntl(2).
pub fn duplicate_above_stdio(fd: BorrowedFd) -> Result<OwnedFd, SyscallError> {
    let raw = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(3))
        .map_err(|errno| SyscallError::new("fcntl", "F_DUPFD_CLOEXEC", errno))?;
    // SAFETY: F_DUPFD_CLOEXEC returned a new descriptor that nobody owns yet.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// The descriptor of that number, if it is open and none of the streams 0 to 2.
///
/// # Safety
/// Nothing else in this program owns that number.
pub unsafe fn take(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: the call takes no pointer, and a number that is not open gives EBADF.
    let is_open = number > 2 && unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0;
    // SAFETY: it is open, and the caller says that nobody else owns it.
    is_open.then(|| unsafe { OwnedFd::from_raw_fd(number) })
}

/// Lets descriptor number `fd` survive an exec; false if it is not open.
#[must_use]
pub fn keep_over_exec(fd: i32) -> bool {
    // SAFETY: F_SETFD takes an integer and changes one flag only.
    unsafe { libc::fcntl(fd, libc::F_SETFD, 0) == 0 }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_descriptor_sent_over_a_socket_is_the_same_open_file() {
        let (ours, theirs) = seqpacket_pair().expect("pair");
        let (read_end, write_end) = pipe().expect("pipe");
        send_with_fds(ours.as_fd(), b"x", &[write_end.as_fd()]).expect("send");
        drop(write_end);
        let mut buffer = [0; 8];
        let (length, fds) = receive_with_fds(theirs.as_fd(), &mut buffer).expect("receive");
        assert_eq!((length, fds.len()), (1, 1));
        let mut file = std::fs::File::from(fds.into_iter().next().expect("one"));
        file.write_all(b"hello").expect("write");
        drop(file);
        let mut text = String::new();
        std::fs::File::from(read_end).read_to_string(&mut text).expect("read");
        assert_eq!(text, "hello");
    }

    #[test]
    fn a_closed_peer_reads_as_an_empty_message_and_a_cut_one_as_an_error() {
        let (ours, theirs) = seqpacket_pair().expect("pair");
        send_with_fds(ours.as_fd(), b"0123456789", &[]).expect("send");
        drop(ours);
        let mut small = [0; 4];
        let cut = receive_with_fds(theirs.as_fd(), &mut small).expect_err("cut");
        assert_eq!(cut.errno, Errno::EMSGSIZE);
        assert_eq!(receive_with_fds(theirs.as_fd(), &mut small).expect("end").0, 0);
    }
}
