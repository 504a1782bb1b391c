//! What the new process and its maker tell each other: one message per packet
//! of a SEQPACKET pair, and the same form on the pipe or fifo that carries the
//! result of exec.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::super::stage::{Stage, StepError};
use crate::sys::SyscallError;
use crate::sys::exec_view::ViewMounts;
use crate::sys::fd::{receive_with_fds, send_with_fds};

/// From the child.
#[derive(Debug)]
pub(in super::super) enum Message {
    /// It has work to do for which it does not need its maker, and no copies
    /// of the maker's view mounts any more.
    Begun,
    /// It has left for a new user namespace and waits for its mappings.
    NeedsMappings,
    /// Its namespaces stand, and it waits until hooks have run.
    NamespacesReady,
    /// It continues in another process, a child of its maker.
    Continued { pid: Pid, pidfd: OwnedFd },
    /// The terminal's master side.
    Console(OwnedFd),
    /// What the seccomp filter's notifications come from.
    Listener(OwnedFd),
    /// Nothing but exec is left.
    Ready,
    /// The end.
    Failed(StepError),
}

const NEEDS_MAPPINGS: u8 = 1;
const CONTINUED: u8 = 2;
const CONSOLE: u8 = 3;
const LISTENER: u8 = 4;
const READY: u8 = 5;
const FAILED: u8 = 6;
const NAMESPACES_READY: u8 = 7;
const BEGUN: u8 = 8;

/// Longest message; a longer detail is cut. Below PIPE_BUF, so that a pipe
/// takes it whole.
const MAX_BYTES: usize = 2048;

/// The child's end.
#[derive(Debug)]
pub(in super::super) struct ChildEnd(OwnedFd);

/// The maker's end.
#[derive(Debug)]
pub(in super::super) struct ParentEnd(OwnedFd);

/// Both ends, close-on-exec: the end of the packets is the success of exec or
/// the death of the child.
pub(in super::super) fn pair() -> Result<(ParentEnd, ChildEnd), SyscallError> {
    let (parent, child) = crate::sys::fd::seqpacket_pair()?;
    Ok((ParentEnd(parent), ChildEnd(child)))
}

impl ChildEnd {
    /// Sends `Message::NeedsMappings` and waits for them.
    pub(super) fn request_mappings(&self) -> Result<(), SyscallError> {
        self.send(&[NEEDS_MAPPINGS], &[])?;
        self.wait_for_go()
    }

    /// Sends `Message::NamespacesReady` and waits for the hooks.
    pub(super) fn request_hooks(&self) -> Result<(), SyscallError> {
        self.send(&[NAMESPACES_READY], &[])?;
        self.wait_for_go()
    }

    /// Waits until the maker has done its part.
    fn wait_for_go(&self) -> Result<(), SyscallError> {
        let mut byte = [0];
        match receive_with_fds(self.0.as_fd(), &mut byte)? {
            (0, _) => Err(SyscallError::new("recvmsg", "maker is gone", Errno::EPIPE)),
            _ => Ok(()),
        }
    }

    /// Drops the copies, and says so: the maker's, which are the last then,
    /// take long to drop.
    pub(super) fn begun(&self, view_mounts: ViewMounts) -> Result<(), SyscallError> {
        if view_mounts.is_empty() {
            return Ok(());
        }
        drop(view_mounts);
        self.send(&[BEGUN], &[])
    }

    /// Hands the rest of the work to another process.
    pub(super) fn continued(&self, pid: Pid, pidfd: BorrowedFd) -> Result<(), SyscallError> {
        let mut bytes = vec![CONTINUED];
        bytes.extend(pid.as_raw().to_le_bytes());
        self.send(&bytes, &[pidfd])
    }

    pub(super) fn console(&self, master: BorrowedFd) -> Result<(), SyscallError> {
        self.send(&[CONSOLE], &[master])
    }

    pub(super) fn listener(&self, listener: BorrowedFd) -> Result<(), SyscallError> {
        self.send(&[LISTENER], &[listener])
    }

    /// By write(2): a seccomp filter may be in force already, and this is the
    /// call that every filter allows.
    pub(super) fn ready(&self) -> Result<(), SyscallError> {
        write(self.0.as_fd(), &[READY])
    }

