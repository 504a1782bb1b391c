//! One instance's log file, and the older ones beside it:
//! `0.log`, `0.log.20260131-235959`, ….

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::model::Timestamp;
use crate::model::plan::LogLimits;
use crate::sys::SyscallError;

/// A log that is written.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    length: u64,
    limits: LogLimits,
}

impl LogFile {
    /// Opens the log for appending and makes its folders. What lies beyond
    /// `good_length` was written half and is cut off.
    ///
    /// # Errors
    /// `mkdir`, `open`, `ftruncate`.
    pub fn open(
        path: &Path,
        good_length: Option<u64>,
        limits: LogLimits,
    ) -> Result<Self, SyscallError> {
        let failed = |call: &'static str| {
            move |e: io::Error| SyscallError::from_io(call, path.display().to_string(), &e)
        };
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(dir).map_err(failed("mkdir"))?;
        }
        let file = create(path).map_err(failed("open"))?;
        let found = file.metadata().map_err(failed("fstat"))?.len();
        let length = good_length.unwrap_or(found).min(found);
        if length < found {
            file.set_len(length).map_err(failed("ftruncate"))?;
        }
        Ok(Self { path: path.into(), file, length, limits })
    }

    /// Bytes up to the end of the last whole append.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends all of `bytes`, or nothing.
    ///
    /// # Errors
    /// `write`: ENOSPC, EDQUOT, EIO.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), SyscallError> {
        if let Err(e) = self.file.write_all(bytes) {
            // Half an entry would spoil the next one; if cutting it off fails
            // too, the file system is beyond help.
            let _ = self.file.set_len(self.length);
            return Err(SyscallError::from_io("write", self.path.display().to_string(), &e));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// True when the log has grown to its limit.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.length >= self.limits.max_bytes
    }

    /// Sets the log aside under a name with the time in it, begins a new one
    /// and removes the oldest. Readers that follow the file by its descriptor
    /// see its end and the new file beside it.
    ///
    /// # Errors
    /// `rename`, `open`; the old log goes on then.
    pub fn rotate(&mut self, now: Timestamp) -> Result<(), SyscallError> {
        let failed = |call: &'static str, path: &Path| {
            let path = path.display().to_string();
            move |e: io::Error| SyscallError::from_io(call, path, &e)
        };
        let aside = self.name_aside(now);
        fs::rename(&self.path, &aside).map_err(failed("rename", &self.path))?;
        self.file = create(&self.path).map_err(failed("open", &self.path))?;
        self.length = 0;
        self.remove_oldest();
        Ok(())
    }

    /// `<path>.<yyyymmdd-hhmmss>`, with a number when that second has one
    /// already.
    fn name_aside(&self, now: Timestamp) -> PathBuf {
        let [year, month, day, hour, minute, second] = now.civil();
        let stem = format!(
            "{}.{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}",
            self.path.display()
        );
        // Behind all of the same second, also where the first of them is gone:
        // by name they sort by age.
        let number = |path: &PathBuf| {
            let rest = path.to_str()?.strip_prefix(&stem)?;
            if rest.is_empty() { Some(0) } else { rest.strip_prefix('.')?.parse::<u32>().ok() }
        };
        match rotated(&self.path).iter().filter_map(number).max() {
            None => PathBuf::from(&stem),
            Some(last) => PathBuf::from(format!("{stem}.{:06}", last.saturating_add(1))),
        }
    }

    fn remove_oldest(&self) {
        let mut aside = rotated(&self.path);
        aside.sort();
        let keep = self.limits.max_files.saturating_sub(1);
        let surplus = aside.len().saturating_sub(keep);
        for old in aside.iter().take(surplus) {
            // One that cannot be removed now is tried again at the next turn.
            let _ = fs::remove_file(old);
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// The logs set aside for `path`, in no order; by name they sort by age.
#[must_use]
pub fn rotated(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Vec::new();
    };
    let prefix = format!("{name}.");
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)))
        .map(|entry| entry.path())
        .collect()
}

/// Removes the logs of instances before `attempt` from a container's folder:
/// that of the last one that ended stays, as the kubelet's clean-up leaves it.
pub fn remove_before(folder: &Path, attempt: u32) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.split_once(".log")?.0.parse::<u32>().ok());
        if number.is_some_and(|number| number < attempt) {
            // One that cannot be removed now is tried again at the next restart.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: LogLimits = LogLimits { max_bytes: 10, max_files: 3 };

    fn at(second: u64) -> Timestamp {
        Timestamp((1_769_903_990 + second) * 1_000_000_000)
    }

    #[test]
    fn a_full_log_is_set_aside_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web/0.log");
        let mut log = LogFile::open(&path, None, SMALL).unwrap();
        for round in 0..5_u64 {
            assert!(!log.is_full());
            log.append(format!("line {round:04}\n").as_bytes()).unwrap();
            assert!(log.is_full());
            // Four rotations fall into one second.
            log.rotate(at(round / 4)).unwrap();
        }
        log.append(b"x").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
        let mut aside = rotated(&path);
        aside.sort();
        let texts: Vec<_> = aside.iter().map(|p| fs::read_to_string(p).unwrap()).collect();
        assert_eq!(texts, ["line 0003\n", "line 0004\n"]);
        assert!(aside[0].to_str().unwrap().ends_with("0.log.20260131-235950.000003"));
    }

    #[test]
    fn logs_of_earlier_instances_go_and_strangers_stay() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["0.log", "1.log", "1.log.20260131-235951", "2.log", "10.log", "x.log", "y"];
        for name in names {
            fs::write(dir.path().join(name), "").unwrap();
        }
        remove_before(dir.path(), 2);
        let mut left: Vec<String> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["10.log", "2.log", "x.log", "y"]);
    }

    #[test]
    fn what_a_killed_writer_left_half_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        fs::write(&path, "whole\nhal").unwrap();
        let mut log = LogFile::open(&path, Some(6), LogLimits::default()).unwrap();
        log.append(b"next\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nnext\n");
        // Rotated just before the kill: the new file is shorter than told.
        assert_eq!(LogFile::open(&path, Some(500), LogLimits::default()).unwrap().length(), 11);
    }
}
