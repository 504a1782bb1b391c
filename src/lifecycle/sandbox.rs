//! The ground the containers stand on: volumes first, then the sandbox.
//!
//! ```text
//! volumes  Absent ─► SettingUp ─► Ready          Retry: 0.5 s … 2 min 2 s
//!                      ▲   │ failed
//!                      └ Retry
//! sandbox  Absent ─► Creating ─► Ready ─► Broken ─► Stopping ─► Absent
//!                      ▲   │ failed │                  ▲        (attempt + 1)
//!                      └ Retry      └─── pod ends ─────┘        Retry: 10 s
//! ```

use crate::model::event::EventType;
use crate::model::plan::RestartPolicy;

use super::action::Action;
use super::backoff::{RETRY_NS, SECOND_NS, next_volume_delay};
use super::init_order::init_ref;
use super::machine::{PodMachine, Turn};
use super::memory::{Course, SandboxStage, Volumes};
use super::termination::StopCause;

/// A sandbox that dies at once is not made anew more often than this: what the
/// kubelet's relist period makes of it.
const PERIOD_NS: u64 = SECOND_NS;

impl PodMachine {
    /// Orders what the running pod lacks.
    pub(super) fn advance_ground(&mut self, turn: &mut Turn) {
        if self.memory.course != Course::Running {
            return;
        }
        let now_ns = turn.now.boot_ns;
        match self.memory.volumes {
            Volumes::Absent => self.set_up_volumes(None, turn),
            Volumes::Retry { at_ns, last_delay_ns } if at_ns <= now_ns => {
                self.set_up_volumes(Some(last_delay_ns), turn);
            }
            Volumes::SettingUp { .. } | Volumes::Retry { .. } => {}
            Volumes::Ready => self.advance_sandbox(turn),
        }
    }

    fn set_up_volumes(&mut self, last_delay_ns: Option<u64>, turn: &mut Turn) {
        self.memory.volumes = Volumes::SettingUp { last_delay_ns };
        turn.order(Action::SetUpVolumes);
    }

    fn advance_sandbox(&mut self, turn: &mut Turn) {
        let due = match self.memory.sandbox.stage {
            SandboxStage::Absent => true,
            SandboxStage::Retry { at_ns } => at_ns <= turn.now.boot_ns,
            _ => false,
        };
        if due {
            self.memory.sandbox.stage = SandboxStage::Creating;
            self.memory.sandbox.next_from_ns = turn.now.boot_ns.saturating_add(PERIOD_NS);
            turn.order(Action::CreateSandbox { attempt: self.memory.sandbox.attempt });
        }
    }

    pub(super) fn volumes_ready(&mut self) {
        if let Volumes::SettingUp { .. } = self.memory.volumes {
            self.memory.volumes = Volumes::Ready;
        }
    }

    pub(super) fn volumes_failed(&mut self, message: &str, turn: &Turn) {
        let Volumes::SettingUp { last_delay_ns } = self.memory.volumes else { return };
        let delay_ns = next_volume_delay(last_delay_ns);
        let at_ns = turn.now.boot_ns.saturating_add(delay_ns);
        self.memory.volumes = Volumes::Retry { at_ns, last_delay_ns: delay_ns };
        if self.memory.course == Course::Running {
            self.note(turn.now, EventType::Warning, "FailedMount", message, None);
        }
    }

    /// An input that failed volumes may wait for has changed.
    pub(super) fn hasten_volumes(&mut self) {
        if let Volumes::Retry { at_ns, .. } = &mut self.memory.volumes {
            *at_ns = 0;
        }
    }

    pub(super) fn sandbox_created(&mut self, attempt: u32, pod_ips: &[String], host: &[String]) {
        let sandbox = &mut self.memory.sandbox;
        if sandbox.attempt == attempt && sandbox.stage == SandboxStage::Creating {
            sandbox.stage = SandboxStage::Ready;
            sandbox.pod_ips = pod_ips.to_vec();
            sandbox.host_ips = host.to_vec();
        }
    }

