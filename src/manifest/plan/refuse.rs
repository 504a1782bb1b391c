//! Fields that are valid but that podrt, or any single machine, cannot
//! honour. `docs/conformance-pod.md` has a row for each.

use super::{PlanOptions, sandbox};
use crate::manifest::object::PodObject;
use crate::manifest::path::Path;
use crate::manifest::types::{Container, PodSpec, Volume, VolumeProjection};
use crate::manifest::validate::{Check, is_extended_resource};

pub(super) fn refuse(check: &mut Check<'_>, pod: &PodObject, options: &PlanOptions) {
    let spec = &pod.spec;
    let path = Path::ROOT.child("spec");
    volumes(check, &spec.volumes, &path.child("volumes"));
    let lists = [("containers", &spec.containers), ("initContainers", &spec.init_containers)];
    for (list, containers) in lists {
        let path = path.child(list);
        for (index, own) in containers.iter().enumerate() {
            container(check, own, spec, &path.index(index));
        }
    }
    let ephemeral = path.child("ephemeralContainers");
    for (index, own) in spec.ephemeral_containers.iter().enumerate() {
        container(check, &own.common(), spec, &ephemeral.index(index));
    }
    host_ports(check, spec, &path.child("containers"));
    pod_fields(check, spec, &path);
    if let Some(fqdn) = sandbox::fqdn(pod, options).filter(|fqdn| fqdn.len() > 64) {
        let length = fqdn.len();
        let why = format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {fqdn} is too \
             long (64 characters is the max, {length} characters requested)"
        );
        check.cannot_honour(&path.child("setHostnameAsFQDN"), &why);
    }
    if options.is_static {
        static_references(check, spec, &path);
    }
}

fn pod_fields(check: &mut Check<'_>, spec: &PodSpec, path: &Path<'_>) {
    let context = spec.security_context.as_ref();
    let has_windows_options = context.is_some_and(|context| context.windows_options.is_some());
    if has_windows_options {
        let path = path.child("securityContext");
        check.cannot_honour(&path.child("windowsOptions"), WINDOWS);
    }
    if let Some(class) = &spec.runtime_class_name {
        let why = format!("RuntimeClass {class:?} not found: podrt runs every pod itself");
        check.cannot_honour(&path.child("runtimeClassName"), &why);
    }
    let fields = [
        (
            "hostUsers",
            spec.host_users == Some(false),
            "pods get no user namespace of their own yet",
        ),
        (
            "schedulingGates",
            !spec.scheduling_gates.is_empty(),
            "no controller here would ever clear a scheduling gate",
        ),
        (
            "resourceClaims",
            !spec.resource_claims.is_empty(),
            "dynamic resource allocation needs a cluster and its drivers",
        ),
        (
            "schedulingGroup",
            spec.scheduling_group.is_some(),
            "pod groups need a cluster's scheduler",
        ),
    ];
    for (name, is_set, why) in fields {
        if is_set {
            check.cannot_honour(&path.child(name), why);
        }
    }
}

const WINDOWS: &str = "podrt runs Linux containers";

fn container(check: &mut Check<'_>, container: &Container, spec: &PodSpec, path: &Path<'_>) {
    let context = container.security_context.as_ref();
    if context.is_some_and(|context| context.windows_options.is_some()) {
        let path = path.child("securityContext");
        check.cannot_honour(&path.child("windowsOptions"), WINDOWS);
    }
    if !container.volume_devices.is_empty() {
        let why = "raw block volumes need a storage driver";
        check.cannot_honour(&path.child("volumeDevices"), why);
    }
    let resources = path.child("resources");
    let limits = resources.child("limits");
    for name in container.resources.limits.keys().filter(|name| is_extended_resource(name)) {
        let why = format!("no device plugin offers {name}");
        check.cannot_honour(&limits.key(name), &why);
    }
    let vars = path.child("env");
    for (index, var) in container.env.iter().enumerate() {
        let source = var.value_from.as_ref().and_then(|from| from.resource_field_ref.as_ref());
        let Some(source) = source else { continue };
        let var_path = vars.index(index);
        let from = var_path.child("valueFrom");
        let field = from.child("resourceFieldRef");
        known_container(check, &source.container_name, spec, &field.child("containerName"));
    }
}

