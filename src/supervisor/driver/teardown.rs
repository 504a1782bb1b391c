//! The end of a pod: nothing of it is left but its records and logs.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::context::Context;
use super::{Driver, names, sandbox};
use crate::cgroup::Cgroup;
use crate::container as engine;
use crate::image;
use crate::lifecycle::Event;
use crate::model::ContainerId;
use crate::model::plan::PodPlan;
use crate::network::Network;
use crate::supervisor::error::{Error, Result};
use crate::sys::SyscallError;
use crate::sys::fault::{self, Point};
use crate::sys::helper::run_apart;
use crate::volume;

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
        let trees = std::mem::take(&mut self.to_remove);
        apart(|| {
            for tree in &trees {
                // What stays goes with the pod.
                let _ = volume::remove(tree);
            }
        });
    }
}

/// Removes whatever is left of a pod beside its record and logs, also where
/// its shim and keeper were killed. Doing it again is no harm.
///
/// # Errors
/// The first failure; the rest is removed.
pub fn remove_remains(plan: &PodPlan, pod_run: &Path) -> Result<()> {
    let running = remove_running(plan, pod_run);
    running.and(remove_files(&plan.roots.pod_data(&plan.uid)))
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
    for id in container_ids(plan)? {
        let deleted = engine::delete_of_pod(&plan.roots.root, &id);
        result = result.and(deleted.map_err(Error::Container));
    }
    result
}

/// Whose state is there, by name: one that was half made or half removed when
/// its shim was killed has no record that tells the pod.
fn container_ids(plan: &PodPlan) -> Result<Vec<ContainerId>> {
    let root = &plan.roots.root;
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let cause = SyscallError::from_io("open", root.display().to_string(), &error);
            return Err(Error::Remove { path: root.clone(), cause });
        }
    };
    let prefix = format!("{}.", plan.uid);
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let ours = names.filter(|name| name.starts_with(&prefix));
    Ok(ours.filter_map(|name| ContainerId::new(name).ok()).collect())
}

/// Also where the cgroup was never made whole: its parents were.
fn remove_cgroup(path: &str) -> Result<()> {
    let group = Cgroup::at(path)?;
    group.kill()?;
    Ok(group.remove_up_to("/podrt")?)
}

/// The place is free when this returns; what was in it goes meanwhile, with
/// what was left of other pods when something was killed.
fn remove_files(pod_data: &Path) -> Result<()> {
    fault::at(Point::TearDownVolumes)
        .map_err(|cause| Error::Remove { path: pod_data.into(), cause })?;
    volume::put_aside(pod_data).map_err(Error::Volume)?;
    apart(|| {
        if let Err(error) = volume::sweep(pod_data) {
            tracing::warn!(%error, "cannot remove all files, ignoring");
        }
    });
    Ok(())
}

/// Does it without keeping anybody waiting; where no process can be made, here.
fn apart(work: impl Fn()) {
    if let Err(error) = run_apart(c"podrt-remove", None, &[], &work) {
        tracing::warn!(error = %error, "cannot remove folders apart");
        work();
    }
}