    /// As [`Self::ready`]; nobody is left to tell of a failure.
    pub(super) fn failed(&self, error: &StepError) {
        let _ = write(self.0.as_fd(), &encode_failure(error));
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn send(&self, bytes: &[u8], fds: &[BorrowedFd]) -> Result<(), SyscallError> {
        send_with_fds(self.0.as_fd(), bytes, fds)
    }
}

fn write(fd: BorrowedFd, bytes: &[u8]) -> Result<(), SyscallError> {
    nix::unistd::write(fd, bytes)
        .map(drop)
        .map_err(|errno| SyscallError::new("write", "channel", errno))
}

impl ParentEnd {
    /// The next message; `None` when the child's end is closed. Blocks unless
    /// the caller has polled.
    pub(in super::super) fn receive(&self) -> Result<Option<Message>, SyscallError> {
        let mut buffer = [0; MAX_BYTES];
        let (length, fds) = receive_with_fds(self.0.as_fd(), &mut buffer)?;
        if length == 0 {
            return Ok(None);
        }
        decode(&buffer[..length], fds)
            .map(Some)
            .ok_or_else(|| SyscallError::new("recvmsg", "malformed message", Errno::EBADMSG))
    }

    /// Lets the child go on. A child that has died is noticed elsewhere.
    pub(in super::super) fn go(&self) -> Result<(), SyscallError> {
        match send_with_fds(self.0.as_fd(), &[0], &[]) {
            Err(error) if error.errno == Errno::EPIPE => Ok(()),
            result => result,
        }
    }

    /// The child hears no more: one that waits for us fails.
    pub(in super::super) fn hang_up(&self) {
        use nix::sys::socket::{Shutdown, shutdown};
        let _ = shutdown(self.0.as_raw_fd(), Shutdown::Write);
    }

    pub(in super::super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn decode(bytes: &[u8], fds: Vec<OwnedFd>) -> Option<Message> {
    let mut fds = fds.into_iter();
    let (&kind, rest) = bytes.split_first()?;
    Some(match kind {
        BEGUN => Message::Begun,
        NEEDS_MAPPINGS => Message::NeedsMappings,
        NAMESPACES_READY => Message::NamespacesReady,
        CONTINUED => Message::Continued {
            pid: Pid::from_raw(i32::from_le_bytes(rest.try_into().ok()?)),
            pidfd: fds.next()?,
        },
        CONSOLE => Message::Console(fds.next()?),
        LISTENER => Message::Listener(fds.next()?),
        READY => Message::Ready,
        FAILED => Message::Failed(decode_failure(bytes)?),
        _ => return None,
    })
}

/// A failed step as bytes: kind, stage, errno, detail.
pub(super) fn encode_failure(error: &StepError) -> Vec<u8> {
    let mut bytes = vec![FAILED, error.stage as u8];
    bytes.extend((error.errno as i32).to_le_bytes());
    let room = MAX_BYTES - bytes.len();
    let mut cut = error.detail.len().min(room);
    while !error.detail.is_char_boundary(cut) {
        cut -= 1;
    }
    bytes.extend(&error.detail.as_bytes()[..cut]);
    bytes
}

/// Undoes [`encode_failure`]; `None` for bytes of another form.
pub(in super::super) fn decode_failure(bytes: &[u8]) -> Option<StepError> {
    let rest = bytes.strip_prefix(&[FAILED])?;
    let (&stage, rest) = rest.split_first()?;
    let (errno, detail) = rest.split_at_checked(4)?;
    Some(StepError {
        stage: Stage::from_number(stage)?,
        errno: Errno::from_raw(i32::from_le_bytes(errno.try_into().ok()?)),
        detail: String::from_utf8_lossy(detail).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_arrives_as_it_was_sent() {
        let (parent, child) = pair().unwrap();
        for stage in Stage::ALL {
            let error = StepError::new(stage, Errno::ENOENT, "mount \"/x\": gone");
            child.failed(&error);
            let Some(Message::Failed(got)) = parent.receive().unwrap() else {
                panic!("no failure")
            };
            assert_eq!(got, error);
        }
        drop(child);
        assert!(parent.receive().unwrap().is_none());
    }

    #[test]
    fn an_overlong_detail_is_cut_between_characters() {
        let error = StepError::new(Stage::Exec, Errno::EIO, "ä".repeat(5000));
        let bytes = encode_failure(&error);
        assert!(bytes.len() <= MAX_BYTES);
        let got = decode_failure(&bytes).unwrap();
        assert!(got.detail.chars().all(|c| c == 'ä') && got.detail.len() > 1000);
    }

    #[test]
    fn garbage_is_refused_without_a_panic() {
        for bytes in
            [&[][..], &[0], &[9, 9], &[2, 1], &[6], &[6, 1], &[6, 1, 0], &[6, 0, 0, 0, 0, 0]]
        {
            assert!(decode(bytes, Vec::new()).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn go_reaches_the_child_and_its_absence_is_an_error() {
        let (parent, child) = pair().unwrap();
        parent.go().unwrap();
        child.wait_for_go().unwrap();
        drop(parent);
        assert_eq!(child.wait_for_go().unwrap_err().errno, Errno::EPIPE);
    }
}
