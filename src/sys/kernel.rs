//! The oldest kernel that podrt runs on.

use std::fmt;

use crate::model::ErrorKind;

/// Everything podrt cannot do without is there from Linux 5.15 on: the mount
/// API with recursive `mount_setattr` (5.12), `cgroup.kill` (5.14), clone3
/// with `CLONE_INTO_CGROUP` (5.7), `close_range` with `CLOEXEC` (5.11).
const OLDEST: (u32, u32) = (5, 15);

/// The running kernel is too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooOld {
    release: String,
}

impl TooOld {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Unsupported
    }
}

impl fmt::Display for TooOld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = OLDEST;
        write!(f, "Linux {} is too old: podrt needs {major}.{minor} or later", self.release)
    }
}

impl std::error::Error for TooOld {}

/// Checks the running kernel (uname(2)).
///
/// # Errors
/// [`TooOld`].
pub fn check() -> Result<(), TooOld> {
    let uname = nix::sys::utsname::uname();
    let release = uname.map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default();
    check_release(&release)
}

/// A release that cannot be read counts as new: better to fail at the call
/// that is missing than to refuse a kernel with an odd name.
fn check_release(release: &str) -> Result<(), TooOld> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < OLDEST => {
            Err(TooOld { release: release.to_owned() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_before_5_15_are_refused_by_name() {
        for new in ["5.15.0", "6.1.0-18-amd64", "6.18.44-fc", "10.0", "odd"] {
            assert_eq!(check_release(new), Ok(()), "{new}");
        }
        let error = check_release("5.10.0-28-amd64").expect_err("too old");
        assert_eq!(
            error.to_string(),
            "Linux 5.10.0-28-amd64 is too old: podrt needs 5.15 or later"
        );
    }
}
