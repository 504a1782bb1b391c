//! What `podrt get pods` prints of a pod: kubectl's READY, STATUS and RESTARTS
//! (`pkg/printers/internalversion/printers.go`, 1.36).

use std::time::Duration;

use crate::model::Timestamp;
use crate::model::plan::PodPlan;
use crate::model::status::{ContainerState, ContainerStatus, PodStatus, Terminated};

/// One pod's row, without its name and age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// `1/2`
    pub ready: String,
    pub status: String,
    /// `3 (25s ago)`
    pub restarts: String,
    /// `1/2`, or `<none>` without gates.
    pub readiness_gates: String,
}

/// What the walk over the statuses gathers.
#[derive(Debug, Default)]
struct Walk {
    reason: String,
    ready: usize,
    restarts: Restarts,
    /// ≥1.35: the reason of a container that failed, shown instead of
    /// `Completed`.
    error: Option<String>,
    has_ready_app: bool,
}

/// Restarts and when the newest was.
#[derive(Debug, Default, Clone, Copy)]
struct Restarts {
    count: u32,
    last: Option<Timestamp>,
}

/// The row of a pod.
#[must_use]
pub fn columns(
    plan: &PodPlan,
    status: &PodStatus,
    deletion_timestamp: Option<Timestamp>,
    now: Timestamp,
) -> Columns {
    let reason = status.reason.clone().filter(|reason| !reason.is_empty());
    let mut walk = Walk {
        reason: reason.unwrap_or_else(|| status.phase.as_str().to_owned()),
        ..Walk::default()
    };
    let mut sidecar_restarts = Restarts::default();
    let initializing = walk.init(plan, status, &mut sidecar_restarts);
    if !initializing || is_true(status, "Initialized") {
        walk.restarts = sidecar_restarts;
        walk.apps(status);
    }
    let sidecars = plan.init_containers.iter().filter(|init| init.is_sidecar()).count();
    Columns {
        ready: format!("{}/{}", walk.ready, plan.containers.len() + sidecars),
        status: walk.status(status, deletion_timestamp.is_some()),
        restarts: walk.restarts.text(now),
        readiness_gates: gates(plan, status),
    }
}

impl Walk {
    /// Goes over the init containers up to the first that is not done; true if
    /// there is one.
    fn init(&mut self, plan: &PodPlan, status: &PodStatus, sidecars: &mut Restarts) -> bool {
        let total = plan.init_containers.len();
        for (index, init) in status.init_container_statuses.iter().enumerate() {
            self.restarts.add(init);
            let sidecar =
                plan.init_containers.iter().any(|plan| plan.name == init.name && plan.is_sidecar());
            if sidecar {
                sidecars.add(init);
            }
            if init.state.terminated.as_ref().is_some_and(|end| end.exit_code == 0) {
                continue;
            }
            if sidecar && init.started {
                self.ready += usize::from(init.ready);
                continue;
            }
            self.reason = init_reason(&init.state)
                .map_or_else(|| format!("Init:{index}/{total}"), |reason| format!("Init:{reason}"));
            return true;
        }
        false
    }

    /// Goes over the app containers, last to first.
    fn apps(&mut self, status: &PodStatus) {
        for app in status.container_statuses.iter().rev() {
            self.restarts.add(app);
            let waiting = app.state.waiting.as_ref().filter(|waiting| !waiting.reason.is_empty());
            if let Some(waiting) = waiting {
                self.reason.clone_from(&waiting.reason);
            } else if let Some(end) = &app.state.terminated {
                self.reason = end_reason(end);
                if end.exit_code != 0 {
                    self.error = Some(self.reason.clone());
                }
            } else if app.ready && app.state.running.is_some() {
                self.has_ready_app = true;
                self.ready += 1;
            }
        }
    }

    fn status(&self, status: &PodStatus, deleted: bool) -> String {
        if deleted && !status.phase.is_terminal() {
            return "Terminating".to_owned();
        }
        if self.reason != "Completed" {
            return self.reason.clone();
        }
        match (&self.error, self.has_ready_app) {
            (_, true) if is_true(status, "Ready") => "Running".to_owned(),
            (Some(error), _) => error.clone(),
            (None, true) => "NotReady".to_owned(),
            (None, false) => self.reason.clone(),
        }
    }
}

/// What keeps an init container, unless it simply runs or waits its turn.
fn init_reason(state: &ContainerState) -> Option<String> {
    if let Some(end) = &state.terminated {
        return Some(end_reason(end));
    }
    let waiting = state.waiting.as_ref()?;
    let telling = !waiting.reason.is_empty() && waiting.reason != "PodInitializing";
    telling.then(|| waiting.reason.clone())
}

/// The reason of an end, or its code where none is given. podrt's statuses
/// carry no signal number, as those of CRI runtimes don't.
fn end_reason(end: &Terminated) -> String {
    if end.reason.is_empty() {
        return format!("ExitCode:{}", end.exit_code);
    }
    end.reason.clone()
}

impl Restarts {
    fn add(&mut self, status: &ContainerStatus) {
        self.count += status.restart_count;
        let finished = status.last_state.terminated.as_ref().map(|end| end.finished_at);
        self.last = self.last.max(finished);
    }

    fn text(self, now: Timestamp) -> String {
        match self.last {
            Some(last) if self.count > 0 => {
                format!("{} ({} ago)", self.count, human_duration(now.since(last)))
            }
            _ => self.count.to_string(),
        }
    }
}

fn gates(plan: &PodPlan, status: &PodStatus) -> String {
    if plan.readiness_gates.is_empty() {
        return "<none>".to_owned();
    }
    let open = plan.readiness_gates.iter().filter(|gate| is_true(status, gate)).count();
    format!("{open}/{}", plan.readiness_gates.len())
}

fn is_true(status: &PodStatus, r#type: &str) -> bool {
    status.conditions.iter().any(|known| known.r#type == r#type && known.status == "True")
}

/// A duration as kubectl writes ages: `25s`, `5m10s`, `3h20m`, `2d3h`, `400d`.
#[must_use]
pub fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => pair(minutes, 'm', seconds % 60, 's'),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => pair(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 192 => pair(days, 'd', hours % 24, 'h'),
        () if days < 730 => format!("{days}d"),
        () if days < 2920 => pair(days / 365, 'y', days % 365, 'd'),
        () => format!("{}y", days / 365),
    }
}

/// `5m10s`, or `5m` when nothing is left over.
fn pair(whole: u64, unit: char, rest: u64, small: char) -> String {
    if rest == 0 { format!("{whole}{unit}") } else { format!("{whole}{unit}{rest}{small}") }
}
