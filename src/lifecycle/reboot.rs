//! A pod that ran before the machine was started anew. Nothing of it lives any
//! more, and only its last status tells what it was: containers that ran then
//! have ended unseen. What follows is decided as for a sandbox that died.

use crate::model::plan::PodPlan;
use crate::model::status::{ContainerStatus, PodStatus, Terminated};
use crate::model::{Now, Timestamp};

use super::container::{Ended, Run, Stage};
use super::event::{ContainerRef, StartedFrom};
use super::exit::{LOST_ALIVE_TEXT, UNKNOWN};
use super::machine::{PodMachine, nanos, spec, whole};
use super::memory::SandboxStage;
use super::restart::Exit;

impl PodMachine {
    /// Takes up a pod after a reboot, by the last status that outlived it; send
    /// it `Event::Begin`.
    #[must_use]
    pub fn after_reboot(plan: PodPlan, past: &PodStatus, now: Now) -> Self {
        let mut machine = Self::new(plan);
        let lists = [
            &past.init_container_statuses,
            &past.container_statuses,
            &past.ephemeral_container_statuses,
        ];
        let refs: Vec<ContainerRef> = machine.memory.containers.refs().collect();
        for id in refs {
            let name = spec(&machine.plan, id).name.clone();
            let status = lists.into_iter().flatten().find(|status| status.name == name);
            if let Some(status) = status {
                machine.remember(id, status, now);
            }
        }
        if machine.has_run_before() {
            machine.memory.start_time = past.start_time;
            // It has gone with everything else.
            machine.memory.sandbox.stage = SandboxStage::Ready;
        }
        machine.memory.status = machine.derive_status(now.wall);
        machine
    }

    /// True when containers of this pod ran before it begins.
    pub(super) fn has_run_before(&self) -> bool {
        self.memory.containers.iter().any(|container| container.next_attempt > 0)
    }

    fn remember(&mut self, id: ContainerRef, status: &ContainerStatus, now: Now) {
        let (state, last) = (&status.state, status.last_state.terminated.as_ref());
        let newest = match (&state.running, &state.terminated) {
            (Some(running), _) => Some(unseen(running.started_at, status, now)),
            (None, Some(end)) => Some(ended(end, now)),
            // It waited for its next start.
            (None, None) => last.map(|end| ended(end, now)),
        };
        let Some(newest) = newest else { return };
        let waited = state.running.is_none() && state.terminated.is_none();
        let sandbox = self.memory.sandbox.attempt;
        let container = &mut self.memory.containers[id];
        container.before = last.filter(|_| !waited).map(|end| ended(end, now));
        container.next_attempt = status.restart_count.saturating_add(1);
        container.run = Some(Run {
            attempt: status.restart_count,
            sandbox,
            from: from(status),
            stage: Stage::Ended(newest),
        });
    }
}

/// An instance whose end nobody saw.
fn unseen(started_at: Timestamp, status: &ContainerStatus, now: Now) -> Ended {
    let id = status.container_id.as_deref().unwrap_or_default();
    Ended {
        exit: Exit { code: 137, oom_killed: false },
        reason: UNKNOWN.to_owned(),
        message: LOST_ALIVE_TEXT.to_owned(),
        started_at,
        finished_at: whole(now.wall),
        finished_ns: now.boot_ns,
        container_id: bare(id),
        forced_restart: false,
        backoff_told: false,
    }
}

fn ended(end: &Terminated, now: Now) -> Ended {
    Ended {
        exit: Exit { code: end.exit_code, oom_killed: end.reason == "OOMKilled" },
        reason: end.reason.clone(),
        message: end.message.clone(),
        started_at: end.started_at,
        finished_at: end.finished_at,
        finished_ns: now.boot_ns.saturating_sub(nanos(now.wall.since(end.finished_at))),
        container_id: bare(&end.container_id),
        forced_restart: false,
        backoff_told: false,
    }
}

/// What the instance was made from; nothing is said of one of which the status
/// has no longer all.
fn from(status: &ContainerStatus) -> Option<StartedFrom> {
    Some(StartedFrom {
        container_id: bare(status.container_id.as_ref()?),
        image: status.image.clone(),
        image_id: status.image_id.clone(),
        user: status.user.as_ref()?.linux.clone(),
        image_stop_signal: None,
    })
}

/// Without `<runtime>://`.
fn bare(id: &str) -> String {
    id.split_once("://").map_or(id, |(_, id)| id).to_owned()
}
