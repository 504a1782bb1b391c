//! What containers, their folders and their descriptors are called. All of it
//! follows from the plan, so that a shim started again finds everything.

use std::path::PathBuf;

use crate::lifecycle::event::{ContainerKind, ContainerRef, Instance};
use crate::model::ContainerId;
use crate::model::plan::{ContainerPlan, PodPlan, QosClass};

/// The plan of a container; `None` for one that the plan does not have.
#[must_use]
pub fn container(plan: &PodPlan, reference: ContainerRef) -> Option<&ContainerPlan> {
    let list = match reference.kind {
        ContainerKind::Init => &plan.init_containers,
        ContainerKind::App => &plan.containers,
        ContainerKind::Ephemeral => &plan.ephemeral_containers,
    };
    list.get(reference.index)
}

/// Every container of the plan, in order of their slots.
pub fn containers(plan: &PodPlan) -> impl Iterator<Item = (ContainerRef, &ContainerPlan)> {
    let list = |kind, list: &'_ [ContainerPlan]| -> Vec<ContainerRef> {
        (0..list.len()).map(|index| ContainerRef { kind, index }).collect()
    };
    let references = [
        list(ContainerKind::Init, &plan.init_containers),
        list(ContainerKind::App, &plan.containers),
        list(ContainerKind::Ephemeral, &plan.ephemeral_containers),
    ];
    references
        .into_iter()
        .flatten()
        .filter_map(move |reference| Some((reference, container(plan, reference)?)))
}

/// The container of that name.
#[must_use]
pub fn by_name<'a>(plan: &'a PodPlan, name: &str) -> Option<(ContainerRef, &'a ContainerPlan)> {
    containers(plan).find(|(_, container)| container.name == name)
}

/// The place of a container's word in the journal of logs.
#[must_use]
pub fn slot(plan: &PodPlan, reference: ContainerRef) -> usize {
    reference.index
        + match reference.kind {
            ContainerKind::Init => 0,
            ContainerKind::App => plan.init_containers.len(),
            ContainerKind::Ephemeral => plan.init_containers.len() + plan.containers.len(),
        }
}

/// An instance's OCI id: the pod's uid, the container's name (unique in the
/// pod, without dots) and the attempt.
#[must_use]
pub fn container_id(plan: &PodPlan, name: &str, attempt: u32) -> Option<ContainerId> {
    ContainerId::new(format!("{}.{name}.{attempt}", plan.uid)).ok()
}

/// The sandbox's id; a container's has two dots.
#[must_use]
pub fn sandbox_id(plan: &PodPlan, attempt: u32) -> Option<ContainerId> {
    ContainerId::new(format!("{}.{attempt}", plan.uid)).ok()
}

/// The key of an instance's descriptors at the keeper: `a0.3/pid`.
#[must_use]
pub fn key(instance: Instance, what: Held) -> String {
    let kind = match instance.container.kind {
        ContainerKind::Init => 'i',
        ContainerKind::App => 'a',
        ContainerKind::Ephemeral => 'e',
    };
    format!("{kind}{}.{}/{}", instance.container.index, instance.attempt, what.as_str())
}

/// What the keeper holds of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    Pidfd,
    Stdout,
    Stderr,
    Terminal,
    /// The writing end of its input.
    Input,
    /// What opens the way to its program, and what tells that it runs.
    Gate,
    ExecStatus,
}

impl Held {
    pub const ALL: [Self; 7] = [
        Self::Pidfd,
        Self::Stdout,
        Self::Stderr,
        Self::Terminal,
        Self::Input,
        Self::Gate,
        Self::ExecStatus,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Pidfd => "pid",
            Self::Stdout => "out",
            Self::Stderr => "err",
            Self::Terminal => "tty",
            Self::Input => "in",
            Self::Gate => "gate",
            Self::ExecStatus => "exec",
        }
    }
}

/// The pod's cgroup, absolute in the hierarchy: `/podrt/burstable/pod<uid>`.
#[must_use]
pub fn pod_cgroup(plan: &PodPlan) -> String {
    let level = match plan.qos {
        QosClass::Guaranteed => "",
        QosClass::Burstable => "/burstable",
        QosClass::BestEffort => "/besteffort",
    };
    format!("/podrt{level}/pod{}", plan.uid)
}

/// Folders and files of one instance below the pod's folder.
#[derive(Debug)]
pub struct Places {
    /// The writable layer: `layers/<name>.<attempt>/{upper,work}`.
    pub layer: PathBuf,
    /// The kubelet's `containers/<name>/<8 hex>`.
    pub termination_log: PathBuf,
    pub log: PathBuf,
}

impl Places {
    #[must_use]
    pub fn new(plan: &PodPlan, name: &str, attempt: u32) -> Self {
        let data = plan.roots.pod_data(&plan.uid);
        let logs = plan.roots.pod_logs(&plan.namespace, &plan.name, &plan.uid);
        Self {
            layer: data.join("layers").join(format!("{name}.{attempt}")),
            termination_log: data.join("containers").join(name).join(format!("{attempt:08x}")),
            log: crate::model::Roots::container_log(&logs, name, attempt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::testing::{container as plan_of_container, pod};

    #[test]
    fn every_container_has_a_slot_and_keys_of_its_own() {
        let mut plan = pod();
        plan.init_containers = vec![plan_of_container(); 2];
        plan.containers = vec![plan_of_container(); 3];
        plan.ephemeral_containers = vec![plan_of_container()];
        let references: Vec<_> = containers(&plan).map(|(reference, _)| reference).collect();
        let slots: Vec<_> = references.iter().map(|&r| slot(&plan, r)).collect();
        assert_eq!(slots, [0, 1, 2, 3, 4, 5]);
        let instance = Instance { container: references[3], attempt: 7 };
        assert_eq!(key(instance, Held::Stdout), "a1.7/out");
        assert_eq!(pod_cgroup(&plan), "/podrt/besteffort/pod11111111-2222-3333-4444-555555555555");
    }
}
