//! API objects below the data root:
//!
//! ```text
//! objects/<namespace>/<kind>/<name>   the object as JSON, replaced by rename
//! objects/_cluster/<kind>/<name>      objects without a namespace
//! objects/.version                    the last resourceVersion given out
//! objects/.lock
//! ```
//!
//! A file has the object's bare name: a name of 253 bytes leaves no room for a
//! suffix. Watch a kind with inotify on [`ObjectStore::kind_dir`]
//! (`IN_MOVED_TO`, `IN_DELETE`; names with a dot in front are not objects).

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::atomic::{self, Durability};
use super::lock::{self, Guard};
use super::{Error, Result, name, record};

/// Stands for the namespace of objects that have none; no namespace may have
/// an underscore.
const CLUSTER: &str = "_cluster";

/// What an object is called; each part is checked to be a plain file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    namespace: Option<String>,
    kind: String,
    name: String,
}

/// What a write did.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    Created(Value),
    Updated(Value),
    /// The object was stored like this already; its version stays.
    Unchanged(Value),
}

/// The objects of a kind, and the errors of those that are damaged.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// By namespace and name.
    pub objects: Vec<(ObjectKey, Value)>,
    pub broken: Vec<Error>,
}

/// The API objects of one data root.
#[derive(Debug, Clone)]
pub struct ObjectStore {
    dir: PathBuf,
}

impl ObjectKey {
    /// The object `name` of `kind` (`ConfigMap`) in `namespace`; `None` for
    /// kinds without one.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn new(namespace: Option<&str>, kind: &str, name: &str) -> Result<Self> {
        let namespace = namespace.map(|ns| name::check("namespace", ns)).transpose()?;
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            kind: name::check("kind", kind)?.to_owned(),
            name: name::check("object name", name)?.to_owned(),
        })
    }

    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Written {
    /// The object as it is stored now.
    #[must_use]
    pub fn object(&self) -> &Value {
        match self {
            Self::Created(object) | Self::Updated(object) | Self::Unchanged(object) => object,
        }
    }
}

impl ObjectStore {
    /// The objects in `dir` ([`crate::model::Roots::objects`]). Touches
    /// nothing.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The object; `None` when there is none of that name.
    ///
    /// # Errors
    /// [`Error::Garbled`], [`Error::File`].
    pub fn get(&self, key: &ObjectKey) -> Result<Option<Value>> {
        record::json(&self.path(key))
    }

    /// Stores a new object.
    ///
    /// # Errors
    /// [`Error::ObjectExists`]; else as for [`ObjectStore::put`].
    pub fn create(&self, key: &ObjectKey, object: Value) -> Result<Value> {
        let _lock = self.lock()?;
        if self.get(key)?.is_some() {
            let (kind, name) = (key.kind.clone(), key.name.clone());
            return Err(Error::ObjectExists { kind, name });
        }
        self.store(key, object, 0)
    }

    /// Stores an object, new or in place of the one of that name. A
    /// `metadata.resourceVersion` in it must be the stored one's. `uid` and
    /// `creationTimestamp` stay the stored one's where the new one has none.
    ///
    /// # Errors
    /// [`Error::ObjectChanged`]; [`Error::NoObject`] for a value without
    /// `metadata`; [`Error::Garbled`] when the stored one cannot be read;
    /// [`Error::File`].
    pub fn put(&self, key: &ObjectKey, mut object: Value) -> Result<Written> {
        let _lock = self.lock()?;
        let Some(stored) = self.get(key)? else {
            return self.store(key, object, 0).map(Written::Created);
        };
        check_version(key, &object, &stored)?;
        inherit(&mut object, &stored);
        if object == stored {
            return Ok(Written::Unchanged(stored));
        }
        let last = version_number(version_of(&stored));
        self.store(key, object, last).map(Written::Updated)
    }

    /// Replaces the status of the object with this uid and nothing else of it,
    /// whatever was written meanwhile; the object as it is stored now. `None`
    /// when there is no object, or another one has its name by now.
    ///
    /// # Errors
    /// [`Error::Garbled`] when the stored one cannot be read; [`Error::File`].
    pub fn set_status(&self, key: &ObjectKey, uid: &str, status: Value) -> Result<Option<Value>> {
        if !self.path(key).exists() {
            return Ok(None);
        }
        let _lock = self.lock()?;
        let Some(mut object) = self.get(key)?.filter(|it| it["metadata"]["uid"] == uid) else {
            return Ok(None);
        };
        if object["status"] == status {
            return Ok(Some(object));
        }
        object["status"] = status;
        let last = version_number(version_of(&object));
        self.store(key, object, last).map(Some)
    }

