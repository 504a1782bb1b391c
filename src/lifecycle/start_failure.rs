//! The bad answers to a start, and what users read of them.

use crate::model::event::EventType;
use crate::model::{Now, Timestamp};

use super::backoff::{Backoff, Limits, RETRY_NS};
use super::container::{Container, Ended, Fault, Stage, Start};
use super::event::{ContainerRef, Instance, StartFailure};
use super::machine::{PodMachine, Turn, spec, whole};
use super::memory::ImageTrouble;
use super::restart::Exit;

impl PodMachine {
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
    pub(super) fn start_failed_with(
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
        if *failure == StartFailure::ImagePullBackOff {
            return self.tell_pull_backoff(id, now);
        }
        let Some(words) = words(failure, &spec(&self.plan, id).image, cause) else { return };
        if let Some((reason, text)) = &words.image_event {
            self.note(now, EventType::Warning, reason, text, Some(id));
        }
        let text = format!("Error: {}", words.error);
        self.note(now, EventType::Warning, "Failed", &text, Some(id));
        self.memory.containers[id].fault = Some(Fault::new(words.reason, words.message));
    }

    pub(super) fn tell_pull_backoff(&mut self, id: ContainerRef, now: Now) {
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

    /// Until when the container's image is not pulled again.
    pub(super) fn pull_backoff_until(&self, id: ContainerRef, now_ns: u64) -> Option<u64> {
        self.memory.images.get(&spec(&self.plan, id).image)?.backoff.until_since_use(now_ns)
    }
}

/// What is told of a failed start.
#[derive(Debug)]
struct Words {
    /// Reason and message of the waiting container.
    reason: &'static str,
    message: String,
    /// Reason and text of the event about the image.
    image_event: Option<(&'static str, String)>,
    /// What follows `Error: ` in the event `Failed`.
    error: String,
}

impl Words {
    /// The runtime's own words.
    fn plain(reason: &'static str, cause: &str) -> Self {
        let (message, error) = (cause.to_owned(), cause.to_owned());
        Self { reason, message, image_event: None, error }
    }

    /// A failure about the image: the event has the whole text.
    fn image(reason: &'static str, message: String, event: (&'static str, String)) -> Self {
        Self { reason, message, image_event: Some(event), error: reason.to_owned() }
    }
}

fn words(failure: &StartFailure, image: &str, cause: &str) -> Option<Words> {
    let whole = |reason, event, text: String| Words::image(reason, text.clone(), (event, text));
    Some(match failure {
        StartFailure::Config => Words::plain("CreateContainerConfigError", cause),
        StartFailure::Create => Words::plain("CreateContainerError", cause),
        StartFailure::ErrImagePull => {
            let text = format!("Failed to pull image {image:?}: {cause}");
            Words::image("ErrImagePull", cause.to_owned(), ("Failed", text))
        }
        StartFailure::ErrImageNeverPull => {
            let text =
                format!("Container image {image:?} is not present with pull policy of Never");
            whole("ErrImageNeverPull", "ErrImageNeverPull", text)
        }
        StartFailure::InvalidImageName => {
            let text = format!("Failed to apply default image tag {image:?}: {cause}");
            whole("InvalidImageName", "InspectFailed", text)
        }
        StartFailure::ImageInspectError => {
            let text = format!("Failed to inspect image {image:?}: {cause}");
            whole("ImageInspectError", "InspectFailed", text)
        }
        StartFailure::Run | StartFailure::ImagePullBackOff | StartFailure::Cancelled => {
            return None;
        }
    })
}

impl Container {
    /// The id of the instance being started, once it was created.
    fn awaited_id(&self) -> String {
        match &self.start {
            Start::Ordered { from: Some(from), .. } => from.container_id.clone(),
            _ => String::new(),
        }
    }
}
