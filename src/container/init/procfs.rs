//! The host's procfs, opened before the root changes and known to be one:
//! what a container mounts or links below its own /proc is never written to
//! (CVE-2025-52881).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;

use crate::sys::SyscallError;

/// `/proc` of the host.
#[derive(Debug)]
pub(in super::super) struct ProcDir(OwnedFd);

impl ProcDir {
    /// Opens `/proc` and checks that it is the root of a procfs.
    pub(in super::super) fn open() -> Result<Self, SyscallError> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let fd = nix::fcntl::open("/proc", flags, Mode::empty())
            .map_err(|errno| SyscallError::new("open", "\"/proc\"", errno))?;
        let stat = nix::sys::statfs::fstatfs(&fd)
            .map_err(|errno| SyscallError::new("fstatfs", "\"/proc\"", errno))?;
        if stat.filesystem_type() != nix::sys::statfs::PROC_SUPER_MAGIC {
            return Err(SyscallError::new("fstatfs", "\"/proc\": not a procfs", Errno::EXDEV));
        }
        Ok(Self(fd))
    }

    /// Writes `value` to an existing file: no mount over it, no link out of it
    /// is followed.
    pub(in super::super) fn write(&self, path: &str, value: &str) -> Result<(), SyscallError> {
        let file = self.open_at(path, OFlag::O_WRONLY)?;
        match nix::unistd::write(&file, value.as_bytes()) {
            Ok(written) if written == value.len() => Ok(()),
            Ok(_) => Err(SyscallError::new("write", format!("{path:?}, {value:?}"), Errno::EIO)),
            Err(errno) => Err(SyscallError::new("write", format!("{path:?}, {value:?}"), errno)),
        }
    }

    /// The namespace file `kind` of a process.
    pub(in super::super) fn open_namespace(
        &self,
        process: &str,
        kind: &str,
    ) -> Result<OwnedFd, SyscallError> {
        let dir = self.open_at(&format!("{process}/ns"), OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        // The links are magic: they lead to the namespace, not to a path.
        nix::fcntl::openat(dir.as_fd(), kind, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|errno| SyscallError::new("openat", format!("{process}/ns/{kind}"), errno))
    }

    /// Opens the file behind a handle (`O_PATH`) of this process.
    pub(super) fn reopen(&self, handle: BorrowedFd, flags: OFlag) -> Result<OwnedFd, SyscallError> {
        let dir = self.open_at("self/fd", OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        let name = handle.as_raw_fd().to_string();
        nix::fcntl::openat(dir.as_fd(), name.as_str(), flags | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|errno| SyscallError::new("openat", format!("self/fd/{name}"), errno))
    }

    fn open_at(&self, path: &str, flags: OFlag) -> Result<OwnedFd, SyscallError> {
        let resolve = ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_XDEV
            | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
        openat2(&self.0, path, how)
            .map_err(|errno| SyscallError::new("openat2", format!("/proc, {path:?}"), errno))
    }
}

/// The file below `/proc/sys` of a sysctl named with dots or, as sysctl(8) has
/// it too, with slashes where the first separator is one.
pub(in super::super) fn sysctl_path(name: &str) -> String {
    let first = name.find(['.', '/']).map(|at| name.as_bytes()[at]);
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let path: String =
        if first == Some(b'.') { name.chars().map(swap).collect() } else { name.to_owned() };
    format!("sys/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sysctl_is_found_by_either_spelling() {
        for (name, path) in [
            ("kernel.shm_rmid_forced", "sys/kernel/shm_rmid_forced"),
            ("net/ipv4/ip_forward", "sys/net/ipv4/ip_forward"),
            ("net.ipv4.conf.eno2/100.rp_filter", "sys/net/ipv4/conf/eno2.100/rp_filter"),
            ("net/ipv4/conf/eno2.100/rp_filter", "sys/net/ipv4/conf/eno2.100/rp_filter"),
        ] {
            assert_eq!(sysctl_path(name), path);
        }
    }

    #[test]
    fn a_path_that_leaves_procfs_is_refused() {
        let proc = ProcDir::open().unwrap();
        for path in ["../etc/passwd", "self/root/etc/passwd", "sys/../../x"] {
            assert!(proc.write(path, "x").is_err(), "{path}");
        }
        assert!(proc.open_namespace("self", "mnt").is_ok());
    }
}