/// A name that no container has is the kubelet's to find out; better now.
fn known_container(check: &mut Check<'_>, name: &str, spec: &PodSpec, path: &Path<'_>) {
    let mut all = spec.containers.iter().chain(&spec.init_containers);
    if !name.is_empty() && !all.any(|container| container.name == name) {
        check.cannot_honour(path, &format!("container {name} not found"));
    }
}

/// In the machine's own network a port is there as it is; elsewhere nothing
/// maps it yet.
fn host_ports(check: &mut Check<'_>, spec: &PodSpec, path: &Path<'_>) {
    if spec.host_network {
        return;
    }
    for (index, container) in spec.containers.iter().enumerate() {
        let container_path = path.index(index);
        let ports = container_path.child("ports");
        for (index, port) in container.ports.iter().enumerate() {
            if port.host_port > 0 {
                let why = "ports of the machine are not mapped yet; use the pod's own address or \
                           hostNetwork";
                check.cannot_honour(&ports.index(index).child("hostPort"), why);
            }
        }
    }
}

fn volumes(check: &mut Check<'_>, volumes: &[Volume], path: &Path<'_>) {
    for (index, volume) in volumes.iter().enumerate() {
        let path = path.index(index);
        if let Some((name, why)) = remote_source(volume) {
            check.cannot_honour(&path.child(name), why);
        }
        if let Some(source) = &volume.empty_dir {
            let medium = source.medium.as_str();
            let is_known =
                ["", "Memory", "HugePages"].contains(&medium) || medium.starts_with("HugePages-");
            if !is_known {
                let path = path.child("emptyDir");
                let why = format!("unknown storage medium {medium:?}");
                check.cannot_honour(&path.child("medium"), &why);
            }
        }
        let projected = path.child("projected");
        let sources = projected.child("sources");
        let list = volume.projected.iter().flat_map(|projected| &projected.sources);
        for (index, source) in list.enumerate() {
            if let Some((name, why)) = remote_projection(source) {
                check.cannot_honour(&sources.index(index).child(name), why);
            }
        }
    }
}

/// A source that this machine does not have.
fn remote_source(volume: &Volume) -> Option<(&'static str, &'static str)> {
    const REMOVED: &str = "Kubernetes has removed this volume type";
    const CLOUD: &str = "cloud disks need their cloud's storage driver";
    const NETWORK: &str =
        "podrt mounts no network storage; mount it on the machine and use hostPath";
    let sources = [
        ("gcePersistentDisk", volume.gce_persistent_disk.is_some(), CLOUD),
        ("awsElasticBlockStore", volume.aws_elastic_block_store.is_some(), CLOUD),
        ("azureDisk", volume.azure_disk.is_some(), CLOUD),
        ("azureFile", volume.azure_file.is_some(), CLOUD),
        ("vsphereVolume", volume.vsphere_volume.is_some(), CLOUD),
        ("cinder", volume.cinder.is_some(), CLOUD),
        ("nfs", volume.nfs.is_some(), NETWORK),
        ("iscsi", volume.iscsi.is_some(), NETWORK),
        ("fc", volume.fc.is_some(), NETWORK),
        ("rbd", volume.rbd.is_some(), REMOVED),
        ("cephfs", volume.cephfs.is_some(), REMOVED),
        ("glusterfs", volume.glusterfs.is_some(), REMOVED),
        ("flocker", volume.flocker.is_some(), REMOVED),
        ("quobyte", volume.quobyte.is_some(), REMOVED),
        ("photonPersistentDisk", volume.photon_persistent_disk.is_some(), REMOVED),
        ("portworxVolume", volume.portworx_volume.is_some(), REMOVED),
        ("scaleIO", volume.scale_io.is_some(), REMOVED),
        ("storageos", volume.storageos.is_some(), REMOVED),
        ("gitRepo", volume.git_repo.is_some(), REMOVED),
        ("flexVolume", volume.flex_volume.is_some(), "FlexVolume drivers are not run"),
        ("csi", volume.csi.is_some(), "CSI drivers need a cluster"),
        (
            "ephemeral",
            volume.ephemeral.is_some(),
            "claims made for one pod need a storage provisioner; use emptyDir",
        ),
    ];
    sources.into_iter().find(|(_, is_set, _)| *is_set).map(|(name, _, why)| (name, why))
}

