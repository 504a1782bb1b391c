//! What the API server accepts but warns of.

use std::collections::BTreeSet;

use crate::manifest::types::{Container, ContainerPort, PodSpec};

/// The warnings of a pod as kubectl prints them after `Warning: `. `spec` is
/// the pod as given: defaults hide a negative grace period.
pub(in crate::manifest) fn warnings(spec: &PodSpec) -> Vec<String> {
    let mut found = Vec::new();
    if spec.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
        found.push(
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and \
             will be treated as 1"
                .to_owned(),
        );
    }
    host_aliases(spec, &mut found);
    for (index, secret) in spec.image_pull_secrets.iter().enumerate() {
        if secret.name.is_empty() {
            found.push(format!("spec.imagePullSecrets[{index}].name: invalid empty name \"\""));
        }
    }
    for (list, containers) in
        [("initContainers", &spec.init_containers), ("containers", &spec.containers)]
    {
        for (index, container) in containers.iter().enumerate() {
            let path = format!("spec.{list}[{index}]");
            duplicate_env(container, &path, &mut found);
            fractional_bytes(container, &path, &mut found);
        }
    }
    duplicate_ports(spec, &mut found);
    found
}

fn host_aliases(spec: &PodSpec, found: &mut Vec<String>) {
    let mut known = BTreeSet::new();
    for (index, alias) in spec.host_aliases.iter().enumerate() {
        if !known.insert(alias.ip.as_str()) {
            found.push(format!("spec.hostAliases[{index}].ip: duplicate ip {:?}", alias.ip));
        }
    }
}

fn duplicate_env(container: &Container, path: &str, found: &mut Vec<String>) {
    let mut known = BTreeSet::new();
    for (index, var) in container.env.iter().enumerate() {
        // A definition that builds on the one before it is meant.
        let is_built_on = var.value.contains(&format!("$({})", var.name));
        if !known.insert(var.name.as_str()) && !is_built_on {
            found.push(format!(
                "{path}.env[{index}]: hides previous definition of {:?}, which may be dropped \
                 when using apply",
                var.name
            ));
        }
    }
}

fn fractional_bytes(container: &Container, path: &str, found: &mut Vec<String>) {
    let lists =
        [("limits", &container.resources.limits), ("requests", &container.resources.requests)];
    for (list, amounts) in lists {
        for name in ["memory", "ephemeral-storage"] {
            if let Some(amount) = amounts.get(name).filter(|q| q.exact_milli() % 1000 != 0) {
                let amount = amount.to_string();
                found.push(format!(
                    "{path}.resources.{list}[{name}]: fractional byte value {amount:?} is \
                     invalid, must be an integer"
                ));
            }
        }
    }
}

/// Two ports of the same number and protocol over all regular containers.
fn duplicate_ports(spec: &PodSpec, found: &mut Vec<String>) {
    let mut seen: Vec<(String, &ContainerPort)> = Vec::new();
    for (index, container) in spec.containers.iter().enumerate() {
        for (port_index, port) in container.ports.iter().enumerate() {
            let path = format!("spec.containers[{index}].ports[{port_index}]");
            for (other_path, other) in &seen {
                if other.container_port != port.container_port || other.protocol != port.protocol {
                    continue;
                }
                if other.host_port == port.host_port && other.host_ip == port.host_ip {
                    found.push(format!("{path}: duplicate port definition with {other_path}"));
                } else if other.host_port == 0 || port.host_port == 0 {
                    found.push(format!("{path}: overlapping port definition with {other_path}"));
                }
            }
            seen.push((path, port));
        }
    }
}
