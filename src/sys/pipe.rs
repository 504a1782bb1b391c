//! Looking into a pipe before taking from it, and a little memory that
//! outlives the process.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::SyscallError;
use super::error::cerr;

/// Copies up to `length` bytes from the front of the pipe `from` to the end of
/// the pipe `to`; nothing is taken out (tee(2)). 0: `from` is empty and has no
/// writers. Never sleeps.
///
/// # Errors
/// EAGAIN: `from` is empty, or `to` is full. EINVAL: one is no pipe.
pub fn tee(from: BorrowedFd, to: BorrowedFd, length: usize) -> Result<usize, SyscallError> {
    loop {
        // SAFETY: integer arguments only.
        let copied =
            unsafe { libc::tee(from.as_raw_fd(), to.as_raw_fd(), length, libc::SPLICE_F_NONBLOCK) };
        match cerr(copied as libc::c_long, "tee", || format!("{length} bytes")) {
            Err(error) if error.errno == Errno::EINTR => {}
            result => return result.map(to_length),
        }
    }
}

fn to_length(count: libc::c_long) -> usize {
    usize::try_from(count).unwrap_or(0)
}

/// Takes `discard.len() + 1` bytes out of a pipe in one call, which the caller
/// knows to be there: the last one goes to the lowest byte of `last` (the
/// lowest address), the others to `discard`. A kill of this process leaves
/// either both done, the taking and the byte in `last`, or none.
///
/// # Errors
/// Those of readv(2).
pub fn take(pipe: BorrowedFd, discard: &mut [u8], last: &AtomicU64) -> Result<usize, SyscallError> {
    let parts = [
        libc::iovec { iov_base: discard.as_mut_ptr().cast(), iov_len: discard.len() },
        libc::iovec { iov_base: last.as_ptr().cast(), iov_len: 1 },
    ];
    loop {
        // SAFETY: the first part is `discard`, borrowed exclusively; the second
        // is one byte inside an atomic that lives through the call, and no
        // other thread touches it (the only user is the single-threaded shim).
        let count = unsafe { libc::readv(pipe.as_raw_fd(), parts.as_ptr(), 2) };
        match cerr(count as libc::c_long, "readv", || format!("{} bytes", discard.len() + 1)) {
            Err(error) if error.errno == Errno::EINTR => {}
            result => return result.map(to_length),
        }
    }
}

/// How many bytes are in a pipe (FIONREAD, pipe(7)).
///
/// # Errors
/// The errno of ioctl(2).
pub fn unread(pipe: BorrowedFd) -> Result<usize, SyscallError> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD stores one int, which `count` is.
    let result = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    cerr(result.into(), "ioctl", || "FIONREAD".to_owned())?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// True when a writer of this pipe (given by its read end) would have to wait:
/// asked through a writing end that exists for the question only.
#[must_use]
pub fn is_full(pipe: BorrowedFd) -> bool {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let Ok(writer) = nix::fcntl::open(path.as_str(), flags, nix::sys::stat::Mode::empty()) else {
        return false;
    };
    let mut polled = [PollFd::new(writer.as_fd(), PollFlags::POLLOUT)];
    poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready == 0)
}

/// Lets reads and writes of the open file behind `fd` return EAGAIN instead of
/// sleeping. Everyone who has this open file sees it.
///
/// # Errors
/// The errno of fcntl(2).
pub fn set_nonblocking(fd: impl AsFd) -> Result<(), SyscallError> {
    let failed = |errno| SyscallError::new("fcntl", "O_NONBLOCK", errno);
    let flags = fcntl(fd.as_fd(), FcntlArg::F_GETFL).map_err(failed)?;
    let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
    fcntl(fd.as_fd(), FcntlArg::F_SETFL(flags)).map(drop).map_err(failed)
}

/// A page of words shared by all who have its descriptor: what one process
/// wrote before it was killed, the next one reads.
#[derive(Debug)]
pub struct SharedPage {
    fd: OwnedFd,
    words: NonNull<AtomicU64>,
}

/// How many words a [`SharedPage`] has.
pub const SHARED_WORDS: usize = 512;
const PAGE_BYTES: usize = SHARED_WORDS * 8;

impl SharedPage {
    /// A new page of zeros in a memfd (memfd_create(2)).
    ///
    /// # Errors
    /// `memfd_create`, `ftruncate`, `mmap`.
    pub fn new(name: &std::ffi::CStr) -> Result<Self, SyscallError> {
        // SAFETY: a NUL-terminated name and integers.
        let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
        let fd = cerr(fd.into(), "memfd_create", || format!("{name:?}"))?;
        #[expect(clippy::cast_possible_truncation)]
        // SAFETY: a new descriptor that nobody else owns.
        let file = unsafe { File::from_raw_fd(fd as i32) };
        file.set_len(PAGE_BYTES as u64)
            .map_err(|error| SyscallError::from_io("ftruncate", "memfd", &error))?;
        Self::adopt(file.into())
    }

    /// The page behind a descriptor that [`SharedPage::new`] made, perhaps in
    /// an earlier process.
    ///
    /// # Errors
    /// EINVAL when the file is smaller than a page; `mmap`.
    pub fn adopt(fd: OwnedFd) -> Result<Self, SyscallError> {
        let file = File::from(fd);
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        if length < PAGE_BYTES as u64 {
            return Err(SyscallError::new("mmap", "memfd is too small", Errno::EINVAL));
        }
        let fd = OwnedFd::from(file);
        // SAFETY: a new mapping at a place of the kernel's choosing; checked
        // above to lie inside the file, whose size nobody reduces: only the
        // shim and the keeper have it, and neither does.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                PAGE_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(SyscallError::last("mmap", "memfd"));
        }
        let words = NonNull::new(address.cast())
            .ok_or_else(|| SyscallError::new("mmap", "null", Errno::EFAULT))?;
        Ok(Self { fd, words })
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has SHARED_WORDS aligned words, lives as long as
        // `self`, and is only ever used through atomics.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), SHARED_WORDS) }
    }
}

impl AsFd for SharedPage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `adopt`, of that size, unmapped once; no
        // slice of it outlives `self`.
        unsafe { libc::munmap(self.words.as_ptr().cast(), PAGE_BYTES) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::sys::fd;

    #[test]
    fn looking_takes_nothing_and_taking_puts_the_last_byte_where_it_outlives_us() {
        let (reader, writer) = fd::pipe().unwrap();
        let (scratch_reader, scratch_writer) = fd::pipe().unwrap();
        File::from(writer).write_all(b"hello").unwrap();
        for _ in 0..2 {
            assert_eq!(tee(reader.as_fd(), scratch_writer.as_fd(), 100).unwrap(), 5);
        }
        let page = SharedPage::new(c"test").unwrap();
        let mut rest = [0; 4];
        assert_eq!(take(reader.as_fd(), &mut rest, &page.words()[3]).unwrap(), 5);
        assert_eq!(&rest, b"hell");
        let again = SharedPage::adopt(page.as_fd().try_clone_to_owned().unwrap()).unwrap();
        assert_eq!(again.words()[3].load(Ordering::Relaxed).to_ne_bytes()[0], b'o');
        assert_eq!(tee(reader.as_fd(), scratch_writer.as_fd(), 100).unwrap(), 0, "at its end");
        drop(scratch_reader);
    }
}
