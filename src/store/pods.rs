//! The records of pods, below the root:
//!
//! ```text
//! pods/<uid>/plan.json      what the pod shall be      written with the claim
//! pods/<uid>/status.json    what users read            replaced by its supervisor
//! pods/<uid>/machine.json   the supervisor's memory    replaced by its supervisor
//! pods/<uid>/shim.lock      held by who supervises the pod
//! pods/.names/<namespace>/<name> -> <uid>
//! pods/.new/, pods/.gone/   records on their way in and out
//! pods/.lock                held while names change hands
//! pods/.node                held by the `podrt node` at work here
//! ```
//!
//! The folder comes with the first pod and goes with the last.
//!
//! A name is linked before its record appears and unlinked before the record
//! goes, all under the lock: a name without a record is what a crash left, and
//! the next claim takes it over.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::atomic::{self, Durability};
use super::lock::{self, Guard, OwnGuard};
use super::{Error, Result, name, record};
use crate::model::event::PodEvent;
use crate::model::plan::{PLAN_VERSION, PodPlan};
use crate::model::status::PodStatus;
use crate::model::{PodKey, PodUid, Timestamp};

/// The format of `status.json`.
pub const STATUS_VERSION: u32 = 1;

/// How often a claim begins again because the folder went with the last pod:
/// each time is another process's doing.
const LOCK_TRIES: u32 = 1000;