    /// Removes an object and returns it; `None` when there was none. A damaged
    /// one is removed too and returned as null.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn delete(&self, key: &ObjectKey) -> Result<Option<Value>> {
        let path = self.path(key);
        let Some(dir) = path.parent().filter(|dir| dir.exists()) else { return Ok(None) };
        let _lock = self.lock()?;
        let object = match self.get(key) {
            Ok(None) => return Ok(None),
            Ok(Some(object)) => object,
            Err(_) => Value::Null,
        };
        fs::remove_file(&path).map_err(|e| Error::io("delete object", &path, "unlink", &e))?;
        atomic::sync_dir(dir)?;
        Ok(Some(object))
    }

    /// The objects of a kind. `namespace`: one of them, or all, with those that
    /// have none.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::File`] when a directory cannot be read.
    pub fn list(&self, namespace: Option<&str>, kind: &str) -> Result<Listing> {
        let mut listing = Listing::default();
        for key in self.keys(namespace, kind)? {
            match self.get(&key) {
                Ok(Some(object)) => listing.objects.push((key, object)),
                Ok(None) => {}
                Err(e) => listing.broken.push(e),
            }
        }
        Ok(listing)
    }

    /// The names of a kind's objects, as for [`ObjectStore::list`].
    ///
    /// # Errors
    /// As for [`ObjectStore::list`].
    pub fn keys(&self, namespace: Option<&str>, kind: &str) -> Result<Vec<ObjectKey>> {
        name::check("kind", kind)?;
        let namespaces = match namespace {
            Some(one) => vec![name::check("namespace", one)?.to_owned()],
            None => names(&self.dir)?,
        };
        let mut keys = Vec::new();
        for folder in namespaces {
            let namespace = (folder != CLUSTER).then_some(folder.as_str());
            for name in names(&self.dir.join(&folder).join(kind))? {
                keys.push(ObjectKey::new(namespace, kind, &name)?);
            }
        }
        Ok(keys)
    }

    /// The kinds that have objects in a namespace (`None`: without one).
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::File`].
    pub fn kinds(&self, namespace: Option<&str>) -> Result<Vec<String>> {
        let namespace = name::check("namespace", namespace.unwrap_or(CLUSTER))?;
        names(&self.dir.join(namespace))
    }

    /// The folder of a kind, made if missing so that it can be watched.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::File`].
    pub fn kind_dir(&self, namespace: Option<&str>, kind: &str) -> Result<PathBuf> {
        let namespace = name::check("namespace", namespace.unwrap_or(CLUSTER))?;
        let dir = self.dir.join(namespace).join(name::check("kind", kind)?);
        atomic::create_dirs(&dir, Durability::Disk)?;
        Ok(dir)
    }

    /// The version of the newest change, for a List's `resourceVersion`.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn version(&self) -> Result<String> {
        Ok(self.last_version()?.to_string())
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.dir.join(key.namespace.as_deref().unwrap_or(CLUSTER)).join(&key.kind).join(&key.name)
    }

    fn lock(&self) -> Result<Guard> {
        atomic::create_dirs(&self.dir, Durability::Disk)?;
        lock::exclusive(&self.dir.join(".lock"))
    }

    /// Writes the object with the next version, above `floor`.
    fn store(&self, key: &ObjectKey, mut object: Value, floor: u64) -> Result<Value> {
        let (kind, name) = (key.kind.clone(), key.name.clone());
        let version = self.last_version()?.max(floor) + 1;
        let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
        let metadata = metadata.ok_or(Error::NoObject { kind, name })?;
        metadata.insert("resourceVersion".into(), version.to_string().into());
        let path = self.path(key);
        atomic::create_dirs(path.parent().unwrap_or(&self.dir), Durability::Disk)?;
        record::write(&path, &object, Durability::Disk)?;
        // Not synced: one that is lost is worked out again from the objects.
        let counter = self.dir.join(".version");
        atomic::write(&counter, version.to_string().as_bytes(), Durability::Volatile)?;
        Ok(object)
    }

    fn last_version(&self) -> Result<u64> {
        let counter = record::bytes(&self.dir.join(".version"))?.unwrap_or_default();
        match std::str::from_utf8(&counter).ok().and_then(|text| text.parse().ok()) {
            Some(version) => Ok(version),
            None => self.highest_version(),
        }
    }

    fn highest_version(&self) -> Result<u64> {
        let mut highest = 0;
        for namespace in names(&self.dir)? {
            for kind in names(&self.dir.join(&namespace))? {
                let dir = self.dir.join(&namespace).join(kind);
                for name in names(&dir)? {
                    let object = record::json::<Value>(&dir.join(name)).ok().flatten();
                    highest = highest.max(version_number(version_of(&object.unwrap_or_default())));
                }
            }
        }
        Ok(highest)
    }
}

