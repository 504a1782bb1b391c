//! What a container's log needs to go on exactly where a killed shim left it:
//! one word per container in memory that the keeper holds.
//!
//! A chunk of output is looked at, appended to the log, **committed** in one
//! atomic store (the log's new length, and how much is to be taken from which
//! pipe), then taken from the pipe, whose last byte lands in the marker word.
//! After a kill the log is cut to the committed length. Whether the taking
//! still has to be done is told by the marker: it is set to something else
//! than the expected byte before the commit, and the kernel takes and stores
//! in one call.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use super::entry::Stream;
use crate::sys::SyscallError;
use crate::sys::pipe::SharedPage;

/// The slots of all containers of a pod: 256; further ones are logged without.
#[derive(Debug)]
pub struct Journal(SharedPage);

/// What has been appended to the log and is still to be taken from a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taking {
    pub stream: Stream,
    /// Never 0, at most [`MAX_TAKING_BYTES`].
    pub length: usize,
    /// The last of these bytes.
    pub last: u8,
}

/// The most that one [`Taking`] may take.
pub const MAX_TAKING_BYTES: usize = (1 << TAKING_BITS) - 1;

const LENGTH_BITS: u32 = 38;
const TAKING_BITS: u32 = 17;

/// One container's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The log's length up to the last whole entry, bytes; below 2^38.
    pub log_length: u64,
    pub taking: Option<Taking>,
}

impl Committed {
    fn pack(self) -> u64 {
        let length = self.log_length & ((1 << LENGTH_BITS) - 1);
        let Some(taking) = self.taking else { return length };
        let stream = u64::from(taking.stream == Stream::Stderr);
        let count = taking.length.min(MAX_TAKING_BYTES) as u64;
        let tail = u64::from(taking.last) | (stream << 8) | (count << 9);
        length | (tail << LENGTH_BITS)
    }

    fn unpack(word: u64) -> Self {
        let log_length = word & ((1 << LENGTH_BITS) - 1);
        let tail = word >> LENGTH_BITS;
        let last = tail.to_le_bytes()[0];
        let stream = if tail & 0x100 == 0 { Stream::Stdout } else { Stream::Stderr };
        let length = usize::try_from(tail >> 9).unwrap_or(0);
        Self { log_length, taking: (length > 0).then_some(Taking { stream, length, last }) }
    }
}

impl Journal {
    /// An empty journal.
    ///
    /// # Errors
    /// As for [`SharedPage::new`].
    pub fn new() -> Result<Self, SyscallError> {
        SharedPage::new(c"podrt-logs").map(Self)
    }

    /// The journal of an earlier shim.
    ///
    /// # Errors
    /// As for [`SharedPage::adopt`].
    pub fn adopt(fd: OwnedFd) -> Result<Self, SyscallError> {
        SharedPage::adopt(fd).map(Self)
    }

    fn words(&self, slot: usize) -> Option<(&AtomicU64, &AtomicU64)> {
        let words = self.0.words();
        Some((words.get(2 * slot)?, words.get(2 * slot + 1)?))
    }

    /// What the slot says; `None` for a container without one.
    #[must_use]
    pub fn read(&self, slot: usize) -> Option<Committed> {
        self.words(slot).map(|(word, _)| Committed::unpack(word.load(Ordering::Acquire)))
    }

    /// Commits a log length, nothing left to take.
    pub fn settle(&self, slot: usize, log_length: u64) {
        if let Some((word, _)) = self.words(slot) {
            word.store(Committed { log_length, taking: None }.pack(), Ordering::Release);
        }
    }

    /// Commits a log length and what is then taken with [`Journal::marker`].
    pub fn commit(&self, slot: usize, log_length: u64, taking: Taking) {
        if let Some((word, marker)) = self.words(slot) {
            marker.store(u64::from(!taking.last), Ordering::Release);
            let committed = Committed { log_length, taking: Some(taking) };
            word.store(committed.pack(), Ordering::Release);
        }
    }

    /// Where the last byte that is taken goes.
    #[must_use]
    pub fn marker(&self, slot: usize) -> Option<&AtomicU64> {
        self.words(slot).map(|(_, marker)| marker)
    }

    /// After a kill: what a slot's pipe still has to lose.
    #[must_use]
    pub fn left_to_take(&self, slot: usize) -> Option<Taking> {
        let taking = self.read(slot)?.taking?;
        let marker = self.marker(slot)?.load(Ordering::Acquire).to_le_bytes()[0];
        (marker != taking.last).then_some(taking)
    }
}

impl AsFd for Journal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_commit_reads_back_as_it_was(
            log_length in 0_u64..1 << 38,
            length in 0_usize..=MAX_TAKING_BYTES,
            last: u8,
            error_stream: bool,
        ) {
            let stream = if error_stream { Stream::Stderr } else { Stream::Stdout };
            let taking = (length > 0).then_some(Taking { stream, length, last });
            let committed = Committed { log_length, taking };
            prop_assert_eq!(Committed::unpack(committed.pack()), committed);
        }
    }

    #[test]
    fn a_kill_between_commit_and_taking_leaves_it_to_do_and_after_it_does_not() {
        let journal = Journal::new().unwrap();
        let taking = Taking { stream: Stream::Stderr, length: 10, last: b'x' };
        journal.commit(5, 100, taking);
        let after_kill = Journal::adopt(journal.as_fd().try_clone_to_owned().unwrap()).unwrap();
        assert_eq!(after_kill.left_to_take(5), Some(taking));
        journal.marker(5).unwrap().store(u64::from(b'x'), Ordering::Relaxed);
        assert_eq!(after_kill.left_to_take(5), None);
        assert_eq!(after_kill.read(5).unwrap().log_length, 100);
        journal.settle(5, 100);
        assert_eq!(after_kill.read(5).unwrap().taking, None);
        assert_eq!(after_kill.read(256), None);
    }
}
