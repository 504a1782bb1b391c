//! Making a container: one machine without blocking calls of its own.

use std::os::fd::BorrowedFd;

use super::error::Result;
use super::options::{CreateOptions, Created};

/// A container in the making. Dropping it before the end undoes everything.
#[derive(Debug)]
pub struct Creation {}

/// How far a creation is.
#[derive(Debug)]
pub enum Progress {
    /// [`Creation::fd`] will become readable.
    Pending,
    Created(Created),
}

impl Creation {
    /// Resolves the plan, makes state directory and cgroup, clones the process.
    ///
    /// # Errors
    /// Any [`Error`](super::Error); nothing is left behind.
    pub fn begin(options: CreateOptions) -> Result<Self> {
        let _ = options;
        todo!()
    }

    /// Readable when [`advance`](Self::advance) has something to do.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        todo!()
    }

    /// Handles what the process has said meanwhile.
    ///
    /// # Errors
    /// What failed inside or outside; nothing is left behind.
    pub fn advance(&mut self) -> Result<Progress> {
        todo!()
    }
}

/// [`Creation`] from begin to end, blocking.
///
/// # Errors
/// As [`Creation::begin`] and [`Creation::advance`].
pub fn create(options: CreateOptions) -> Result<Created> {
    let mut creation = Creation::begin(options)?;
    loop {
        if let Progress::Created(created) = creation.advance()? {
            return Ok(created);
        }
    }
}

/// What [`Created::exec_status`](super::Created) says, once readable: `Ok` when
/// the program runs, else the step that failed.
///
/// # Errors
/// [`Error::Step`](super::Error::Step).
pub fn read_exec_status(status: BorrowedFd) -> Result<()> {
    let _ = status;
    todo!()
}
