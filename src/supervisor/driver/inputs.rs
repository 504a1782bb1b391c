//! What a pod depends on and others may change while it runs: ConfigMaps and
//! Secrets it refers to, images it waits for.

use std::collections::BTreeSet;
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::Driver;
use super::context::Context;
use crate::lifecycle::Event;
use crate::model::plan::{EnvValue, FilesSource, ObjectKind, PodPlan, VolumeSource};
use crate::store::atomic::{self, Durability};
use crate::supervisor::token::Token;
use crate::sys::SyscallError;

/// A change is a file that was put in place or taken away.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_MOVED_TO.union(AddWatchFlags::IN_DELETE);

impl Driver {
    /// Waits for changes of the objects that the plan refers to.
    pub fn watch_objects(&mut self, cx: &Context<'_>) {
        for kind in kinds(cx.plan) {
            let namespace = Some(cx.plan.namespace.as_str());
            let dir = self.objects.kind_dir(namespace, kind);
            let watched = dir
                .map_err(|error| error.to_string())
                .and_then(|dir| self.watch_inputs(&dir, cx).map_err(|error| error.to_string()));
            if let Err(error) = watched {
                tracing::warn!(error, kind, "cannot watch objects: changes are not seen");
            }
        }
    }

    /// Waits for images: one is missing.
    pub(super) fn watch_images(&mut self, cx: &Context<'_>) {
        let dir = cx.plan.roots.images().join("records");
        if let Err(error) = self.watch_inputs(&dir, cx) {
            tracing::warn!(error = %error, "cannot watch images: new ones are not seen");
        }
    }

    /// Watching the same folder twice is watching it once.
    fn watch_inputs(&mut self, dir: &Path, cx: &Context<'_>) -> Result<(), SyscallError> {
        // A folder that comes later could not be watched.
        atomic::create_dirs(dir, Durability::Volatile).map_err(|error| {
            SyscallError::new("mkdir", error.to_string(), nix::errno::Errno::EIO)
        })?;
        if self.inputs.is_none() {
            let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)
                .map_err(|errno| SyscallError::new("inotify_init1", "", errno))?;
            cx.wait_for(&inotify, Token::Inputs)?;
            self.inputs = Some(inotify);
        }
        let Some(inotify) = &self.inputs else { return Ok(()) };
        inotify.add_watch(dir, CHANGES).map(drop).map_err(|errno| {
            SyscallError::new("inotify_add_watch", dir.display().to_string(), errno)
        })
    }

    /// Something changed: files follow, and what waited for it is tried again.
    pub fn inputs_changed(&mut self, cx: &mut Context<'_>) {
        let Some(inotify) = &self.inputs else { return };
        // Which one it was does not matter.
        while inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
        self.update_volumes(cx);
        cx.tell(Event::InputsChanged);
    }
}

/// The kinds of objects that a plan refers to.
fn kinds(plan: &PodPlan) -> BTreeSet<&'static str> {
    let word = |kind: ObjectKind| match kind {
        ObjectKind::ConfigMap => "ConfigMap",
        ObjectKind::Secret => "Secret",
    };
    let containers =
        plan.init_containers.iter().chain(&plan.containers).chain(&plan.ephemeral_containers);
    let of_env = containers.flat_map(|container| {
        let from = container.env_from.iter().map(|from| from.source.kind);
        let keys = container.env.iter().filter_map(|variable| match &variable.value {
            EnvValue::Key { object, .. } => Some(object.kind),
            _ => None,
        });
        from.chain(keys).collect::<Vec<_>>()
    });
    let of_volumes = plan.volumes.iter().flat_map(|volume| match &volume.source {
        VolumeSource::Files(files) => files
            .sources
            .iter()
            .filter_map(|source| match source {
                FilesSource::Object { object, .. } => Some(object.kind),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    });
    of_env.chain(of_volumes).map(word).collect()
}
