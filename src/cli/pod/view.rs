//! A pod as users see it: the object as given and defaulted, with the status
//! its supervisor last wrote.

use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::model::event::PodEvent;
use crate::model::plan::PodPlan;
use crate::model::status::PodStatus;
use crate::model::{PodKey, Roots, Timestamp};
use crate::store::objects::{Listing, ObjectKey, ObjectStore};
use crate::store::pods::{LoadedPod, PodStore};

use super::selector::Selector;

/// One pod of a listing.
#[derive(Debug, Clone)]
pub struct PodView {
    pub key: PodKey,
    /// The `v1` object with its status.
    pub json: Value,
    /// The running record; `None` for an object that nobody has started (after
    /// a reboot).
    pub loaded: Option<LoadedPod>,
}

impl PodView {
    /// The plan of a pod that was started.
    #[must_use]
    pub fn plan(&self) -> Option<&PodPlan> {
        self.loaded.as_ref().map(|pod| &pod.plan)
    }

    /// The status, once there is one.
    #[must_use]
    pub fn status(&self) -> Option<&PodStatus> {
        self.loaded.as_ref()?.status.as_ref().map(|record| &record.status)
    }

    /// The pod's events, oldest first.
    #[must_use]
    pub fn events(&self) -> &[PodEvent] {
        self.loaded
            .as_ref()
            .and_then(|pod| pod.status.as_ref())
            .map_or(&[], |record| record.events.as_slice())
    }

    /// When its deletion was asked for, with the grace period added.
    #[must_use]
    pub fn deletion_timestamp(&self) -> Option<Timestamp> {
        self.loaded.as_ref()?.status.as_ref()?.deletion_timestamp
    }

    /// When the pod was made.
    #[must_use]
    pub fn created_at(&self) -> Option<Timestamp> {
        let text = self.json.pointer("/metadata/creationTimestamp")?.as_str()?;
        Timestamp::parse_rfc3339(text)
    }

    /// Its labels, as the selector and `--show-labels` need them.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.json
            .pointer("/metadata/labels")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
    }
}

/// Which pods a verb is about.
#[derive(Debug, Default)]
pub struct Query {
    /// `None` for all namespaces.
    pub namespace: Option<String>,
    pub selector: Selector,
}

/// The pods that `query` selects, by namespace and name.
///
/// # Errors
/// The store's, when a folder cannot be read. A single damaged record is
/// reported on standard error and left out.
pub fn list(roots: &Roots, query: &Query) -> Result<Vec<PodView>, CliError> {
    let (loaded, broken) =
        PodStore::new(&roots.root).load_all().map_err(|e| CliError::room(&e, e.kind()))?;
    for error in &broken {
        eprintln!("podrt: {error}, ignoring");
    }
    let store = ObjectStore::new(roots.objects());
    let Listing { objects: found, .. } =
        store.list(query.namespace.as_deref(), "Pod").map_err(|e| CliError::room(&e, e.kind()))?;
    let objects: Vec<Value> = found.into_iter().map(|(_, object)| object).collect();
    let mut views: Vec<PodView> = loaded
        .into_iter()
        .filter(|pod| query.namespace.as_ref().is_none_or(|ns| *ns == pod.plan.namespace))
        .map(|pod| {
            let object = objects.iter().find(|object| is_object_of(object, &pod.plan));
            view(object.cloned(), Some(pod))
        })
        .collect();
    for object in objects {
        let key = key_of(&object);
        if !views.iter().any(|view| view.key == key) {
            views.push(view(Some(object), None));
        }
    }
    views.retain(|view| query.selector.matches(view.labels()));
    views.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(views)
}

/// One pod by name.
///
/// # Errors
/// `pods "x" not found`; the store's.
pub fn get(roots: &Roots, key: &PodKey) -> Result<PodView, CliError> {
    let room = |e: crate::store::Error| CliError::room(&e, e.kind());
    let record = PodStore::new(&roots.root).find(key).map_err(room)?;
    let loaded = record.map(|record| record.load()).transpose().map_err(room)?;
    let object_key = ObjectKey::new(Some(&key.namespace), "Pod", &key.name).map_err(room)?;
    let object = ObjectStore::new(roots.objects()).get(&object_key).map_err(room)?;
    if object.is_none() && loaded.is_none() {
        return Err(CliError::NotFound { kind: "pods", name: key.name.clone() });
    }
    let object = match (&loaded, object) {
        (Some(pod), Some(object)) => Some(object).filter(|o| is_object_of(o, &pod.plan)),
        (_, object) => object,
    };
    Ok(view(object, loaded))
}

fn view(object: Option<Value>, loaded: Option<LoadedPod>) -> PodView {
    let mut json =
        object.or_else(|| loaded.as_ref().map(|pod| bare_object(&pod.plan))).unwrap_or_default();
    if let Some(record) = loaded.as_ref().and_then(|pod| pod.status.as_ref()) {
        json["status"] = serde_json::to_value(&record.status).unwrap_or_default();
        if let Some(at) = record.deletion_timestamp {
            json["metadata"]["deletionTimestamp"] = at.to_string().into();
            json["metadata"]["deletionGracePeriodSeconds"] =
                record.deletion_grace_period_seconds.into();
        }
    }
    // As kubectl without --show-managed-fields.
    if let Some(metadata) = json.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    PodView { key: key_of(&json), json, loaded }
}

/// What is left to show of a pod whose object is gone.
fn bare_object(plan: &PodPlan) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": plan.name, "namespace": plan.namespace, "uid": plan.uid.as_str(),
            "labels": plan.labels, "annotations": plan.annotations,
            "creationTimestamp": plan.created_at.to_string(),
        },
    })
}

fn is_object_of(object: &Value, plan: &PodPlan) -> bool {
    object.pointer("/metadata/uid").and_then(Value::as_str) == Some(plan.uid.as_str())
}

fn key_of(json: &Value) -> PodKey {
    let text = |field: &str| {
        json.pointer(&format!("/metadata/{field}")).and_then(Value::as_str).unwrap_or_default()
    };
    PodKey { namespace: text("namespace").to_owned(), name: text("name").to_owned() }
}
