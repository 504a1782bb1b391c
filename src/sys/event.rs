//! What an event loop waits on: epoll, a timer on the boot clock, signals as a
//! descriptor.

use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{self, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd as NixSignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{self, ClockId, Expiration, TimerFlags, TimerSetTimeFlags};

use super::SyscallError;
use crate::model::Signal;

/// What a caller gets back when a descriptor is ready. A token that no longer
/// means anything is simply not found by its reader, so ids are best never
/// reused.
pub trait Token: Copy {
    fn to_u64(self) -> u64;
    /// `None` for a number that `to_u64` never made.
    fn from_u64(number: u64) -> Option<Self>;
}

/// What a descriptor is watched for; errors and hang-ups are always reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    Read,
    /// As `Read`, but told only when something new comes (edge-triggered):
    /// what is left unread does not wake the waiter again.
    ReadChange,
    Write,
    ReadWrite,
    /// Only errors and hang-ups.
    Nothing,
    /// Exceptional conditions (cgroup and PSI notifications).
    Priority,
}

/// One ready descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready<T> {
    pub token: T,
    pub readable: bool,
    pub writable: bool,
    /// The other end is gone, or the descriptor is in error.
    pub hung_up: bool,
}

/// An epoll set with typed tokens (epoll(7)).
#[derive(Debug)]
pub struct Epoll<T> {
    set: epoll::Epoll,
    tokens: PhantomData<T>,
}

/// How many ready descriptors one wait reports: enough for a burst, little
/// enough for the stack.
const BATCH: usize = 32;

impl<T: Token> Epoll<T> {
    /// An empty set.
    ///
    /// # Errors
    /// `epoll_create1`: EMFILE, ENFILE, ENOMEM.
    pub fn new() -> Result<Self, SyscallError> {
        let set = epoll::Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|errno| SyscallError::new("epoll_create1", "EPOLL_CLOEXEC", errno))?;
        Ok(Self { set, tokens: PhantomData })
    }

    /// Watches `fd` until [`Epoll::remove`]; closing the last descriptor of
    /// its open file ends the watch as well.
    ///
    /// # Errors
    /// `epoll_ctl`: EEXIST, EPERM for regular files, ENOSPC.
    pub fn add(&self, fd: impl AsFd, interest: Interest, token: T) -> Result<(), SyscallError> {
        self.set
            .add(fd, EpollEvent::new(flags(interest), token.to_u64()))
            .map_err(|errno| SyscallError::new("epoll_ctl", "EPOLL_CTL_ADD", errno))
    }

    /// Changes what `fd` is watched for.
    ///
    /// # Errors
    /// `epoll_ctl`: ENOENT when it was not added.
    pub fn modify(&self, fd: impl AsFd, interest: Interest, token: T) -> Result<(), SyscallError> {
        let mut event = EpollEvent::new(flags(interest), token.to_u64());
        self.set
            .modify(fd, &mut event)
            .map_err(|errno| SyscallError::new("epoll_ctl", "EPOLL_CTL_MOD", errno))
    }

    /// Ends the watch of `fd`; one that is not watched is no error.
    pub fn remove(&self, fd: impl AsFd) {
        // ENOENT: the watch is gone, which is what was asked for.
        let _ = self.set.delete(fd);
    }

    /// Waits until something is ready, at most for `timeout`, and replaces the
    /// contents of `ready` by it. An interrupting signal ends the wait early
    /// with nothing.
    ///
    /// # Errors
    /// `epoll_wait`: EBADF.
    pub fn wait(
        &self,
        ready: &mut Vec<Ready<T>>,
        timeout: Option<Duration>,
    ) -> Result<(), SyscallError> {
        ready.clear();
        let mut events = [EpollEvent::empty(); BATCH];
        let timeout = timeout.map_or(EpollTimeout::NONE, |limit| {
            EpollTimeout::try_from(limit).unwrap_or(EpollTimeout::MAX)
        });
        let count = match self.set.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(SyscallError::new("epoll_wait", "", errno)),
        };
        ready.extend(events.iter().take(count).filter_map(typed));
        Ok(())
    }
}

fn flags(interest: Interest) -> EpollFlags {
    match interest {
        Interest::Read => EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP,
        Interest::ReadChange => EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET,
        Interest::Write => EpollFlags::EPOLLOUT,
        Interest::ReadWrite => EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLOUT,
        Interest::Nothing => EpollFlags::empty(),
        Interest::Priority => EpollFlags::EPOLLPRI,
    }
}

