//! A whole pod, in the API server's order.

use std::collections::{BTreeMap, BTreeSet};

use super::check::Check;
use super::container::{self, Pod};
use super::{affinity, meta, names, network, resources, security, volume};
use crate::manifest::path::Path;
use crate::manifest::types::{Container, ObjectMeta, PodResourceClaim, PodSpec, SeccompProfile};

const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
pub(in crate::manifest) const APPARMOR_CONTAINER: &str =
    "container.apparmor.security.beta.kubernetes.io/";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Checks a pod that is to be created. `is_new` forbids what only a running
/// pod may have (ephemeral containers).
pub(in crate::manifest) fn pod(
    check: &mut Check<'_>,
    metadata: &ObjectMeta,
    spec: &PodSpec,
    is_new: bool,
) {
    meta::namespaced(check, metadata, names::subdomain);
    annotations(check, metadata, spec);
    let path = Path::ROOT.child("spec");
    pod_spec(check, metadata, spec, &path);
    service_account_tokens(check, spec, &path);
    for (list, containers) in lists(spec) {
        let path = path.child(list);
        for (index, container) in containers.iter().enumerate() {
            container::image_is_trimmed(check, &container.image, &path.index(index));
        }
    }
    if is_new && !spec.ephemeral_containers.is_empty() {
        check.forbidden(&path.child("ephemeralContainers"), "cannot be set on create");
    }
    if !spec.node_name.is_empty() && !spec.scheduling_gates.is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        check.forbidden(&path.child("nodeName"), detail);
    }
    profiles_match_annotations(check, metadata, spec, &path);
}

/// The containers of a pod with the name of their list.
fn lists(spec: &PodSpec) -> [(&'static str, &[Container]); 2] {
    [("containers", &spec.containers), ("initContainers", &spec.init_containers)]
}

fn pod_spec(check: &mut Check<'_>, metadata: &ObjectMeta, spec: &PodSpec, path: &Path<'_>) {
    let volumes = volume::volumes(check, &spec.volumes, metadata, &path.child("volumes"));
    let claims = spec
        .resource_claims
        .iter()
        .map(|claim| claim.name.as_str())
        .filter(|name| !name.is_empty())
        .collect();
    resource_claims(check, &spec.resource_claims, &path.child("resourceClaims"));
    let pod = Pod { spec, volumes, claims };
    container::regular(check, &pod, &path.child("containers"));
    container::init(check, &pod, &path.child("initContainers"));
    container::ephemeral(check, &pod, &path.child("ephemeralContainers"));
    resources::pod(check, spec, &path.child("resources"));
    network::host_network_ports(check, spec, path);
    let policies = ["Always", "OnFailure", "Never"];
    check.one_of(&path.child("restartPolicy"), &spec.restart_policy, &policies);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    check.one_of(&path.child("dnsPolicy"), &spec.dns_policy, &policies);
    meta::labels(check, &spec.node_selector, &path.child("nodeSelector"));
    security::pod(check, spec, &path.child("securityContext"));
    if let Some(rules) = &spec.affinity {
        affinity::affinity(check, rules, &path.child("affinity"));
    }
    network::dns(check, spec, &path.child("dnsConfig"));
    gates(check, spec, path);
    let spread = path.child("topologySpreadConstraints");
    affinity::topology_spread(check, &spec.topology_spread_constraints, &spread);
    host_users(check, spec, path);
    network::hostname_override(check, spec, path);
    names_and_deadline(check, spec, path);
    affinity::tolerations(check, &spec.tolerations, &path.child("tolerations"));
    network::host_aliases(check, &spec.host_aliases, &path.child("hostAliases"));
    classes(check, spec, path);
    operating_system(check, spec, path);
    if let Some(group) = &spec.scheduling_group {
        let path = path.child("schedulingGroup");
        match &group.pod_group_name {
            None => check.required(&path.child("podGroupName"), ""),
            Some(name) => {
                check.invalid_each(&path.child("podGroupName"), name, names::subdomain(name));
            }
        }
    }
    file_key_volumes(check, spec, path);
}

fn gates(check: &mut Check<'_>, spec: &PodSpec, path: &Path<'_>) {
    let gates = path.child("readinessGates");
    for (index, gate) in spec.readiness_gates.iter().enumerate() {
        let broken = names::qualified_name(&gate.condition_type);
        let path = gates.index(index);
        check.invalid_each(&path.child("conditionType"), &gate.condition_type, broken);
    }
    let gates = path.child("schedulingGates");
    let mut known = BTreeSet::new();
    for (index, gate) in spec.scheduling_gates.iter().enumerate() {
        let path = gates.index(index);
        check.invalid_each(&path, &gate.name, names::qualified_name(&gate.name));
        if !known.insert(gate.name.as_str()) {
            check.duplicate(&path, &gate.name);
        }
    }
}

fn host_users(check: &mut Check<'_>, spec: &PodSpec, path: &Path<'_>) {
    if spec.host_users != Some(false) {
        return;
    }
    let detail = "when `hostUsers` is false";
    if spec.host_network {
        check.forbidden(&path.child("hostNetwork"), detail);
    }
    // The API server spells these two with a capital letter.
    if spec.host_pid {
        check.at(&path.child("hostPID"), |check| check.forbidden(&path.child("HostPID"), detail));
    }
    if spec.host_ipc {
        check.at(&path.child("hostIPC"), |check| check.forbidden(&path.child("HostIPC"), detail));
    }
    each_container(spec, path, |path, container| {
        if !container.volume_devices.is_empty() {
            check.forbidden(&path.child("volumeDevices"), detail);
        }
    });
}

/// Init containers first, as the API server walks them.
fn each_container(spec: &PodSpec, path: &Path<'_>, mut visit: impl FnMut(&Path<'_>, &Container)) {
    for (list, containers) in lists(spec).into_iter().rev() {
        let path = path.child(list);
        for (index, container) in containers.iter().enumerate() {
            visit(&path.index(index), container);
        }
    }
    let path = path.child("ephemeralContainers");
    for (index, container) in spec.ephemeral_containers.iter().enumerate() {
        visit(&path.index(index), &container.common());
    }
}

