//! Ports and environment of a container.

use std::collections::BTreeSet;

use super::check::Check;
use super::names;
use crate::manifest::downward::{self, FieldPath};
use crate::manifest::path::Path;
use crate::manifest::types::{
    ContainerPort, EnvFromSource, EnvVar, EnvVarSource, FileKeySelector, ObjectFieldSelector,
    ResourceFieldSelector,
};

const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
pub(super) const VOLUME_FIELDS: [&str; 5] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

pub(super) fn ports(check: &mut Check<'_>, ports: &[ContainerPort], path: &Path<'_>) {
    let mut known = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        if !port.name.is_empty() {
            let broken = names::port_name(&port.name);
            if broken.is_empty() && !known.insert(port.name.as_str()) {
                check.duplicate(&path.child("name"), &port.name);
            }
            check.invalid_each(&path.child("name"), &port.name, broken);
        }
        if port.container_port == 0 {
            check.required(&path.child("containerPort"), "");
        } else {
            port_number(check, port.container_port, &path.child("containerPort"));
        }
        if port.host_port != 0 {
            port_number(check, port.host_port, &path.child("hostPort"));
        }
        check.one_of(&path.child("protocol"), &port.protocol, &["SCTP", "TCP", "UDP"]);
    }
}

pub(super) fn port_number(check: &mut Check<'_>, port: i32, path: &Path<'_>) {
    if !(1..=65535).contains(&port) {
        check.invalid(path, port, "must be between 1 and 65535, inclusive");
    }
}

pub(super) fn env(check: &mut Check<'_>, vars: &[EnvVar], path: &Path<'_>) {
    for (index, var) in vars.iter().enumerate() {
        let path = path.index(index);
        if var.name.is_empty() {
            check.required(&path.child("name"), "");
        } else {
            check.invalid_each(&path.child("name"), &var.name, names::env_name(&var.name));
        }
        if let Some(source) = &var.value_from {
            value_from(check, source, !var.value.is_empty(), &path.child("valueFrom"));
        }
    }
}

fn value_from(check: &mut Check<'_>, source: &EnvVarSource, has_value: bool, path: &Path<'_>) {
    let mut sources = 0;
    if let Some(field) = &source.field_ref {
        sources += 1;
        field_ref(check, field, &ENV_FIELDS, &path.child("fieldRef"));
    }
    if let Some(resource) = &source.resource_field_ref {
        sources += 1;
        resource_field_ref(check, resource, false, &path.child("resourceFieldRef"));
    }
    if let Some(selector) = &source.config_map_key_ref {
        sources += 1;
        key_selector(check, &selector.name, &selector.key, &path.child("configMapKeyRef"));
    }
    if let Some(selector) = &source.secret_key_ref {
        sources += 1;
        key_selector(check, &selector.name, &selector.key, &path.child("secretKeyRef"));
    }
    if let Some(selector) = &source.file_key_ref {
        sources += 1;
        file_key(check, selector, &path.child("fileKeyRef"));
    }
    match sources {
        0 => check.invalid(
            path,
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, \
             `secretKeyRef` or `fileKeyRef`",
        ),
        _ if has_value => check.invalid(path, "", "may not be specified when `value` is not empty"),
        1 => {}
        _ => check.invalid(path, "", "may not have more than one field specified at a time"),
    }
}

pub(super) fn field_ref(
    check: &mut Check<'_>,
    field: &ObjectFieldSelector,
    supported: &[&str],
    path: &Path<'_>,
) {
    if field.api_version.is_empty() {
        check.required(&path.child("apiVersion"), "");
        return;
    }
    if field.field_path.is_empty() {
        check.required(&path.child("fieldPath"), "");
        return;
    }
    match downward::field_path(&field.api_version, &field.field_path) {
        Err(why) => {
            let detail = format!("error converting fieldPath: {why}");
            check.invalid(&path.child("fieldPath"), &field.field_path, &detail);
        }
        Ok(FieldPath::Whole(name)) => {
            check.one_of_if_set(&path.child("fieldPath"), name, supported);
        }
        Ok(FieldPath::Label(key)) => check.invalid_each(path, key, names::qualified_name(key)),
        Ok(FieldPath::Annotation(key)) => {
            let key = key.to_lowercase();
            check.invalid_each(path, &key, names::qualified_name(&key));
        }
    }
}

