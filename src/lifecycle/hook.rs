//! The postStart hook: part of a container's start. The containers behind it
//! wait until it is done; when it fails, the container is stopped and the
//! start counts as failed.

use crate::model::event::EventType;

use super::action::Action;
use super::container::{Fault, Past, PostStart};
use super::event::{ContainerRef, HookKind, Instance};
use super::machine::{PodMachine, Turn, spec};
use super::termination::StopCause;

impl PodMachine {
    pub(super) fn hook_finished(
        &mut self,
        instance: Instance,
        hook: HookKind,
        result: &Result<(), String>,
        turn: &mut Turn,
    ) {
        match hook {
            HookKind::PreStop => self.pre_stop_finished(instance, result, turn),
            HookKind::PostStart => self.post_start_finished(instance, result, turn),
        }
    }

    /// For an instance that just came up; `past` is what the status showed
    /// before it did.
    pub(super) fn begin_post_start(&mut self, instance: Instance, past: Past, turn: &mut Turn) {
        let id = instance.container;
        if spec(&self.plan, id).post_start.is_none() {
            self.finish_start(id, turn);
        } else if let Some(alive) = self.memory.containers[id].alive_mut() {
            alive.post_start = PostStart::Running(Box::new(past));
            turn.order(Action::RunHook { instance, hook: HookKind::PostStart });
        }
    }

    fn post_start_finished(
        &mut self,
        instance: Instance,
        result: &Result<(), String>,
        turn: &mut Turn,
    ) {
        if !self.memory.containers.is_alive(instance) {
            return;
        }
        let id = instance.container;
        let Some(alive) = self.memory.containers[id].alive_mut() else { return };
        let PostStart::Running(past) = &mut alive.post_start else { return };
        match result {
            Ok(()) => self.finish_start(id, turn),
            Err(message) => {
                alive.post_start = PostStart::Failed(std::mem::take(past));
                self.fail_post_start(id, message, turn);
            }
        }
    }

    fn fail_post_start(&mut self, id: ContainerRef, message: &str, turn: &mut Turn) {
        let (reason, text) = ("FailedPostStartHook", "PostStartHook failed");
        self.note(turn.now, EventType::Warning, reason, text, Some(id));
        self.memory.containers[id].fault = Some(Fault::new("PostStartHookError", message));
        let grace = self.plan.termination_grace_seconds;
        self.stop_container(id, StopCause::PostStartFailed, grace, reason, turn);
    }

    /// The start is complete: the container counts as running.
    fn finish_start(&mut self, id: ContainerRef, turn: &mut Turn) {
        let container = &mut self.memory.containers[id];
        container.fault = None;
        if let Some(alive) = container.alive_mut() {
            alive.post_start = PostStart::Done;
        }
        self.hasten_readiness(turn);
    }
}
