//! The good answers to a start: image, creation, the running instance.

use std::time::Duration;

use crate::model::event::EventType;
use crate::model::time::go_duration;
use crate::model::{Now, Timestamp};

use super::container::{Alive, Past, PostStart, Run, Stage, Start};
use super::event::{ContainerRef, Instance, Pulled, StartedFrom};
use super::machine::{PodMachine, Turn, nanos, spec, whole};
use super::memory::Course;
use super::termination::StopCause;

impl PodMachine {
    pub(super) fn image_pulling(&mut self, instance: Instance, now: Now) {
        if self.memory.containers.is_awaited(instance) {
            let text = format!("Pulling image {:?}", spec(&self.plan, instance.container).image);
            self.note(now, EventType::Normal, "Pulling", &text, Some(instance.container));
        }
    }

    pub(super) fn image_pulled(&mut self, instance: Instance, how: &Pulled, now: Now) {
        if self.memory.containers.is_awaited(instance) {
            let text = pulled_text(&spec(&self.plan, instance.container).image, how);
            self.note(now, EventType::Normal, "Pulled", &text, Some(instance.container));
        }
    }

    pub(super) fn created(&mut self, instance: Instance, made_from: &StartedFrom, now: Now) {
        if !self.memory.containers.is_awaited(instance) {
            return;
        }
        let id = instance.container;
        if let Start::Ordered { from, .. } = &mut self.memory.containers[id].start
            && from.replace(made_from.clone()).is_none()
        {
            self.note(now, EventType::Normal, "Created", "Container created", Some(id));
        }
    }

    pub(super) fn started(&mut self, instance: Instance, at: Timestamp, turn: &mut Turn) {
        if !self.memory.containers.is_awaited(instance) {
            return;
        }
        let id = instance.container;
        let started_ns = turn.now.boot_ns.saturating_sub(nanos(turn.now.wall.since(at)));
        let alive =
            Alive { started_at: whole(at), started_ns, post_start: PostStart::Done, stop: None };
        let outdated =
            matches!(self.memory.containers[id].start, Start::Ordered { outdated: true, .. });
        let past = self.new_run(id, Stage::Alive(alive), turn);
        let plan = spec(&self.plan, id);
        self.memory.containers[id].probes.restart(plan, started_ns);
        self.note(turn.now, EventType::Normal, "Started", "Container started", Some(id));
        self.target_came(id);
        match self.stop_for_late_start(turn.now.boot_ns) {
            Some((why, grace, message)) => {
                let message = message.unwrap_or_else(|| self.stopping_text(id));
                self.stop_container(id, why, grace, &message, turn);
            }
            None if outdated => self.restart_changed(id, turn),
            None => self.begin_post_start(instance, past, turn),
        }
    }

    /// How a container that came up after the pod changed its course is
    /// stopped; `None` while it is wanted.
    fn stop_for_late_start(&self, now_ns: u64) -> Option<(StopCause, u32, Option<String>)> {
        match &self.memory.course {
            Course::Ending(ending) => Some((StopCause::Pod, ending.left_seconds(now_ns), None)),
            Course::RestartingAll { .. } => {
                Some((StopCause::RestartAll, 0, Some("killing".to_owned())))
            }
            Course::ReplacingSandbox => {
                Some((StopCause::Pod, self.plan.termination_grace_seconds.max(1), None))
            }
            Course::Waiting | Course::Running | Course::Ended | Course::Gone => None,
        }
    }

    /// Puts a new instance in the place of the newest, which is removed; gives
    /// what the status showed until then.
    pub(super) fn new_run(&mut self, id: ContainerRef, stage: Stage, turn: &mut Turn) -> Past {
        let old = self.memory.containers.instance(id);
        let sandbox = self.memory.sandbox.attempt;
        let container = &mut self.memory.containers[id];
        let from = match std::mem::replace(&mut container.start, Start::Idle) {
            Start::Ordered { from, .. } => from,
            Start::Idle | Start::Retry { .. } => None,
        };
        let past = Past { run: container.run.take(), before: container.before.take() };
        container.before = match &past.run {
            Some(Run { stage: Stage::Ended(ended), .. }) => Some(ended.clone()),
            _ => past.before.clone(),
        };
        container.run = Some(Run { attempt: container.next_attempt, sandbox, from, stage });
        container.next_attempt += 1;
        if let Some(old) = old {
            self.remove_instance(old, turn);
        }
        past
    }

    pub(super) fn stopping_text(&self, id: ContainerRef) -> String {
        format!("Stopping container {}", spec(&self.plan, id).name)
    }
}

fn pulled_text(image: &str, how: &Pulled) -> String {
    match *how {
        Pulled::AlreadyPresent => format!(
            "Container image {image:?} already present on machine and can be accessed by the pod"
        ),
        Pulled::Fetched { pull_ms, total_ms, size_bytes } => {
            let [pull, total] =
                [pull_ms, total_ms].map(|ms| go_duration(Duration::from_millis(ms)));
            format!(
                "Successfully pulled image {image:?} in {pull} ({total} including waiting). \
                 Image size: {size_bytes} bytes."
            )
        }
    }
}
