//! `metadata`, the same for every kind.

use std::collections::BTreeMap;

use super::check::Check;
use super::names;
use crate::manifest::path::Path;
use crate::manifest::types::{ObjectMeta, OwnerReference};

/// All annotations of an object together, bytes.
const MAX_ANNOTATIONS: usize = 256 << 10;

/// A rule for names of one kind.
pub(super) type NameRule = fn(&str) -> Vec<String>;

/// An object in a namespace.
pub(super) fn namespaced(check: &mut Check<'_>, meta: &ObjectMeta, rule: NameRule) {
    object_meta(check, meta, rule, true);
}

/// An object of the whole cluster.
pub(super) fn cluster_wide(check: &mut Check<'_>, meta: &ObjectMeta, rule: NameRule) {
    object_meta(check, meta, rule, false);
}

fn object_meta(check: &mut Check<'_>, meta: &ObjectMeta, rule: NameRule, is_namespaced: bool) {
    let path = Path::ROOT.child("metadata");
    if !meta.generate_name.is_empty() {
        let broken = rule(&names::as_prefix(&meta.generate_name));
        check.invalid_each(&path.child("generateName"), &meta.generate_name, broken);
    }
    if !meta.name.is_empty() {
        check.invalid_each(&path.child("name"), &meta.name, rule(&meta.name));
    } else if meta.generate_name.is_empty() {
        check.required(&path.child("name"), "name or generateName is required");
    }
    if is_namespaced {
        // An empty one is the caller's to fill in.
        if !meta.namespace.is_empty() {
            check.invalid_each(
                &path.child("namespace"),
                &meta.namespace,
                names::label(&meta.namespace),
            );
        }
    } else if !meta.namespace.is_empty() {
        check.forbidden(&path.child("namespace"), "not allowed on this type");
    }
    check.not_negative(&path.child("generation"), meta.generation);
    labels(check, &meta.labels, &path.child("labels"));
    annotations(check, &meta.annotations, &path.child("annotations"));
    owners(check, &meta.owner_references, &path.child("ownerReferences"));
    let finalizers = path.child("finalizers");
    for (index, finalizer) in meta.finalizers.iter().enumerate() {
        check.at(&finalizers.index(index), |check| {
            check.invalid_each(&finalizers, finalizer, names::qualified_name(finalizer));
        });
    }
}

pub(super) fn labels(check: &mut Check<'_>, labels: &BTreeMap<String, String>, path: &Path<'_>) {
    for (key, value) in labels {
        check.at(&path.key(key), |check| {
            check.invalid_each(path, key, names::qualified_name(key));
            check.invalid_each(path, value, names::label_value(value));
        });
    }
}

fn annotations(check: &mut Check<'_>, annotations: &BTreeMap<String, String>, path: &Path<'_>) {
    for key in annotations.keys() {
        // The prefix is compared without case, so capitals are no error.
        check.at(&path.key(key), |check| {
            check.invalid_each(path, key, names::qualified_name(&key.to_lowercase()));
        });
    }
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > MAX_ANNOTATIONS {
        check.too_long(path, MAX_ANNOTATIONS);
    }
}

fn owners(check: &mut Check<'_>, owners: &[OwnerReference], path: &Path<'_>) {
    for (index, owner) in owners.iter().enumerate() {
        let path = path.index(index);
        let fields = [
            ("apiVersion", &owner.api_version, "version must not be empty"),
            ("kind", &owner.kind, "must not be empty"),
            ("name", &owner.name, "must not be empty"),
            ("uid", &owner.uid, "must not be empty"),
        ];
        for (name, value, detail) in fields {
            if value.is_empty() {
                check.invalid(&path.child(name), value, detail);
            }
        }
    }
}