    /// A pod that is being ended gets no event for it.
    pub(super) fn sandbox_failed(&mut self, attempt: u32, message: &str, turn: &Turn) {
        let sandbox = &mut self.memory.sandbox;
        if sandbox.attempt != attempt || sandbox.stage != SandboxStage::Creating {
            return;
        }
        let at_ns = turn.now.boot_ns.saturating_add(RETRY_NS);
        sandbox.stage = SandboxStage::Retry { at_ns };
        if self.memory.course == Course::Running {
            let text = format!("Failed to create pod sandbox: {message}");
            self.note(turn.now, EventType::Warning, "FailedCreatePodSandBox", &text, None);
        }
    }

    pub(super) fn sandbox_exited(&mut self, attempt: u32, turn: &mut Turn) {
        let sandbox = &mut self.memory.sandbox;
        if sandbox.attempt != attempt || sandbox.stage != SandboxStage::Ready {
            return;
        }
        sandbox.stage = SandboxStage::Broken;
        if matches!(self.memory.course, Course::Running | Course::RestartingAll { .. }) {
            self.replace_sandbox(turn);
        }
    }

    pub(super) fn sandbox_stopped(&mut self, attempt: u32) {
        let sandbox = &mut self.memory.sandbox;
        if sandbox.attempt == attempt && sandbox.stage == SandboxStage::Stopping {
            sandbox.stage = SandboxStage::Absent;
        }
    }

    /// The pod goes on in a new sandbox, from the first init container, unless
    /// its policy lets nothing run again.
    fn replace_sandbox(&mut self, turn: &mut Turn) {
        let grace = self.plan.termination_grace_seconds;
        if !self.has_use_for_a_sandbox() {
            self.begin_ending(grace, turn);
            return;
        }
        let text = "Pod sandbox changed, it will be killed and re-created.";
        self.note(turn.now, EventType::Normal, "SandboxChanged", text, None);
        self.memory.course = Course::ReplacingSandbox;
        self.cancel_starts(turn);
        self.stop_all(StopCause::Pod, grace.max(1), None, turn);
    }

    fn has_use_for_a_sandbox(&self) -> bool {
        let containers = &self.memory.containers;
        let ever_ran = containers.iter().any(|container| container.next_attempt > 0);
        let apps = containers.app.iter();
        match self.plan.restart_policy {
            RestartPolicy::Always => true,
            RestartPolicy::Never => !ever_ran,
            RestartPolicy::OnFailure => apps
                .map(|app| app.ended())
                .any(|ended| ended.is_none_or(|ended| ended.exit.code != 0)),
        }
    }

    /// One step of changing the sandbox; true when the pod runs again.
    pub(super) fn advance_replacement(&mut self, turn: &mut Turn) -> bool {
        if !self.memory.containers.all_still() || !self.sandbox_is_down(turn) {
            return false;
        }
        let sandbox = &mut self.memory.sandbox;
        sandbox.attempt += 1;
        if turn.now.boot_ns < sandbox.next_from_ns {
            sandbox.stage = SandboxStage::Retry { at_ns: sandbox.next_from_ns };
        }
        self.forget_inits(turn);
        self.memory.course = Course::Running;
        true
    }

    /// Stops the sandbox; true once nothing of it is left.
    pub(super) fn sandbox_is_down(&mut self, turn: &mut Turn) -> bool {
        let sandbox = &mut self.memory.sandbox;
        match sandbox.stage {
            SandboxStage::Absent | SandboxStage::Retry { .. } => {
                sandbox.stage = SandboxStage::Absent;
                true
            }
            SandboxStage::Ready | SandboxStage::Broken => {
                sandbox.stage = SandboxStage::Stopping;
                turn.order(Action::StopSandbox { attempt: sandbox.attempt });
                false
            }
            SandboxStage::Creating | SandboxStage::Stopping => false,
        }
    }

    /// Init containers start over in a new sandbox.
    fn forget_inits(&mut self, turn: &mut Turn) {
        for index in 0..self.memory.containers.init.len() {
            if let Some(instance) = self.memory.containers.instance(init_ref(index)) {
                self.memory.containers[instance.container].forget_run();
                self.remove_instance(instance, turn);
            }
        }
    }
}