fn typed<T: Token>(event: &EpollEvent) -> Option<Ready<T>> {
    let flags = event.events();
    Some(Ready {
        token: T::from_u64(event.data())?,
        readable: flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLPRI),
        writable: flags.contains(EpollFlags::EPOLLOUT),
        hung_up: flags
            .intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLERR),
    })
}

/// A timer on `CLOCK_BOOTTIME` that becomes readable at a point in time; a
/// point that passed while the machine slept counts as reached.
#[derive(Debug)]
pub struct TimerFd(timerfd::TimerFd);

impl TimerFd {
    /// A timer that is not set.
    ///
    /// # Errors
    /// `timerfd_create`: EMFILE, ENFILE, ENOMEM.
    pub fn new() -> Result<Self, SyscallError> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        timerfd::TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)
            .map(Self)
            .map_err(|errno| SyscallError::new("timerfd_create", "CLOCK_BOOTTIME", errno))
    }

    /// Sets the timer to `boot_ns` (nanoseconds of `CLOCK_BOOTTIME`), or
    /// unsets it.
    ///
    /// # Errors
    /// `timerfd_settime`.
    pub fn set(&self, boot_ns: Option<u64>) -> Result<(), SyscallError> {
        let result = match boot_ns {
            None => self.0.unset(),
            // Zero would unset the timer: the earliest point is 1 ns.
            Some(ns) => self.0.set(
                Expiration::OneShot(TimeSpec::from_duration(Duration::from_nanos(ns.max(1)))),
                TimerSetTimeFlags::TFD_TIMER_ABSTIME,
            ),
        };
        result.map_err(|errno| SyscallError::new("timerfd_settime", "", errno))
    }

    /// Takes the expiry back, so that the timer is not readable any more.
    pub fn clear(&self) {
        // EAGAIN: it had not expired.
        let _ = self.0.wait();
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Signals read from a descriptor; they are blocked from the moment it is made.
#[derive(Debug)]
pub struct SignalFd(NixSignalFd);

impl SignalFd {
    /// Blocks `signals` for the calling thread and reads them from here.
    ///
    /// # Errors
    /// `sigprocmask` or `signalfd4`.
    pub fn new(signals: &[Signal]) -> Result<Self, SyscallError> {
        let mut set = SigSet::empty();
        for signal in signals {
            let known = nix::sys::signal::Signal::try_from(signal.number())
                .map_err(|errno| SyscallError::new("signalfd4", signal.to_string(), errno))?;
            set.add(known);
        }
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)
            .map_err(|errno| SyscallError::new("sigprocmask", "SIG_BLOCK", errno))?;
        NixSignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .map(Self)
            .map_err(|errno| SyscallError::new("signalfd4", "", errno))
    }

    /// The next pending signal, `None` when there is none.
    ///
    /// # Errors
    /// `read`.
    pub fn next(&self) -> Result<Option<Signal>, SyscallError> {
        let info =
            self.0.read_signal().map_err(|errno| SyscallError::new("read", "signalfd", errno))?;
        Ok(info.and_then(|info| Signal::new(i32::try_from(info.ssi_signo).ok()?)))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Number(u64);

    impl Token for Number {
        fn to_u64(self) -> u64 {
            self.0
        }
        fn from_u64(number: u64) -> Option<Self> {
            Some(Self(number))
        }
    }

    #[test]
    fn a_timer_is_ready_when_its_point_on_the_boot_clock_is_reached() {
        let epoll = Epoll::new().unwrap();
        let timer = TimerFd::new().unwrap();
        epoll.add(&timer, Interest::Read, Number(7)).unwrap();
        let mut ready = Vec::new();

        epoll.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        assert!(ready.is_empty(), "an unset timer is never ready");

        let due = clock::now().boot_ns + 2_000_000;
        timer.set(Some(due)).unwrap();
        epoll.wait(&mut ready, Some(Duration::from_secs(5))).unwrap();
        assert_eq!(ready.first().map(|ready| ready.token), Some(Number(7)));
        assert!(clock::now().boot_ns >= due);

        timer.clear();
        epoll.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        assert!(ready.is_empty(), "a cleared timer is quiet");
    }

    #[test]
    fn a_closed_writer_is_a_hang_up() {
        let epoll = Epoll::new().unwrap();
        let (reader, writer) = nix::unistd::pipe().unwrap();
        epoll.add(&reader, Interest::Read, Number(1)).unwrap();
        drop(writer);
        let mut ready = Vec::new();
        epoll.wait(&mut ready, Some(Duration::from_secs(5))).unwrap();
        assert!(ready.iter().any(|ready| ready.hung_up && !ready.writable));
        epoll.remove(&reader);
        epoll.remove(&reader);
    }
}
