//! From containers' outputs to their logs.
//!
//! Every turn handles one stream and at most one chunk, so that a container
//! that writes without pause does not keep the others waiting, and nothing
//! stays in memory between turns but a terminal's unfinished line: a pipe's
//! unfinished line stays in the pipe.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::entry::{Prefix, Stream};
use super::file::LogFile;
use super::journal::{Journal, Taking};
use super::split::next_piece;
use crate::model::Timestamp;
use crate::sys::pipe::{is_full, set_nonblocking, take, tee, unread};
use crate::sys::{SyscallError, fd};

/// How many bytes of output one turn looks at: a pipe of the default size.
const CHUNK_BYTES: usize = 64 * 1024;
/// A turn ends early when its entries have grown to this, so that a chunk of
/// empty lines does not become megabytes of time stamps.
const OUTPUT_BYTES: usize = 128 * 1024;

/// The output of one instance.
#[derive(Debug)]
pub struct ContainerLog {
    file: LogFile,
    slot: usize,
    stdout: Option<Source>,
    stderr: Option<Source>,
}

/// Where a stream comes from.
#[derive(Debug)]
enum Source {
    /// The read end of the container's pipe, and how many of the bytes at its
    /// front were shown to those attached.
    Pipe { pipe: Arc<OwnedFd>, shown: usize },
    /// A terminal's master side. What was read is gone from the kernel: an
    /// unfinished line waits here.
    Terminal { master: Arc<OwnedFd>, pending: Vec<u8> },
}

/// What a turn leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing to do until the kernel reports more.
    Idle,
    /// There is more: take another turn.
    More,
    /// The stream has ended.
    Ended,
}

/// What the turns of all containers share.
#[derive(Debug)]
pub struct Pump {
    journal: Journal,
    /// tee(2) needs a pipe to look into; empty between turns.
    scratch: (OwnedFd, OwnedFd),
}

impl Pump {
    /// # Errors
    /// `pipe2`.
    pub fn new(journal: Journal) -> Result<Self, SyscallError> {
        Ok(Self { journal, scratch: fd::pipe()? })
    }

    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// One turn for one stream. New bytes go to `show` as well, raw.
    ///
    /// # Errors
    /// A log that cannot be written. The chunk is lost then: the container
    /// must not stand still for a full disk.
    pub fn turn(
        &self,
        log: &mut ContainerLog,
        stream: Stream,
        now: Timestamp,
        show: &mut dyn FnMut(&[u8]),
    ) -> Result<Turn, SyscallError> {
        let source = match stream {
            Stream::Stdout => &mut log.stdout,
            Stream::Stderr => &mut log.stderr,
        };
        let mut sink = Sink { journal: &self.journal, slot: log.slot, file: &mut log.file, now };
        let turn = match source {
            None => return Ok(Turn::Ended),
            Some(Source::Pipe { pipe, shown }) => {
                self.pipe_turn(&mut sink, stream, pipe.as_fd(), shown, show)
            }
            Some(Source::Terminal { master, pending }) => {
                terminal_turn(&mut sink, stream, master, pending, show)
            }
        };
        if turn == Ok(Turn::Ended) {
            *source = None;
        }
        turn
    }

    fn pipe_turn(
        &self,
        sink: &mut Sink<'_>,
        stream: Stream,
        pipe: BorrowedFd<'_>,
        shown: &mut usize,
        show: &mut dyn FnMut(&[u8]),
    ) -> Result<Turn, SyscallError> {
        // Both asked before looking: what is there after the last writer went
        // is the rest of the stream, and what comes meanwhile is seen as well.
        let writers_gone = has_hung_up(pipe);
        let waiting = unread(pipe)?;
        let mut chunk = match self.peek(pipe) {
            Ok(chunk) => chunk,
            Err(error) if error.errno == Errno::EAGAIN => return Ok(Turn::Idle),
            Err(error) => return Err(error),
        };
        if chunk.is_empty() {
            return Ok(Turn::Ended);
        }
        show(chunk.get(*shown..).unwrap_or_default());
        let looked = chunk.len();
        let saw_all = looked >= waiting;
        let at_end = writers_gone && saw_all;
        let (mut output, mut covered) = entries(&chunk, stream, at_end, sink.now);
        if covered == 0 && (!saw_all || is_full(pipe)) {
            // Many small pieces fill a pipe long before a line's length does:
            // the newline could never come.
            (output, covered) = entries(&chunk, stream, true, sink.now);
        }
        let written = sink.append(&output);
        sink.take(stream, pipe, &mut chunk[..covered])?;
        *shown = looked - covered;
        written?;
        let cut_short = output.len() >= OUTPUT_BYTES && covered < looked;
        Ok(match () {
            () if at_end && covered == looked => Turn::Ended,
            () if !saw_all || cut_short => Turn::More,
            () => Turn::Idle,
        })
    }

    /// What is at the front of a pipe; nothing at its end.
    fn peek(&self, pipe: BorrowedFd<'_>) -> Result<Vec<u8>, SyscallError> {
        let (reader, writer) = &self.scratch;
        let count = tee(pipe, writer.as_fd(), CHUNK_BYTES)?;
        let mut chunk = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match nix::unistd::read(reader, &mut chunk[filled..]) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(SyscallError::new("read", "scratch pipe", errno)),
            }
        }
        chunk.truncate(filled);
        Ok(chunk)
    }
}

