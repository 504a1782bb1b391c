//! What the pod's containers share.

use std::collections::BTreeMap;

use super::container::protocol;
use super::handler::port_number;
use super::{PlanOptions, namespace, resources, security};
use crate::manifest::object::PodObject;
use crate::manifest::types::{PodDNSConfigOption, PodSpec};
use crate::manifest::validate::dotted_sysctl;
use crate::model::plan::{DnsPlan, HostAlias, HostPort, NetworkMode, SandboxPlan};

/// The longest label of a host name.
const MAX_LABEL: usize = 63;

pub(super) fn sandbox(pod: &PodObject, options: &PlanOptions) -> SandboxPlan {
    let spec = &pod.spec;
    let context = spec.security_context.clone().unwrap_or_default();
    let all = spec.containers.iter().chain(&spec.init_containers);
    SandboxPlan {
        hostname: hostname(pod, options),
        domain: domain(pod, options),
        network: if spec.host_network { NetworkMode::Host } else { options.network },
        host_pid: spec.host_pid,
        host_ipc: spec.host_ipc,
        share_process_namespace: spec.share_process_namespace.unwrap_or(false),
        user_namespace: spec.host_users == Some(false),
        sysctls: sysctls(spec),
        host_ports: host_ports(spec),
        dns: dns(spec),
        host_aliases: spec
            .host_aliases
            .iter()
            .map(|alias| HostAlias { ip: alias.ip.clone(), hostnames: alias.hostnames.clone() })
            .collect(),
        privileged: all.into_iter().any(security::is_privileged),
        run_as_user: context.run_as_user.map(security::id),
        run_as_group: context.run_as_group.map(security::id),
        fs_group: context.fs_group.map(security::id),
        fs_group_on_root_mismatch: context.fs_group_change_policy.as_deref()
            == Some("OnRootMismatch"),
        supplemental_groups: context.supplemental_groups.iter().map(|g| security::id(*g)).collect(),
        strict_groups: context.supplemental_groups_policy.as_deref() == Some("Strict"),
        resources: resources::pod(spec),
    }
}

/// Name → value with dots; of one written twice the last counts.
pub(super) fn sysctls(spec: &PodSpec) -> BTreeMap<String, String> {
    let context = spec.security_context.as_ref();
    let sysctls = context.map(|context| context.sysctls.as_slice()).unwrap_or_default();
    sysctls.iter().map(|s| (dotted_sysctl(&s.name), s.value.clone())).collect()
}

/// The short name before any domain is added.
fn short_hostname(pod: &PodObject) -> String {
    if let Some(name) = &pod.spec.hostname_override {
        return cut(name);
    }
    match pod.spec.hostname.as_str() {
        "" => cut(&pod.metadata.name),
        name => name.to_owned(),
    }
}

fn cut(name: &str) -> String {
    let end = name.char_indices().nth(MAX_LABEL).map_or(name.len(), |(at, _)| at);
    name[..end].trim_end_matches(['-', '.']).to_owned()
}

fn domain(pod: &PodObject, options: &PlanOptions) -> Option<String> {
    let spec = &pod.spec;
    let has_domain = !spec.subdomain.is_empty() && spec.hostname_override.is_none();
    let (subdomain, namespace) = (&spec.subdomain, namespace(pod));
    let cluster = &options.cluster_domain;
    has_domain.then(|| format!("{subdomain}.{namespace}.svc.{cluster}"))
}

/// The name with its domain, where the pod asked to have it as host name.
pub(super) fn fqdn(pod: &PodObject, options: &PlanOptions) -> Option<String> {
    let domain = domain(pod, options).filter(|_| pod.spec.set_hostname_as_fqdn == Some(true))?;
    Some(format!("{}.{domain}", short_hostname(pod)))
}

fn hostname(pod: &PodObject, options: &PlanOptions) -> String {
    if pod.spec.host_network {
        return options.node_name.clone();
    }
    fqdn(pod, options).unwrap_or_else(|| short_hostname(pod))
}

/// Only regular containers' ports are mapped, and none in the machine's own
/// network.
fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    if spec.host_network {
        return Vec::new();
    }
    let ports = spec.containers.iter().flat_map(|container| &container.ports);
    ports
        .filter(|port| port.host_port > 0)
        .map(|port| HostPort {
            host_ip: port.host_ip.parse().ok(),
            host_port: port_number(port.host_port),
            container_port: port_number(port.container_port),
            protocol: protocol(&port.protocol),
        })
        .collect()
}

/// A machine has no cluster DNS, so that `ClusterFirst` falls back as a
/// kubelet without one does.
fn dns(spec: &PodSpec) -> DnsPlan {
    let policy = spec.dns_policy.as_str();
    let wants_cluster =
        policy == "ClusterFirstWithHostNet" || (policy == "ClusterFirst" && !spec.host_network);
    let config = spec.dns_config.clone().unwrap_or_default();
    DnsPlan {
        from_host: policy != "None",
        cluster_dns_missing: wants_cluster,
        nameservers: config.nameservers,
        searches: config.searches,
        options: config.options.iter().map(dns_option).collect(),
    }
}

fn dns_option(option: &PodDNSConfigOption) -> String {
    match option.value.as_deref() {
        None | Some("") => option.name.clone(),
        Some(value) => format!("{}:{value}", option.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::types::{Container, ContainerPort};
    use crate::model::plan::Protocol;

    #[test]
    fn only_regular_containers_ports_are_mapped() {
        let port = ContainerPort {
            container_port: 53,
            host_port: 5353,
            protocol: "UDP".into(),
            host_ip: "127.0.0.1".into(),
            ..ContainerPort::default()
        };
        let container = Container { ports: vec![port], ..Container::default() };
        let mut spec = PodSpec {
            containers: vec![container.clone()],
            init_containers: vec![container],
            ..PodSpec::default()
        };
        let want = HostPort {
            host_ip: "127.0.0.1".parse().ok(),
            host_port: 5353,
            container_port: 53,
            protocol: Protocol::Udp,
        };
        assert_eq!(host_ports(&spec), [want]);
        spec.host_network = true;
        assert_eq!(host_ports(&spec), []);
    }
}
