//! Volumes and their mounts.

use std::collections::{BTreeMap, BTreeSet};

use super::check::Check;
use super::env::{VOLUME_FIELDS, field_ref, resource_field_ref};
use super::names;
use crate::manifest::path::Path;
use crate::manifest::types::{
    ConfigMapVolumeSource, DownwardAPIVolumeFile, DownwardAPIVolumeSource, EmptyDirVolumeSource,
    HostPathVolumeSource, ImageVolumeSource, KeyToPath, ObjectMeta,
    PersistentVolumeClaimVolumeSource, ProjectedVolumeSource, SecretVolumeSource,
    ServiceAccountTokenProjection, Volume, VolumeProjection,
};
use crate::model::Quantity;

const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const ONE_TYPE: &str = "may not specify more than 1 volume type";
const HOST_PATH_TYPES: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];

/// Checks all volumes; returns those without an error, by name. A mount of any
/// other counts as one of an unknown volume.
pub(super) fn volumes<'v>(
    check: &mut Check<'_>,
    volumes: &'v [Volume],
    meta: &ObjectMeta,
    path: &Path<'_>,
) -> BTreeMap<&'v str, &'v Volume> {
    let made_claims: BTreeSet<String> = volumes
        .iter()
        .filter(|volume| volume.ephemeral.is_some() && !meta.name.is_empty())
        .map(|volume| format!("{}-{}", meta.name, volume.name))
        .collect();
    let mut valid = BTreeMap::new();
    for (index, volume) in volumes.iter().enumerate() {
        let path = path.index(index);
        let before = check.errors.len();
        sources(check, volume, &path);
        if volume.name.is_empty() {
            check.required(&path.child("name"), "");
        } else {
            check.invalid_each(&path.child("name"), &volume.name, names::label(&volume.name));
        }
        if valid.contains_key(volume.name.as_str()) {
            check.duplicate(&path.child("name"), &volume.name);
        }
        if check.errors.len() == before {
            valid.insert(volume.name.as_str(), volume);
        }
        if let Some(claim) = &volume.persistent_volume_claim
            && made_claims.contains(&claim.claim_name)
        {
            let detail = "must not reference a PVC that gets created for an ephemeral volume";
            let path = path.child("persistentVolumeClaim");
            check.invalid(&path.child("claimName"), &claim.claim_name, detail);
        }
    }
    valid
}

/// The sources of a volume in the order in which the API server looks at them:
/// the first is checked, each further one is forbidden.
fn sources(check: &mut Check<'_>, volume: &Volume, path: &Path<'_>) {
    let mut is_second = false;
    macro_rules! source {
        ($field:ident, $name:literal, $rule:expr) => {
            if let Some(source) = &volume.$field {
                let path = path.child($name);
                if is_second {
                    check.forbidden(&path, ONE_TYPE);
                } else {
                    is_second = true;
                    $rule(&mut *check, source, &path);
                }
            }
        };
        ($field:ident, $name:literal) => {
            source!($field, $name, |_: &mut Check<'_>, _, _: &Path<'_>| {});
        };
    }
    source!(empty_dir, "emptyDir", empty_dir);
    source!(host_path, "hostPath", host_path);
    source!(git_repo, "gitRepo");
    source!(gce_persistent_disk, "gcePersistentDisk");
    source!(aws_elastic_block_store, "awsElasticBlockStore");
    source!(secret, "secret", secret);
    source!(nfs, "nfs");
    source!(iscsi, "iscsi");
    source!(glusterfs, "glusterfs");
    source!(flocker, "flocker");
    source!(persistent_volume_claim, "persistentVolumeClaim", claim);
    source!(rbd, "rbd");
    source!(cinder, "cinder");
    source!(cephfs, "cephfs");
    source!(quobyte, "quobyte");
    source!(downward_api, "downwardAPI", downward_api);
    source!(fc, "fc");
    source!(flex_volume, "flexVolume");
    source!(config_map, "configMap", config_map);
    source!(azure_file, "azureFile");
    source!(vsphere_volume, "vsphereVolume");
    source!(photon_persistent_disk, "photonPersistentDisk");
    source!(portworx_volume, "portworxVolume");
    source!(azure_disk, "azureDisk");
    source!(storageos, "storageos");
    source!(projected, "projected", projected);
    source!(scale_io, "scaleIO");
    source!(csi, "csi");
    source!(ephemeral, "ephemeral");
    source!(image, "image", image);
    if !is_second {
        check.required(path, "must specify a volume type");
    }
}