fn names_and_deadline(check: &mut Check<'_>, spec: &PodSpec, path: &Path<'_>) {
    let optional = |check: &mut Check<'_>, field: &str, value: &str, rule: meta::NameRule| {
        if !value.is_empty() {
            check.invalid_each(&path.child(field), value, rule(value));
        }
    };
    optional(check, "serviceAccountName", &spec.service_account_name, names::subdomain);
    optional(check, "nodeName", &spec.node_name, names::subdomain);
    if let Some(seconds) = spec.active_deadline_seconds
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let detail = "must be between 1 and 2147483647, inclusive";
        check.invalid(&path.child("activeDeadlineSeconds"), seconds, detail);
    }
    optional(check, "hostname", &spec.hostname, names::label);
    optional(check, "subdomain", &spec.subdomain, names::label);
}

fn classes(check: &mut Check<'_>, spec: &PodSpec, path: &Path<'_>) {
    if !spec.priority_class_name.is_empty() {
        let broken = names::subdomain(&spec.priority_class_name);
        check.invalid_each(&path.child("priorityClassName"), &spec.priority_class_name, broken);
    }
    if let Some(class) = &spec.runtime_class_name {
        check.invalid_each(&path.child("runtimeClassName"), class, names::subdomain(class));
    }
    if let Some(policy) = &spec.preemption_policy {
        let policies = ["PreemptLowerPriority", "Never"];
        check.one_of(&path.child("preemptionPolicy"), policy, &policies);
    }
    if !spec.overhead.is_empty() {
        resources::overhead(check, &spec.overhead, &path.child("overhead"));
    }
}

fn operating_system(check: &mut Check<'_>, spec: &PodSpec, path: &Path<'_>) {
    let Some(os) = &spec.os else { return };
    let os_path = path.child("os");
    match os.name.as_str() {
        "" => check.required(&os_path.child("name"), ""),
        "linux" => windows_options(check, spec, path),
        "windows" => {}
        other => check.not_supported(&os_path, other, &["linux", "windows"]),
    }
}

