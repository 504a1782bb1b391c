//! The pods on the machine, brought to what is asked for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::cli::error::CliError;
use crate::cli::pod::delete::How;
use crate::cli::pod::settings::{self, Settings};
use crate::cli::pod::start;
use crate::manifest::{Object, PodObject};
use crate::model::{PodKey, PodUid, Roots, Timestamp};
use crate::store::objects::{ObjectKey, ObjectStore};
use crate::store::pods::{LoadedPod, PodStore};
use crate::supervisor::client::{self, Client};
use crate::sys::clock;

const SOURCE: &str = "kubernetes.io/config.source";
/// A record without a shim that is younger than this may be one that is just
/// being started.
const YOUNG_SECONDS: u64 = 10;

/// The pods of one machine.
#[derive(Debug)]
pub struct Pods<'a> {
    roots: &'a Roots,
    objects: ObjectStore,
    /// Static pods that cannot be started as they are.
    refused: BTreeSet<String>,
}

fn room(error: crate::store::Error) -> CliError {
    CliError::room(&error, error.kind())
}

fn supervisor(error: crate::supervisor::Error) -> CliError {
    CliError::room(&error, error.kind())
}

impl<'a> Pods<'a> {
    #[must_use]
    pub fn new(roots: &'a Roots) -> Self {
        Self { roots, objects: ObjectStore::new(roots.objects()), refused: BTreeSet::new() }
    }

    fn loaded(&self) -> Result<Vec<LoadedPod>, CliError> {
        let (loaded, broken) = PodStore::new(&self.roots.root).load_all().map_err(room)?;
        for error in &broken {
            eprintln!("podrt: node: {error}, ignoring");
        }
        Ok(loaded)
    }

    /// Takes up what an earlier node, or an earlier boot, left: pods that run
    /// are left alone, those that lost all their processes are begun again, and
    /// so are the objects of pods that nobody runs.
    ///
    /// # Errors
    /// The store's. A pod that cannot be begun is only told of.
    pub fn take_up(&self) -> Result<(), CliError> {
        for pod in self.loaded()? {
            if self.is_lost(&pod)? {
                let name = &pod.plan.name;
                eprintln!("podrt: node: pod {name:?} has lost its processes, beginning anew");
                client::remove_lost(self.roots, pod.record.uid()).map_err(supervisor)?;
            }
        }
        let running: BTreeSet<PodKey> = self.loaded()?.iter().map(key_of).collect();
        for (key, object) in self.objects.list(None, "Pod").map_err(room)?.objects {
            let key = PodKey {
                namespace: key.namespace().unwrap_or_default().to_owned(),
                name: key.name().to_owned(),
            };
            if running.contains(&key) || is_static(&object) || !start::begins_at_boot(&object) {
                continue;
            }
            match self.begin_again(&object) {
                Ok(()) => println!("pod/{} started", key.name),
                Err(error) => eprintln!("podrt: node: start pod {:?}: {error}", key.name),
            }
        }
        Ok(())
    }

    /// Not ended, and without keeper and shim.
    fn is_lost(&self, pod: &LoadedPod) -> Result<bool, CliError> {
        let status = pod.status.as_ref().map(|record| &record.status);
        let has_ended = status.is_some_and(|status| status.phase.is_terminal());
        let age = clock::now().wall.since(pod.plan.created_at);
        if has_ended || age.as_secs() < YOUNG_SECONDS {
            return Ok(false);
        }
        let answers = Client::connect(self.roots, pod.record.uid()).map_err(supervisor)?.is_some();
        Ok(!answers && !pod.record.is_supervised().map_err(room)?)
    }

    /// The same pod as before: uid, creation and generation stay.
    fn begin_again(&self, object: &Value) -> Result<(), CliError> {
        let read = Object::from_json(object).map_err(|e| CliError::Manifest(e.to_string()))?;
        let Object::Pod(mut pod) = read else { return Ok(()) };
        let created = pod.metadata.creation_timestamp.unwrap_or_else(|| clock::now().wall);
        let settings = Settings::of(&pod);
        let plan = settings::plan(&mut pod, settings, self.roots, created)?
            .map_err(|report| CliError::Manifest(report.to_string()))?;
        start::launch(&self.objects, &pod, &plan).map(drop)
    }

