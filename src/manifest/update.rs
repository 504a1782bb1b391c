//! What may change in an object that exists.

use super::error::{Problem, Report};
use super::object::{ConfigMapObject, Object, PodObject, SecretObject};
use super::path::Path;
use super::types::{Container, PodSpec, Toleration};
use super::validate::Check;

const IMMUTABLE: &str = "field is immutable when `immutable` is set";
const POD: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only \
    additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set \
    to 1 if it was previously negative)";

impl Object {
    /// Checks that this object may take the place of `old`, one of the same
    /// kind and name.
    ///
    /// # Errors
    /// Every field that may not change as it does, in the API server's words.
    pub fn validate_update(&self, old: &Self) -> Result<(), Report> {
        let (mut check, file) = match self {
            Self::Pod(pod) => (Check::new(pod.origin().node.as_deref()), &*pod.origin().file),
            _ => (Check::new(None), ""),
        };
        match (self, old) {
            (Self::Pod(new), Self::Pod(old)) => pod(&mut check, new, old),
            (Self::ConfigMap(new), Self::ConfigMap(old)) => config_map(&mut check, new, old),
            (Self::Secret(new), Self::Secret(old)) => secret(&mut check, new, old),
            _ => {}
        }
        if check.errors.is_empty() {
            return Ok(());
        }
        let (kind, name) = (self.kind().to_owned(), self.metadata().name.clone());
        Err(Report::new(file, vec![Problem::Invalid { kind, name, errors: check.errors }]))
    }
}

fn config_map(check: &mut Check<'_>, new: &ConfigMapObject, old: &ConfigMapObject) {
    if !old.immutable {
        return;
    }
    let fields = [
        ("immutable", !new.immutable),
        ("data", new.data.text != old.data.text),
        ("binaryData", new.data.binary != old.data.binary),
    ];
    for (name, is_changed) in fields {
        if is_changed {
            check.forbidden(&Path::ROOT.child(name), IMMUTABLE);
        }
    }
}

fn secret(check: &mut Check<'_>, new: &SecretObject, old: &SecretObject) {
    if new.r#type != old.r#type {
        check.invalid(&Path::ROOT.child("type"), &new.r#type, "field is immutable");
    }
    if !old.immutable {
        return;
    }
    for (name, is_changed) in [("immutable", !new.immutable), ("data", new.data != old.data)] {
        if is_changed {
            check.forbidden(&Path::ROOT.child(name), IMMUTABLE);
        }
    }
}

fn pod(check: &mut Check<'_>, new: &PodObject, old: &PodObject) {
    let path = Path::ROOT.child("spec");
    let (new, old) = (&new.spec, &old.spec);
    let lists = [
        ("containers", new.containers.len() == old.containers.len()),
        ("initContainers", new.init_containers.len() == old.init_containers.len()),
    ];
    for (name, is_same_length) in lists {
        if !is_same_length {
            check.forbidden(&path.child(name), "pod updates may not add or remove containers");
            return;
        }
    }
    if !deadline(check, new, old, &path) {
        return;
    }
    let keeps = |toleration: &Toleration| {
        let is_same = |other: &Toleration| {
            let toleration_seconds = toleration.toleration_seconds;
            Toleration { toleration_seconds, ..other.clone() } == *toleration
        };
        new.tolerations.iter().any(is_same)
    };
    if !old.tolerations.iter().all(keeps) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        check.forbidden(&path.child("tolerations"), detail);
    }
    if with_old_images(new, old) != *old {
        check.forbidden(&path, POD);
    }
}

/// A deadline may be set or lowered; false when it was changed otherwise.
fn deadline(check: &mut Check<'_>, new: &PodSpec, old: &PodSpec, path: &Path<'_>) -> bool {
    let path = path.child("activeDeadlineSeconds");
    match (new.active_deadline_seconds, old.active_deadline_seconds) {
        (Some(new), Some(old)) if old < new => {
            check.invalid(&path, new, "must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            check.invalid(&path, serde_json::Value::Null, detail);
            true
        }
        _ => true,
    }
}

/// `new` with everything that may change taken from `old`.
fn with_old_images(new: &PodSpec, old: &PodSpec) -> PodSpec {
    let images = |new: &[Container], old: &[Container]| {
        let pairs = new.iter().zip(old);
        pairs.map(|(new, old)| Container { image: old.image.clone(), ..new.clone() }).collect()
    };
    PodSpec {
        containers: images(&new.containers, &old.containers),
        init_containers: images(&new.init_containers, &old.init_containers),
        active_deadline_seconds: old.active_deadline_seconds,
        tolerations: old.tolerations.clone(),
        ..new.clone()
    }
}
