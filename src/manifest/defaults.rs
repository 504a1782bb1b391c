//! What the API server writes into objects before anything else looks at
//! them (pkg/apis/core/v1/defaults.go and the service account admission).

use std::collections::BTreeMap;

use super::schema::IntOrString;
use super::types::{
    Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EphemeralContainer, GRPCAction,
    HTTPGetAction, LifecycleHandler, ObjectFieldSelector, PersistentVolumeClaim,
    PodSecurityContext, PodSpec, Probe, ProjectedVolumeSource, ResourceRequirements, Secret,
    Service, Volume,
};
use super::validate::aggregate_requests;
use crate::model::Quantity;
use crate::model::plan::PullPolicy;

/// Mode of files from `ConfigMap`s, `Secret`s and the downward API.
const FILE_MODE: i32 = 0o644;
const TOKEN_EXPIRATION_SECONDS: i64 = 3600;

/// Fills in a pod.
pub(super) fn pod(spec: &mut PodSpec) {
    set(&mut spec.restart_policy, "Always");
    set(&mut spec.dns_policy, "ClusterFirst");
    set(&mut spec.scheduler_name, "default-scheduler");
    service_account(spec);
    let grace = spec.termination_grace_period_seconds.get_or_insert(30);
    if *grace < 0 {
        *grace = 1;
    }
    spec.security_context.get_or_insert_with(PodSecurityContext::default);
    spec.enable_service_links.get_or_insert(true);
    spec.volumes.iter_mut().for_each(volume);
    let host_network = spec.host_network;
    for container in spec.containers.iter_mut().chain(&mut spec.init_containers) {
        self::container(container);
        requests_from_limits(&mut container.resources);
        if host_network {
            container.ports.iter_mut().for_each(host_port);
        }
    }
    spec.ephemeral_containers.iter_mut().for_each(ephemeral_container);
    pod_resources(spec);
}

fn set(field: &mut String, default: &str) {
    if field.is_empty() {
        default.clone_into(field);
    }
}

/// The name has a field of old that still mirrors it.
fn service_account(spec: &mut PodSpec) {
    if spec.service_account_name.is_empty() {
        spec.service_account_name = std::mem::take(&mut spec.service_account);
    }
    set(&mut spec.service_account_name, "default");
    spec.service_account.clone_from(&spec.service_account_name);
}

fn host_port(port: &mut ContainerPort) {
    if port.host_port == 0 {
        port.host_port = port.container_port;
    }
}

fn container(container: &mut Container) {
    let policy = pull_policy(&container.image);
    set(&mut container.image_pull_policy, policy_name(policy));
    set(&mut container.termination_message_path, "/dev/termination-log");
    set(&mut container.termination_message_policy, "File");
    for port in &mut container.ports {
        set(&mut port.protocol, "TCP");
    }
    container.env.iter_mut().for_each(env);
    let probes = [
        &mut container.liveness_probe,
        &mut container.readiness_probe,
        &mut container.startup_probe,
    ];
    probes.into_iter().flatten().for_each(probe);
    if let Some(lifecycle) = &mut container.lifecycle {
        let hooks = [&mut lifecycle.post_start, &mut lifecycle.pre_stop];
        hooks.into_iter().flatten().for_each(hook);
    }
}

fn ephemeral_container(container: &mut EphemeralContainer) {
    let policy = pull_policy(&container.image);
    set(&mut container.image_pull_policy, policy_name(policy));
    set(&mut container.termination_message_path, "/dev/termination-log");
    set(&mut container.termination_message_policy, "File");
    container.env.iter_mut().for_each(env);
}

/// `Always` for `:latest` and for images with neither tag nor digest.
pub(super) fn pull_policy(image: &str) -> PullPolicy {
    let (name, has_digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    let last = name.rsplit('/').next().unwrap_or(name);
    let is_latest = match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => !has_digest && !last.is_empty(),
    };
    if is_latest { PullPolicy::Always } else { PullPolicy::IfNotPresent }
}

fn policy_name(policy: PullPolicy) -> &'static str {
    match policy {
        PullPolicy::Always => "Always",
        PullPolicy::IfNotPresent => "IfNotPresent",
        PullPolicy::Never => "Never",
    }
}

fn env(var: &mut EnvVar) {
    if let Some(field) = var.value_from.as_mut().and_then(|source| source.field_ref.as_mut()) {
        field_ref(field);
    }
}

fn field_ref(field: &mut ObjectFieldSelector) {
    set(&mut field.api_version, "v1");
}

fn probe(probe: &mut Probe) {
    let numbers = [
        (&mut probe.timeout_seconds, 1),
        (&mut probe.period_seconds, 10),
        (&mut probe.success_threshold, 1),
        (&mut probe.failure_threshold, 3),
    ];
    for (value, default) in numbers {
        if *value == 0 {
            *value = default;
        }
    }
    probe.http_get.iter_mut().for_each(http_get);
    if let Some(GRPCAction { service, .. }) = &mut probe.grpc {
        service.get_or_insert_default();
    }
}

