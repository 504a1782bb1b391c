//! The start sequence: one container at a time, each through image, create,
//! start and postStart hook before the next is touched.
//!
//! ```text
//! wanted ─► back-off over? ─► StartContainer ─► Started ─► hook ─► runs
//!    ▲           │ no              │ StartFailed
//!    │           ▼                 ▼
//!    │    CrashLoopBackOff   ErrImagePull ─► ImagePullBackOff, Create…Error
//!    └───────────┴──── time passes, inputs change ─────┘
//! ```
//!
//! A failure or an exit is shown for a second as what it is before its
//! back-off is told, so that somebody who watches can see it.

use std::time::Duration;

use crate::model::event::EventType;
use crate::model::plan::PodPlan;
use crate::model::time::go_duration;
use crate::model::{Now, Timestamp};

use super::action::Action;
use super::backoff::{Backoff, Limits, RETRY_NS, SECOND_NS};
use super::container::{Alive, Ended, Fault, Past, PostStart, Run, Stage, Start};
use super::event::{ContainerKind, ContainerRef, Instance, Pulled, StartFailure, StartedFrom};
use super::init_order::{Need, need, restarts};
use super::machine::{PodMachine, Turn, nanos, spec, whole};
use super::memory::{Course, ImageTrouble};
use super::restart::Exit;
use super::termination::StopCause;

/// How long an exit or a failed pull is shown before its back-off is.
const SHOWN_NS: u64 = SECOND_NS;

impl PodMachine {
    /// Starts what is wanted and due; false when the course changed instead.
    pub(super) fn advance_starts(&mut self, turn: &mut Turn) {
        if self.memory.course != Course::Running || !self.memory.sandbox.is_ready() {
            return;
        }
        let Need::Start(wanted) = need(&self.plan, &self.memory.containers) else { return };
        let mut busy = self.memory.containers.iter().any(|other| other.holds_start_sequence());
        for id in wanted {
            self.tell_backoffs(id, turn);
            if !busy && self.start_due_ns(id, turn.now.boot_ns).is_none() {
                busy = self.order_start(id, turn);
            }
        }
    }

    /// Until when a wanted container has to wait, `None` if it need not.
    pub(super) fn start_due_ns(&self, id: ContainerRef, now_ns: u64) -> Option<u64> {
        let container = &self.memory.containers[id];
        if let Start::Retry { at_ns, .. } = container.start
            && now_ns < at_ns
        {
            return Some(at_ns);
        }
        let ended = container.ended().filter(|ended| !ended.forced_restart)?;
        container.backoff?.until(ended.finished_ns, now_ns)
    }

    /// The moments at which a waiting container's state is told anew or moves.
    pub(super) fn start_deadlines_ns(
        &self,
        id: ContainerRef,
        now_ns: u64,
    ) -> impl Iterator<Item = u64> + use<> {
        let due = self.start_due_ns(id, now_ns);
        let told = due.and_then(|_| self.backoff_told_ns(id));
        due.into_iter().chain(told)
    }

    /// When the back-off of an exit or a pull will be told.
    fn backoff_told_ns(&self, id: ContainerRef) -> Option<u64> {
        let container = &self.memory.containers[id];
        match &container.start {
            Start::Retry { .. } => self.pull_told_ns(id),
            Start::Ordered { .. } => None,
            Start::Idle => {
                let ended = container.ended()?;
                (!ended.backoff_told).then_some(ended.finished_ns.saturating_add(SHOWN_NS))
            }
        }
    }

    fn pull_told_ns(&self, id: ContainerRef) -> Option<u64> {
        match self.memory.containers[id].start {
            Start::Retry { at_ns: _, after: StartFailure::ErrImagePull } => {
                let trouble = self.memory.images.get(&spec(&self.plan, id).image)?;
                Some(trouble.failed_ns.saturating_add(SHOWN_NS))
            }
            _ => None,
        }
    }

    fn tell_backoffs(&mut self, id: ContainerRef, turn: &Turn) {
        let now_ns = turn.now.boot_ns;
        let waits = self.start_due_ns(id, now_ns).is_some();
        if !waits || self.backoff_told_ns(id).is_none_or(|at| now_ns < at) {
            return;
        }
        if let Start::Retry { after, .. } = &mut self.memory.containers[id].start {
            *after = StartFailure::ImagePullBackOff;
            self.tell_pull_backoff(id, turn.now);
        } else {
            self.tell_crash_loop(id, turn.now);
        }
    }

    fn tell_crash_loop(&mut self, id: ContainerRef, now: Now) {
        let (name, pod) = (&spec(&self.plan, id).name, self.plan.kubelet_name());
        let delay_ns = self.memory.containers[id].backoff.map_or(0, |entry| entry.delay_ns);
        let delay = go_duration(Duration::from_nanos(delay_ns));
        let message = format!("back-off {delay} restarting failed container={name} pod={pod}");
        let text = format!("Back-off restarting failed container {name} in pod {pod}");
        let container = &mut self.memory.containers[id];
        container.fault = Some(Fault::new("CrashLoopBackOff", message));
        if let Some(ended) = container.ended_mut() {
            ended.backoff_told = true;
        }
        self.note(now, EventType::Warning, "BackOff", &text, Some(id));
    }

