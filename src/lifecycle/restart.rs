//! Whether an ended container runs again (KEP-5307, KEP-5532).

use serde::{Deserialize, Serialize};

use crate::model::plan::{ContainerPlan, RestartAction, RestartPolicy};

use super::event::ContainerKind;

/// What an exit leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Leave,
    Restart,
    RestartAll,
}

/// What counts of an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub code: i32,
    pub oom_killed: bool,
}

/// The verdict over one exit: the container's own rules, else its own policy,
/// else the pod's.
#[must_use]
pub fn verdict(
    pod: RestartPolicy,
    kind: ContainerKind,
    container: &ContainerPlan,
    exit: Exit,
) -> Verdict {
    let rule = container.restart_policy.and_then(|_| matching_rule(container, exit.code));
    match kind {
        ContainerKind::Ephemeral => Verdict::Leave,
        ContainerKind::Init if !container.is_sidecar() => {
            plain_init(container.restart_policy.unwrap_or(pod), rule, exit)
        }
        ContainerKind::Init | ContainerKind::App => rule
            .unwrap_or_else(|| by_policy(container.restart_policy.unwrap_or(pod), exit.code != 0)),
    }
}

/// A plain init container that exited 0 is done, whatever policy and `Restart`
/// rules say; one that was OOM-killed has failed, whatever its code.
fn plain_init(policy: RestartPolicy, rule: Option<Verdict>, exit: Exit) -> Verdict {
    match (init_failed(exit), rule) {
        (_, Some(Verdict::RestartAll)) => Verdict::RestartAll,
        (false, _) => Verdict::Leave,
        (true, Some(verdict)) => verdict,
        (true, None) => by_policy(policy, true),
    }
}

/// True when a plain init container has to run again or fails the pod.
#[must_use]
pub fn init_failed(exit: Exit) -> bool {
    exit.code != 0 || exit.oom_killed
}

/// Whether a container killed for a failed probe is started again. It has no
/// exit code yet, so rules are not asked.
#[must_use]
pub fn restarts_after_kill(pod: RestartPolicy, container: &ContainerPlan) -> bool {
    container.restart_policy.unwrap_or(pod) != RestartPolicy::Never
}

fn by_policy(policy: RestartPolicy, failed: bool) -> Verdict {
    match policy {
        RestartPolicy::Always => Verdict::Restart,
        RestartPolicy::OnFailure if failed => Verdict::Restart,
        RestartPolicy::OnFailure | RestartPolicy::Never => Verdict::Leave,
    }
}

fn matching_rule(container: &ContainerPlan, code: i32) -> Option<Verdict> {
    let rule = container
        .restart_rules
        .iter()
        .find(|rule| rule.exit_codes.contains(&code) == rule.matches_values)?;
    Some(match rule.action {
        RestartAction::Restart => Verdict::Restart,
        RestartAction::RestartAllContainers => Verdict::RestartAll,
    })
}

/// True when some rule of the pod restarts all its containers.
pub fn has_restart_all_rule<'a>(containers: impl IntoIterator<Item = &'a ContainerPlan>) -> bool {
    containers
        .into_iter()
        .flat_map(|container| &container.restart_rules)
        .any(|rule| rule.action == RestartAction::RestartAllContainers)
}