fn hook(hook: &mut LifecycleHandler) {
    hook.http_get.iter_mut().for_each(http_get);
}

fn http_get(http: &mut HTTPGetAction) {
    set(&mut http.path, "/");
    set(&mut http.scheme, "HTTP");
}

fn requests_from_limits(resources: &mut ResourceRequirements) {
    for (name, limit) in &resources.limits {
        resources.requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
}

/// Pod-level requests that are missing: what the containers request together,
/// else the pod's limit.
fn pod_resources(spec: &mut PodSpec) {
    let requests = aggregate_requests(spec);
    let hugepages = hugepage_limits(&spec.containers);
    let Some(resources) = &mut spec.resources else { return };
    if resources.limits.is_empty() {
        return;
    }
    for (name, milli) in requests {
        if is_pod_level(&name) {
            resources.requests.entry(name).or_insert_with(|| from_milli(milli));
        }
    }
    for (name, milli) in hugepages {
        resources.limits.entry(name).or_insert_with(|| from_milli(milli));
    }
    for (name, limit) in &resources.limits {
        if is_pod_level(name) {
            resources.requests.entry(name.clone()).or_insert_with(|| limit.clone());
        }
    }
}

fn is_pod_level(name: &str) -> bool {
    name == "cpu" || name == "memory" || name.starts_with("hugepages-")
}

fn hugepage_limits(containers: &[Container]) -> BTreeMap<String, i128> {
    let mut sums: BTreeMap<String, i128> = BTreeMap::new();
    for (name, limit) in containers.iter().flat_map(|container| &container.resources.limits) {
        if name.starts_with("hugepages-") {
            *sums.entry(name.clone()).or_default() += limit.exact_milli();
        }
    }
    sums
}

/// A sum as a quantity, in bytes with a binary suffix where one fits.
pub(super) fn from_milli(milli: i128) -> Quantity {
    let text = match milli % 1_024_000 {
        0 if milli != 0 => format!("{}Ki", milli / 1_024_000),
        _ => format!("{milli}m"),
    };
    Quantity::parse(&text).unwrap_or_default().canonical()
}

fn volume(volume: &mut Volume) {
    if volume.has_no_source() {
        volume.empty_dir = Some(EmptyDirVolumeSource::default());
    }
    if let Some(source) = &mut volume.secret {
        source.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(source) = &mut volume.config_map {
        source.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(source) = &mut volume.downward_api {
        source.default_mode.get_or_insert(FILE_MODE);
        source.items.iter_mut().filter_map(|item| item.field_ref.as_mut()).for_each(field_ref);
    }
    if let Some(source) = &mut volume.projected {
        projected(source);
    }
    if let Some(source) = &mut volume.host_path {
        source.r#type.get_or_insert_default();
    }
    if let Some(source) = &mut volume.image {
        let policy = pull_policy(&source.reference);
        set(&mut source.pull_policy, policy_name(policy));
    }
}

fn projected(source: &mut ProjectedVolumeSource) {
    source.default_mode.get_or_insert(FILE_MODE);
    for projection in &mut source.sources {
        if let Some(token) = &mut projection.service_account_token {
            token.expiration_seconds.get_or_insert(TOKEN_EXPIRATION_SECONDS);
        }
        let items = projection.downward_api.iter_mut().flat_map(|downward| &mut downward.items);
        items.filter_map(|item| item.field_ref.as_mut()).for_each(field_ref);
    }
}

/// A `Secret`'s type, and `stringData` over `data`, which is never shown again.
pub(super) fn secret(secret: &mut Secret) {
    set(&mut secret.r#type, "Opaque");
    for (key, text) in std::mem::take(&mut secret.string_data) {
        secret.data.insert(key, super::schema::Bytes(text.into_bytes()));
    }
}

pub(super) fn service(service: &mut Service) {
    let spec = &mut service.spec;
    set(&mut spec.session_affinity, "None");
    set(&mut spec.r#type, "ClusterIP");
    for port in &mut spec.ports {
        set(&mut port.protocol, "TCP");
        let is_unset = port.target_port == IntOrString::default()
            || port.target_port == IntOrString::String(String::new());
        if is_unset {
            port.target_port = IntOrString::Int(port.port);
        }
    }
    if spec.r#type != "ExternalName" {
        spec.internal_traffic_policy.get_or_insert_with(|| "Cluster".to_owned());
    }
}

pub(super) fn claim(claim: &mut PersistentVolumeClaim) {
    claim.spec.volume_mode.get_or_insert_with(|| "Filesystem".to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pull_policy_follows_the_tag() {
        use PullPolicy::{Always, IfNotPresent};
        let digest = format!("nginx@sha256:{}", "a".repeat(64));
        let table = [
            ("nginx", Always),
            ("nginx:latest", Always),
            ("nginx:1.27", IfNotPresent),
            ("localhost:5000/nginx", Always),
            ("localhost:5000/nginx:1", IfNotPresent),
            (digest.as_str(), IfNotPresent),
            ("nginx:latest@sha256:00", Always),
            ("", IfNotPresent),
        ];
        for (image, policy) in table {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }
}