    /// Ends the static pods that nobody asks for any more and begins those
    /// that do not run yet. One whose content changed begins when the old one
    /// of its name is gone.
    ///
    /// # Errors
    /// The store's. What goes wrong with one pod is only told.
    pub fn reconcile(&mut self, desired: BTreeMap<PodKey, PodObject>) -> Result<(), CliError> {
        let loaded = self.loaded()?;
        let mut taken = BTreeSet::new();
        for pod in &loaded {
            let key = key_of(pod);
            let wanted = desired.get(&key).map(|wanted| wanted.metadata.uid.as_str());
            if pod.plan.is_static
                && wanted != Some(pod.plan.uid.as_str())
                && let Err(error) = self.end(pod)
            {
                eprintln!("podrt: node: end pod {:?}: {error}", key.name);
            }
            taken.insert(key);
        }
        self.forget_objects(&desired, &loaded)?;
        for (key, pod) in desired {
            if taken.contains(&key) || self.refused.contains(&pod.metadata.uid) {
                continue;
            }
            let uid = pod.metadata.uid.clone();
            match self.begin(pod) {
                Ok(()) => println!("pod/{} started", key.name),
                Err(error) => {
                    eprintln!("podrt: node: start pod {:?}: {error}", key.name);
                    self.refused.insert(uid);
                }
            }
        }
        Ok(())
    }

    /// What could not be started is tried again.
    pub fn forgive(&mut self) {
        self.refused.clear();
    }

    fn begin(&self, mut pod: PodObject) -> Result<(), CliError> {
        let settings = Settings { is_static: true, ..Settings::of(&pod) };
        let now: Timestamp = clock::now().wall;
        let plan = settings::plan(&mut pod, settings, self.roots, now)?
            .map_err(|report| CliError::Manifest(report.to_string()))?;
        start::launch(&self.objects, &pod, &plan).map(drop)
    }

    /// With its own grace; the shim removes what is left.
    fn end(&self, pod: &LoadedPod) -> Result<(), CliError> {
        let is_ending =
            pod.status.as_ref().is_some_and(|record| record.deletion_timestamp.is_some());
        match Client::connect(self.roots, pod.record.uid()).map_err(supervisor)? {
            Some(_) if is_ending => Ok(()),
            Some(client) => {
                println!("pod/{} ends", pod.plan.name);
                client.tell_to_stop(How::graceful().order()).map_err(supervisor)
            }
            None => client::remove_ended(self.roots, pod.record.uid()).map_err(supervisor),
        }
    }

    /// The objects of static pods that are gone.
    fn forget_objects(
        &self,
        desired: &BTreeMap<PodKey, PodObject>,
        loaded: &[LoadedPod],
    ) -> Result<(), CliError> {
        for (key, object) in self.objects.list(None, "Pod").map_err(room)?.objects {
            let uid = object["metadata"]["uid"].as_str().and_then(|uid| PodUid::new(uid).ok());
            let is_wanted = desired
                .values()
                .any(|pod| uid.as_ref().is_some_and(|u| u.as_str() == pod.metadata.uid));
            let is_there = loaded.iter().any(|pod| uid.as_ref() == Some(pod.record.uid()));
            if is_static(&object) && !is_wanted && !is_there {
                let key: ObjectKey = key;
                self.objects.delete(&key).map_err(room)?;
            }
        }
        Ok(())
    }
}

fn key_of(pod: &LoadedPod) -> PodKey {
    PodKey { namespace: pod.plan.namespace.clone(), name: pod.plan.name.clone() }
}

fn is_static(object: &Value) -> bool {
    object["metadata"]["annotations"][SOURCE] == "file"
}
