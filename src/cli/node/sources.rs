//! The manifest directory: which static pods it asks for.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::cli::pod::settings;
use crate::manifest::{self, PodObject, StaticSource};
use crate::model::{PodKey, Timestamp};

const MAX_BYTES: u64 = 10 << 20;

/// The pods of each file, as last read.
#[derive(Debug)]
pub struct Sources {
    place: PathBuf,
    node_name: String,
    known: BTreeMap<PathBuf, PodObject>,
    /// What was said of each file, so that nothing is said twice.
    told: BTreeMap<PathBuf, String>,
}

impl Sources {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(place: &Path) -> Self {
        let place = std::path::absolute(place).unwrap_or_else(|_| place.to_owned());
        Self {
            place,
            node_name: settings::node_name(),
            known: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// The folder to watch: the place itself, or what holds the one manifest.
    #[must_use]
    pub fn folder(&self) -> &Path {
        if self.place.is_file() { self.place.parent().unwrap_or(&self.place) } else { &self.place }
    }

    /// Reads everything anew. A file that has become invalid is left out from
    /// now on.
    pub fn rescan(&mut self, now: Timestamp) {
        let files = self.files();
        let mut known = BTreeMap::new();
        for file in files {
            match self.read(&file, now) {
                Ok(pod) => {
                    self.told.remove(&file);
                    known.insert(file, pod);
                }
                Err(message) => self.tell(file, message),
            }
        }
        self.known = known;
    }

    /// A file was written. One that cannot be read changes nothing until the
    /// next rescan.
    pub fn changed(&mut self, name: &Path, now: Timestamp) {
        let Some(file) = self.file(name) else { return };
        match self.read(&file, now) {
            Ok(pod) => {
                self.told.remove(&file);
                self.known.insert(file, pod);
            }
            Err(message) => self.tell(file, message),
        }
    }

    /// A file is gone.
    pub fn removed(&mut self, name: &Path) {
        if let Some(file) = self.file(name) {
            self.known.remove(&file);
            self.told.remove(&file);
        }
    }

    /// The pods that are asked for; of several with one name the first file's.
    pub fn desired(&mut self) -> BTreeMap<PodKey, PodObject> {
        let mut desired: BTreeMap<PodKey, PodObject> = BTreeMap::new();
        let mut twins = Vec::new();
        for (file, pod) in &self.known {
            let metadata = &pod.metadata;
            let key = PodKey { namespace: metadata.namespace.clone(), name: metadata.name.clone() };
            match desired.entry(key) {
                Entry::Vacant(free) => {
                    free.insert(pod.clone());
                }
                Entry::Occupied(taken) => twins.push((file.clone(), twin(taken.key(), pod))),
            }
        }
        for (file, message) in twins {
            self.tell(file, message);
        }
        desired
    }

    /// Says what is wrong with a file, once.
    fn tell(&mut self, file: PathBuf, message: String) {
        if self.told.get(&file) != Some(&message) {
            eprintln!("podrt: node: {message}");
            self.told.insert(file, message);
        }
    }

    /// The path of a name in the folder, if it is one that counts.
    fn file(&self, name: &Path) -> Option<PathBuf> {
        if self.place.is_file() || self.place.file_name() == name.file_name() {
            return (self.place.file_name() == name.file_name()).then(|| self.place.clone());
        }
        let is_hidden = name.to_string_lossy().starts_with('.');
        (!is_hidden).then(|| self.place.join(name))
    }

    /// The files that count, in their order; folders and names that begin with
    /// a dot do not.
    fn files(&self) -> Vec<PathBuf> {
        if self.place.is_file() {
            return vec![self.place.clone()];
        }
        // A folder that is not there has no static pods.
        let Ok(entries) = fs::read_dir(&self.place) else { return Vec::new() };
        let names = entries.flatten().map(|entry| PathBuf::from(entry.file_name()));
        let mut files: Vec<PathBuf> = names.filter_map(|name| self.file(&name)).collect();
        files.retain(|file| !file.is_dir());
        files.sort();
        files
    }

    fn read(&self, file: &Path, now: Timestamp) -> Result<PodObject, String> {
        let name = file.to_string_lossy();
        let failed = |e: std::io::Error| format!("{name}: {e}");
        // What is no file (a pipe, a device) could hold up the node for ever.
        if !fs::metadata(file).map_err(failed)?.is_file() {
            return Err(format!("{name}: not a regular file"));
        }
        let mut text = String::new();
        File::open(file)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
            .map_err(failed)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(format!("{name}: larger than {MAX_BYTES} bytes"));
        }
        let source = StaticSource { file: &name, node_name: &self.node_name, seen: now };
        manifest::static_pod(&text, source).map_err(|error| error.to_string())
    }
}

fn twin(key: &PodKey, pod: &PodObject) -> String {
    let PodKey { namespace, name } = key;
    format!(
        "Error validating pod {name}_{namespace}({}) from file due to duplicate pod name {name:?}, \
         ignoring",
        pod.metadata.uid
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: NAME}, spec: {containers: [{name: c, image: i}]}}";

    fn names(sources: &mut Sources) -> Vec<String> {
        let suffix = format!("-{}", settings::node_name());
        let keys = sources.desired().into_keys();
        keys.map(|key| key.name.trim_end_matches(&suffix).to_owned()).collect()
    }

    fn write(dir: &Path, file: &str, name: &str) {
        fs::write(dir.join(file), POD.replace("NAME", name)).unwrap();
    }

    #[test]
    fn every_plain_file_counts_but_hidden_ones_and_folders() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a.yaml", "a");
        write(dir.path(), "b.yaml.bak", "b");
        write(dir.path(), ".c.yaml", "c");
        fs::create_dir(dir.path().join("d")).unwrap();
        write(&dir.path().join("d"), "d.yaml", "d");
        std::os::unix::fs::symlink(dir.path().join("d/d.yaml"), dir.path().join("link")).unwrap();
        write(dir.path(), "z-twin.yaml", "a");
        let mut sources = Sources::new(dir.path());
        sources.rescan(Timestamp(0));
        assert_eq!(names(&mut sources), ["a", "b", "d"]);
    }

    #[test]
    fn a_file_that_became_invalid_counts_until_the_next_rescan() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a.yaml", "a");
        let mut sources = Sources::new(dir.path());
        sources.rescan(Timestamp(0));
        fs::write(dir.path().join("a.yaml"), "nonsense: [").unwrap();
        sources.changed(Path::new("a.yaml"), Timestamp(0));
        assert_eq!(names(&mut sources), ["a"]);
        sources.rescan(Timestamp(0));
        assert!(names(&mut sources).is_empty());
        write(dir.path(), "a.yaml", "b");
        sources.changed(Path::new("a.yaml"), Timestamp(0));
        assert_eq!(names(&mut sources), ["b"]);
        sources.removed(Path::new("a.yaml"));
        assert!(names(&mut sources).is_empty());
    }

    #[test]
    fn one_manifest_is_a_place_too_and_a_missing_one_has_no_pods() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a.yaml", "a");
        write(dir.path(), "b.yaml", "b");
        let mut sources = Sources::new(&dir.path().join("a.yaml"));
        sources.rescan(Timestamp(0));
        sources.changed(Path::new("b.yaml"), Timestamp(0));
        assert_eq!((names(&mut sources), sources.folder()), (vec!["a".to_owned()], dir.path()));
        let mut missing = Sources::new(&dir.path().join("gone"));
        missing.rescan(Timestamp(0));
        assert!(names(&mut missing).is_empty());
    }
}
