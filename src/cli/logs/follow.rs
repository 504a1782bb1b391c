//! Reads one container's logs from instance to instance, across rotation.
//!
//! The reader never waits: whoever owns it asks again when the kernel says
//! that something in the folder changed.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::select::{Renderer, Selection, tail_start};

/// A position in the logs of one container.
#[derive(Debug)]
pub struct Follower {
    /// `<pod's logs>/<container>`
    folder: PathBuf,
    attempt: u32,
    file: Option<File>,
    /// Bytes behind the last newline.
    pending: Vec<u8>,
    renderer: Renderer,
    tail: Option<usize>,
}

impl Follower {
    /// A reader that begins with the log of instance `attempt`, which need not
    /// be there yet.
    #[must_use]
    pub fn new(folder: &Path, attempt: u32, selection: Selection) -> Self {
        let tail = selection.tail;
        let renderer = Renderer::new(selection);
        let folder = folder.to_owned();
        Self { folder, attempt, file: None, pending: Vec::new(), renderer, tail }
    }

    fn path(&self, attempt: u32) -> PathBuf {
        self.folder.join(format!("{attempt}.log"))
    }

    /// Appends everything that is there by now to `out`: the rest of this
    /// instance's log and, with `go_on`, those of later instances.
    ///
    /// # Errors
    /// A log that exists but cannot be read.
    pub fn read(&mut self, go_on: bool, out: &mut Vec<u8>) -> io::Result<()> {
        loop {
            if self.file.is_none() && !self.open()? {
                return Ok(());
            }
            // Asked before reading: once the next instance has a log, nothing
            // is written to this one's any more, nor is it rotated.
            let is_complete = go_on && self.path(self.attempt + 1).exists();
            self.read_file(out)?;
            if self.renderer.is_full() {
                return Ok(());
            }
            if self.was_rotated() {
                // What was written between the read and the rename.
                self.read_file(out)?;
                let Some(next) = self.successor(self.file.as_ref())? else { return Ok(()) };
                self.file = Some(next);
                continue;
            }
            if !is_complete {
                return Ok(());
            }
            self.flush_open_line(out);
            self.attempt += 1;
            self.file = self.successor(None)?;
        }
    }