/// What users read of a pod, as its supervisor last wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusRecord {
    pub version: u32,
    pub status: PodStatus,
    #[serde(default)]
    pub events: Vec<PodEvent>,
    /// When the pod's grace period ends or ended; set once a delete began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_grace_period_seconds: Option<u32>,
    /// The last failure of podrt itself with this pod, for `describe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl StatusRecord {
    /// A record of this podrt's version, no deletion asked for.
    #[must_use]
    pub fn new(status: PodStatus, events: Vec<PodEvent>) -> Self {
        Self {
            version: STATUS_VERSION,
            status,
            events,
            deletion_timestamp: None,
            deletion_grace_period_seconds: None,
            last_error: None,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct MachineRecord<T> {
    version: u32,
    machine: T,
}

/// All pods of one root.
#[derive(Debug, Clone)]
pub struct PodStore {
    dir: PathBuf,
}

/// One pod's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRecord {
    uid: PodUid,
    dir: PathBuf,
}

/// A pod as `get` and `describe` show it.
#[derive(Debug, Clone)]
pub struct LoadedPod {
    pub record: PodRecord,
    pub plan: PodPlan,
    /// `None` until its supervisor has written one.
    pub status: Option<StatusRecord>,
}

impl PodStore {
    /// The pods below `root` ([`crate::model::Roots::root`]). Touches nothing.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { dir: root.join("pods") }
    }

    /// Takes the pod's name and uid and writes its first record. Of several
    /// claims to one name exactly one wins.
    ///
    /// # Errors
    /// [`Error::PodNameTaken`], [`Error::PodUidTaken`]; [`Error::Name`] when
    /// namespace or name cannot be a file name; [`Error::File`].
    pub fn claim(&self, plan: &PodPlan) -> Result<PodRecord> {
        let key = PodKey { namespace: plan.namespace.clone(), name: plan.name.clone() };
        let link = self.link(&key)?;
        let _lock = self.lock()?;
        let claimed = self.claim_locked(plan, key, &link);
        if claimed.is_err() {
            self.go_if_empty();
        }
        claimed
    }

    fn claim_locked(&self, plan: &PodPlan, key: PodKey, link: &Path) -> Result<PodRecord> {
        self.sweep()?;
        let record = self.record(plan.uid.clone());
        if record.dir.exists() {
            return Err(Error::PodUidTaken { uid: plan.uid.clone() });
        }
        if let Some(holder) = self.holder(link)? {
            let PodKey { namespace, name } = key;
            return Err(Error::PodNameTaken { namespace, name, uid: holder.uid });
        }
        let staged =
            PodRecord { uid: plan.uid.clone(), dir: self.staging().join(plan.uid.as_str()) };
        atomic::create_dirs(&staged.dir, Durability::Volatile)?;
        staged.write_plan(plan)?;
        point(link, &plan.uid)?;
        atomic::rename(&staged.dir, &record.dir)?;
        Ok(record)
    }

    /// The pod that has this name.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::File`].
    pub fn find(&self, key: &PodKey) -> Result<Option<PodRecord>> {
        self.holder(&self.link(key)?)
    }

    /// The pod with this uid.
    ///
    /// # Errors
    /// [`Error::NoSuchPod`].
    pub fn open(&self, uid: &PodUid) -> Result<PodRecord> {
        let record = self.record(uid.clone());
        if record.exists() { Ok(record) } else { Err(Error::NoSuchPod { uid: uid.clone() }) }
    }

    /// All pods, running and ended, by uid.
    ///
    /// # Errors
    /// [`Error::File`] when the directory cannot be read; one that is missing
    /// has no pods.
    pub fn list(&self) -> Result<Vec<PodRecord>> {
        let uids: BTreeSet<PodUid> =
            entries(&self.dir)?.into_iter().filter_map(|name| PodUid::new(name).ok()).collect();
        Ok(uids.into_iter().map(|uid| self.record(uid)).collect())
    }

    /// All pods with their plans and statuses, by namespace and name, and the
    /// errors of those whose records are damaged. A pod that goes away
    /// meanwhile is in neither.
    ///
    /// # Errors
    /// As for [`PodStore::list`].
    pub fn load_all(&self) -> Result<(Vec<LoadedPod>, Vec<Error>)> {
        let (mut pods, mut broken) = (Vec::new(), Vec::new());
        for record in self.list()? {
            match record.load() {
                Ok(pod) => pods.push(pod),
                Err(Error::NoSuchPod { .. }) => {}
                Err(e) => broken.push(e),
            }
        }
        pods.sort_by(|a, b| {
            (&a.plan.namespace, &a.plan.name).cmp(&(&b.plan.namespace, &b.plan.name))
        });
        Ok((pods, broken))
    }

    /// Gives the name free and removes the record. Doing it again, or for a
    /// pod that never was, succeeds; a crash midway is finished by the next
    /// claim or removal.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn remove(&self, uid: &PodUid) -> Result<()> {
        if !self.dir.exists() {
            return Ok(());
        }
        let _lock = self.lock()?;
        let record = self.record(uid.clone());
        if record.dir.exists() {
            self.unlink_name(&record)?;
            atomic::create_dirs(&self.trash(), Durability::Volatile)?;
            self.discard(&record.dir, uid)?;
        }
        self.sweep()?;
        self.go_if_empty();
        Ok(())
    }

    /// Becomes the one `podrt node` of these pods for as long as the guard
    /// lives; `None` while another one is.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn become_node(&self) -> Result<Option<Guard>> {
        let _lock = self.lock()?;
        lock::try_exclusive(&self.node_lock())
    }

    /// True while a node of these pods is at work.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn has_node(&self) -> Result<bool> {
        if !self.node_lock().exists() {
            return Ok(false);
        }
        let _lock = self.lock()?;
        self.has_node_locked()
    }

    /// Asking is taking it for a moment; [`PodStore::become_node`] is kept out
    /// meanwhile.
    fn has_node_locked(&self) -> Result<bool> {
        let file = self.node_lock();
        Ok(file.exists() && lock::try_exclusive(&file)?.is_none())
    }

    /// What the node does at its end. Without pods nothing of it stays.
    pub fn retire_node(&self, node: Guard) {
        if let Ok(_lock) = self.lock() {
            drop(node);
            self.go_if_empty();
        }
    }

    fn record(&self, uid: PodUid) -> PodRecord {
        let dir = self.dir.join(uid.as_str());
        PodRecord { uid, dir }
    }

    /// Whoever removes the last pod takes the folder away, perhaps between two
    /// steps of this; it cannot go any more once the lock is held.
    fn lock(&self) -> Result<Guard> {
        let mut tries_left = LOCK_TRIES;
        loop {
            match self.make_and_lock() {
                Err(e) if tries_left > 0 && e.is_lost_race() => tries_left -= 1,
                result => return result,
            }
        }
    }

    fn make_and_lock(&self) -> Result<Guard> {
        atomic::create_dirs_with_mode(&self.dir, 0o711, Durability::Volatile)?;
        let guard = lock::exclusive(&self.dir.join(".lock"))?;
        atomic::create_dirs_with_mode(&self.staging(), 0o711, Durability::Volatile)?;
        Ok(guard)
    }

    /// Takes the folder away when no pod is left and no node at work; the lock
    /// is held. It holds nothing any more, so that a failure does no harm: the
    /// next removal tries again.
    fn go_if_empty(&self) {
        let has_pods = self.list().map_or(true, |records| !records.is_empty());
        if has_pods || self.has_node_locked().unwrap_or(true) {
            return;
        }
        let _ = fs::remove_dir_all(self.names());
        let _ = fs::remove_dir(self.staging());
        let _ = fs::remove_dir(self.trash());
        let _ = fs::remove_file(self.node_lock());
        // From here on another process may make them again, and then they stay.
        let _ = fs::remove_file(self.dir.join(".lock"));
        let _ = fs::remove_dir(&self.dir);
    }

    fn node_lock(&self) -> PathBuf {
        self.dir.join(".node")
    }

    fn staging(&self) -> PathBuf {
        self.dir.join(".new")
    }

    fn trash(&self) -> PathBuf {
        self.dir.join(".gone")
    }

    fn names(&self) -> PathBuf {
        self.dir.join(".names")
    }

    fn link(&self, key: &PodKey) -> Result<PathBuf> {
        let namespace = name::check("namespace", &key.namespace)?;
        Ok(self.names().join(namespace).join(name::check("pod name", &key.name)?))
    }

    /// Whom a name belongs to; a link to a record that is not there counts as
    /// none.
    fn holder(&self, link: &Path) -> Result<Option<PodRecord>> {
        let target = match fs::read_link(link) {
            Ok(target) => target,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("look up pod name", link, "readlink", &e)),
        };
        let uid = target.to_str().and_then(|text| PodUid::new(text).ok());
        let record = uid.map(|uid| self.record(uid));
        Ok(record.filter(PodRecord::exists))
    }

    /// The plan tells the name; where it cannot be read, the links are
    /// searched, so that a damaged pod can be deleted too. A link that shows
    /// another pod stays.
    fn unlink_name(&self, record: &PodRecord) -> Result<()> {
        let links = match record.plan() {
            Ok(plan) => {
                vec![self.link(&PodKey { namespace: plan.namespace, name: plan.name })?]
            }
            Err(_) => self.all_links()?,
        };
        for link in links {
            if fs::read_link(&link).is_ok_and(|target| target == Path::new(record.uid.as_str())) {
                remove_file(&link)?;
            }
        }
        Ok(())
    }

    fn all_links(&self) -> Result<Vec<PathBuf>> {
        let mut links = Vec::new();
        for namespace in entries(&self.names())? {
            let dir = self.names().join(namespace);
            links.extend(entries(&dir)?.into_iter().map(|name| dir.join(name)));
        }
        Ok(links)
    }

    /// Moves a record out of sight, to where [`PodStore::sweep`] removes it.
    fn discard(&self, dir: &Path, uid: &PodUid) -> Result<()> {
        (0..u32::MAX)
            .map(|n| self.trash().join(format!("{uid}.{n}")))
            .find(|place| !place.exists())
            .map_or(Ok(()), |place| atomic::rename(dir, &place))
    }

    /// Removes what an earlier crash left half made or half removed, with the
    /// name it had taken. The lock is held, so nobody is at work there.
    fn sweep(&self) -> Result<()> {
        for (uid, dir) in Self::leftovers(&self.staging())? {
            if let Ok(uid) = PodUid::new(uid) {
                self.unlink_name(&PodRecord { uid, dir: dir.clone() })?;
            }
            remove_tree(&dir)?;
        }
        Self::leftovers(&self.trash())?.iter().try_for_each(|(_, dir)| remove_tree(dir))
    }

    fn leftovers(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
        Ok(entries(dir)?.into_iter().map(|name| (name.clone(), dir.join(name))).collect())
    }
}