fn empty_dir(check: &mut Check<'_>, source: &EmptyDirVolumeSource, path: &Path<'_>) {
    if source.size_limit.as_ref().is_some_and(Quantity::is_negative) {
        let detail = "SizeLimit field must be a valid resource quantity";
        check.forbidden(&path.child("sizeLimit"), detail);
    }
}

fn secret(check: &mut Check<'_>, source: &SecretVolumeSource, path: &Path<'_>) {
    let name = ("secretName", source.secret_name.as_str());
    keys(check, name, source.default_mode, &source.items, path);
}

fn claim(check: &mut Check<'_>, source: &PersistentVolumeClaimVolumeSource, path: &Path<'_>) {
    if source.claim_name.is_empty() {
        check.required(&path.child("claimName"), "");
    }
}

fn downward_api(check: &mut Check<'_>, source: &DownwardAPIVolumeSource, path: &Path<'_>) {
    mode(check, source.default_mode, &path.child("defaultMode"));
    downward_items(check, &source.items, path);
}

fn config_map(check: &mut Check<'_>, source: &ConfigMapVolumeSource, path: &Path<'_>) {
    keys(check, ("name", &source.name), source.default_mode, &source.items, path);
}

fn image(check: &mut Check<'_>, source: &ImageVolumeSource, path: &Path<'_>) {
    if source.reference.is_empty() {
        check.required(&path.child("reference"), "");
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    check.one_of(&path.child("pullPolicy"), &source.pull_policy, &policies);
}

fn host_path(check: &mut Check<'_>, source: &HostPathVolumeSource, path: &Path<'_>) {
    if source.path.is_empty() {
        check.required(&path.child("path"), "");
        return;
    }
    no_backsteps(check, &source.path, &path.child("path"));
    if let Some(kind) = &source.r#type {
        check.one_of_if_set(&path.child("type"), kind, &HOST_PATH_TYPES);
    }
}

fn keys(
    check: &mut Check<'_>,
    (name_field, name): (&str, &str),
    default_mode: Option<i32>,
    items: &[KeyToPath],
    path: &Path<'_>,
) {
    if name.is_empty() {
        check.required(&path.child(name_field), "");
    }
    mode(check, default_mode, &path.child("defaultMode"));
    key_items(check, items, path);
}

fn key_items(check: &mut Check<'_>, items: &[KeyToPath], path: &Path<'_>) {
    let path = path.child("items");
    for (index, item) in items.iter().enumerate() {
        let path = path.index(index);
        if item.key.is_empty() {
            check.required(&path.child("key"), "");
        }
        if item.path.is_empty() {
            check.required(&path.child("path"), "");
        }
        local_path(check, &item.path, &path.child("path"));
        mode(check, item.mode, &path.child("mode"));
    }
}

fn mode(check: &mut Check<'_>, mode: Option<i32>, path: &Path<'_>) {
    if let Some(mode) = mode
        && !(0..=0o777).contains(&mode)
    {
        check.invalid(path, mode, FILE_MODE);
    }
}

/// Errors of an item are reported at the volume itself.
fn downward_items(check: &mut Check<'_>, items: &[DownwardAPIVolumeFile], path: &Path<'_>) {
    let places = path.child("items");
    for (index, item) in items.iter().enumerate() {
        check.at(&places.index(index), |check| downward_item(check, item, path));
    }
}

fn downward_item(check: &mut Check<'_>, item: &DownwardAPIVolumeFile, path: &Path<'_>) {
    if item.path.is_empty() {
        check.required(&path.child("path"), "");
    }
    local_path(check, &item.path, &path.child("path"));
    match (&item.field_ref, &item.resource_field_ref) {
        (Some(field), resource) => {
            field_ref(check, field, &VOLUME_FIELDS, &path.child("fieldRef"));
            if resource.is_some() {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                check.invalid(path, "resource", detail);
            }
        }
        (None, Some(resource)) => {
            resource_field_ref(check, resource, true, &path.child("resourceFieldRef"));
        }
        (None, None) => check.required(path, "one of fieldRef and resourceFieldRef is required"),
    }
    mode(check, item.mode, &path.child("mode"));
}

