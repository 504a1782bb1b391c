//! What an API server does when an object is written: create, update in place,
//! or, for a pod that may not change like that, end it and begin anew.

use serde_json::Value;

use crate::cli::error::CliError;
use crate::lifecycle;
use crate::manifest::{Object, PodObject};
use crate::model::plan::PodPlan;
use crate::model::{ErrorKind, PodKey, PodUid, Roots, Timestamp};
use crate::store::objects::{ObjectKey, ObjectStore};
use crate::store::pods::{PodRecord, PodStore};
use crate::supervisor::client::Client;

use super::delete::{self, How};
use super::settings::{self, Settings};
use super::start;
use super::types::ResourceType;

/// Writes objects below the roots.
#[derive(Debug)]
pub struct Writer<'a> {
    roots: &'a Roots,
    now: Timestamp,
    objects: ObjectStore,
}

/// What an update came to.
#[derive(Debug)]
pub struct Updated {
    /// As it is stored now.
    pub object: Value,
    pub how: Change,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    None,
    InPlace,
    /// The pod was ended, and another one of its name has begun.
    Recreated,
}

/// What to do with a pod that may not change like that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Immutable {
    Refuse,
    Recreate,
}

fn room(error: crate::store::Error) -> CliError {
    CliError::room(&error, error.kind())
}

impl<'a> Writer<'a> {
    #[must_use]
    pub fn new(roots: &'a Roots, now: Timestamp) -> Self {
        Self { roots, now, objects: ObjectStore::new(roots.objects()) }
    }

    /// The stored object of that kind, namespace and name.
    ///
    /// # Errors
    /// The store's.
    pub fn find(&self, object: &Object) -> Result<Option<Value>, CliError> {
        self.objects.get(&key_of(object)?).map_err(room)
    }

    /// Stores a new object; a pod begins to run.
    ///
    /// # Errors
    /// `pods "web" already exists`; what this machine cannot honour.
    pub fn create(&self, mut object: Object) -> Result<Value, CliError> {
        if object.metadata().name.is_empty() {
            object.generate_name(settings::random()?);
        }
        let taken = || already_exists(&object);
        if self.find(&object)?.is_some() {
            return Err(taken());
        }
        match object {
            Object::Pod(pod) => {
                let key = pod_key(&pod);
                if PodStore::new(&self.roots.root).find(&key).map_err(room)?.is_some() {
                    return Err(already_exists(&Object::Pod(pod)));
                }
                self.create_pod(*pod)
            }
            other => {
                let json = with_creation(other.to_json(), self.now)?;
                self.objects.create(&key_of(&other)?, json).map_err(|error| match error.kind() {
                    ErrorKind::AlreadyExists => already_exists(&other),
                    _ => room(error),
                })
            }
        }
    }

    fn create_pod(&self, mut pod: PodObject) -> Result<Value, CliError> {
        let metadata = &mut pod.metadata;
        metadata.generation = 1;
        metadata.deletion_timestamp = None;
        metadata.resource_version.clear();
        let settings = Settings::of(&pod);
        let plan = settings::plan(&mut pod, settings, self.roots, self.now)?
            .map_err(|report| CliError::Manifest(report.to_string()))?;
        start::launch(&self.objects, &pod, &plan).map(|(_, object)| object)
    }

    /// Puts `new` in the place of the stored `old`.
    ///
    /// # Errors
    /// The API server's, for fields that may not change.
    pub fn update(
        &self,
        new: Object,
        old: &Value,
        immutable: Immutable,
    ) -> Result<Updated, CliError> {
        let stored = Object::from_json(old).map_err(|e| CliError::Manifest(e.to_string()))?;
        match (new, stored) {
            (Object::Pod(new), Object::Pod(old_pod)) => {
                self.update_pod(*new, *old_pod, old, immutable)
            }
            (new, stored) => {
                new.validate_update(&stored).map_err(|e| CliError::Manifest(e.to_string()))?;
                let written =
                    self.objects.put(&key_of(&new)?, new.to_json()).map_err(conflict(&new))?;
                let how = match written {
                    crate::store::Written::Unchanged(_) => Change::None,
                    _ => Change::InPlace,
                };
                Ok(Updated { object: written.object().clone(), how })
            }
        }
    }