impl PodRecord {
    #[must_use]
    pub fn uid(&self) -> &PodUid {
        &self.uid
    }

    /// The pod's folder for everything else of its running state.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// False once the pod was removed.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.dir.is_dir()
    }

    /// The plan.
    ///
    /// # Errors
    /// [`Error::NoSuchPod`] when the record is gone; [`Error::Garbled`],
    /// [`Error::Version`], [`Error::File`].
    pub fn plan(&self) -> Result<PodPlan> {
        let plan = record::versioned(&self.dir.join("plan.json"), PLAN_VERSION)?;
        plan.ok_or_else(|| Error::NoSuchPod { uid: self.uid.clone() })
    }

    /// Replaces the plan (labels, ephemeral containers, resized resources).
    /// Namespace, name and uid must stay.
    ///
    /// # Errors
    /// [`Error::File`], among them when the record is gone.
    pub fn write_plan(&self, plan: &PodPlan) -> Result<()> {
        record::write(&self.dir.join("plan.json"), plan, Durability::Volatile)
    }

    /// The status; `None` before the first one was written.
    ///
    /// # Errors
    /// [`Error::Garbled`], [`Error::Version`], [`Error::File`].
    pub fn status(&self) -> Result<Option<StatusRecord>> {
        record::versioned(&self.dir.join("status.json"), STATUS_VERSION)
    }

    /// Replaces the status. By rename: a watcher sees `IN_MOVED_TO`.
    ///
    /// # Errors
    /// [`Error::File`], among them when the record is gone.
    pub fn write_status(&self, status: &StatusRecord) -> Result<()> {
        record::write(&self.dir.join("status.json"), status, Durability::Volatile)
    }

    /// The supervisor's memory, if it was written with `version`.
    ///
    /// # Errors
    /// [`Error::Garbled`], [`Error::Version`], [`Error::File`].
    pub fn machine<T: DeserializeOwned>(&self, version: u32) -> Result<Option<T>> {
        let path = self.dir.join("machine.json");
        Ok(record::versioned::<MachineRecord<T>>(&path, version)?.map(|record| record.machine))
    }

    /// Replaces the supervisor's memory.
    ///
    /// # Errors
    /// [`Error::File`], among them when the record is gone.
    pub fn write_machine<T: Serialize>(&self, version: u32, machine: &T) -> Result<()> {
        let record = MachineRecord { version, machine };
        record::write(&self.dir.join("machine.json"), &record, Durability::Volatile)
    }

    /// Plan and status together.
    ///
    /// # Errors
    /// As for [`PodRecord::plan`] and [`PodRecord::status`].
    pub fn load(&self) -> Result<LoadedPod> {
        let (plan, status) = (self.plan()?, self.status()?);
        Ok(LoadedPod { record: self.clone(), plan, status })
    }

    /// Becomes the pod's supervisor for as long as the guard lives. Taken
    /// before any other file of the record is written.
    ///
    /// # Errors
    /// [`Error::PodSupervised`] while another process is; [`Error::NoSuchPod`].
    pub fn supervise(&self) -> Result<OwnGuard> {
        let guard = lock::try_own(&self.shim_lock()).map_err(|e| self.or_missing(e))?;
        guard.ok_or_else(|| Error::PodSupervised { uid: self.uid.clone() })
    }

    /// True while another process supervises the pod: ask that one over its
    /// socket. False: what is on disk is all there is. Not for the supervisor
    /// itself, which would lose its lock.
    ///
    /// # Errors
    /// [`Error::NoSuchPod`], [`Error::File`].
    pub fn is_supervised(&self) -> Result<bool> {
        match lock::is_owned(&self.shim_lock()) {
            Err(e) if e.is_missing_file() && self.exists() => Ok(false),
            result => result.map_err(|e| self.or_missing(e)),
        }
    }

    fn shim_lock(&self) -> PathBuf {
        self.dir.join("shim.lock")
    }

    fn or_missing(&self, error: Error) -> Error {
        if error.is_missing_file() { Error::NoSuchPod { uid: self.uid.clone() } } else { error }
    }
}