pub(super) fn resource_field_ref(
    check: &mut Check<'_>,
    resource: &ResourceFieldSelector,
    needs_container: bool,
    path: &Path<'_>,
) {
    let name = resource.resource.as_str();
    let is_hugepages =
        name.starts_with("limits.hugepages-") || name.starts_with("requests.hugepages-");
    if needs_container && resource.container_name.is_empty() {
        check.required(&path.child("containerName"), "");
    } else if name.is_empty() {
        check.required(&path.child("resource"), "");
    } else if !is_hugepages {
        check.one_of_if_set(&path.child("resource"), name, &RESOURCES);
    }
    divisor(check, resource, path);
}

fn divisor(check: &mut Check<'_>, resource: &ResourceFieldSelector, path: &Path<'_>) {
    if resource.divisor.exact_milli() == 0 {
        return;
    }
    let text = resource.divisor.to_string();
    let name = resource.resource.as_str();
    let of_bytes =
        ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let (supported, kind): (&[&str], _) = match name.split_once('.').map_or("", |(_, kind)| kind) {
        "cpu" => (&["1m", "1"], "cpu"),
        "memory" => (&of_bytes, "memory"),
        "ephemeral-storage" => (&of_bytes, "local ephemeral storage"),
        kind if kind.starts_with("hugepages-") => (&of_bytes, "hugepages"),
        _ => return,
    };
    if !supported.contains(&text.as_str()) {
        let list = if kind == "cpu" { "1m and 1".to_owned() } else { supported.join(", ") };
        let detail = format!("only divisor's values {list} are supported with the {kind} resource");
        check.invalid(&path.child("divisor"), name, &detail);
    }
}

fn key_selector(check: &mut Check<'_>, name: &str, key: &str, path: &Path<'_>) {
    check.invalid_each(&path.child("name"), name, names::subdomain(name));
    if key.is_empty() {
        check.required(&path.child("key"), "");
    } else {
        check.invalid_each(&path.child("key"), key, names::config_key(key));
    }
}

fn file_key(check: &mut Check<'_>, selector: &FileKeySelector, path: &Path<'_>) {
    if selector.key.is_empty() {
        check.required(&path.child("key"), "");
    } else {
        check.invalid_each(&path.child("key"), &selector.key, names::env_name(&selector.key));
    }
    if selector.volume_name.is_empty() {
        check.required(&path.child("volumeName"), "");
    } else {
        let broken = names::label(&selector.volume_name);
        check.invalid_each(&path.child("volumeName"), &selector.volume_name, broken);
    }
    if selector.path.is_empty() {
        check.required(&path.child("path"), "");
    } else {
        super::volume::no_backsteps(check, &selector.path, &path.child("path"));
    }
}

pub(super) fn env_from(check: &mut Check<'_>, sources: &[EnvFromSource], path: &Path<'_>) {
    for (index, source) in sources.iter().enumerate() {
        let item = path.index(index);
        if !source.prefix.is_empty() {
            check.invalid_each(
                &item.child("prefix"),
                &source.prefix,
                names::env_name(&source.prefix),
            );
        }
        let config_map =
            source.config_map_ref.as_ref().map(|source| ("configMapRef", &source.name));
        let secret = source.secret_ref.as_ref().map(|source| ("secretRef", &source.name));
        for (field, name) in config_map.into_iter().chain(secret) {
            let path = item.child(field);
            if name.is_empty() {
                check.required(&path.child("name"), "");
            } else {
                check.invalid_each(
                    &path.child("name"),
                    name,
                    names::subdomain(&names::as_prefix(name)),
                );
            }
        }
        // The API server names the list here, not the entry.
        check.at(&item, |check| match (config_map, secret) {
            (None, None) => {
                check.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`");
            }
            (Some(_), Some(_)) => {
                check.invalid(path, "", "may not have more than one field specified at a time");
            }
            _ => {}
        });
    }
}
