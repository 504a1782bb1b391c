//! Containers of all three lists.

use std::collections::{BTreeMap, BTreeSet};

use super::check::Check;
use super::probe::{PodFacts, hooks_and_probes};
use super::{env, mount, names, resources, security};
use crate::manifest::path::Path;
use crate::manifest::types::{
    Container, ContainerResizePolicy, EphemeralContainer, PodSpec, Volume,
};

const NOT_FOR_INIT: &str = "may not be set for init containers without restartPolicy=Always";
const NOT_FOR_EPHEMERAL: &str = "cannot be set for an Ephemeral Container";

/// What the rules of a container need of its pod.
#[derive(Debug)]
pub(super) struct Pod<'a> {
    pub spec: &'a PodSpec,
    pub volumes: BTreeMap<&'a str, &'a Volume>,
    pub claims: BTreeSet<&'a str>,
}

impl Pod<'_> {
    fn facts(&self) -> PodFacts<'_> {
        PodFacts {
            grace_seconds: self.spec.termination_grace_period_seconds,
            os: self.spec.os.as_ref(),
        }
    }
}

pub(super) fn regular(check: &mut Check<'_>, pod: &Pod<'_>, path: &Path<'_>) {
    let containers = &pod.spec.containers;
    if containers.is_empty() {
        check.required(path, "");
        return;
    }
    let mut known = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index);
        common(check, container, pod, &path);
        if !known.insert(container.name.as_str()) {
            check.duplicate(&path.child("name"), &container.name);
        }
        hooks_and_probes(check, container, pod.facts(), &path);
        restart_policy(check, container, &path);
    }
    let mut ports = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        host_ports(check, container, &mut ports, &path.index(index));
    }
}

pub(super) fn init(check: &mut Check<'_>, pod: &Pod<'_>, path: &Path<'_>) {
    let mut known: BTreeSet<_> =
        pod.spec.containers.iter().map(|container| container.name.as_str()).collect();
    for (index, container) in pod.spec.init_containers.iter().enumerate() {
        let place = path.index(index);
        common(check, container, pod, &place);
        init_restart_policy(check, container, &place);
        if known.contains(container.name.as_str()) {
            check.duplicate(&place.child("name"), &container.name);
        } else if !container.name.is_empty() {
            known.insert(container.name.as_str());
        }
        // They run one after the other, so that ports conflict only within one;
        // the API server counts its index anew each time.
        check.at(&place, |check| {
            host_ports(check, container, &mut BTreeSet::new(), &path.index(0));
        });
        let is_sidecar = container.restart_policy.as_deref() == Some("Always");
        if is_sidecar {
            hooks_and_probes(check, container, pod.facts(), &place);
        } else {
            not_for_init(check, container, &place);
        }
    }
}

fn not_for_init(check: &mut Check<'_>, container: &Container, path: &Path<'_>) {
    let fields = [
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
    ];
    for (name, is_set) in fields {
        if is_set {
            check.forbidden(&path.child(name), NOT_FOR_INIT);
        }
    }
    let policies = path.child("resizePolicy");
    for (index, policy) in container.resize_policy.iter().enumerate() {
        if policy.restart_policy == "RestartContainer" {
            let detail = "must not be set to 'RestartContainer' for non-sidecar initContainers";
            let path = policies.index(index);
            check.invalid(&path.child("restartPolicy"), &policy.restart_policy, detail);
        }
    }
}

pub(super) fn ephemeral(check: &mut Check<'_>, pod: &Pod<'_>, path: &Path<'_>) {
    let lists = [&pod.spec.containers, &pod.spec.init_containers];
    let targets: BTreeSet<&str> =
        lists.into_iter().flatten().map(|container| container.name.as_str()).collect();
    let mut known = targets.clone();
    for (index, container) in pod.spec.ephemeral_containers.iter().enumerate() {
        let path = path.index(index);
        let common_fields = container.common();
        common(check, &common_fields, pod, &path);
        image_is_trimmed(check, &container.image, &path);
        if !known.insert(container.name.as_str()) {
            check.duplicate(&path.child("name"), &container.name);
        }
        let target = container.target_container_name.as_str();
        if !target.is_empty() && !targets.contains(target) {
            check.not_found(&path.child("targetContainerName"), target, "");
        }
        not_for_ephemeral(check, container, &path);
    }
}

fn not_for_ephemeral(check: &mut Check<'_>, container: &EphemeralContainer, path: &Path<'_>) {
    let resources = &container.resources;
    let has_resources = !resources.limits.is_empty()
        || !resources.requests.is_empty()
        || !resources.claims.is_empty();
    let fields = [
        ("ports", !container.ports.is_empty()),
        ("resources", has_resources),
        ("resizePolicy", !container.resize_policy.is_empty()),
        ("restartPolicy", container.restart_policy.is_some()),
        ("restartPolicyRules", !container.restart_policy_rules.is_empty()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
        ("lifecycle", container.lifecycle.is_some()),
    ];
    for (name, is_set) in fields {
        if is_set {
            check.forbidden(&path.child(name), NOT_FOR_EPHEMERAL);
        }
    }
    let mounts = path.child("volumeMounts");
    for (index, mount) in container.volume_mounts.iter().enumerate() {
        let fields = [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)];
        for (name, value) in fields {
            if !value.is_empty() {
                check.forbidden(&mounts.index(index).child(name), NOT_FOR_EPHEMERAL);
            }
        }
    }
}

