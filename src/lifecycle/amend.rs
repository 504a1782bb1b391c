//! What may change in a pod that runs.

use crate::model::plan::{ContainerPlan, PodPlan};

use super::container::Start;
use super::event::{ContainerKind, ContainerRef};
use super::machine::{PodMachine, Turn, spec};
use super::termination::StopCause;

/// Takes from `new` what may change in `plan`, ephemeral containers aside.
pub fn amend(plan: &mut PodPlan, new: &PodPlan) {
    plan.labels.clone_from(&new.labels);
    plan.annotations.clone_from(&new.annotations);
    plan.generation = new.generation;
    plan.active_deadline_seconds = new.active_deadline_seconds;
    let pairs = |old: &mut [ContainerPlan], new: &[ContainerPlan]| {
        for container in old {
            if let Some(new) = new.iter().find(|new| new.name == container.name) {
                container.image.clone_from(&new.image);
            }
        }
    };
    pairs(&mut plan.init_containers, &new.init_containers);
    pairs(&mut plan.containers, &new.containers);
}

impl PodMachine {
    /// A container with a new image is stopped and started again, whatever its
    /// restart policy; one that does not run gets the image when it is started.
    pub(super) fn amended(&mut self, new: &PodPlan, turn: &mut Turn) {
        let refs: Vec<ContainerRef> = self.memory.containers.refs().collect();
        let images: Vec<String> =
            refs.iter().map(|&id| spec(&self.plan, id).image.clone()).collect();
        amend(&mut self.plan, new);
        for added in &new.ephemeral_containers {
            self.ephemeral_added(added);
        }
        self.inputs_changed();
        for (id, image) in refs.into_iter().zip(images) {
            if spec(&self.plan, id).image != image && self.is_restartable(id) {
                self.restart_changed(id, turn);
            }
        }
    }

    /// Stops a container so that it starts with its new image. One that is on
    /// its way up with the old image is stopped when it has come up.
    pub(super) fn restart_changed(&mut self, id: ContainerRef, turn: &mut Turn) {
        if let Start::Ordered { outdated, .. } = &mut self.memory.containers[id].start {
            *outdated = true;
            return;
        }
        let name = &spec(&self.plan, id).name;
        let kind = if id.kind == ContainerKind::Init { "Init container" } else { "Container" };
        let text = format!("{kind} {name} definition changed, will be restarted");
        let grace = self.plan.termination_grace_seconds;
        self.stop_container(id, StopCause::Changed, grace, &text, turn);
    }

    /// A plain init container that runs is left to its end.
    fn is_restartable(&self, id: ContainerRef) -> bool {
        self.goes_on() && (id.kind == ContainerKind::App || spec(&self.plan, id).is_sidecar())
    }
}
