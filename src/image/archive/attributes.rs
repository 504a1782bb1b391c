//! Owner, mode, times and extended attributes.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, UtimensatFlags};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid};

use crate::sys::SyscallError;
use crate::sys::xattr::{self, Target};

/// Marks a folder in which no lower layer shows.
pub const OPAQUE: &str = "trusted.overlay.opaque";

/// What a file has besides its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, setuid, setgid and sticky.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970 and nanoseconds.
    pub mtime: (i64, i64),
    pub xattrs: Vec<(OsString, Vec<u8>)>,
}

/// Whether an image may bring this attribute. Overlayfs's own would redirect
/// names into other layers; `security.*` besides capabilities belongs to the
/// host's policy.
#[must_use]
pub fn is_allowed(name: &[u8]) -> bool {
    name == b"security.capability"
        || name.starts_with(b"user.")
        || name == b"system.posix_acl_access"
        || name == b"system.posix_acl_default"
        || (name.starts_with(b"trusted.") && !name.starts_with(b"trusted.overlay."))
}

impl Attributes {
    /// A folder that no archive describes.
    pub fn plain_folder() -> Self {
        Self { mode: 0o755, uid: 0, gid: 0, mtime: (0, 0), xattrs: Vec::new() }
    }

    /// Those of a file that is there, of the kind an image may bring.
    ///
    /// # Errors
    /// Attributes that cannot be read.
    pub fn read(target: Target<'_>, stat: &FileStat) -> Result<Self, SyscallError> {
        let mut xattrs = Vec::new();
        for name in xattr::list(target)? {
            if is_allowed(name.as_bytes())
                && let Some(value) = xattr::get(target, &name)?
            {
                xattrs.push((name, value));
            }
        }
        xattrs.sort();
        Ok(Self {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: (stat.st_mtime, stat.st_mtime_nsec),
            xattrs,
        })
    }

    /// From an archive; attributes an image may not bring are left out.
    #[must_use]
    pub fn allowed(xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<(OsString, Vec<u8>)> {
        let allowed = xattrs.into_iter().filter(|(name, _)| is_allowed(name));
        allowed.map(|(name, value)| (OsString::from_vec(name), value)).collect()
    }

    /// Gives them to an open file, its time last: writing comes before.
    ///
    /// # Errors
    /// The call that failed.
    pub fn apply_to_file(
        &self,
        file: impl AsFd,
        dir: BorrowedFd<'_>,
        name: &OsStr,
    ) -> Result<(), SyscallError> {
        let failed = |call| move |errno| SyscallError::new(call, format!("{name:?}"), errno);
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        nix::unistd::fchown(&file, Some(uid), Some(gid)).map_err(failed("fchown"))?;
        // After the owner: chown(2) takes setuid bits and capabilities away.
        nix::sys::stat::fchmod(&file, mode(self.mode)).map_err(failed("fchmod"))?;
        self.set_xattrs(Target { dir, name })?;
        let time = self.time();
        nix::sys::stat::futimens(&file, &time, &time).map_err(failed("futimens"))
    }

    /// Gives them to the directory entry `name`, which is no symlink unless
    /// `is_symlink`. An empty name is the folder itself.
    ///
    /// # Errors
    /// The call that failed.
    pub fn apply(
        &self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        is_symlink: bool,
    ) -> Result<(), SyscallError> {
        let failed = |call| move |errno| SyscallError::new(call, format!("{name:?}"), errno);
        let path = if name.is_empty() { OsStr::new(".") } else { name };
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
        nix::unistd::fchownat(dir, path, Some(uid), Some(gid), flags)
            .map_err(failed("fchownat"))?;
        if !is_symlink {
            let follow = FchmodatFlags::FollowSymlink;
            nix::sys::stat::fchmodat(dir, path, mode(self.mode), follow)
                .map_err(failed("fchmodat"))?;
        }
        self.set_xattrs(Target { dir, name })?;
        set_mtime(dir, path, self.mtime).map_err(failed("utimensat"))
    }

    fn set_xattrs(&self, target: Target<'_>) -> Result<(), SyscallError> {
        for (name, value) in &self.xattrs {
            match xattr::set(target, name, value) {
                // Not all file systems have them, and not all files can.
                Err(error) if matches!(error.errno, Errno::EOPNOTSUPP | Errno::EPERM) => {}
                done => done?,
            }
        }
        Ok(())
    }

    fn time(&self) -> TimeSpec {
        TimeSpec::new(self.mtime.0, self.mtime.1)
    }
}

/// Sets the times of a directory entry, of a symlink itself.
///
/// # Errors
/// As utimensat(2).
pub fn set_mtime(dir: BorrowedFd<'_>, name: &OsStr, mtime: (i64, i64)) -> Result<(), Errno> {
    let time = TimeSpec::new(mtime.0, mtime.1);
    nix::sys::stat::utimensat(dir, name, &time, &time, UtimensatFlags::NoFollowSymlink)
}

/// The permission bits as nix wants them.
#[must_use]
pub fn mode(bits: u32) -> Mode {
    Mode::from_bits_truncate(bits & 0o7777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_cannot_bring_attributes_that_steer_overlayfs_or_the_hosts_policy() {
        for good in ["user.x", "security.capability", "trusted.x", "system.posix_acl_access"] {
            assert!(is_allowed(good.as_bytes()), "{good}");
        }
        for bad in [
            "trusted.overlay.opaque",
            "trusted.overlay.redirect",
            "trusted.overlay.metacopy",
            "security.selinux",
            "security.ima",
            "system.sockprotoname",
            "",
        ] {
            assert!(!is_allowed(bad.as_bytes()), "{bad}");
        }
    }
}
