//! The change of root, and what can only be set once it is done.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use super::error::{Stage, StepError};
use super::filesystem;
use super::plan::RootfsPlan;
use crate::sys::SyscallError;
use crate::sys::mount::{self, Attributes, Propagation};

/// Makes the plan's root the process's root. The host's mounts go with the old
/// root, but with `no_pivot`, where it only is out of reach of paths.
pub(super) fn change_root(plan: &RootfsPlan) -> Result<(), StepError> {
    let failed = |error| StepError::new(Stage::ChangeRoot, "/", error);
    enter(&plan.root).map_err(failed)?;
    if plan.no_pivot { chroot_here() } else { pivot_here() }.map_err(failed)?;
    nix::unistd::chdir("/").map_err(|errno| failed(SyscallError::new("chdir", "\"/\"", errno)))
}

/// Both roots are stacked on one directory, so that the old one needs no place
/// in the rootfs; it is the upper of the two and is what `.` unmounts.
fn pivot_here() -> Result<(), SyscallError> {
    nix::unistd::pivot_root(".", ".")
        .map_err(|errno| SyscallError::new("pivot_root", "\".\", \".\"", errno))?;
    mount::detach_current_directory()
}

/// Without a change of root in the kernel's sense, the host's proc and sysfs
/// would stay mounted below: an unmasked way to the same files.
fn chroot_here() -> Result<(), SyscallError> {
    let here = super::assembly::open_directory(".")?;
    for file_system in kernel_views()? {
        nix::unistd::fchdir(&file_system)
            .map_err(|errno| SyscallError::new("fchdir", "proc or sysfs", errno))?;
        match umount2(".", MntFlags::MNT_DETACH) {
            Ok(()) => {}
            // Locked by a user namespace (or no mount at all): covered instead.
            Err(Errno::EINVAL | Errno::EPERM) => {
                let cover = super::masks::empty_tmpfs()?;
                mount::move_mount(cover.as_fd(), file_system.as_fd())?;
            }
            Err(errno) => return Err(SyscallError::new("umount2", "MNT_DETACH", errno)),
        }
    }
    enter(&here)?;
    nix::unistd::chroot(".").map_err(|errno| SyscallError::new("chroot", "\".\"", errno))
}

/// The old root's proc and sysfs, found before they are taken away.
fn kernel_views() -> Result<Vec<OwnedFd>, SyscallError> {
    let mut views = Vec::new();
    for path in ["/proc", "/sys"] {
        match super::assembly::open_directory(path) {
            Ok(fd) => views.push(fd),
            Err(error) if error.errno == Errno::ENOENT => {}
            Err(error) => return Err(error),
        }
    }
    Ok(views)
}

fn enter(directory: &OwnedFd) -> Result<(), SyscallError> {
    nix::unistd::fchdir(directory).map_err(|errno| SyscallError::new("fchdir", "rootfs", errno))
}

/// Read-only mounts and the root's own attributes, last: everything before
/// them made mount points.
pub(super) fn finish_root(plan: &mut RootfsPlan) -> Result<(), StepError> {
    let failed = |error| StepError::new(Stage::RootAttributes, "/", error);
    for mounted in std::mem::take(&mut plan.deferred_readonly) {
        filesystem::set_readonly(mounted.as_fd()).map_err(failed)?;
    }
    if plan.readonly_root {
        filesystem::set_readonly(plan.root.as_fd()).map_err(failed)?;
    }
    if let Some((propagation, recursive)) = plan.root_propagation
        && propagation != Propagation::Private
    {
        let change = Attributes { propagation: Some(propagation), ..Attributes::default() };
        mount::set_attributes(plan.root.as_fd(), change, recursive).map_err(failed)?;
    }
    Ok(())
}