fn projected(check: &mut Check<'_>, source: &ProjectedVolumeSource, path: &Path<'_>) {
    mode(check, source.default_mode, &path.child("defaultMode"));
    let mut paths = BTreeSet::new();
    let sources = path.child("sources");
    for (index, projection) in source.sources.iter().enumerate() {
        let place = sources.index(index);
        projection_source(check, projection, path, &place, &mut paths);
        let count = usize::from(projection.secret.is_some())
            + usize::from(projection.config_map.is_some())
            + usize::from(projection.downward_api.is_some())
            + usize::from(projection.service_account_token.is_some())
            + usize::from(projection.cluster_trust_bundle.is_some())
            + usize::from(projection.pod_certificate.is_some());
        if count > 1 {
            check.forbidden(&place, "may not specify more than 1 volume type per source");
        }
    }
}

fn projection_source<'p>(
    check: &mut Check<'_>,
    projection: &'p VolumeProjection,
    volume: &Path<'_>,
    place: &Path<'_>,
    paths: &mut BTreeSet<&'p str>,
) {
    let secret = projection.secret.as_ref().map(|s| ("secret", &s.name, &s.items));
    let config_map = projection.config_map.as_ref().map(|s| ("configMap", &s.name, &s.items));
    for (field, name, items) in secret.into_iter().chain(config_map) {
        let place = place.child(field);
        if name.is_empty() {
            check.required(&place.child("name"), "");
        }
        key_items(check, items, &place);
        for item in items {
            conflicting(check, &item.path, name, volume, &place, paths);
        }
    }
    if let Some(downward) = &projection.downward_api {
        let place = place.child("downwardAPI");
        downward_items(check, &downward.items, &place);
        for item in &downward.items {
            conflicting(check, &item.path, &item.path, volume, &place, paths);
        }
    }
    if let Some(token) = &projection.service_account_token {
        check.at(&place.child("serviceAccountToken"), |check| {
            service_account_token(check, token, volume, &place.child("serviceAccountToken"));
        });
    }
}

fn conflicting<'p>(
    check: &mut Check<'_>,
    file: &'p str,
    shown: &str,
    volume: &Path<'_>,
    place: &Path<'_>,
    paths: &mut BTreeSet<&'p str>,
) {
    if !file.is_empty() && !paths.insert(file) {
        check.at(place, |check| check.invalid(volume, shown, "conflicting duplicate paths"));
    }
}

fn service_account_token(
    check: &mut Check<'_>,
    token: &ServiceAccountTokenProjection,
    volume: &Path<'_>,
    place: &Path<'_>,
) {
    let expiration = token.expiration_seconds.unwrap_or(0);
    let path = place.child("expirationSeconds");
    if expiration < 600 {
        check.invalid(&path, expiration, "may not specify a duration less than 10 minutes");
    }
    if expiration > 1 << 32 {
        check.invalid(&path, expiration, "may not specify a duration larger than 2^32 seconds");
    }
    if token.path.is_empty() {
        check.required(&volume.child("path"), "");
    } else {
        local_path(check, &token.path, &volume.child("path"));
    }
}

/// No element of the path is `..`.
pub(super) fn no_backsteps(check: &mut Check<'_>, text: &str, path: &Path<'_>) {
    if text.split('/').any(|part| part == "..") {
        check.invalid(path, text, "must not contain '..'");
    }
}

/// A relative path that stays below its start.
pub(super) fn descending_path(check: &mut Check<'_>, text: &str, path: &Path<'_>) {
    if text.starts_with('/') {
        check.invalid(path, text, "must be a relative path");
    }
    no_backsteps(check, text, path);
}

/// A descending path whose first name podrt does not need for itself.
fn local_path(check: &mut Check<'_>, text: &str, path: &Path<'_>) {
    descending_path(check, text, path);
    if text.starts_with("..") && !text.starts_with("../") {
        check.invalid(path, text, "must not start with '..'");
    }
}
