//! Removing what a pod leaves behind.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use super::driver::{remove_remains, remove_running};
use super::error::{Error, Result};
use super::shims_cgroup::ShimsCgroup;
use super::spawn::shim_arguments;
use crate::model::{PodKey, PodUid, Roots, Signal};
use crate::store::{PodRecord, PodStore};
use crate::sys::process::{pidfd_send_signal, pidfd_wait_exit};
use crate::volume;

/// How long the kernel may take to end keeper and shim.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Removes everything of a pod whose shim has ended: what a killed one left
/// running, its logs, its folder below the data root, its record. (A running
/// pod is stopped with [`super::client::Client::stop_and_wait`] first.) Of
/// `roots` only `root` counts. Doing it again is no harm.
///
/// # Errors
/// The first failure; what stayed can be removed by trying again.
pub fn remove_ended(roots: &Roots, uid: &PodUid) -> Result<()> {
    let pods = PodStore::new(&roots.root);
    let record = pods.open(uid);
    // A damaged plan leaves logs and data behind but not the name taken.
    if let Ok(plan) = record.as_ref().map_err(Clone::clone).and_then(PodRecord::plan) {
        remove_remains(&plan, &roots.pod_run(uid))?;
        remove(&plan.roots.pod_logs(&plan.namespace, &plan.name, uid))?;
    }
    pods.remove(uid)?;
    ShimsCgroup::of_machine().remove_if_empty();
    Ok(())
}

/// Removes the processes and the record of a pod whose shim and keeper were
/// killed, so that it can be begun again: its volumes, logs and last status
/// stay. Of `roots` only `root` counts.
///
/// # Errors
/// As [`remove_ended`].
pub fn remove_lost(roots: &Roots, uid: &PodUid) -> Result<()> {
    let pods = PodStore::new(&roots.root);
    if let Ok(plan) = pods.open(uid).and_then(|record| record.plan()) {
        remove_running(&plan, &roots.pod_run(uid))?;
    }
    Ok(pods.remove(uid)?)
}

/// Removes the folders of a pod that nobody has started again since the last
/// reboot.
///
/// # Errors
/// The first failure.
pub fn remove_folders(roots: &Roots, key: &PodKey, uid: &PodUid) -> Result<()> {
    remove(&roots.pod_data(uid))?;
    remove(&roots.pod_logs(&key.namespace, &key.name, uid))
}

/// Ends a pod that its shim does not end: kills keeper and shim, then removes
/// everything as [`remove_ended`] does. Of `roots` only `root` counts.
///
/// # Errors
/// As [`remove_ended`]; [`Error::Stays`] when the kernel does not let one of
/// them go, with everything else removed.
pub fn take_down(roots: &Roots, uid: &PodUid) -> Result<()> {
    let plan = PodStore::new(&roots.root).open(uid).and_then(|record| record.plan());
    let root = plan.map_or_else(
        |_| std::path::absolute(&roots.root).unwrap_or_else(|_| roots.root.clone()),
        |plan| plan.roots.root,
    );
    let killed = kill_processes(&shim_arguments(&root, uid)[1..]);
    remove_ended(roots, uid)?;
    killed
}

/// Containers wrote in there, whatever they liked.
fn remove(folder: &Path) -> Result<()> {
    volume::remove(folder).map_err(Error::Volume)
}

/// Kills the keepers and shims that were called with these arguments. More
/// than once: until both are dead, one may start the other again.
fn kill_processes(arguments: &[String]) -> Result<()> {
    let deadline = Instant::now() + KILL_TIMEOUT;
    loop {
        let found = ShimsCgroup::of_machine().processes_called(arguments)?;
        for (_, pidfd) in &found {
            // ESRCH: it has ended already.
            let _ = pidfd_send_signal(pidfd.as_fd(), Signal::KILL);
        }
        let Some((pid, _)) = found.first() else { return Ok(()) };
        for (_, pidfd) in &found {
            let left = deadline.saturating_duration_since(Instant::now());
            // What is still there is found again.
            let _ = pidfd_wait_exit(pidfd.as_fd(), Some(left));
        }
        if Instant::now() > deadline {
            return Err(Error::Stays { pid: *pid });
        }
    }
}
