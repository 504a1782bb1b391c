//! A container's process in the foreground: its signals, its terminal, its end.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::report::{Failure, Outcome};
use crate::cli::pod::pump::{RawMode, terminal_size};
use crate::model::Signal;
use crate::sys::event::SignalFd;
use crate::sys::process::{Wait, pidfd_send_signal, wait_pidfd};
use crate::sys::{SyscallError, terminal};

/// Signals that a user or supervisor sends to the command and means for the
/// container: all but those the kernel sends for faults of our own, and CHLD,
/// KILL and STOP.
const FORWARDED: [i32; 14] = [1, 2, 3, 10, 12, 14, 15, 18, 20, 21, 22, 23, 28, 30];
const WINCH: i32 = 28;

/// Signals are held back from the moment this exists.
#[derive(Debug)]
pub struct Foreground {
    signals: SignalFd,
}

impl Foreground {
    pub fn begin() -> Result<Self, Failure> {
        let signals: Vec<Signal> = FORWARDED.into_iter().filter_map(Signal::new).collect();
        let signals = SignalFd::new(&signals).map_err(call("take signals"))?;
        Ok(Self { signals })
    }

    /// Until `process`, a child, has ended: its exit code.
    pub fn until_end(&self, process: BorrowedFd, master: Option<OwnedFd>) -> Outcome {
        let relay = master.map(Relay::begin).transpose()?;
        self.serve(process, relay)?;
        let status = wait_pidfd(process, Wait::Block).map_err(call("wait for the process"))?;
        Ok(status.map_or(0, |status| u8::try_from(status.code()).unwrap_or(u8::MAX)))
    }

    fn serve(&self, process: BorrowedFd, mut relay: Option<Relay>) -> Result<(), Failure> {
        loop {
            let mut fds = vec![
                PollFd::new(process, PollFlags::POLLIN),
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            ];
            if let Some(relay) = &relay {
                relay.watch(&mut fds);
            }
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(call("wait")(SyscallError::new("poll", "", errno))),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
            drop(fds);
            if ready[1] {
                self.forward(process, relay.as_ref())?;
            }
            let moved = match &mut relay {
                Some(relay) => relay.copy(&ready[2..]),
                None => false,
            };
            // What the process wrote last is printed before its end counts.
            if ready[0] && !moved {
                return Ok(());
            }
        }
    }

    fn forward(&self, process: BorrowedFd, relay: Option<&Relay>) -> Result<(), Failure> {
        while let Some(signal) = self.signals.next().map_err(call("read a signal"))? {
            match relay {
                Some(relay) if signal.number() == WINCH => relay.resize(),
                // It may have ended meanwhile.
                _ => drop(pidfd_send_signal(process, signal)),
            }
        }
        Ok(())
    }
}

fn call(doing: &'static str) -> impl FnOnce(SyscallError) -> Failure {
    move |source| Failure::Call { doing, source }
}

/// Copies between our terminal and the container's.
struct Relay {
    master: File,
    /// Our standard input has not ended.
    reads: bool,
    /// The container's side is still open.
    open: bool,
    _raw: Option<RawMode>,
}

impl Relay {
    fn begin(master: OwnedFd) -> Result<Self, Failure> {
        clear_onlcr(&master)?;
        let relay = Self {
            master: File::from(master),
            reads: true,
            open: true,
            _raw: RawMode::enter().ok(),
        };
        relay.resize();
        Ok(relay)
    }

    fn resize(&self) {
        if let Some((columns, rows)) = terminal_size() {
            // A terminal that is going away no longer minds its size.
            let _ = terminal::set_size(self.master.as_fd(), columns, rows);
        }
    }

    fn watch<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        let when = |wanted| if wanted { PollFlags::POLLIN } else { PollFlags::empty() };
        if self.open {
            fds.push(PollFd::new(self.master.as_fd(), PollFlags::POLLIN));
            fds.push(PollFd::new(stdin(), when(self.reads)));
        }
    }

    /// True if the container's side had something to say.
    fn copy(&mut self, ready: &[bool]) -> bool {
        let mut chunk = [0; 32 * 1024];
        if ready.get(1) == Some(&true) && self.reads {
            let length = nix::unistd::read(stdin(), &mut chunk).unwrap_or(0);
            self.reads = length > 0 && self.master.write_all(&chunk[..length]).is_ok();
        }
        if ready.first() != Some(&true) {
            return false;
        }
        match nix::unistd::read(&self.master, &mut chunk) {
            Ok(length @ 1..) => {
                let mut output = io::stdout().lock();
                // Nobody reads: the container's output is lost, not its run.
                let _ = output.write_all(&chunk[..length]).and_then(|()| output.flush());
                true
            }
            Err(Errno::EINTR | Errno::EAGAIN) => true,
            // EIO: the other side is closed.
            _ => {
                self.open = false;
                false
            }
        }
    }
}

fn stdin() -> BorrowedFd<'static> {
    static STDIN: std::sync::LazyLock<io::Stdin> = std::sync::LazyLock::new(io::stdin);
    STDIN.as_fd()
}

/// Lines arrive as the program wrote them, without a carriage return: our own
/// terminal adds that where one is wanted, and scripts compare lines.
fn clear_onlcr(master: &OwnedFd) -> Result<(), Failure> {
    use nix::sys::termios::{OutputFlags, SetArg, tcgetattr, tcsetattr};
    let failed = |name: &'static str| {
        move |errno| Failure::Call {
            doing: "set up the terminal",
            source: SyscallError::new(name, "", errno),
        }
    };
    let mut settings = tcgetattr(master).map_err(failed("tcgetattr"))?;
    settings.output_flags.remove(OutputFlags::ONLCR);
    tcsetattr(master, SetArg::TCSANOW, &settings).map_err(failed("tcsetattr"))
}
