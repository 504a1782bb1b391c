//! Objects beside the pod.

use super::check::Check;
use super::{meta, names};
use crate::manifest::path::Path;
use crate::manifest::types::{ConfigMap, ObjectMeta, Secret};

/// All values of a `ConfigMap` or `Secret` together, bytes.
const MAX_DATA: usize = 1 << 20;

pub(in crate::manifest) fn config_map(check: &mut Check<'_>, object: &ConfigMap) {
    meta::namespaced(check, &object.metadata, names::subdomain);
    let (data, binary) = (Path::ROOT.child("data"), Path::ROOT.child("binaryData"));
    let mut size = 0;
    for (key, value) in &object.data {
        check.invalid_each(&data.key(key), key, names::config_key(key));
        if object.binary_data.contains_key(key) {
            check.invalid(&data.key(key), key, "duplicate of key present in binaryData");
        }
        size += value.len();
    }
    for (key, value) in &object.binary_data {
        check.invalid_each(&binary.key(key), key, names::config_key(key));
        size += value.0.len();
    }
    if size > MAX_DATA {
        check.too_long(&Path::ROOT, MAX_DATA);
    }
}

pub(in crate::manifest) fn secret(check: &mut Check<'_>, object: &Secret) {
    meta::namespaced(check, &object.metadata, names::subdomain);
    let data = Path::ROOT.child("data");
    let mut size = 0;
    for (key, value) in &object.data {
        check.invalid_each(&data.key(key), key, names::config_key(key));
        size += value.0.len();
    }
    if size > MAX_DATA {
        check.too_long(&data, MAX_DATA);
    }
    secret_type(check, object, &data);
}

fn secret_type(check: &mut Check<'_>, object: &Secret, data: &Path<'_>) {
    let has = |key: &str| object.data.contains_key(key);
    match object.r#type.as_str() {
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            if object.metadata.annotations.get(key).is_none_or(String::is_empty) {
                let path = Path::ROOT.child("metadata");
                check.required(&path.child("annotations").key(key), "");
            }
        }
        "kubernetes.io/dockercfg" => docker_config(check, object, ".dockercfg", data),
        "kubernetes.io/dockerconfigjson" => {
            docker_config(check, object, ".dockerconfigjson", data);
        }
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            check.required(&data.key("username"), "");
            check.required(&data.key("password"), "");
        }
        "kubernetes.io/ssh-auth"
            if object.data.get("ssh-privatekey").is_none_or(|key| key.0.is_empty()) =>
        {
            check.required(&data.key("ssh-privatekey"), "");
        }
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"] {
                if !has(key) {
                    check.required(&data.key(key), "");
                }
            }
        }
        _ => {}
    }
}

fn docker_config(check: &mut Check<'_>, object: &Secret, key: &str, data: &Path<'_>) {
    let path = data.key(key);
    let Some(config) = object.data.get(key) else {
        check.required(&path, "");
        return;
    };
    let parsed = serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(&config.0);
    if let Err(error) = parsed {
        check.invalid(&path, "<secret contents redacted>", &error.to_string());
    }
}

/// An object that podrt keeps without acting on all of it.
pub(in crate::manifest) fn kept_object(check: &mut Check<'_>, kind: &str, metadata: &ObjectMeta) {
    match kind {
        "Namespace" => meta::cluster_wide(check, metadata, names::label),
        "Service" => meta::namespaced(check, metadata, names::label),
        _ => meta::namespaced(check, metadata, names::subdomain),
    }
}
