//! The table of descriptors that passes from a process to the program it
//! executes: from the CLI to the keeper, from keeper to shim and back. Its form
//! is told in [`super::keeper_protocol`].

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::SyscallError;
use super::fd::keep_over_exec;
use super::keeper_protocol::{
    CONTROL_FD, ENTRY_BYTES, Entry, FIRST_FREE_FD, MAGIC, TABLE_ENTRIES, TABLE_FD,
};

/// Descriptors by key, ready to be handed to a program.
#[derive(Debug)]
pub(super) struct HandOver {
    fds: Vec<OwnedFd>,
    table: OwnedFd,
}

impl HandOver {
    /// Copies the descriptors to numbers that an exec keeps apart from the
    /// fixed ones, and writes the table.
    ///
    /// # Errors
    /// E2BIG for too many descriptors, ENAMETOOLONG for a key; the errno of
    /// fcntl(2) or memfd_create(2).
    pub(super) fn new<'a>(
        fds: impl IntoIterator<Item = (&'a [u8], BorrowedFd<'a>)>,
    ) -> Result<Self, SyscallError> {
        let mut copies = Vec::new();
        let mut bytes = Vec::new();
        for (key, fd) in fds {
            let copy = duplicate_high(fd)?;
            let entry = Entry::new(copy.as_raw_fd(), key).ok_or_else(|| {
                let key = String::from_utf8_lossy(key).into_owned();
                SyscallError::new("hand_over", key, Errno::ENAMETOOLONG)
            })?;
            push(&mut bytes, &entry);
            copies.push(copy);
        }
        let count = i32::try_from(copies.len()).unwrap_or(i32::MAX);
        if copies.len() > TABLE_ENTRIES {
            return Err(SyscallError::new("hand_over", format!("{count} fds"), Errno::E2BIG));
        }
        let mut table = Vec::with_capacity(bytes.len() + ENTRY_BYTES);
        push(&mut table, &Entry::new(count, MAGIC).unwrap_or(Entry::EMPTY));
        table.extend_from_slice(&bytes);
        Ok(Self { fds: copies, table: memfd_with(&table)? })
    }

    /// Puts the table where the next program looks for it and lets the
    /// descriptors, and only them and the standard streams, survive the exec.
    /// Only right before an exec, and where nothing else has the table's number.
    pub(super) fn release(&self) -> Result<(), SyscallError> {
        super::fd::close_range_cloexec(TABLE_FD.unsigned_abs())?;
        // SAFETY: in a cloned child, which executes or ends next, whoever owns
        // this number in the parent's copied memory never uses it; in a shim
        // the adopted table owns it (`Adopted::table`), and stays an fd.
        let result = unsafe { libc::dup2(self.table.as_raw_fd(), TABLE_FD) };
        super::error::cerr(result.into(), "dup2", || "hand-over table".to_owned())?;
        for fd in &self.fds {
            if !keep_over_exec(fd.as_raw_fd()) {
                return Err(SyscallError::last("fcntl", "F_SETFD"));
            }
        }
        Ok(())
    }
}

fn push(bytes: &mut Vec<u8>, entry: &Entry) {
    bytes.extend_from_slice(&entry.fd.to_ne_bytes());
    bytes.extend_from_slice(&entry.len.to_ne_bytes());
    bytes.extend_from_slice(&entry.key);
}

fn memfd_with(bytes: &[u8]) -> Result<OwnedFd, SyscallError> {
    let memfd = memfd_create("podrt-hand-over", MFdFlags::MFD_CLOEXEC)
        .map_err(|errno| SyscallError::new("memfd_create", "hand-over table", errno))?;
    let mut file = std::fs::File::from(duplicate_high(std::os::fd::AsFd::as_fd(&memfd))?);
    file.write_all(bytes)
        .map_err(|error| SyscallError::from_io("write", "hand-over table", &error))?;
    Ok(file.into())
}

fn duplicate_high(fd: BorrowedFd) -> Result<OwnedFd, SyscallError> {
    let raw = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(FIRST_FREE_FD))
        .map_err(|errno| SyscallError::new("fcntl", "F_DUPFD_CLOEXEC", errno))?;
    // SAFETY: F_DUPFD_CLOEXEC returned a new descriptor that nobody owns yet.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// What a shim was handed by its keeper.
#[derive(Debug)]
pub(super) struct Adopted {
    /// Kept open, so that its number is free for the next table.
    pub(super) table: OwnedFd,
    pub(super) control: OwnedFd,
    pub(super) fds: Vec<(Vec<u8>, OwnedFd)>,
}

/// Takes over what this process inherited, close-on-exec again.
///
/// # Errors
/// EBADMSG when no keeper started this process, EALREADY the second time.
pub(super) fn adopt() -> Result<Adopted, SyscallError> {
    static ADOPTED: AtomicBool = AtomicBool::new(false);
    let failed = |errno| SyscallError::new("adopt", "hand-over table", errno);
    if ADOPTED.swap(true, Ordering::Relaxed) {
        return Err(failed(Errno::EALREADY));
    }
    // Nothing is owned before the table has proven to be one: without a keeper
    // these numbers belong to somebody else.
    let entries = read_table().ok_or_else(|| failed(Errno::EBADMSG))?;
    let all_open =
        entries.iter().map(|entry| entry.fd).chain([TABLE_FD, CONTROL_FD]).all(close_on_exec);
    if !all_open {
        return Err(failed(Errno::EBADF));
    }
    // SAFETY: the keeper left these numbers to this process alone, they were
    // just seen open, and the flag above lets each be taken once.
    let own = |fd| unsafe { OwnedFd::from_raw_fd(fd) };
    let fds = entries.iter().map(|entry| (entry.key().to_owned(), own(entry.fd))).collect();
    Ok(Adopted { table: own(TABLE_FD), control: own(CONTROL_FD), fds })
}

fn read_table() -> Option<Vec<Entry>> {
    // Through /proc, so that no number is owned yet and reading begins at 0.
    let mut bytes = Vec::new();
    std::fs::File::open(format!("/proc/self/fd/{TABLE_FD}"))
        .ok()?
        .take(u64::try_from((TABLE_ENTRIES + 1) * ENTRY_BYTES).ok()?)
        .read_to_end(&mut bytes)
        .ok()?;
    let mut entries = bytes.chunks_exact(ENTRY_BYTES).map(parse).collect::<Option<Vec<_>>>()?;
    if entries.is_empty() {
        return None;
    }
    let head = entries.remove(0);
    let count = usize::try_from(head.fd).ok()?;
    let well_formed = |entry: &Entry| entry.fd >= FIRST_FREE_FD && !entry.key().is_empty();
    (head.key() == MAGIC && count == entries.len() && entries.iter().all(well_formed))
        .then_some(entries)
}

fn parse(bytes: &[u8]) -> Option<Entry> {
    let fd = i32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?);
    let len = u32::from_ne_bytes(bytes.get(4..8)?.try_into().ok()?);
    let key = bytes.get(8..8 + usize::try_from(len).ok()?)?;
    if len == 0 { None } else { Entry::new(fd, key) }
}

fn close_on_exec(fd: i32) -> bool {
    // SAFETY: only borrowed for a call that does not close it; a number that
    // is not open gives EBADF.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).is_ok()
}