    /// True when the user's byte limit is used up.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.renderer.is_full()
    }

    fn open(&mut self) -> io::Result<bool> {
        let mut file = match File::open(self.path(self.attempt)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if let Some(lines) = self.tail.take() {
            let mut log = Vec::new();
            file.read_to_end(&mut log)?;
            file.seek(SeekFrom::Start(tail_start(&log, lines) as u64))?;
        }
        self.file = Some(file);
        Ok(true)
    }

    fn read_file(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut chunk = [0; 64 * 1024];
        loop {
            let length = file.read(&mut chunk)?;
            if length == 0 || self.renderer.is_full() {
                return Ok(());
            }
            self.pending.extend_from_slice(&chunk[..length]);
            let Some(last) = self.pending.iter().rposition(|b| *b == b'\n') else { continue };
            for line in self.pending[..last].split(|b| *b == b'\n') {
                self.renderer.push(line, out);
            }
            self.pending.drain(..=last);
        }
    }

    /// An instance that ended in the middle of a line: the next one's output
    /// begins on a line of its own.
    fn flush_open_line(&mut self, out: &mut Vec<u8>) {
        self.pending.clear();
        if out.last().is_some_and(|last| *last != b'\n') {
            out.push(b'\n');
        }
    }

    /// The file of this instance that follows `read`, which was rotated; the
    /// oldest that is left if nothing was read yet.
    fn successor(&self, read: Option<&File>) -> io::Result<Option<File>> {
        // Opened first: if it is rotated while we look, it is among those that
        // are found, and if none is found it follows.
        let current = match File::open(self.path(self.attempt)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened?),
        };
        Ok(self.rotated_after(read).or(current))
    }

    /// The rotated file that follows `read`, for a reader that more than one
    /// rotation has overtaken; `None` when the current log does. Where `read`
    /// is gone, the oldest that is left follows.
    fn rotated_after(&self, read: Option<&File>) -> Option<File> {
        let prefix = format!("{}.log.", self.attempt);
        let entries = std::fs::read_dir(&self.folder).ok()?.flatten();
        let rotated = entries.map(|entry| entry.path());
        let is_ours = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
        };
        // By name is by age.
        let mut rotated: Vec<PathBuf> = rotated.filter(is_ours).collect();
        rotated.sort();
        let own = read.and_then(|file| file.metadata().ok());
        let own = own.map(|found| (found.dev(), found.ino()));
        let same = |path: &PathBuf| {
            path.metadata().is_ok_and(|found| Some((found.dev(), found.ino())) == own)
        };
        let next = rotated.iter().position(same).map_or(0, |at| at + 1);
        File::open(rotated.get(next)?).ok()
    }

    /// The file read so far is no longer the one at its path.
    fn was_rotated(&self) -> bool {
        let Some(file) = &self.file else { return false };
        let (Ok(open), Ok(there)) = (file.metadata(), self.path(self.attempt).metadata()) else {
            return false;
        };
        (open.dev(), open.ino()) != (there.dev(), there.ino())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::{Duration, Instant};

    fn line(text: &str) -> String {
        format!("2026-01-01T00:00:01Z stdout F {text}\n")
    }

    fn read(follower: &mut Follower) -> String {
        let mut out = Vec::new();
        follower.read(true, &mut out).expect("readable");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_follower_goes_on_across_restarts_and_rotation() {
        let folder = tempfile::tempdir().expect("folder");
        let log = folder.path().join("0.log");
        let mut follower = Follower::new(folder.path(), 0, Selection::default());
        assert_eq!(read(&mut follower), "");
        fs::write(&log, line("a") + "2026-01-01T00:00:01Z stdo").expect("write");
        assert_eq!(read(&mut follower), "a\n");
        fs::write(&log, line("a") + &line("b")).expect("write");
        assert_eq!(read(&mut follower), "b\n");
        fs::rename(&log, folder.path().join("0.log.20260101-000000")).expect("rotate");
        fs::write(&log, line("c")).expect("write");
        assert_eq!(read(&mut follower), "c\n");
        fs::write(folder.path().join("1.log"), line("d")).expect("write");
        assert_eq!(read(&mut follower), "d\n");
        assert_eq!(read(&mut follower), "");
    }

    #[test]
    fn a_reader_that_several_rotations_overtook_misses_nothing_that_is_left() {
        let folder = tempfile::tempdir().expect("folder");
        let log = folder.path().join("0.log");
        let mut follower = Follower::new(folder.path(), 0, Selection::default());
        fs::write(&log, line("a")).expect("write");
        assert_eq!(read(&mut follower), "a\n");
        for (aside, next) in [("0.log.1", "b"), ("0.log.2", "c"), ("0.log.3", "d")] {
            fs::rename(&log, folder.path().join(aside)).expect("rotate");
            fs::write(&log, line(next)).expect("write");
        }
        assert_eq!(read(&mut follower), "b\nc\nd\n");
        for (aside, next) in [("0.log.4", "e"), ("0.log.5", "f")] {
            fs::rename(&log, folder.path().join(aside)).expect("rotate");
            fs::write(&log, line(next)).expect("write");
        }
        for old in ["0.log.1", "0.log.2", "0.log.3", "0.log.4"] {
            fs::remove_file(folder.path().join(old)).expect("remove");
        }
        assert_eq!(read(&mut follower), "e\nf\n");
    }

    #[test]
    fn no_line_is_missed_however_fast_the_log_rotates() {
        const LINES: usize = 400;
        let folder = tempfile::tempdir().expect("folder");
        let mut follower = Follower::new(folder.path(), 0, Selection::default());
        let write = |attempt: usize, numbers: std::ops::Range<usize>| {
            let log = folder.path().join(format!("{attempt}.log"));
            for number in numbers {
                fs::write(&log, line(&number.to_string())).expect("write");
                let aside = folder.path().join(format!("{attempt}.log.{number:04}"));
                fs::rename(&log, aside).expect("rotate");
            }
            fs::write(&log, line("end")).expect("write");
        };
        // What was rotated before somebody follows is not shown.
        fs::write(folder.path().join("0.log"), line("begin")).expect("write");
        let mut seen = read(&mut follower);
        fs::rename(folder.path().join("0.log"), folder.path().join("0.log.")).expect("rotate");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                write(0, 0..LINES / 2);
                write(1, LINES / 2..LINES);
            });
            let deadline = Instant::now() + Duration::from_secs(60);
            while seen.matches("end\n").count() < 2 {
                assert!(Instant::now() < deadline, "{seen}");
                seen += &read(&mut follower);
            }
        });
        let half = |numbers: std::ops::Range<usize>| {
            numbers.map(|number| format!("{number}\n")).collect::<String>() + "end\n"
        };
        let all = half(0..LINES / 2) + &half(LINES / 2..LINES);
        assert_eq!(seen, format!("begin\n{all}"));
    }

    #[test]
    fn a_tail_is_of_the_first_instance_only() {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join("0.log"), line("a") + &line("b")).expect("write");
        let selection = Selection { tail: Some(1), ..Selection::default() };
        let mut follower = Follower::new(folder.path(), 0, selection);
        assert_eq!(read(&mut follower), "b\n");
    }
}
