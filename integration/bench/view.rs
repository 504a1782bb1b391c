//! A private mount namespace in which only cgroup v2 is mounted: what the
//! peers of hybrid machines need, and the host's own mounts stay as they are.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// Moves this process, and all that it starts, into such a view.
pub fn enter_pure_v2() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return Ok(());
    }
    while umount2("/sys/fs/cgroup/unified", MntFlags::MNT_DETACH).is_ok() {}
    umount2("/sys/fs/cgroup", MntFlags::MNT_DETACH)?;
    mount(Some("none"), "/sys/fs/cgroup", Some("cgroup2"), MsFlags::empty(), None::<&str>)
}
