//! The logs of several containers at once, as they are written.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::cli::logs::{Follower, Selection};

/// Followers of the containers below one folder or more, and the kernel's word
/// when something was written there.
#[derive(Debug)]
pub struct LogStreams {
    inotify: Inotify,
    streams: Vec<Stream>,
    /// Later instances are read as well.
    goes_on: bool,
}

#[derive(Debug)]
struct Stream {
    folder: PathBuf,
    follower: Follower,
    is_watched: bool,
}

impl LogStreams {
    /// No streams yet. With `goes_on`, a container's later instances are read
    /// after the one that is begun with.
    ///
    /// # Errors
    /// `inotify_init1`.
    pub fn new(goes_on: bool) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        Ok(Self { inotify, streams: Vec::new(), goes_on })
    }

    /// Follows one container from instance `attempt` on. Its folder need not
    /// be there yet.
    pub fn add(&mut self, folder: &Path, attempt: u32, selection: Selection) {
        let follower = Follower::new(folder, attempt, selection);
        self.streams.push(Stream { folder: folder.to_owned(), follower, is_watched: false });
    }

    /// Prints everything that was written since the last call. Folders that
    /// have come to be are watched from now on.
    ///
    /// # Errors
    /// A log that cannot be read, an output that cannot be written.
    pub fn print(&mut self, out: &mut impl io::Write) -> io::Result<()> {
        self.drain_notices();
        let mut text = Vec::new();
        for stream in &mut self.streams {
            if !stream.is_watched {
                let flags = AddWatchFlags::IN_MODIFY
                    | AddWatchFlags::IN_CREATE
                    | AddWatchFlags::IN_MOVED_TO;
                stream.is_watched = self.inotify.add_watch(&stream.folder, flags).is_ok();
            }
            stream.follower.read(self.goes_on, &mut text)?;
            if text.len() > 1 << 20 {
                out.write_all(&text)?;
                text.clear();
            }
        }
        out.write_all(&text)?;
        out.flush()
    }

    /// True when every stream has reached its byte limit.
    #[must_use]
    pub fn are_full(&self) -> bool {
        !self.streams.is_empty() && self.streams.iter().all(|stream| stream.follower.is_full())
    }

    fn drain_notices(&self) {
        while self.inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
    }
}

impl AsFd for LogStreams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// `name | ` for each container, all as wide as the widest, coloured for a
/// terminal.
#[must_use]
pub fn prefixes(names: &[String], colour: bool) -> BTreeMap<String, Vec<u8>> {
    const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];
    let width = names.iter().map(String::len).max().unwrap_or(0);
    names
        .iter()
        .zip(COLOURS.iter().cycle())
        .map(|(name, number)| {
            let plain = format!("{name:<width$} | ");
            let text = if colour { format!("\x1b[{number}m{plain}\x1b[0m") } else { plain };
            (name.clone(), text.into_bytes())
        })
        .collect()
}

/// Writes to standard output. False when nobody reads it any more.
pub fn print_or_stop(streams: &mut LogStreams) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match streams.print(&mut out) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// Flushes what `print!` left.
pub fn flush() {
    let _ = io::stdout().flush();
}
