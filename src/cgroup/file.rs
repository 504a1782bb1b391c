//! Reading and writing the files of a cgroup.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;

use super::error::Error;
use crate::sys::SyscallError;

/// The whole file as text.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    File::open(path)
        .and_then(|mut file| file.read_to_string(&mut text))
        .map_err(|error| failed("read", path, "", &error))?;
    Ok(text)
}

/// [`read`]; `None` when the file, or the cgroup, is not there.
pub(super) fn read_if_there(path: &Path) -> Result<Option<String>, Error> {
    match read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes `value` in one call, as the kernel wants it.
pub(super) fn write(path: &Path, value: &str) -> Result<(), Error> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|error| failed("write", path, value, &error))
}

/// Opens for writing, to be handed to another process.
pub(super) fn open_for_writing(path: &Path) -> Result<OwnedFd, Error> {
    let file = OpenOptions::new().write(true).open(path);
    file.map(OwnedFd::from).map_err(|error| failed("open", path, "", &error))
}

/// Opens a folder for `CLONE_INTO_CGROUP`.
pub(super) fn open_directory(path: &Path) -> Result<OwnedFd, Error> {
    let flags = libc::O_DIRECTORY | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    file.map(OwnedFd::from).map_err(|error| failed("open", path, "", &error))
}

/// Makes a folder; one that exists is as good.
pub(super) fn make_directory(path: &Path) -> Result<(), Error> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(failed("create", path, "", &error))
        }
        _ => Ok(()),
    }
}

pub(super) fn failed(
    action: &'static str,
    path: &Path,
    value: &str,
    error: &std::io::Error,
) -> Error {
    let source = SyscallError::from_io(call_of(action), "", error);
    Error::File { action, path: path.to_owned(), value: value.to_owned(), source }
}

const fn call_of(action: &'static str) -> &'static str {
    match action.as_bytes() {
        b"create" => "mkdir",
        b"remove" => "rmdir",
        _ => action,
    }
}

/// The errno behind an error, if a file caused it.
pub(super) fn errno(error: &Error) -> Option<Errno> {
    match error {
        Error::File { source, .. } => Some(source.errno),
        _ => None,
    }
}

/// ENOENT from a lookup, ENODEV from a file whose cgroup was removed.
pub(super) fn is_gone(error: &Error) -> bool {
    matches!(errno(error), Some(Errno::ENOENT | Errno::ENODEV))
}

/// The number after `key` in a flat keyed file.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == key)
        .and_then(|(_, value)| value.trim().parse().ok())
}
