//! Mounts and block devices of a container.

use std::collections::{BTreeMap, BTreeSet};

use super::check::Check;
use super::volume::descending_path;
use crate::manifest::path::Path;
use crate::manifest::types::{Container, Volume, VolumeDevice, VolumeMount};

/// The mounts of one container.
pub(super) fn mounts(
    check: &mut Check<'_>,
    container: &Container,
    volumes: &BTreeMap<&str, &Volume>,
    path: &Path<'_>,
) {
    let mut mounted = BTreeSet::new();
    for (index, mount) in container.volume_mounts.iter().enumerate() {
        let place = path.index(index);
        if mount.name.is_empty() {
            check.required(&place.child("name"), "");
        }
        if !volumes.contains_key(mount.name.as_str()) {
            check.not_found(&place.child("name"), &mount.name, "");
        }
        if mount.mount_path.is_empty() {
            check.required(&place.child("mountPath"), "");
        }
        if !mounted.insert(mount.mount_path.as_str()) {
            check.invalid(&place.child("mountPath"), &mount.mount_path, "must be unique");
        }
        for device in &container.volume_devices {
            if device.name == mount.name {
                let detail = "must not already exist in volumeDevices";
                check.invalid(&place.child("name"), &mount.name, detail);
            }
            if device.device_path == mount.mount_path {
                let detail = "must not already exist as a path in volumeDevices";
                check.invalid(&place.child("mountPath"), &mount.mount_path, detail);
            }
        }
        mount_options(check, container, mount, path, &place);
    }
}

/// The options of a mount; the API server reports them without an index.
fn mount_options(
    check: &mut Check<'_>,
    container: &Container,
    mount: &VolumeMount,
    list: &Path<'_>,
    place: &Path<'_>,
) {
    if !mount.sub_path.is_empty() {
        check.at(&place.child("subPath"), |check| {
            descending_path(check, &mount.sub_path, &list.child("subPath"));
        });
    }
    if !mount.sub_path_expr.is_empty() {
        if !mount.sub_path.is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            check.invalid(&place.child("subPathExpr"), &mount.sub_path_expr, detail);
        }
        check.at(&place.child("subPathExpr"), |check| {
            descending_path(check, &mount.sub_path_expr, &list.child("subPathExpr"));
        });
    }
    if let Some(propagation) = &mount.mount_propagation {
        check.at(&place.child("mountPropagation"), |check| {
            mount_propagation(check, container, propagation, &list.child("mountPropagation"));
        });
    }
    if let Some(mode) = &mount.recursive_read_only {
        check.at(&place.child("recursiveReadOnly"), |check| {
            recursive_read_only(check, mount, mode, &list.child("recursiveReadOnly"));
        });
    }
}

fn mount_propagation(
    check: &mut Check<'_>,
    container: &Container,
    propagation: &str,
    path: &Path<'_>,
) {
    check.one_of_if_set(path, propagation, &["Bidirectional", "HostToContainer", "None"]);
    let security = container.security_context.as_ref();
    let is_privileged = security.and_then(|security| security.privileged).unwrap_or(false);
    if propagation == "Bidirectional" && !is_privileged {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        check.forbidden(path, detail);
    }
}

fn recursive_read_only(check: &mut Check<'_>, mount: &VolumeMount, mode: &str, path: &Path<'_>) {
    match mode {
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if !mount.read_only {
                check.forbidden(path, "may only be specified when readOnly is true");
            }
            if mount.mount_propagation.as_deref().is_some_and(|mode| mode != "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                check.forbidden(path, detail);
            }
        }
        _ => check.not_supported(path, mode, &["Disabled", "Enabled", "IfPossible"]),
    }
}

/// Block devices of one container.
pub(super) fn devices(
    check: &mut Check<'_>,
    container: &Container,
    volumes: &BTreeMap<&str, &Volume>,
    path: &Path<'_>,
) {
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (index, device) in container.volume_devices.iter().enumerate() {
        let path = path.index(index);
        let name = path.child("name");
        let volume = volumes.get(device.name.as_str());
        if device.name.is_empty() {
            check.required(&name, "");
        } else if !names.insert(device.name.as_str()) {
            check.invalid(&name, &device.name, "must be unique");
        }
        let is_claim = |volume: &Volume| {
            volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some()
        };
        match volume {
            None => check.not_found(&name, &device.name, ""),
            Some(volume) if !is_claim(volume) => check.invalid(
                &name,
                &device.name,
                "can only use volume source type of PersistentVolumeClaim or Ephemeral for block \
                 mode",
            ),
            Some(_) => {}
        }
        device_path(check, device, &path.child("devicePath"), &mut paths);
        for mount in &container.volume_mounts {
            if mount.name == device.name {
                check.invalid(&name, &device.name, "must not already exist in volumeMounts");
            }
            if mount.mount_path == device.device_path {
                let detail = "must not already exist as a path in volumeMounts";
                check.invalid(&path.child("devicePath"), &device.device_path, detail);
            }
        }
    }
}

fn device_path<'d>(
    check: &mut Check<'_>,
    device: &'d VolumeDevice,
    path: &Path<'_>,
    known: &mut BTreeSet<&'d str>,
) {
    let text = device.device_path.as_str();
    if text.is_empty() {
        check.required(path, "");
    }
    if text.split('/').any(|part| part == "..") {
        check.invalid(path, text, "can not contain backsteps ('..')");
    } else if !known.insert(text) {
        check.invalid(path, text, "must be unique");
    }
}
