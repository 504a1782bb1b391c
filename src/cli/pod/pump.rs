//! Copies between the user's streams and a command in a container.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::model::Signal;
use crate::supervisor::client::Session;
use crate::sys::event::SignalFd;
use crate::sys::terminal;

use super::keys::DetachKeys;

/// The user's terminal without line editing; as it was again when dropped.
#[derive(Debug)]
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Switches standard input's terminal.
    ///
    /// # Errors
    /// `tcgetattr`, `tcsetattr`.
    pub fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&stdin, SetArg::TCSADRAIN, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

/// Columns and rows of the user's terminal.
#[must_use]
pub fn terminal_size() -> Option<(u16, u16)> {
    terminal::size(io::stdin().as_fd()).ok()
}

/// This side's ends of the pipes to a command.
#[derive(Debug)]
pub struct Ends {
    pub to_command: Option<OwnedFd>,
    pub output: Option<OwnedFd>,
    pub errors: Option<OwnedFd>,
    /// The shim holds the input open too, and is told of its end.
    pub is_attached: bool,
}

fn copy_once(from: BorrowedFd<'_>, to: &mut dyn io::Write) -> io::Result<usize> {
    let mut chunk = [0; 32 * 1024];
    let length = match nix::unistd::read(from, &mut chunk) {
        // A terminal whose other side is closed reads as EIO.
        Err(nix::errno::Errno::EIO) => 0,
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return Ok(usize::MAX),
        other => other?,
    };
    to.write_all(&chunk[..length])?;
    to.flush()?;
    Ok(length)
}

/// Copies until the command's output and errors are at their ends, or the
/// command has ended (`session` is readable) and nothing more is there.
///
/// # Errors
/// An output that cannot be written.
pub fn pipes(mut ends: Ends, session: &mut Session) -> io::Result<()> {
    let stdin = io::stdin();
    let mut is_over = false;
    while ends.output.is_some() || ends.errors.is_some() {
        let none = PollFlags::empty();
        let mut fds = Vec::new();
        let mut what = Vec::new();
        if let Some(fd) = &ends.output {
            fds.push(PollFd::new(fd.as_fd(), PollFlags::POLLIN));
            what.push(Source::Output);
        }
        if let Some(fd) = &ends.errors {
            fds.push(PollFd::new(fd.as_fd(), PollFlags::POLLIN));
            what.push(Source::Errors);
        }
        if ends.to_command.is_some() {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
            what.push(Source::Input);
        }
        if !is_over {
            fds.push(PollFd::new(session.as_fd(), PollFlags::POLLIN));
            what.push(Source::Session);
        }
        // Once the command is over only what is in the pipes counts: a child
        // it left behind may hold them open for ever.
        let timeout = if is_over { PollTimeout::ZERO } else { PollTimeout::NONE };
        match poll(&mut fds, timeout) {
            Ok(0) if is_over => return Ok(()),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready: Vec<Source> = fds
            .iter()
            .zip(&what)
            .filter(|(fd, _)| fd.revents().is_some_and(|events| events != none))
            .map(|(_, source)| *source)
            .collect();
        let mut moved = false;
        for source in ready {
            match source {
                Source::Session => is_over = true,
                Source::Output => moved |= drain(&mut ends.output, &mut io::stdout().lock())?,
                Source::Errors => moved |= drain(&mut ends.errors, &mut io::stderr().lock())?,
                Source::Input => {
                    feed(&mut ends.to_command);
                    if ends.to_command.is_none() && ends.is_attached {
                        // A shim that is gone is noticed where it is waited for.
                        let _ = session.end_input();
                    }
                }
            }
        }
        if is_over && !moved {
            ends.to_command = None;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Output,
    Errors,
    Input,
    Session,
}

/// Copies once; the end closes. True when something was moved.
fn drain(from: &mut Option<OwnedFd>, to: &mut dyn io::Write) -> io::Result<bool> {
    let Some(fd) = from else { return Ok(false) };
    let length = copy_once(fd.as_fd(), to)?;
    if length == 0 {
        *from = None;
    }
    Ok(length > 0)
}

/// Copies standard input once; its end, or a command that no longer reads,
/// closes the pipe.
fn feed(to: &mut Option<OwnedFd>) {
    let Some(fd) = to.take() else { return };
    let mut file = File::from(fd);
    let mut chunk = [0; 32 * 1024];
    let copied = io::stdin().lock().read(&mut chunk).and_then(|length| {
        file.write_all(&chunk[..length])?;
        Ok(length)
    });
    if copied.is_ok_and(|length| length > 0) {
        *to = Some(OwnedFd::from(file));
    }
}

/// The far side of the user's terminal.
#[derive(Debug)]
pub struct Screen<'a> {
    /// What is shown.
    pub output: BorrowedFd<'a>,
    /// Gets what is typed, and the size of the user's terminal.
    pub master: Option<BorrowedFd<'a>>,
}

/// Why copying has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The far side is closed, or the command has ended.
    Ended,
    /// The user typed the keys for it.
    Detached,
}

/// Copies between the user's terminal and `screen` until the other side is
/// closed, the command has ended (`session` is readable) or `keys` were typed.
///
/// # Errors
/// A terminal that cannot be read or written.
pub fn terminal(
    screen: &Screen<'_>,
    session: BorrowedFd<'_>,
    keys: &mut DetachKeys,
) -> io::Result<Over> {
    let resized = SignalFd::new(&[Signal::new(28).unwrap_or(Signal::HUP)])
        .map_err(|e| io::Error::from(e.errno))?;
    let stdin = io::stdin();
    let mut to_command = match screen.master {
        Some(master) => Some(File::from(master.try_clone_to_owned()?)),
        None => None,
    };
    loop {
        let mut fds = vec![
            PollFd::new(screen.output, PollFlags::POLLIN),
            PollFd::new(session, PollFlags::POLLIN),
            PollFd::new(resized.as_fd(), PollFlags::POLLIN),
        ];
        if to_command.is_some() {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        if ready[0] && copy_once(screen.output, &mut io::stdout().lock())? == 0 {
            return Ok(Over::Ended);
        }
        if ready[2] {
            while resized.next().map_err(|e| io::Error::from(e.errno))?.is_some() {}
            fit(screen);
        }
        if ready.get(3) == Some(&true)
            && let Some(file) = &mut to_command
        {
            match typed(file, keys) {
                Ok(Typed::Some) => {}
                Ok(Typed::Detach) => return Ok(Over::Detached),
                Ok(Typed::End) | Err(_) => to_command = None,
            }
        }
        if ready[1] && !ready[0] {
            return Ok(Over::Ended);
        }
    }
}

/// Gives the far side the size of the user's terminal.
pub fn fit(screen: &Screen<'_>) {
    if let (Some(master), Some((columns, rows))) = (screen.master, terminal_size()) {
        // A terminal that is going away no longer minds its size.
        let _ = terminal::set_size(master, columns, rows);
    }
}

enum Typed {
    Some,
    Detach,
    End,
}

fn typed(to: &mut File, keys: &mut DetachKeys) -> io::Result<Typed> {
    let mut chunk = [0; 4096];
    let length = match nix::unistd::read(io::stdin().as_fd(), &mut chunk) {
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return Ok(Typed::Some),
        other => other?,
    };
    let (pass, detach) = keys.feed(&chunk[..length]);
    to.write_all(&pass)?;
    Ok(match (detach, length) {
        (true, _) => Typed::Detach,
        (false, 0) => Typed::End,
        (false, _) => Typed::Some,
    })
}