    fn update_pod(
        &self,
        mut new: PodObject,
        old: PodObject,
        old_json: &Value,
        immutable: Immutable,
    ) -> Result<Updated, CliError> {
        if new.spec.node_name.is_empty() {
            new.spec.node_name.clone_from(&old.spec.node_name);
        }
        check_identity(&new, &old)?;
        let record = PodStore::new(&self.roots.root).find(&pod_key(&old)).map_err(room)?;
        let same_spec = new.spec == old.spec;
        let same = same_spec
            && new.metadata.labels == old.metadata.labels
            && new.metadata.annotations == old.metadata.annotations;
        if same && (record.is_some() || start::is_final(old_json)) {
            return Ok(Updated { object: old_json.clone(), how: Change::None });
        }
        if let Err(report) =
            Object::Pod(Box::new(new.clone())).validate_update(&Object::Pod(Box::new(old.clone())))
        {
            return match immutable {
                Immutable::Refuse => Err(CliError::Manifest(report.to_string())),
                Immutable::Recreate => self.recreate(new, &old),
            };
        }
        let Some(record) = record else {
            // An object of an earlier boot: nobody runs it.
            return self.recreate(new, &old);
        };
        new.metadata.uid.clone_from(&old.metadata.uid);
        new.metadata.creation_timestamp = old.metadata.creation_timestamp;
        new.metadata.generation = old.metadata.generation.max(1) + i64::from(!same_spec);
        let plan = self.amend(&record, &mut new)?;
        let mut json = start::stored(&new, &plan);
        if let Some(status) = old_json.get("status") {
            json["status"] = status.clone();
        }
        let object = start::put(&self.objects, "Pod", json)?;
        Ok(Updated { object, how: Change::InPlace })
    }

    /// Tells the pod's shim, or, where none runs, its record.
    fn amend(&self, record: &PodRecord, new: &mut PodObject) -> Result<PodPlan, CliError> {
        let mut plan = record.plan().map_err(room)?;
        let settings = Settings { is_static: plan.is_static, ..Settings::of(new) };
        let wanted = settings::plan(new, settings, self.roots, plan.created_at)?
            .map_err(|report| CliError::Manifest(report.to_string()))?;
        lifecycle::amend(&mut plan, &wanted);
        amend_record(self.roots, record, &plan)?;
        Ok(plan)
    }

    /// Gives a pod that runs one more container: the last ephemeral one of
    /// `pod`.
    ///
    /// # Errors
    /// A pod that nobody runs; what this machine cannot honour.
    pub fn add_ephemeral(&self, pod: Object) -> Result<PodPlan, CliError> {
        let Object::Pod(mut pod) = pod else { return Err(not_running("")) };
        let name = pod.metadata.name.clone();
        let record = PodStore::new(&self.roots.root).find(&pod_key(&pod)).map_err(room)?;
        let record = record.ok_or_else(|| not_running(&name))?;
        let mut plan = record.plan().map_err(room)?;
        pod.metadata.generation += 1;
        let settings = Settings { is_static: plan.is_static, ..Settings::of(&pod) };
        let wanted = settings::plan(&mut pod, settings, self.roots, plan.created_at)?
            .map_err(|report| CliError::Manifest(report.to_string()))?;
        lifecycle::amend(&mut plan, &wanted);
        plan.ephemeral_containers.extend(wanted.ephemeral_containers.last().cloned());
        let supervisor = |e: crate::supervisor::Error| CliError::room(&e, e.kind());
        let client = Client::connect(self.roots, record.uid()).map_err(supervisor)?;
        client.ok_or_else(|| not_running(&name))?.amend(plan.clone()).map_err(supervisor)?;
        start::put(&self.objects, "Pod", start::stored(&pod, &plan))?;
        Ok(plan)
    }