fn version_of(object: &Value) -> &str {
    object.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default()
}

fn version_number(version: &str) -> u64 {
    version.parse().unwrap_or(0)
}

fn check_version(key: &ObjectKey, object: &Value, stored: &Value) -> Result<()> {
    let (given, stored) = (version_of(object), version_of(stored));
    if given.is_empty() || given == stored {
        return Ok(());
    }
    Err(Error::ObjectChanged {
        kind: key.kind.clone(),
        name: key.name.clone(),
        given: given.into(),
        stored: stored.into(),
    })
}

/// What an update keeps of the stored object.
fn inherit(object: &mut Value, stored: &Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    for field in ["uid", "creationTimestamp", "resourceVersion"] {
        let missing = metadata.get(field).is_none_or(|value| value.is_null() || value == "");
        if let Some(value) = stored.pointer(&format!("/metadata/{field}")).filter(|_| missing) {
            metadata.insert(field.into(), value.clone());
        }
    }
}

/// The names in a folder that can be names of objects, sorted.
fn names(dir: &Path) -> Result<Vec<String>> {
    let failed = |e: std::io::Error| Error::io("list objects", dir, "getdents64", &e);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(failed(e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        names.extend(name.into_string().ok().filter(|name| name::check("name", name).is_ok()));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn store() -> (tempfile::TempDir, ObjectStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = ObjectStore::new(dir.path().join("objects"));
        (dir, store)
    }

    fn key(namespace: &str, name: &str) -> ObjectKey {
        ObjectKey::new(Some(namespace), "ConfigMap", name).unwrap()
    }

    fn map(value: &str) -> Value {
        json!({"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"k": value}})
    }

    #[test]
    fn every_change_gets_a_higher_version_and_no_change_keeps_it() {
        let (_dir, store) = store();
        let first = store.put(&key("a", "x"), map("1")).unwrap();
        let second = store.put(&key("a", "x"), map("2")).unwrap();
        let same = store.put(&key("a", "x"), map("2")).unwrap();
        assert!(matches!(first, Written::Created(_)) && matches!(second, Written::Updated(_)));
        assert!(matches!(same, Written::Unchanged(_)));
        let versions = [&first, &second, &same].map(|w| version_number(version_of(w.object())));
        assert_eq!(versions, [1, 2, 2]);
        assert_eq!(store.get(&key("a", "x")).unwrap().as_ref(), Some(same.object()));
    }

    #[test]
    fn a_stale_version_is_refused() {
        let (_dir, store) = store();
        let old = store.create(&key("a", "x"), map("1")).unwrap();
        store.put(&key("a", "x"), map("2")).unwrap();
        let error = store.put(&key("a", "x"), old).unwrap_err();
        assert!(error.to_string().contains("the object has been modified"), "{error}");
    }

    #[test]
    fn create_refuses_a_taken_name() {
        let (_dir, store) = store();
        store.create(&key("a", "x"), map("1")).unwrap();
        let error = store.create(&key("a", "x"), map("1")).unwrap_err();
        assert_eq!(error.to_string(), "create ConfigMap \"x\": already exists");
    }

    #[test]
    fn an_update_keeps_uid_and_creation_time() {
        let (_dir, store) = store();
        let given = json!({"metadata": {"uid": "u", "creationTimestamp": "t"}});
        store.create(&key("a", "x"), given).unwrap();
        let update = json!({"metadata": {"creationTimestamp": null}, "data": {}});
        let updated = store.put(&key("a", "x"), update).unwrap();
        let metadata = &updated.object()["metadata"];
        assert_eq!((&metadata["uid"], &metadata["creationTimestamp"]), (&json!("u"), &json!("t")));
    }

    #[test]
    fn lists_are_by_namespace_and_name_and_skip_no_good_object_for_a_bad_one() {
        let (_dir, store) = store();
        for (namespace, name) in [("b", "z"), ("b", "a"), ("a", "m"), ("a", "bad")] {
            store.put(&key(namespace, name), map("1")).unwrap();
        }
        let cluster = ObjectKey::new(None, "ConfigMap", "c").unwrap();
        store.put(&cluster, map("1")).unwrap();
        fs::write(store.path(&key("a", "bad")), "{").unwrap();
        let Listing { objects, broken } = store.list(None, "ConfigMap").unwrap();
        let names: Vec<_> = objects.iter().map(|(key, _)| (key.namespace(), key.name())).collect();
        let expected = [(None, "c"), (Some("a"), "m"), (Some("b"), "a"), (Some("b"), "z")].to_vec();
        assert_eq!((names, broken.len()), (expected, 1));
        assert_eq!(store.list(Some("b"), "ConfigMap").unwrap().objects.len(), 2);
        assert_eq!(store.kinds(Some("b")).unwrap(), ["ConfigMap"]);
        assert!(store.list(None, "Secret").unwrap().objects.is_empty());
    }

    #[test]
    fn a_status_is_set_whatever_else_changed_but_not_on_another_object_of_the_name() {
        let (_dir, store) = store();
        let key = key("a", "x");
        assert_eq!(store.set_status(&key, "u", json!({})), Ok(None));
        let mut object = map("1");
        object["metadata"]["uid"] = "u".into();
        let old = store.create(&key, object).unwrap();
        let mut labelled = old.clone();
        labelled["metadata"]["labels"] = json!({ "a": "b" });
        store.put(&key, labelled).unwrap();
        let set = store.set_status(&key, "u", json!({ "phase": "Failed" })).unwrap().unwrap();
        assert_eq!(
            (&set["metadata"]["labels"]["a"], &set["status"]["phase"]),
            (&json!("b"), &json!("Failed"))
        );
        assert_eq!(store.get(&key), Ok(Some(set.clone())));
        assert_eq!(version_of(&set), "3");
        assert_eq!(store.set_status(&key, "u", set["status"].clone()), Ok(Some(set)));
        assert_eq!(store.set_status(&key, "other", json!({})), Ok(None));
    }

    #[test]
    fn deleting_returns_the_object_once() {
        let (_dir, store) = store();
        assert_eq!(store.delete(&key("a", "x")), Ok(None));
        let stored = store.create(&key("a", "x"), map("1")).unwrap();
        assert_eq!(store.delete(&key("a", "x")), Ok(Some(stored)));
        assert_eq!(store.delete(&key("a", "x")), Ok(None));
        fs::write(store.path(&key("a", "x")), "{").unwrap();
        assert_eq!(store.delete(&key("a", "x")), Ok(Some(Value::Null)));
    }

    #[test]
    fn versions_still_rise_when_the_counter_was_lost_or_damaged() {
        let (_dir, store) = store();
        for n in 0..5 {
            store.put(&key("a", "x"), map(&n.to_string())).unwrap();
        }
        for damage in ["", "garbage"] {
            fs::write(store.dir.join(".version"), damage).unwrap();
            assert_eq!(store.version().unwrap(), "5");
        }
        fs::write(store.dir.join(".version"), "3").unwrap();
        let written = store.put(&key("a", "x"), map("new")).unwrap();
        assert_eq!(version_of(written.object()), "6");
    }

    #[test]
    fn names_of_the_longest_kind_fit_and_others_are_refused() {
        let (_dir, store) = store();
        let longest = "x".repeat(253);
        store.put(&key("a", &longest), map("1")).unwrap();
        assert!(store.get(&key("a", &longest)).unwrap().is_some());
        for bad in ["..", "a/b", "", ".lock"] {
            assert!(ObjectKey::new(Some("a"), "ConfigMap", bad).is_err(), "{bad:?}");
            assert!(store.list(Some(bad), "ConfigMap").is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let (_dir, store) = store();
        let error = store.put(&key("a", "x"), json!([1])).unwrap_err();
        assert_eq!(error.to_string(), "store ConfigMap \"x\": no metadata");
    }
}
