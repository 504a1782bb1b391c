//! Removing what a pod leaves behind.

use std::fs;
use std::io;
use std::path::Path;

use super::error::{Error, Result};
use crate::model::plan::PodPlan;
use crate::model::{PodUid, Roots};
use crate::store::PodStore;
use crate::sys::SyscallError;

/// Removes everything of a pod whose shim has ended: its logs, its folder below
/// the data root, its record. (A running pod is stopped with
/// [`super::client::Client::stop_and_wait`] first.) Of `roots` only `root`
/// counts. Doing it again is no harm.
///
/// # Errors
/// [`Error::Store`], [`Error::Remove`]; what stayed can be removed by trying
/// again.
pub fn remove_ended(roots: &Roots, uid: &PodUid) -> Result<()> {
    let pods = PodStore::new(&roots.root);
    // A damaged plan leaves logs and data behind but not the name taken.
    if let Ok(plan) = pods.open(uid).and_then(|record| record.plan()) {
        remove_files(&plan)?;
    }
    Ok(pods.remove(uid)?)
}

/// Logs, volumes and writable layers.
fn remove_files(plan: &PodPlan) -> Result<()> {
    let logs = plan.roots.pod_logs(&plan.namespace, &plan.name, &plan.uid);
    remove_tree(&logs)?;
    remove_tree(&plan.roots.pod_data(&plan.uid))
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
