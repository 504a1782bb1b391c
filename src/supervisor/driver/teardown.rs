//! The end of a pod: nothing of it is left but its records and logs.

use std::fs;
use std::path::{Path, PathBuf};

use super::context::Context;
use super::{Driver, names, sandbox};
use crate::cgroup::Cgroup;
use crate::container::{self as engine, State};
use crate::image;
use crate::lifecycle::Event;
use crate::model::plan::PodPlan;
use crate::network::Network;
use crate::supervisor::error::{Error, Result};
use crate::sys::SyscallError;
use crate::sys::fault::{self, Point};
use crate::sys::helper::run_apart;

impl Driver {
    /// Removes instances, sandbox, cgroup, volumes; gives back what the pod
    /// had of the machine.
    pub fn tear_down(&mut self, cx: &mut Context<'_>) {
        self.reap_now();
        for instance in self.runs.values().map(|run| run.instance).collect::<Vec<_>>() {
            if let Some(run_id) = self.run_of(instance) {
                self.drain_output(run_id, cx);
                self.runs.remove(&run_id);
            }
        }
        let keys: Vec<String> = cx.keeper.iter().map(|(key, _)| key.to_owned()).collect();
        for key in keys.iter().filter(|key| key.contains('/') || *key == sandbox::SHM_KEY) {
            cx.let_go(key);
        }
        self.sandbox = None;
        self.volumes = crate::volume::VolumeSet::new(cx.plan);
        self.to_remove.clear();
        if let Err(error) = remove_remains(cx.plan, cx.record.dir()) {
            tracing::error!(error = %error, "cannot tear down everything");
            self.last_error = Some(error.to_string());
        }
        cx.tell(Event::TornDown);
    }

    /// Removes folders that were put off, in a process of its own.
    pub fn remove_in_background(&mut self) {
        if self.to_remove.is_empty() {
            return;
        }
        remove_apart(std::mem::take(&mut self.to_remove));
    }
}

/// Removes whatever is left of a pod beside its record and logs, also where
/// its shim and keeper were killed. Doing it again is no harm.
///
/// # Errors
/// The first failure; the rest is removed.
pub fn remove_remains(plan: &PodPlan, pod_run: &Path) -> Result<()> {
    let running = remove_running(plan, pod_run);
    let files = set_aside(&plan.roots.pod_data(&plan.uid)).map(|aside| {
        if let Some(aside) = aside {
            remove_apart(vec![aside]);
        }
    });
    running.and(files)
}

/// Removes what a pod whose shim and keeper were killed left running, and what
/// it had of the machine. Its folders stay, for it is to go on.
///
/// # Errors
/// The first failure; the rest is removed.
pub fn remove_running(plan: &PodPlan, pod_run: &Path) -> Result<()> {
    let containers = remove_containers(plan);
    let cgroup = remove_cgroup(&names::pod_cgroup(plan));
    let network = Network::machine().release_all(&sandbox::owner(plan));
    let leases = image::Store::open(&plan.roots.images())
        .and_then(|images| image::lease::drop(&images, pod_run));
    containers?;
    cgroup?;
    network.map_err(Error::Network)?;
    leases.map_err(Error::Image)
}

fn remove_containers(plan: &PodPlan) -> Result<()> {
    let mut result = Ok(());
    for state in State::list(&plan.roots.root).map_err(Error::Container)? {
        if state.pod.as_ref() == Some(&plan.uid) {
            let deleted = engine::delete_of_pod(&plan.roots.root, &state.id);
            result = result.and(deleted.map_err(Error::Container));
        }
    }
    result
}

/// Also where the cgroup was never made whole: its parents were.
fn remove_cgroup(path: &str) -> Result<()> {
    let group = Cgroup::at(path)?;
    group.kill()?;
    Ok(group.remove_up_to("/podrt")?)
}

/// Gives a folder a name under which nobody looks for it; `None` when there is
/// none.
fn set_aside(path: &Path) -> Result<Option<PathBuf>> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let aside = path.with_file_name(format!(".gone-{}", name.unwrap_or_default()));
    fault::at(Point::TearDownVolumes)
        .map_err(|cause| Error::Remove { path: path.into(), cause })?;
    match fs::rename(path, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => {
            let cause = SyscallError::from_io("rename", path.display().to_string(), &e);
            Err(Error::Remove { path: path.into(), cause })
        }
    }
}

/// Removes trees without keeping anybody waiting. Where no process can be
/// made, they are removed here.
fn remove_apart(trees: Vec<PathBuf>) {
    let remove = || {
        for tree in &trees {
            // What stays is found and removed with the next pod's.
            let _ = fs::remove_dir_all(tree);
        }
    };
    if let Err(error) = run_apart(c"podrt-remove", None, &[], remove) {
        tracing::warn!(error = %error, "cannot remove folders apart");
        remove();
    }
}
