//! Containers' outputs: to their logs, and to those who are attached.

use std::os::fd::OwnedFd;

use nix::errno::Errno;

use super::Driver;
use super::context::Context;
use super::names::{self, Held};
use super::run::{Run, Viewer};
use crate::supervisor::log::entry::Stream;
use crate::supervisor::log::pump::Turn;
use crate::supervisor::token::{RunId, Token};
use crate::sys::event::Interest;

const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

impl Driver {
    /// Waits for the output of a run. Only changes are reported: what stays in
    /// a pipe because its line is not finished must not wake the loop again.
    pub(super) fn watch_output(&mut self, run_id: RunId, cx: &mut Context<'_>) {
        let Some(log) = self.runs.get(&run_id).and_then(|run| run.log.as_ref()) else { return };
        for stream in STREAMS {
            let Some(fd) = log.fd(stream) else { continue };
            let token = Token::Output(run_id, stream);
            if let Err(error) = cx.epoll.add(fd, Interest::ReadChange, token) {
                tracing::error!(error = %error, "cannot watch output, it is read at the end");
            }
        }
    }

    /// A stream has something: one turn now, further ones with
    /// [`Driver::busy_turns`].
    pub fn output_ready(&mut self, run_id: RunId, stream: Stream, cx: &mut Context<'_>) {
        if self.turn(run_id, stream, cx) == Turn::More {
            let busy = (run_id, stream);
            if !self.busy.contains(&busy) {
                self.busy.push_back(busy);
            }
        }
    }

    /// True while streams wait for a further turn.
    #[must_use]
    pub fn has_busy_streams(&self) -> bool {
        !self.busy.is_empty()
    }

    /// One turn for each stream that had more than one turn took.
    pub fn busy_turns(&mut self, cx: &mut Context<'_>) {
        for _ in 0..self.busy.len() {
            if let Some((run_id, stream)) = self.busy.pop_front() {
                self.output_ready(run_id, stream, cx);
            }
        }
    }

    /// All that is there now; called when the container has ended, so that its
    /// last words are in the log before its end is told.
    pub(super) fn drain_output(&mut self, run_id: RunId, cx: &mut Context<'_>) {
        self.busy.retain(|(busy, _)| *busy != run_id);
        for stream in STREAMS {
            while self.turn(run_id, stream, cx) == Turn::More {}
        }
    }

    fn turn(&mut self, run_id: RunId, stream: Stream, cx: &mut Context<'_>) -> Turn {
        let Some(run) = self.runs.get_mut(&run_id) else { return Turn::Ended };
        let Run { log, viewers, name, instance, .. } = run;
        let Some(log) = log.as_mut() else { return Turn::Ended };
        let Some(fd) = log.share(stream) else { return Turn::Ended };
        let turn = self.pump.turn(log, stream, cx.now.wall, &mut |bytes| {
            viewers.retain_mut(|viewer| viewer.show(stream, bytes));
        });
        match turn {
            Ok(Turn::Ended) => {
                cx.epoll.remove(&*fd);
                let held = match stream {
                    Stream::Stdout => Held::Stdout,
                    Stream::Stderr => Held::Stderr,
                };
                cx.let_go(&names::key(*instance, held));
                Turn::Ended
            }
            Ok(turn) => turn,
            Err(error) => {
                tracing::error!(error = %error, container = *name, "cannot write log");
                self.last_error = Some(error.to_string());
                Turn::More
            }
        }
    }
}

impl Viewer {
    /// Shows bytes to the client; false once it does not read any more.
    fn show(&mut self, stream: Stream, bytes: &[u8]) -> bool {
        let end = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        if end.as_ref().is_some_and(|end| !write_now(end, bytes)) {
            *end = None;
        }
        self.stdout.is_some() || self.stderr.is_some()
    }
}

/// False when not all of it could be written at once: a reader that has fallen
/// behind by a whole pipe is let go, rather than letting the container wait.
fn write_now(end: &OwnedFd, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match nix::unistd::write(end, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
    true
}
