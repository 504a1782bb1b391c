//! Removing what a pod leaves behind.

use std::fs;
use std::io;
use std::path::Path;

use super::driver::remove_remains;
use super::error::{Error, Result};
use super::shims_cgroup;
use crate::model::{PodUid, Roots};
use crate::store::{PodRecord, PodStore};
use crate::sys::SyscallError;

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
        remove_tree(&plan.roots.pod_logs(&plan.namespace, &plan.name, uid))?;
    }
    pods.remove(uid)?;
    shims_cgroup::remove_if_empty();
    Ok(())
}

fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            let cause = SyscallError::from_io("unlinkat", path.display().to_string(), &e);
            Err(Error::Remove { path: path.into(), cause })
        }
        _ => Ok(()),
    }
}