    /// True when a start is under way now; false when it failed on the spot.
    fn order_start(&mut self, id: ContainerRef, turn: &mut Turn) -> bool {
        if let Some(target) = self.missing_target(id) {
            let text = format!("unable to find target container {target}");
            self.start_failed_with(id, StartFailure::Config, &text, turn.now);
            return false;
        }
        self.use_backoff(id, turn.now.boot_ns);
        let may_pull = self.pull_backoff_until(id, turn.now.boot_ns).is_none();
        let container = &mut self.memory.containers[id];
        container.start = Start::Ordered { from: None, may_pull, cancelled: false };
        let instance = Instance { container: id, attempt: container.next_attempt };
        turn.order(Action::StartContainer { instance, may_pull });
        true
    }

    /// The target of an ephemeral container, when it has no instance.
    fn missing_target(&self, id: ContainerRef) -> Option<String> {
        let target = spec(&self.plan, id).target_container.as_ref()?;
        let containers = &self.memory.containers;
        let exists = containers.refs().any(|other| {
            spec(&self.plan, other).name == *target && containers[other].run.is_some()
        });
        (!exists).then(|| target.clone())
    }

    /// A restart advances the back-off; a container that was killed to be
    /// restarted is judged by the exit before that.
    fn use_backoff(&mut self, id: ContainerRef, now_ns: u64) {
        let limits = Limits::restarts(self.plan.max_backoff_seconds);
        let container = &mut self.memory.containers[id];
        let Some(ended) = container.ended() else { return };
        let judged = if ended.forced_restart { container.before.as_ref() } else { Some(ended) };
        if let Some(since_ns) = judged.map(|ended| ended.finished_ns) {
            container.backoff = Some(Backoff::advance(container.backoff, since_ns, now_ns, limits));
        }
    }