/// The names in a directory; none when it is missing. Not UTF-8: not ours.
fn entries(dir: &Path) -> Result<Vec<String>> {
    let failed = |e: std::io::Error| Error::io("list", dir, "getdents64", &e);
    match fs::read_dir(dir) {
        Ok(entries) => entries
            .filter_map(|entry| entry.map(|e| e.file_name().into_string().ok()).transpose())
            .collect::<std::io::Result<_>>()
            .map_err(failed),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(failed(e)),
    }
}

/// Lets a name's link show a uid, whatever stale one was there.
fn point(link: &Path, uid: &PodUid) -> Result<()> {
    atomic::create_dirs(link.parent().unwrap_or(link), Durability::Volatile)?;
    remove_file(link)?;
    std::os::unix::fs::symlink(uid.as_str(), link)
        .map_err(|e| Error::io("claim pod name", link, "symlink", &e))
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", path, "unlink", &e)),
        _ => Ok(()),
    }
}

fn remove_tree(path: &Path) -> Result<()> {
    fs::remove_dir_all(path).map_err(|e| Error::io("remove record", path, "unlinkat", &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::plan;
    use crate::sys::testing::alone;

    fn store() -> (tempfile::TempDir, PodStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = PodStore::new(dir.path());
        (dir, store)
    }

    fn key(namespace: &str, name: &str) -> PodKey {
        PodKey { namespace: namespace.into(), name: name.into() }
    }

    fn status() -> StatusRecord {
        serde_json::from_value(serde_json::json!({
            "version": 1,
            "status": {"phase": "Running", "qosClass": "BestEffort"},
            "deletionTimestamp": "2026-01-31T23:59:59Z",
        }))
        .unwrap()
    }

    #[test]
    fn an_empty_root_has_no_pods_and_reading_it_makes_nothing() {
        let (dir, store) = store();
        assert!(store.list().unwrap().is_empty());
        assert_eq!(store.find(&key("default", "web")), Ok(None));
        store.remove(&PodUid::new("u").unwrap()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_was_written_is_read_back() {
        let (_dir, store) = store();
        let plan = plan("default", "web", "u1");
        let record = store.claim(&plan).unwrap();
        assert_eq!((record.plan().unwrap(), record.status().unwrap()), (plan, None));
        record.write_status(&status()).unwrap();
        record.write_machine(3, &vec![1, 2]).unwrap();
        let again = store.find(&key("default", "web")).unwrap().unwrap();
        assert_eq!(again.status().unwrap(), Some(status()));
        assert_eq!(again.machine::<Vec<i32>>(3).unwrap(), Some(vec![1, 2]));
        assert!(matches!(again.machine::<Vec<i32>>(4), Err(Error::Version { found: 3, .. })));
        assert_eq!(store.open(record.uid()), Ok(again));
    }

    #[test]
    fn a_taken_name_or_uid_is_refused_and_names_its_holder() {
        let (_dir, store) = store();
        store.claim(&plan("default", "web", "u1")).unwrap();
        let error = store.claim(&plan("default", "web", "u2")).unwrap_err();
        assert_eq!(error.to_string(), "create pod \"default/web\": already exists (uid u1)");
        assert!(matches!(
            store.claim(&plan("default", "db", "u1")),
            Err(Error::PodUidTaken { .. })
        ));
        store.claim(&plan("other", "web", "u3")).unwrap();
    }

    #[test]
    fn of_many_claims_at_once_one_wins() {
        let (_dir, store) = store();
        let wins = std::thread::scope(|scope| {
            let claims: Vec<_> = (0..16)
                .map(|n| {
                    let store = store.clone();
                    scope.spawn(move || store.claim(&plan("default", "web", &format!("u{n}"))))
                })
                .collect();
            claims.into_iter().filter_map(|claim| claim.join().unwrap().ok()).count()
        });
        assert_eq!((wins, store.list().unwrap().len()), (1, 1));
    }

    #[test]
    fn the_folder_goes_with_the_last_pod_while_others_come() {
        let (dir, store) = store();
        std::thread::scope(|scope| {
            for n in 0..4 {
                let store = store.clone();
                scope.spawn(move || {
                    for round in 0..100 {
                        let plan = plan("default", &format!("web-{n}"), &format!("u{n}-{round}"));
                        let record = store.claim(&plan).unwrap();
                        assert_eq!(store.open(record.uid()), Ok(record.clone()));
                        store.remove(record.uid()).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_folder_stays_for_the_node_and_goes_with_it() {
        let (dir, store) = store();
        assert!(!store.has_node().unwrap());
        let node = store.become_node().unwrap().expect("no other node");
        assert!(store.has_node().unwrap());
        assert!(store.become_node().unwrap().is_none());
        store.remove(&PodUid::new("u").unwrap()).unwrap();
        assert!(store.dir.exists());
        store.retire_node(node);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn names_that_are_no_file_names_are_refused() {
        let (_dir, store) = store();
        for (namespace, name) in [("..", "web"), ("default", "../x"), ("", "web"), ("a", ".names")]
        {
            let error = store.claim(&plan(namespace, name, "u1")).unwrap_err();
            assert!(matches!(error, Error::Name { .. }), "{error}");
        }
        assert!(store.list().unwrap().is_empty());
    }

    #[test]
    fn a_crash_between_name_and_record_is_recovered_by_the_next_claim() {
        let (_dir, store) = store();
        let crashed = plan("default", "web", "u1");
        let record = store.claim(&crashed).unwrap();
        atomic::create_dirs(&store.staging(), Durability::Volatile).unwrap();
        fs::rename(record.dir(), store.staging().join("u1")).unwrap();
        assert_eq!(store.find(&key("default", "web")), Ok(None));
        // The name is free again, and does not show whoever gets that uid next.
        store.claim(&plan("default", "other", "u1")).unwrap();
        assert_eq!(store.find(&key("default", "web")), Ok(None));
        store.claim(&plan("default", "web", "u2")).unwrap();
        assert_eq!(entries(&store.staging()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn removal_frees_the_name_and_can_be_repeated() {
        let (_dir, store) = store();
        let record = store.claim(&plan("default", "web", "u1")).unwrap();
        fs::create_dir(record.dir().join("sub")).unwrap();
        store.remove(record.uid()).unwrap();
        store.remove(record.uid()).unwrap();
        assert!(!record.exists() && store.list().unwrap().is_empty());
        assert!(matches!(record.plan(), Err(Error::NoSuchPod { .. })));
        assert!(record.write_status(&status()).unwrap_err().is_missing_file());
        assert!(matches!(record.is_supervised(), Err(Error::NoSuchPod { .. })));
        store.claim(&plan("default", "web", "u2")).unwrap();
    }

    #[test]
    fn removal_leaves_the_name_to_a_pod_that_has_it_by_now() {
        let (_dir, store) = store();
        let old = store.claim(&plan("default", "web", "u1")).unwrap();
        fs::remove_file(store.names().join("default/web")).unwrap();
        let new = store.claim(&plan("default", "web", "u2")).unwrap();
        store.remove(old.uid()).unwrap();
        assert_eq!(store.find(&key("default", "web")), Ok(Some(new)));
    }

    #[test]
    fn a_damaged_record_hides_no_other_and_can_be_removed() {
        let (_dir, store) = store();
        let bad = store.claim(&plan("default", "bad", "u1")).unwrap();
        store.claim(&plan("default", "web", "u2")).unwrap();
        store.claim(&plan("a", "web", "u3")).unwrap();
        fs::write(bad.dir().join("plan.json"), "{\"version\":1,").unwrap();
        let (pods, broken) = store.load_all().unwrap();
        let names: Vec<_> = pods.iter().map(|pod| pod.plan.namespace.as_str()).collect();
        assert_eq!((names, broken.len()), (vec!["a", "default"], 1));
        assert!(broken[0].to_string().contains("u1/plan.json"), "{}", broken[0]);
        store.remove(bad.uid()).unwrap();
        assert_eq!(store.find(&key("default", "bad")), Ok(None));
        assert!(!store.names().join("default/bad").is_symlink());
    }

    #[test]
    fn a_pod_has_one_supervisor_at_a_time() {
        let (_dir, store) = store();
        let record = store.claim(&plan("default", "web", "u1")).unwrap();
        assert!(!record.is_supervised().unwrap());
        let guard = record.supervise().unwrap();
        alone(|| {
            assert!(record.is_supervised().unwrap());
            assert!(matches!(record.supervise(), Err(Error::PodSupervised { .. })));
        });
        drop(guard);
        assert!(!record.is_supervised().unwrap());
        drop(record.supervise().unwrap());
    }

    #[test]
    fn strangers_in_the_directory_are_no_pods() {
        let (_dir, store) = store();
        store.claim(&plan("default", "web", "u1")).unwrap();
        fs::write(store.dir.join("not a uid"), "").unwrap();
        assert_eq!(store.list().unwrap().len(), 1);
    }
}