fn common(check: &mut Check<'_>, container: &Container, pod: &Pod<'_>, path: &Path<'_>) {
    if container.name.is_empty() {
        check.required(&path.child("name"), "");
    } else {
        check.invalid_each(&path.child("name"), &container.name, names::label(&container.name));
    }
    if container.image.is_empty() {
        check.required(&path.child("image"), "");
    }
    let policies = ["File", "FallbackToLogsOnError"];
    let policy = path.child("terminationMessagePolicy");
    check.one_of(&policy, &container.termination_message_policy, &policies);
    env::ports(check, &container.ports, &path.child("ports"));
    env::env(check, &container.env, &path.child("env"));
    env::env_from(check, &container.env_from, &path.child("envFrom"));
    mount::mounts(check, container, &pod.volumes, &path.child("volumeMounts"));
    mount::devices(check, container, &pod.volumes, &path.child("volumeDevices"));
    let policies = ["Always", "IfNotPresent", "Never"];
    check.one_of(&path.child("imagePullPolicy"), &container.image_pull_policy, &policies);
    resources::container(check, &container.resources, &pod.claims, &path.child("resources"));
    let never = pod.spec.restart_policy == "Never";
    resize_policy(check, &container.resize_policy, never, &path.child("resizePolicy"));
    if let Some(context) = &container.security_context {
        let host_users = pod.spec.host_users != Some(false);
        security::container(check, context, host_users, &path.child("securityContext"));
    }
}

fn resize_policy(
    check: &mut Check<'_>,
    policies: &[ContainerResizePolicy],
    pod_never_restarts: bool,
    path: &Path<'_>,
) {
    let mut known = BTreeSet::new();
    for (index, policy) in policies.iter().enumerate() {
        let place = path.index(index);
        if !known.insert(policy.resource_name.as_str()) {
            check.duplicate(&place, &policy.resource_name);
        }
        check.at(&place, |check| {
            check.one_of(path, &policy.resource_name, &["cpu", "memory"]);
            check.one_of(path, &policy.restart_policy, &["NotRequired", "RestartContainer"]);
            if pod_never_restarts && policy.restart_policy != "NotRequired" {
                let detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
                check.invalid(path, &policy.restart_policy, detail);
            }
        });
    }
}

fn init_restart_policy(check: &mut Check<'_>, container: &Container, path: &Path<'_>) {
    if container.restart_policy.is_some() {
        restart_policy(check, container, path);
    } else if !container.restart_policy_rules.is_empty() {
        rules_need_a_policy(check, path);
    }
}

fn rules_need_a_policy(check: &mut Check<'_>, path: &Path<'_>) {
    let detail = "must specify restartPolicy when restart rules are used";
    check.required(&path.child("restartPolicy"), detail);
}

fn restart_policy(check: &mut Check<'_>, container: &Container, path: &Path<'_>) {
    let rules = &container.restart_policy_rules;
    match &container.restart_policy {
        None if rules.is_empty() => return,
        None => rules_need_a_policy(check, path),
        Some(policy) => {
            let policies = ["Always", "Never", "OnFailure"];
            check.one_of_if_set(&path.child("restartPolicy"), policy, &policies);
        }
    }
    let path = path.child("restartPolicyRules");
    if rules.len() > 20 {
        check.too_many(&path, rules.len(), 20);
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        let actions = ["Restart", "RestartAllContainers"];
        check.one_of_if_set(&path.child("action"), &rule.action, &actions);
        let path = path.child("exitCodes");
        let Some(codes) = &rule.exit_codes else {
            check.required(&path, "must be specified");
            continue;
        };
        check.one_of_if_set(&path.child("operator"), &codes.operator, &["In", "NotIn"]);
        if codes.values.len() > 255 {
            check.too_many(&path.child("values"), codes.values.len(), 255);
        }
    }
}

fn host_ports(
    check: &mut Check<'_>,
    container: &Container,
    known: &mut BTreeSet<String>,
    path: &Path<'_>,
) {
    let ports = path.child("ports");
    for (index, port) in container.ports.iter().enumerate() {
        if port.host_port == 0 {
            continue;
        }
        let key = format!("{}/{}/{}", port.protocol, port.host_ip, port.host_port);
        if known.contains(&key) {
            check.duplicate(&ports.index(index).child("hostPort"), &key);
        } else {
            known.insert(key);
        }
    }
}

/// A rule of pods alone, not of templates; it comes after all others.
pub(super) fn image_is_trimmed(check: &mut Check<'_>, image: &str, path: &Path<'_>) {
    if image.trim().len() != image.len() {
        let detail = "must not have leading or trailing whitespace";
        check.invalid(&path.child("image"), image, detail);
    }
}
