//! Namespaces that a container has joined: they are somebody else's, and must
//! be there when it is restored.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, stat};
use oci_spec::runtime::{LinuxNamespaceType, Spec};

use super::super::error::{Error, Result};
use super::super::namespace::Namespace;
use super::criu::{Criu, failed};
use super::request::Options;
use crate::sys::SyscallError;

/// criu handles these two as resources from outside, with these names, since
/// these versions.
const EXTERNAL: [(Namespace, &str, u64); 2] =
    [(Namespace::Network, "extRootNetNS", 31_100), (Namespace::Pid, "extRootPidNS", 31_500)];

/// The namespaces of the spec that have a path.
fn joined(spec: &Spec) -> Vec<(Namespace, &Path)> {
    let all = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref());
    let with_path = |one: &'_ &oci_spec::runtime::LinuxNamespace| {
        one.path().as_ref().is_some_and(|path| !path.as_os_str().is_empty())
    };
    all.unwrap_or_default()
        .iter()
        .filter(with_path)
        .filter_map(|one| Some((kind(one.typ()), one.path().as_deref()?)))
        .collect()
}

fn kind(kind: LinuxNamespaceType) -> Namespace {
    Namespace::from(kind)
}

fn require(criu: &Criu, kind: Namespace, least: u64) -> Result<()> {
    if criu.version >= least {
        return Ok(());
    }
    let kind = kind.file();
    Err(failed(format!("version {} cannot keep a joined {kind} namespace", criu.version)))
}

fn inode(path: &str) -> Result<u64> {
    stat(path).map(|stat| stat.st_ino).map_err(|errno| Error::Call {
        what: "look at a namespace".to_owned(),
        source: SyscallError::new("stat", format!("{path:?}"), errno),
    })
}

/// Tells criu which namespaces of `pid` are not the container's.
pub(super) fn leave_out(criu: &Criu, spec: &Spec, pid: i32, options: &mut Options) -> Result<()> {
    let joined = joined(spec);
    for (kind, key, least) in EXTERNAL {
        let file = kind.file();
        let theirs = inode(&format!("/proc/{pid}/ns/{file}"))?;
        let is_joined = joined.iter().any(|(one, _)| *one == kind);
        if !is_joined || theirs == inode(&format!("/proc/self/ns/{file}"))? {
            continue;
        }
        require(criu, kind, least)?;
        options.external(&format!("{file}[{theirs}]:{key}"));
    }
    Ok(())
}

/// Tells criu which namespaces to join: the descriptors that it must inherit.
pub(super) fn join(criu: &Criu, spec: &Spec, options: &mut Options) -> Result<Vec<OwnedFd>> {
    let mut kept = Vec::new();
    for (kind, path) in joined(spec) {
        let shown = path.to_string_lossy();
        if inode(&shown)? == inode(&format!("/proc/self/ns/{}", kind.file()))? {
            continue;
        }
        if let Some((_, key, least)) = EXTERNAL.iter().find(|(one, ..)| *one == kind) {
            require(criu, kind, *least)?;
            let fd = open(path)?;
            options.inherit(key, fd.as_raw_fd());
            kept.push(fd);
        } else if matches!(kind, Namespace::Cgroup | Namespace::Mount) {
            let kind = kind.file();
            return Err(failed(format!("cannot join the {kind} namespace {path:?}")));
        } else {
            options.join_namespace(kind.file(), &shown);
        }
    }
    Ok(kept)
}

fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    nix::fcntl::open(path, flags, Mode::empty()).map_err(|errno| Error::Call {
        what: "open namespace".to_owned(),
        source: SyscallError::new("open", format!("{path:?}"), errno),
    })
}
