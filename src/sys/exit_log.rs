//! The exits file of a pod: what its keeper reaped, in the order of the deaths.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::{Pid, Whence, lseek};

use super::SyscallError;
use crate::model::{ExitStatus, Timestamp};

/// The file's name in the pod's folder below the root.
pub const FILE_NAME: &str = "exits";

/// One child that the keeper reaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    pub pid: Pid,
    /// Clock ticks after boot, which tells processes of one pid apart; 0 when
    /// it could not be read.
    pub start_time: u64,
    pub status: ExitStatus,
    /// `CLOCK_BOOTTIME` in nanoseconds when the keeper saw it.
    pub boot_ns: u64,
    pub wall: Timestamp,
    /// Its path in the cgroup2 hierarchy, from the root the keeper sees.
    pub cgroup: Option<String>,
}

/// A reader of the exits file that remembers how far it got.
#[derive(Debug)]
pub struct ExitLog {
    file: File,
    path: PathBuf,
    offset: u64,
}

impl ExitLog {
    /// The file in `run_dir`, from its beginning, made when it is missing.
    ///
    /// # Errors
    /// The errno of open(2).
    pub fn open(run_dir: &Path) -> Result<Self, SyscallError> {
        let path = run_dir.join(FILE_NAME);
        let file =
            options().read(true).write(true).open(&path).map_err(|error| {
                SyscallError::from_io("open", path.display().to_string(), &error)
            })?;
        Ok(Self { file, path, offset: 0 })
    }

    /// What was appended since the last call.
    ///
    /// # Errors
    /// The errno of read(2).
    pub fn read_new(&mut self) -> Result<Vec<Exit>, SyscallError> {
        let start = match i64::try_from(self.offset) {
            // What was forgotten is a hole: go on where data begins.
            Ok(offset) => lseek(&self.file, offset, Whence::SeekData),
            Err(_) => Err(Errno::EOVERFLOW),
        };
        match start {
            // No data behind the offset.
            Err(Errno::ENXIO) => return Ok(Vec::new()),
            Err(errno) => return Err(self.failed("lseek", errno)),
            Ok(start) => self.offset = u64::try_from(start).unwrap_or(self.offset),
        }
        let mut bytes = Vec::new();
        self.file
            .seek(SeekFrom::Start(self.offset))
            .and_then(|_| self.file.read_to_end(&mut bytes))
            .map_err(|error| SyscallError::from_io("read", self.name(), &error))?;
        // The keeper appends whole lines; a last part without an end is left.
        let complete = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        self.offset += complete as u64;
        Ok(bytes[..complete].split(|&byte| byte == b'\n').filter_map(parse).collect())
    }

    /// Gives back the memory of what was read, once the reader has noted it
    /// elsewhere: a later [`ExitLog::open`] starts behind it. Where the file
    /// system cannot punch holes the file merely stays as long.
    ///
    /// # Errors
    /// The errno of fallocate(2).
    pub fn forget_read(&self) -> Result<(), SyscallError> {
        let Some(len) = i64::try_from(self.offset).ok().filter(|&len| len > 0) else {
            return Ok(());
        };
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        match fallocate(&self.file, flags, 0, len) {
            Ok(()) | Err(Errno::EOPNOTSUPP) => Ok(()),
            Err(errno) => Err(self.failed("fallocate", errno)),
        }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn failed(&self, call: &'static str, errno: Errno) -> SyscallError {
        SyscallError::new(call, self.name(), errno)
    }
}

/// The keeper's descriptor for the file.
///
/// # Errors
/// The errno of open(2).
pub(super) fn open_for_append(run_dir: &Path) -> Result<File, SyscallError> {
    let path = run_dir.join(FILE_NAME);
    options()
        .append(true)
        .open(&path)
        .map_err(|error| SyscallError::from_io("open", path.display().to_string(), &error))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options
}

/// `PID START STATUS BOOT WALL CGROUP`; anything else (a hole's zeros before
/// it aside) is no exit.
fn parse(line: &[u8]) -> Option<Exit> {
    let line = std::str::from_utf8(line).ok()?.trim_start_matches('\0');
    let mut fields = line.splitn(6, ' ');
    Some(Exit {
        pid: Pid::from_raw(fields.next()?.parse().ok()?),
        start_time: fields.next()?.parse().ok()?,
        status: ExitStatus::from_wait_status(fields.next()?.parse().ok()?)?,
        boot_ns: fields.next()?.parse().ok()?,
        wall: Timestamp(fields.next()?.parse().ok()?),
        cgroup: fields.next().filter(|path| *path != "-").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Signal;
    use std::io::Write;

    #[test]
    fn exits_are_read_once_and_only_as_whole_lines() {
        let dir = tempfile::tempdir().expect("dir");
        let mut file = open_for_append(dir.path()).expect("append");
        let mut log = ExitLog::open(dir.path()).expect("open");
        assert_eq!(log.read_new().expect("read"), []);
        file.write_all(b"7 70 256 1 2 /a b\n8 80 9 3 4 -\n9 9").expect("write");
        let exits = log.read_new().expect("read");
        assert_eq!(exits.len(), 2);
        assert_eq!(exits[0].status, ExitStatus::Exited(1));
        assert_eq!(exits[0].cgroup.as_deref(), Some("/a b"));
        assert_eq!(
            (exits[1].status, &exits[1].cgroup),
            (ExitStatus::Signaled(Signal::KILL), &None)
        );
        file.write_all(b"0 0 0 0 /x\n").expect("write");
        let exits = log.read_new().expect("read");
        assert_eq!(exits.iter().map(|exit| exit.pid.as_raw()).collect::<Vec<_>>(), [9]);
    }

    #[test]
    fn a_new_reader_starts_behind_what_was_forgotten() {
        let dir = tempfile::tempdir().expect("dir");
        let mut file = open_for_append(dir.path()).expect("append");
        let mut log = ExitLog::open(dir.path()).expect("open");
        for pid in 1..=300 {
            writeln!(file, "{pid} 0 0 0 0 /podrt/pod0123456789/some-container").expect("write");
        }
        assert_eq!(log.read_new().expect("read").len(), 300);
        log.forget_read().expect("forget");
        file.write_all(b"301 0 0 0 0 -\n").expect("write");
        let mut fresh = ExitLog::open(dir.path()).expect("open");
        for log in [&mut log, &mut fresh] {
            let exits = log.read_new().expect("read");
            assert_eq!(exits.iter().map(|exit| exit.pid.as_raw()).collect::<Vec<_>>(), [301]);
        }
    }

    #[test]
    fn damaged_lines_are_no_exits() {
        for line in ["", "x", "1 2 3", "1 2 127 4 5 -", "1 2 x 4 5 -", "-1 -2 0 4 5 -"] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }
}
