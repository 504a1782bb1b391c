//! The procfs of a pid namespace that a container joins.
//!
//! A procfs shows the namespace of whoever mounts it, and the process that
//! sets up the container enters a joined pid namespace only at its very end.
//! So the mount is made beforehand: by the kernel's `pidns` option (Linux
//! 6.18), else by a helper process that lives for this one thing.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use oci_spec::runtime::Spec;

use super::error::{Error, Result};
use crate::sys::fd::{receive_with_fds, send_with_fds, seqpacket_pair};
use crate::sys::mount::FsContext;
use crate::sys::process::{self, Clone, CloneFlags, Wait};
use crate::sys::{SyscallError, prctl};

/// Adds a mount of `namespace`'s procfs for every proc mount of the spec that
/// has no source yet.
pub(super) fn add(
    spec: &Spec,
    namespace: BorrowedFd,
    sources: &mut BTreeMap<usize, OwnedFd>,
) -> Result<()> {
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        if mount.typ().as_deref() == Some("proc") && !sources.contains_key(&index) {
            let tree = mount_proc(namespace)
                .map_err(Error::call("mount the proc of the joined pid namespace"))?;
            sources.insert(index, tree);
        }
    }
    Ok(())
}

fn mount_proc(namespace: BorrowedFd) -> std::result::Result<OwnedFd, SyscallError> {
    let context = FsContext::open("proc")?;
    match context.set_fd("pidns", namespace) {
        Ok(()) => mounted(&context),
        Err(_) => by_helper(namespace),
    }
}

fn mounted(context: &FsContext) -> std::result::Result<OwnedFd, SyscallError> {
    context.create()?;
    context.mount(0)
}

/// Two processes: the first joins, its child is inside and mounts.
fn by_helper(namespace: BorrowedFd) -> std::result::Result<OwnedFd, SyscallError> {
    prctl::set_dumpable(false)?;
    let (ours, theirs) = seqpacket_pair()?;
    let pidfd = match process::fork_with_pidfd()? {
        Clone::Child => {
            drop(ours);
            let code = u8::from(help(namespace, theirs.as_fd()).is_err());
            process::exit_now(code)
        }
        Clone::Parent { pidfd, .. } => pidfd,
    };
    drop(theirs);
    let received = receive_with_fds(ours.as_fd(), &mut [0]);
    process::wait_pidfd(pidfd.as_fd(), Wait::Block)?;
    let (_, fds) = received?;
    fds.into_iter().next().ok_or_else(|| SyscallError::new("fsmount", "proc", Errno::EPERM))
}

fn help(namespace: BorrowedFd, socket: BorrowedFd) -> std::result::Result<(), SyscallError> {
    process::setns(namespace, CloneFlags::NEWPID)?;
    match process::fork_with_pidfd()? {
        Clone::Parent { pidfd, .. } => process::wait_pidfd(pidfd.as_fd(), Wait::Block).map(drop),
        Clone::Child => {
            let sent = FsContext::open("proc")
                .and_then(|context| mounted(&context))
                .and_then(|tree| send_with_fds(socket, b"p", &[tree.as_fd()]));
            process::exit_now(u8::from(sent.is_err()))
        }
    }
}