fn windows_options(check: &mut Check<'_>, spec: &PodSpec, path: &Path<'_>) {
    let detail = "windows options cannot be set for a linux pod";
    let security = path.child("securityContext");
    if spec.security_context.as_ref().is_some_and(|context| context.windows_options.is_some()) {
        check.forbidden(&security.child("windowsOptions"), detail);
    }
    each_container(spec, path, |path, container| {
        let context = container.security_context.as_ref();
        if context.is_some_and(|context| context.windows_options.is_some()) {
            check.forbidden(&path.child("securityContext").child("windowsOptions"), detail);
        }
    });
}

fn file_key_volumes(check: &mut Check<'_>, spec: &PodSpec, path: &Path<'_>) {
    let volumes: BTreeMap<_, _> =
        spec.volumes.iter().map(|volume| (volume.name.as_str(), volume)).collect();
    each_container(spec, path, |path, container| {
        let vars = path.child("env");
        for (index, var) in container.env.iter().enumerate() {
            let source = var.value_from.as_ref().and_then(|source| source.file_key_ref.as_ref());
            let Some(selector) = source else { continue };
            let var_path = vars.index(index);
            let source_path = var_path.child("valueFrom");
            let selector_path = source_path.child("fileKeyRef");
            let path = selector_path.child("volumeName");
            match volumes.get(selector.volume_name.as_str()) {
                None => check.not_found(&path, &selector.volume_name, ""),
                Some(volume) if volume.empty_dir.is_none() => {
                    let detail = "referenced volume must be of type emptyDir";
                    check.invalid(&path, &selector.volume_name, detail);
                }
                Some(_) => {}
            }
        }
    });
}

fn resource_claims(check: &mut Check<'_>, claims: &[PodResourceClaim], path: &Path<'_>) {
    let mut known = BTreeSet::new();
    for (index, claim) in claims.iter().enumerate() {
        let path = path.index(index);
        let name = path.child("name");
        if claim.name.is_empty() {
            check.required(&name, "");
        } else if !known.insert(claim.name.as_str()) {
            check.duplicate(&name, &claim.name);
        } else {
            check.invalid_each(&name, &claim.name, names::label(&claim.name));
        }
        let shown = || crate::manifest::schema::encode_struct(claim);
        match (&claim.resource_claim_name, &claim.resource_claim_template_name) {
            (Some(_), Some(_)) => check.invalid(
                &path,
                shown(),
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be \
                 specified",
            ),
            (None, None) => check.invalid(
                &path,
                shown(),
                "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            ),
            _ => {}
        }
        let references = [
            ("resourceClaimName", &claim.resource_claim_name),
            ("resourceClaimTemplateName", &claim.resource_claim_template_name),
        ];
        for (field, name) in references {
            if let Some(name) = name {
                check.invalid_each(&path.child(field), name, names::subdomain(name));
            }
        }
    }
}

fn service_account_tokens(check: &mut Check<'_>, spec: &PodSpec, path: &Path<'_>) {
    if !spec.service_account_name.is_empty() {
        return;
    }
    let volumes = path.child("volumes");
    for (index, volume) in spec.volumes.iter().enumerate() {
        let volume_path = volumes.index(index);
        let projected = volume_path.child("projected");
        let sources = projected.child("sources");
        let list = volume.projected.iter().flat_map(|projected| &projected.sources).enumerate();
        for (index, _) in list.filter(|(_, source)| source.service_account_token.is_some()) {
            let detail = "must not be specified when serviceAccountName is not set";
            check.forbidden(&sources.index(index).child("serviceAccountToken"), detail);
        }
    }
}

fn annotations(check: &mut Check<'_>, metadata: &ObjectMeta, spec: &PodSpec) {
    let path = Path::ROOT.child("metadata");
    let path = path.child("annotations");
    if let Some(cost) = metadata.annotations.get(DELETION_COST) {
        let is_plain = cost == "0" || cost.starts_with(|c| matches!(c, '-' | '1'..='9'));
        if !is_plain || cost.parse::<i32>().is_err() {
            check.invalid(&path.key(DELETION_COST), cost, "must be a 32bit integer");
        }
    }
    let containers: BTreeSet<String> = {
        let mut names = BTreeSet::new();
        each_container(spec, &path, |_, container| {
            names.insert(container.name.clone());
        });
        names
    };
    for (key, value) in &metadata.annotations {
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            let is_known =
                ["runtime/default", "docker/default", "unconfined"].contains(&value.as_str());
            check.at(&path.key(key), |check| match value.strip_prefix("localhost/") {
                _ if is_known => {}
                Some(file) => volume::descending_path(check, file, &path.child(key)),
                None => {
                    check.invalid(&path.child(key), value, "must be a valid seccomp profile");
                }
            });
        }
        let Some(container) = key.strip_prefix(APPARMOR_CONTAINER) else { continue };
        if !containers.contains(container) {
            check.invalid(&path.key(key), container, "container not found");
        }
        let is_known = ["", "runtime/default", "unconfined"].contains(&value.as_str());
        if !is_known && !value.starts_with("localhost/") {
            let detail = format!("invalid AppArmor profile name: {value:?}");
            check.invalid(&path.key(key), value, &detail);
        }
    }
}

