//! `v1` Pod.

use std::collections::BTreeMap;

use super::{
    Affinity, Container, EphemeralContainer, HostAlias, LocalObjectReference, ObjectMeta,
    PodDNSConfig, PodReadinessGate, PodResourceClaim, PodSchedulingGate, PodSchedulingGroup,
    PodSecurityContext, ResourceRequirements, Toleration, TopologySpreadConstraint, Volume,
};
use crate::manifest::schema::{Raw, objects};
use crate::model::Quantity;

objects! {
    Pod {
        kind: String = "kind",
        api_version: String = "apiVersion",
        metadata: ObjectMeta = "metadata",
        spec: PodSpec = "spec",
        status: Option<Raw> = "status",
    }

    PodSpec {
        volumes: Vec<Volume> = "volumes",
        init_containers: Vec<Container> = "initContainers",
        containers: Vec<Container> = "containers" [always],
        ephemeral_containers: Vec<EphemeralContainer> = "ephemeralContainers",
        restart_policy: String = "restartPolicy" as "v1.RestartPolicy",
        termination_grace_period_seconds: Option<i64> = "terminationGracePeriodSeconds",
        active_deadline_seconds: Option<i64> = "activeDeadlineSeconds",
        dns_policy: String = "dnsPolicy" as "v1.DNSPolicy",
        node_selector: BTreeMap<String, String> = "nodeSelector",
        service_account_name: String = "serviceAccountName",
        service_account: String = "serviceAccount",
        automount_service_account_token: Option<bool> = "automountServiceAccountToken",
        node_name: String = "nodeName",
        host_network: bool = "hostNetwork",
        host_pid: bool = "hostPID",
        host_ipc: bool = "hostIPC",
        share_process_namespace: Option<bool> = "shareProcessNamespace",
        security_context: Option<PodSecurityContext> = "securityContext",
        image_pull_secrets: Vec<LocalObjectReference> = "imagePullSecrets",
        hostname: String = "hostname",
        subdomain: String = "subdomain",
        affinity: Option<Affinity> = "affinity",
        scheduler_name: String = "schedulerName",
        tolerations: Vec<Toleration> = "tolerations",
        host_aliases: Vec<HostAlias> = "hostAliases",
        priority_class_name: String = "priorityClassName",
        priority: Option<i32> = "priority",
        dns_config: Option<PodDNSConfig> = "dnsConfig",
        readiness_gates: Vec<PodReadinessGate> = "readinessGates",
        runtime_class_name: Option<String> = "runtimeClassName",
        enable_service_links: Option<bool> = "enableServiceLinks",
        preemption_policy: Option<String> = "preemptionPolicy" as "v1.PreemptionPolicy",
        overhead: BTreeMap<String, Quantity> = "overhead" as "v1.ResourceList",
        topology_spread_constraints: Vec<TopologySpreadConstraint> = "topologySpreadConstraints",
        set_hostname_as_fqdn: Option<bool> = "setHostnameAsFQDN",
        os: Option<PodOS> = "os",
        host_users: Option<bool> = "hostUsers",
        scheduling_gates: Vec<PodSchedulingGate> = "schedulingGates",
        resource_claims: Vec<PodResourceClaim> = "resourceClaims",
        resources: Option<ResourceRequirements> = "resources",
        hostname_override: Option<String> = "hostnameOverride",
        scheduling_group: Option<PodSchedulingGroup> = "schedulingGroup",
    }

    PodOS {
        name: String = "name" as "v1.OSName" [always],
    }
}
