//! The kinds of namespaces, and what a container does about each.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use oci_spec::runtime::LinuxNamespaceType;

use crate::sys::process::CloneFlags;

/// A kind of namespace. The order is the one in which they are joined: the
/// user namespace first, for it owns the others; the mount namespace last, for
/// the paths of the host end there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    User,
    Ipc,
    Uts,
    Network,
    Pid,
    Time,
    Cgroup,
    Mount,
}

/// Namespaces held by descriptor: a file of `/proc/<pid>/ns`.
pub type NamespaceFds = BTreeMap<Namespace, OwnedFd>;

impl Namespace {
    pub const ALL: [Self; 8] = [
        Self::User,
        Self::Ipc,
        Self::Uts,
        Self::Network,
        Self::Pid,
        Self::Time,
        Self::Cgroup,
        Self::Mount,
    ];

    /// The bit of clone(2), unshare(2) and setns(2).
    #[must_use]
    pub fn flag(self) -> CloneFlags {
        match self {
            Self::User => CloneFlags::NEWUSER,
            Self::Ipc => CloneFlags::NEWIPC,
            Self::Uts => CloneFlags::NEWUTS,
            Self::Network => CloneFlags::NEWNET,
            Self::Pid => CloneFlags::NEWPID,
            Self::Time => CloneFlags::NEWTIME,
            Self::Cgroup => CloneFlags::NEWCGROUP,
            Self::Mount => CloneFlags::NEWNS,
        }
    }

    /// Its file below `/proc/<pid>/ns`.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Network => "net",
            Self::Pid => "pid",
            Self::Time => "time",
            Self::Cgroup => "cgroup",
            Self::Mount => "mnt",
        }
    }
}

impl From<LinuxNamespaceType> for Namespace {
    fn from(kind: LinuxNamespaceType) -> Self {
        match kind {
            LinuxNamespaceType::Mount => Self::Mount,
            LinuxNamespaceType::Cgroup => Self::Cgroup,
            LinuxNamespaceType::Uts => Self::Uts,
            LinuxNamespaceType::Ipc => Self::Ipc,
            LinuxNamespaceType::User => Self::User,
            LinuxNamespaceType::Pid => Self::Pid,
            LinuxNamespaceType::Network => Self::Network,
            LinuxNamespaceType::Time => Self::Time,
        }
    }
}