fn remote_projection(source: &VolumeProjection) -> Option<(&'static str, &'static str)> {
    let sources = [
        (
            "serviceAccountToken",
            source.service_account_token.is_some(),
            "service account tokens need an API server",
        ),
        (
            "clusterTrustBundle",
            source.cluster_trust_bundle.is_some(),
            "cluster trust bundles need an API server",
        ),
        ("podCertificate", source.pod_certificate.is_some(), "pod certificates need an API server"),
    ];
    sources.into_iter().find(|(_, is_set, _)| *is_set).map(|(name, _, why)| (name, why))
}

/// A pod of a manifest directory may not refer to API objects.
fn static_references(check: &mut Check<'_>, spec: &PodSpec, path: &Path<'_>) {
    let forbidden = |check: &mut Check<'_>, path: &Path<'_>, what: &str| {
        check.cannot_honour(path, &format!("static pods may not reference {what}"));
    };
    if spec.service_account_name != "default" && !spec.service_account_name.is_empty() {
        forbidden(check, &path.child("serviceAccountName"), "serviceaccounts");
    }
    if !spec.image_pull_secrets.is_empty() {
        forbidden(check, &path.child("imagePullSecrets"), "secrets");
    }
    if !spec.ephemeral_containers.is_empty() {
        let why = "static pods do not support ephemeral containers";
        check.cannot_honour(&path.child("ephemeralContainers"), why);
    }
    let lists = [("containers", &spec.containers), ("initContainers", &spec.init_containers)];
    for (list, containers) in lists {
        let path = path.child(list);
        for (index, container) in containers.iter().enumerate() {
            static_env(check, container, &path.index(index));
        }
    }
    let volumes = path.child("volumes");
    for (index, volume) in spec.volumes.iter().enumerate() {
        let path = volumes.index(index);
        let sources = volume.projected.iter().flat_map(|projected| &projected.sources);
        let is_projected = |has: fn(&VolumeProjection) -> bool| sources.clone().any(has);
        if volume.secret.is_some() || is_projected(|source| source.secret.is_some()) {
            forbidden(check, &path, "secrets");
        }
        if volume.config_map.is_some() || is_projected(|source| source.config_map.is_some()) {
            forbidden(check, &path, "configmaps");
        }
        if volume.persistent_volume_claim.is_some() {
            forbidden(check, &path, "persistentvolumeclaims");
        }
    }
}

fn static_env(check: &mut Check<'_>, container: &Container, path: &Path<'_>) {
    let from = container.env.iter().filter_map(|var| var.value_from.as_ref());
    let uses_secrets = container.env_from.iter().any(|source| source.secret_ref.is_some())
        || from.clone().any(|source| source.secret_key_ref.is_some());
    let uses_config_maps = container.env_from.iter().any(|source| source.config_map_ref.is_some())
        || from.clone().any(|source| source.config_map_key_ref.is_some());
    for (is_used, what) in [(uses_secrets, "secrets"), (uses_config_maps, "configmaps")] {
        if is_used {
            let why = format!("static pods may not reference {what}");
            check.cannot_honour(&path.child("env"), &why);
        }
    }
}