/// Where an annotation of old and a field name a profile, they must agree.
fn profiles_match_annotations(
    check: &mut Check<'_>,
    metadata: &ObjectMeta,
    spec: &PodSpec,
    path: &Path<'_>,
) {
    let context = spec.security_context.as_ref();
    let pod_seccomp = context.and_then(|context| context.seccomp_profile.as_ref());
    if let (Some(profile), Some(annotation)) = (pod_seccomp, metadata.annotations.get(SECCOMP_POD))
    {
        let path = path.child("securityContext");
        let profile = Profile::of_seccomp(profile);
        profile.matches(check, annotation, "seccomp", &path.child("seccompProfile"));
    }
    let pod_apparmor = context.and_then(|context| context.app_armor_profile.as_ref());
    each_container(spec, path, |path, container| {
        let path = path.child("securityContext");
        let context = container.security_context.as_ref();
        let key = format!("{SECCOMP_CONTAINER}{}", container.name);
        let profile = context.and_then(|context| context.seccomp_profile.as_ref());
        if let (Some(profile), Some(annotation)) = (profile, metadata.annotations.get(&key)) {
            let profile = Profile::of_seccomp(profile);
            profile.matches(check, annotation, "seccomp", &path.child("seccompProfile"));
        }
        let key = format!("{APPARMOR_CONTAINER}{}", container.name);
        let profile = context.and_then(|context| context.app_armor_profile.as_ref());
        let profile = profile.or(pod_apparmor);
        if let (Some(profile), Some(annotation)) = (profile, metadata.annotations.get(&key)) {
            let name = profile.localhost_profile.as_deref();
            let profile = Profile { kind: &profile.r#type, name };
            profile.matches(check, annotation, "apparmor", &path.child("appArmorProfile"));
        }
    });
}

/// A seccomp or AppArmor profile field.
struct Profile<'a> {
    kind: &'a str,
    name: Option<&'a str>,
}

impl<'a> Profile<'a> {
    fn of_seccomp(profile: &'a SeccompProfile) -> Self {
        Self { kind: &profile.r#type, name: profile.localhost_profile.as_deref() }
    }

    fn matches(&self, check: &mut Check<'_>, annotation: &str, what: &str, path: &Path<'_>) {
        let localhost = annotation.strip_prefix("localhost/");
        let is_same_type = match self.kind {
            "Unconfined" => annotation == "unconfined",
            "RuntimeDefault" => {
                annotation == "runtime/default"
                    || (what == "seccomp" && annotation == "docker/default")
            }
            "Localhost" => localhost.is_some(),
            _ => true,
        };
        if !is_same_type {
            let detail = format!("{what} type in annotation and field must match");
            check.forbidden(&path.child("type"), &detail);
        } else if self.kind == "Localhost" && localhost != self.name {
            let detail = format!("{what} profile in annotation and field must match");
            check.forbidden(&path.child("localhostProfile"), &detail);
        }
    }
}