/// The entries of `chunk`, and how much of it they cover.
fn entries(chunk: &[u8], stream: Stream, at_end: bool, now: Timestamp) -> (Vec<u8>, usize) {
    let prefix = Prefix::new(now, stream);
    let mut output = Vec::with_capacity(chunk.len() + chunk.len() / 8 + 64);
    let mut covered = 0;
    while let Some(piece) = next_piece(&chunk[covered..], at_end) {
        prefix.write(piece.tag, piece.content, &mut output);
        covered += piece.length;
        if output.len() >= OUTPUT_BYTES {
            break;
        }
    }
    (output, covered)
}

fn terminal_turn(
    sink: &mut Sink<'_>,
    stream: Stream,
    master: &OwnedFd,
    pending: &mut Vec<u8>,
    show: &mut dyn FnMut(&[u8]),
) -> Result<Turn, SyscallError> {
    // A terminal hands out at most 4095 bytes a read.
    let mut bytes = [0; 4096];
    let count = match nix::unistd::read(master, &mut bytes) {
        Ok(count) => count,
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Turn::Idle),
        // EIO: no process has the terminal open.
        Err(Errno::EIO) => 0,
        Err(errno) => return Err(SyscallError::new("read", "terminal", errno)),
    };
    show(&bytes[..count]);
    pending.extend_from_slice(&bytes[..count]);
    let (output, covered) = entries(pending, stream, count == 0, sink.now);
    pending.drain(..covered);
    let written = sink.append(&output);
    sink.settle();
    written?;
    Ok(if count == 0 { Turn::Ended } else { Turn::More })
}

/// One instance's log during a turn.
struct Sink<'a> {
    journal: &'a Journal,
    slot: usize,
    file: &'a mut LogFile,
    now: Timestamp,
}

impl Sink<'_> {
    /// Turns a full log over before there is more, not as soon as it is full:
    /// its last lines are then always in the newest file.
    fn append(&mut self, output: &[u8]) -> Result<(), SyscallError> {
        if output.is_empty() {
            return Ok(());
        }
        if self.file.is_full() && self.file.rotate(self.now).is_ok() {
            self.settle();
        }
        self.file.append(output)
    }

    /// Takes from the pipe what was looked at in `covered`.
    fn take(
        &self,
        stream: Stream,
        pipe: BorrowedFd<'_>,
        mut covered: &mut [u8],
    ) -> Result<(), SyscallError> {
        let spare = AtomicU64::new(0);
        let marker = self.journal.marker(self.slot).unwrap_or(&spare);
        while let [discard @ .., last] = &mut *covered {
            let taking = Taking { stream, length: discard.len() + 1, last: *last };
            self.journal.commit(self.slot, self.file.length(), taking);
            // A pipe in packet mode gives one packet at a time.
            match take(pipe, discard, marker)? {
                0 => break,
                taken => covered = &mut covered[taken..],
            }
        }
        self.settle();
        Ok(())
    }

    fn settle(&self) {
        self.journal.settle(self.slot, self.file.length());
    }
}

fn has_hung_up(fd: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(fd, PollFlags::empty())];
    poll(&mut polled, PollTimeout::ZERO).is_ok()
        && polled[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
}

impl ContainerLog {
    /// The log of a container whose outputs are two pipes (their read ends).
    ///
    /// # Errors
    /// `fcntl`.
    pub fn of_pipes(
        file: LogFile,
        slot: usize,
        ends: [Arc<OwnedFd>; 2],
    ) -> Result<Self, SyscallError> {
        let [stdout, stderr] = ends;
        Ok(Self {
            file,
            slot,
            stdout: Some(pipe_source(stdout)?),
            stderr: Some(pipe_source(stderr)?),
        })
    }

    /// The log of a container with a terminal, by its master side.
    ///
    /// # Errors
    /// `fcntl`.
    pub fn of_terminal(
        file: LogFile,
        slot: usize,
        master: Arc<OwnedFd>,
    ) -> Result<Self, SyscallError> {
        set_nonblocking(&*master)?;
        let source = Source::Terminal { master, pending: Vec::new() };
        Ok(Self { file, slot, stdout: Some(source), stderr: None })
    }

    /// The descriptor to wait on for a stream, until it has ended.
    #[must_use]
    pub fn fd(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        let source = match stream {
            Stream::Stdout => self.stdout.as_ref(),
            Stream::Stderr => self.stderr.as_ref(),
        };
        source.map(|source| match source {
            Source::Pipe { pipe: fd, .. } | Source::Terminal { master: fd, .. } => fd.as_fd(),
        })
    }

    /// The same, to keep while a turn is taken.
    #[must_use]
    pub fn share(&self, stream: Stream) -> Option<Arc<OwnedFd>> {
        let source = match stream {
            Stream::Stdout => self.stdout.as_ref(),
            Stream::Stderr => self.stderr.as_ref(),
        };
        source.map(|source| match source {
            Source::Pipe { pipe: fd, .. } | Source::Terminal { master: fd, .. } => Arc::clone(fd),
        })
    }

    /// After a kill of the shim: takes from the pipe what the killed one had
    /// already written to the log.
    ///
    /// # Errors
    /// `readv`.
    pub fn resume(&self, journal: &Journal) -> Result<(), SyscallError> {
        if let (Some(taking), Some(marker)) =
            (journal.left_to_take(self.slot), journal.marker(self.slot))
            && let Some(pipe) = self.fd(taking.stream)
        {
            take(pipe, &mut vec![0; taking.length - 1], marker)?;
        }
        journal.settle(self.slot, self.file.length());
        Ok(())
    }
}

fn pipe_source(pipe: Arc<OwnedFd>) -> Result<Source, SyscallError> {
    set_nonblocking(&*pipe)?;
    Ok(Source::Pipe { pipe, shown: 0 })
}

#[cfg(test)]
#[path = "pump_tests.rs"]
mod tests;
