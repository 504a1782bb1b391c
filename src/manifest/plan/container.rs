//! One container.

use super::handler::{hook, port_number, probe};
use super::{PlanOptions, env, qos, resources, restart_policy, security};
use crate::manifest::object::PodObject;
use crate::manifest::types::{
    Container, ContainerPort, ContainerRestartRule, EphemeralContainer, PodSpec, VolumeMount,
};
use crate::model::Signal;
use crate::model::plan::{
    ContainerPlan, MountPlan, PortPlan, Propagation, Protocol, PullPolicy, RecursiveReadOnly,
    RestartAction, RestartRule, SubPath, TerminationMessagePolicy,
};

/// Plans the parts of one pod.
#[derive(Debug)]
pub(super) struct Planner<'a> {
    pod: &'a PodObject,
    options: &'a PlanOptions,
}

impl<'a> Planner<'a> {
    pub(super) fn new(pod: &'a PodObject, options: &'a PlanOptions) -> Self {
        Self { pod, options }
    }

    pub(super) fn spec(&self) -> &PodSpec {
        &self.pod.spec
    }

    pub(super) fn options(&self) -> &PlanOptions {
        self.options
    }

    pub(super) fn find_container(&self, name: &str) -> Option<&Container> {
        let spec = self.spec();
        spec.containers.iter().chain(&spec.init_containers).find(|c| c.name == name)
    }

    pub(super) fn ephemeral(&self, container: &EphemeralContainer) -> ContainerPlan {
        ContainerPlan {
            target_container: text(&container.target_container_name),
            ..self.container(&container.common())
        }
    }

    pub(super) fn container(&self, container: &Container) -> ContainerPlan {
        let spec = self.spec();
        let hooks = container.lifecycle.as_ref();
        let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        let PlanOptions { node_memory_bytes, seccomp_default, .. } = *self.options;
        ContainerPlan {
            name: container.name.clone(),
            image: container.image.clone(),
            pull_policy: pull_policy(&container.image_pull_policy),
            command: list(&container.command),
            args: list(&container.args),
            working_dir: text(&container.working_dir),
            env_from: container.env_from.iter().filter_map(env::env_from).collect(),
            env: container.env.iter().map(|var| self.env(var, container)).collect(),
            mounts: container.volume_mounts.iter().map(mount).collect(),
            ports: container.ports.iter().map(port).collect(),
            resources: resources::container(spec, container),
            requests: container.resources.requests.clone(),
            limits: container.resources.limits.clone(),
            oom_score_adj: qos::oom_score_adj(spec, container, node_memory_bytes),
            security: security::security(&self.pod.metadata, spec, container, seccomp_default),
            startup_probe: container.startup_probe.as_ref().and_then(probe),
            liveness_probe: container.liveness_probe.as_ref().and_then(probe),
            readiness_probe: container.readiness_probe.as_ref().and_then(probe),
            post_start: hooks.and_then(|hooks| hooks.post_start.as_ref()).and_then(hook),
            pre_stop: hooks.and_then(|hooks| hooks.pre_stop.as_ref()).and_then(hook),
            stop_signal: hooks
                .and_then(|hooks| hooks.stop_signal.as_deref())
                .and_then(Signal::parse),
            termination_message_path: container.termination_message_path.clone(),
            termination_message_policy: match container.termination_message_policy.as_str() {
                "FallbackToLogsOnError" => TerminationMessagePolicy::FallbackToLogsOnError,
                _ => TerminationMessagePolicy::File,
            },
            restart_policy: container.restart_policy.as_deref().map(restart_policy),
            restart_rules: container.restart_policy_rules.iter().map(restart_rule).collect(),
            target_container: None,
            stdin: container.stdin,
            stdin_once: container.stdin_once,
            tty: container.tty,
        }
    }
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(super) fn pull_policy(policy: &str) -> PullPolicy {
    match policy {
        "Always" => PullPolicy::Always,
        "Never" => PullPolicy::Never,
        _ => PullPolicy::IfNotPresent,
    }
}

pub(super) fn protocol(protocol: &str) -> Protocol {
    match protocol {
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        _ => Protocol::Tcp,
    }
}

fn port(port: &ContainerPort) -> PortPlan {
    PortPlan {
        name: text(&port.name),
        container_port: port_number(port.container_port),
        protocol: protocol(&port.protocol),
    }
}

fn mount(mount: &VolumeMount) -> MountPlan {
    let sub_path = text(&mount.sub_path).map(SubPath::Literal);
    MountPlan {
        volume: mount.name.clone(),
        path: absolute(&mount.mount_path),
        read_only: mount.read_only,
        recursive_read_only: match mount.recursive_read_only.as_deref() {
            Some("IfPossible") => RecursiveReadOnly::IfPossible,
            Some("Enabled") => RecursiveReadOnly::Enabled,
            _ => RecursiveReadOnly::Disabled,
        },
        propagation: match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => Propagation::HostToContainer,
            Some("Bidirectional") => Propagation::Bidirectional,
            _ => Propagation::Private,
        },
        sub_path: sub_path.or_else(|| text(&mount.sub_path_expr).map(SubPath::Expression)),
    }
}

/// Mount paths may be given relative; they count from the root.
fn absolute(path: &str) -> String {
    match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    }
}

fn restart_rule(rule: &ContainerRestartRule) -> RestartRule {
    let codes = rule.exit_codes.as_ref();
    RestartRule {
        action: match rule.action.as_str() {
            "RestartAllContainers" => RestartAction::RestartAllContainers,
            _ => RestartAction::Restart,
        },
        matches_values: codes.is_some_and(|codes| codes.operator == "In"),
        exit_codes: codes.map(|codes| codes.values.clone()).unwrap_or_default(),
    }
}
