//! The pod's volumes, and its folder below the data root.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;

use std::sync::Arc;

use super::Driver;
use super::context::Context;
use super::sandbox;
use super::sources::World;
use crate::image::{self, Reference, overlay};
use crate::lifecycle::Event;
use crate::model::plan::{PodPlan, VolumePlan, VolumeSource};
use crate::supervisor::process::downward::Facts;
use crate::sys::SyscallError;
use crate::volume::VolumeSet;

/// The keeper holds a volume's mount under this and its name.
pub(super) const VOLUME_KEY: &str = "volume/";

impl Driver {
    /// Sets all volumes up, those that are already as well.
    pub fn set_up_volumes(&mut self, cx: &mut Context<'_>) {
        let event = match self.try_set_up(cx) {
            Ok(()) => Event::VolumesReady,
            Err(message) => Event::VolumesFailed { message },
        };
        cx.tell(event);
    }

    fn try_set_up(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        make_pod_dir(cx.plan)
            .map_err(|error| format!("error making pod data directories: {error}"))?;
        for volume in &cx.plan.volumes {
            self.set_up(volume, cx).map_err(|error| {
                format!("MountVolume.SetUp failed for volume \"{}\" : {error}", volume.name)
            })?;
        }
        self.hold_volumes(cx);
        Ok(())
    }

    fn set_up(&mut self, volume: &VolumePlan, cx: &Context<'_>) -> Result<(), String> {
        if let VolumeSource::Image { reference, .. } = &volume.source {
            let mount = image_mount(reference, cx)?;
            return self.volumes.give(&volume.name, mount).map_err(|error| error.to_string());
        }
        let (volumes, world) = self.volumes_and_world(cx.plan);
        volumes.set_up(&volume.name, &world).map_err(|error| error.to_string())
    }

    /// Memory that only descriptors keep must not go with this process.
    fn hold_volumes(&self, cx: &mut Context<'_>) {
        for (name, fd) in self.volumes.kept() {
            let key = format!("{VOLUME_KEY}{name}");
            match fd.try_clone_to_owned() {
                Ok(fd) => cx.hold(&key, Arc::new(fd)),
                Err(error) => tracing::warn!(error = %error, volume = name, "cannot keep volume"),
            }
        }
    }

    /// The volumes, and what their contents are looked up in.
    fn volumes_and_world<'a>(&'a mut self, plan: &'a PodPlan) -> (&'a mut VolumeSet, World<'a>) {
        let (pod_ips, host_ips) = sandbox::addresses(self.sandbox.as_ref());
        let facts = Facts { plan, pod_ips, host_ips, node: self.node };
        (&mut self.volumes, World { facts, objects: &self.objects, volumes: None })
    }

    /// Brings files from ConfigMaps and Secrets up to date.
    pub fn update_volumes(&mut self, cx: &mut Context<'_>) {
        for volume in &cx.plan.volumes {
            let (volumes, world) = self.volumes_and_world(cx.plan);
            if let Err(error) = volumes.update(&volume.name, &world) {
                tracing::warn!(error = %error, volume = volume.name, "cannot update volume");
            }
        }
    }
}

fn image_mount(reference: &str, cx: &Context<'_>) -> Result<std::os::fd::OwnedFd, String> {
    let text = |error: image::Error| error.to_string();
    let name = Reference::parse(reference).map_err(|error| error.to_string())?;
    let images = image::Store::open(&cx.plan.roots.images()).map_err(text)?;
    let found = images.resolve(&name).map_err(text)?;
    let image = found.ok_or_else(|| format!("image \"{name}\" is not on this machine"))?;
    image::lease::take(&images, &image, cx.record.dir()).map_err(text)?;
    overlay::mount(&image.layers, None).map_err(text)
}

/// The pod's folder, not to be entered by others.
fn make_pod_dir(plan: &PodPlan) -> Result<(), SyscallError> {
    let dir = plan.roots.pod_data(&plan.uid);
    let failed = |call: &'static str| {
        let dir = dir.display().to_string();
        move |e: std::io::Error| SyscallError::from_io(call, dir, &e)
    };
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent).map_err(failed("mkdir"))?;
    }
    match DirBuilder::new().mode(0o750).create(&dir) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(failed("mkdir")(e)),
        _ => Ok(()),
    }
}
