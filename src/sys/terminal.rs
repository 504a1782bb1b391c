//! The size of a terminal (ioctl_tty(2)).

use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::error::{SyscallError, cerr};

/// Columns and rows.
///
/// # Errors
/// ENOTTY for anything that is no terminal.
pub fn size(fd: BorrowedFd<'_>) -> Result<(u16, u16), SyscallError> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize, which `size` is and outlives the
    // call; the descriptor is borrowed, so open.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    cerr(result.into(), "ioctl", || "TIOCGWINSZ".into())?;
    Ok((size.ws_col, size.ws_row))
}

/// Sets columns and rows; the foreground processes get SIGWINCH.
///
/// # Errors
/// ENOTTY for anything that is no terminal.
pub fn set_size(fd: BorrowedFd<'_>, columns: u16, rows: u16) -> Result<(), SyscallError> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize, which `size` is and outlives the
    // call; the descriptor is borrowed, so open.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    cerr(result.into(), "ioctl", || "TIOCSWINSZ".into())?;
    Ok(())
}