    fn recreate(&self, mut new: PodObject, old: &PodObject) -> Result<Updated, CliError> {
        let metadata = &mut new.metadata;
        metadata.uid.clear();
        metadata.creation_timestamp = None;
        // What cannot run here must not end what runs.
        let mut draft = new.clone();
        let settings = Settings::of(&draft);
        settings::plan(&mut draft, settings, self.roots, self.now)?
            .map_err(|report| CliError::Manifest(report.to_string()))?;
        delete::pod(self.roots, &pod_key(old), &How::graceful(), true)?;
        let object = self.create_pod(new)?;
        Ok(Updated { object, how: Change::Recreated })
    }
}

/// Gives a pod's shim another plan; without a shim the record has it.
///
/// # Errors
/// The shim's and the store's.
pub fn amend_record(roots: &Roots, record: &PodRecord, plan: &PodPlan) -> Result<(), CliError> {
    let supervisor = |e: crate::supervisor::Error| CliError::room(&e, e.kind());
    match Client::connect(roots, record.uid()).map_err(supervisor)? {
        Some(mut client) => client.amend(plan.clone()).map_err(supervisor),
        None => record.write_plan(plan).map_err(room),
    }
}

/// Uid and resource version that a manifest names must be the stored ones.
fn check_identity(new: &PodObject, old: &PodObject) -> Result<(), CliError> {
    let (given, stored) = (&new.metadata, &old.metadata);
    if !given.uid.is_empty() && given.uid != stored.uid {
        return Err(CliError::Refused(format!(
            "Operation cannot be fulfilled on pods {:?}: Precondition failed: UID in \
             precondition: {}, UID in object meta: {}",
            stored.name, given.uid, stored.uid
        )));
    }
    if !given.resource_version.is_empty() && given.resource_version != stored.resource_version {
        return Err(modified("pods", &stored.name));
    }
    Ok(())
}

fn conflict(object: &Object) -> impl Fn(crate::store::Error) -> CliError {
    let (kind, name) = (plural(object), object.metadata().name.clone());
    move |error| match error {
        crate::store::Error::ObjectChanged { .. } => modified(kind, &name),
        other => room(other),
    }
}

fn modified(plural: &str, name: &str) -> CliError {
    CliError::Refused(format!(
        "Operation cannot be fulfilled on {plural} {name:?}: the object has been modified; please \
         apply your changes to the latest version and try again"
    ))
}

fn not_running(pod: &str) -> CliError {
    CliError::Refused(format!("pod {pod:?} is not running"))
}

fn already_exists(object: &Object) -> CliError {
    CliError::Refused(format!("{} {:?} already exists", plural(object), object.metadata().name))
}

/// `configmaps`
#[must_use]
pub fn plural(object: &Object) -> &'static str {
    ResourceType::parse(object.kind()).map_or("objects", ResourceType::plural)
}

/// `configmap/web`
#[must_use]
pub fn full_name(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = text(&object["kind"]);
    let kind = ResourceType::parse(&kind)
        .map_or_else(|| kind.to_ascii_lowercase(), |kind| kind.singular().to_owned());
    format!("{kind}/{}", text(&object["metadata"]["name"]))
}

fn pod_key(pod: &PodObject) -> PodKey {
    let (namespace, name) = (pod.metadata.namespace.clone(), pod.metadata.name.clone());
    PodKey { namespace, name }
}

/// Where an object is stored.
///
/// # Errors
/// A name that cannot be a file's.
pub fn key_of(object: &Object) -> Result<ObjectKey, CliError> {
    let metadata = object.metadata();
    let namespace = object.is_namespaced().then_some(metadata.namespace.as_str());
    ObjectKey::new(namespace, object.kind(), &metadata.name).map_err(room)
}

/// A new object with what the API server adds.
fn with_creation(mut json: Value, now: Timestamp) -> Result<Value, CliError> {
    let uid: PodUid = settings::random_uid()?;
    let metadata = &mut json["metadata"];
    metadata["uid"] = uid.as_str().into();
    metadata["creationTimestamp"] = now.to_string().into();
    if let Some(fields) = metadata.as_object_mut() {
        fields.remove("resourceVersion");
    }
    Ok(json)
}