    /// Until when the container's image is not pulled again.
    fn pull_backoff_until(&self, id: ContainerRef, now_ns: u64) -> Option<u64> {
        self.memory.images.get(&spec(&self.plan, id).image)?.backoff.until_since_use(now_ns)
    }

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
        let past = self.new_run(id, Stage::Alive(alive), turn);
        let plan = spec(&self.plan, id);
        self.memory.containers[id].probes.restart(plan, started_ns);
        self.note(turn.now, EventType::Normal, "Started", "Container started", Some(id));
        match self.stop_for_late_start(turn.now.boot_ns) {
            Some((why, grace, message)) => {
                let message = message.unwrap_or_else(|| self.stopping_text(id));
                self.stop_container(id, why, grace, &message, turn);
            }
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
    fn new_run(&mut self, id: ContainerRef, stage: Stage, turn: &mut Turn) -> Past {
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

    pub(super) fn start_failed(
        &mut self,
        instance: Instance,
        failure: &StartFailure,
        message: &str,
        turn: &mut Turn,
    ) {
        if !self.memory.containers.is_awaited(instance) {
            return;
        }
        let id = instance.container;
        match failure {
            StartFailure::Cancelled => self.memory.containers[id].start = Start::Idle,
            StartFailure::Run => self.run_failed(id, message, turn),
            _ => self.start_failed_with(id, failure.clone(), message, turn.now),
        }
    }

    /// The instance exists and ended before it began: `StartError`, 128.
    fn run_failed(&mut self, id: ContainerRef, message: &str, turn: &mut Turn) {
        let exit = Exit { code: 128, oom_killed: false };
        let ended = Ended {
            exit,
            reason: "StartError".to_owned(),
            message: message.to_owned(),
            started_at: Timestamp(0),
            finished_at: whole(turn.now.wall),
            finished_ns: turn.now.boot_ns,
            container_id: self.memory.containers[id].awaited_id(),
            forced_restart: false,
            backoff_told: false,
        };
        self.new_run(id, Stage::Ended(ended), turn);
        self.memory.containers[id].fault = Some(Fault::new("RunContainerError", message));
        let text = format!("Error: {message}");
        self.note(turn.now, EventType::Warning, "Failed", &text, Some(id));
        self.consider_restart_all(id, exit, turn);
    }

    /// No instance came of it; it is tried again.
    fn start_failed_with(
        &mut self,
        id: ContainerRef,
        failure: StartFailure,
        cause: &str,
        now: Now,
    ) {
        let now_ns = now.boot_ns;
        if failure == StartFailure::ErrImagePull {
            self.image_failed(id, cause, now_ns);
        }
        let at_ns = match failure {
            StartFailure::ErrImagePull | StartFailure::ImagePullBackOff => {
                self.pull_backoff_until(id, now_ns)
            }
            _ => None,
        };
        let at_ns = at_ns.unwrap_or_else(|| now_ns.saturating_add(RETRY_NS));
        self.memory.containers[id].start = Start::Retry { at_ns, after: failure.clone() };
        self.tell_start_failure(id, &failure, cause, now);
    }

    fn image_failed(&mut self, id: ContainerRef, cause: &str, now_ns: u64) {
        let image = &spec(&self.plan, id).image;
        let old = self.memory.images.get(image).map(|trouble| trouble.backoff);
        let backoff = Backoff::advance(old, now_ns, now_ns, Limits::images());
        let trouble = ImageTrouble { backoff, failed_ns: now_ns, cause: cause.to_owned() };
        self.memory.images.insert(image.clone(), trouble);
    }

    fn tell_start_failure(
        &mut self,
        id: ContainerRef,
        failure: &StartFailure,
        cause: &str,
        now: Now,
    ) {
        let image = spec(&self.plan, id).image.clone();
        let warn = EventType::Warning;
        let (reason, message) = match failure {
            StartFailure::ImagePullBackOff => return self.tell_pull_backoff(id, now),
            StartFailure::ErrImagePull => {
                let text = format!("Failed to pull image {image:?}: {cause}");
                self.note(now, warn, "Failed", &text, Some(id));
                ("ErrImagePull", cause.to_owned())
            }
            StartFailure::ErrImageNeverPull => {
                let text =
                    format!("Container image {image:?} is not present with pull policy of Never");
                self.note(now, warn, "ErrImageNeverPull", &text, Some(id));
                ("ErrImageNeverPull", text)
            }
            StartFailure::InvalidImageName => {
                let text = format!("Failed to apply default image tag {image:?}: {cause}");
                self.note(now, warn, "InspectFailed", &text, Some(id));
                ("InvalidImageName", text)
            }
            StartFailure::ImageInspectError => {
                let text = format!("Failed to inspect image {image:?}: {cause}");
                self.note(now, warn, "InspectFailed", &text, Some(id));
                ("ImageInspectError", text)
            }
            StartFailure::Config => ("CreateContainerConfigError", cause.to_owned()),
            StartFailure::Create => ("CreateContainerError", cause.to_owned()),
            StartFailure::Run | StartFailure::Cancelled => return,
        };
        let told = match failure {
            StartFailure::Config | StartFailure::Create => cause,
            _ => reason,
        };
        self.note(now, warn, "Failed", &format!("Error: {told}"), Some(id));
        self.memory.containers[id].fault = Some(Fault::new(reason, message));
    }

    fn tell_pull_backoff(&mut self, id: ContainerRef, now: Now) {
        let image = spec(&self.plan, id).image.clone();
        let text = format!("Back-off pulling image {image:?}");
        let message = match self.memory.images.get(&image) {
            Some(trouble) => format!("{text}: ErrImagePull: {}", trouble.cause),
            None => text.clone(),
        };
        self.note(now, EventType::Normal, "BackOff", &text, Some(id));
        self.note(now, EventType::Warning, "Failed", "Error: ImagePullBackOff", Some(id));
        self.memory.containers[id].fault = Some(Fault::new("ImagePullBackOff", message));
    }

    /// What failed for want of an input is tried again now.
    pub(super) fn inputs_changed(&mut self) {
        for id in self.memory.containers.refs() {
            if let Start::Retry { at_ns, after } = &mut self.memory.containers[id].start
                && !matches!(after, StartFailure::Create)
            {
                *at_ns = 0;
            }
        }
        self.hasten_volumes();
    }

    /// Starts under way are given up.
    pub(super) fn cancel_starts(&mut self, turn: &mut Turn) {
        for id in self.memory.containers.refs() {
            let container = &mut self.memory.containers[id];
            let instance = Instance { container: id, attempt: container.next_attempt };
            match &mut container.start {
                Start::Ordered { cancelled, .. } if !*cancelled => {
                    *cancelled = true;
                    turn.order(Action::CancelStart { instance });
                }
                Start::Retry { .. } => container.start = Start::Idle,
                Start::Ordered { .. } | Start::Idle => {}
            }
        }
    }

    pub(super) fn stopping_text(&self, id: ContainerRef) -> String {
        format!("Stopping container {}", spec(&self.plan, id).name)
    }
}

impl super::container::Container {
    /// The id of the instance being started, once it was created.
    pub(super) fn awaited_id(&self) -> String {
        match &self.start {
            Start::Ordered { from: Some(from), .. } => from.container_id.clone(),
            _ => String::new(),
        }
    }
}

/// True when the status shows a container as waiting for its next start: it
/// will be started, and the last attempt did not work. One that exited 0 as an
/// init container or sidecar never does.
pub(super) fn shows_fault(plan: &PodPlan, id: ContainerRef, ended: &Ended) -> bool {
    let init_success = id.kind == ContainerKind::Init && ended.exit.code == 0;
    !init_success && restarts(plan, id, ended)
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
