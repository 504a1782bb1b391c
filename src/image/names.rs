//! The files below `references/`: which name stands for which image.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::record::{self, NameRecord};
use super::{Digest, Error, Reference, Store};
use crate::store::atomic::{self, Durability};
use crate::store::record as file;

/// Deeper than any name: 255 bytes of path have at most 128 components.
const DEPTH_MAX: usize = 132;

/// The record of `name`. A pinned manifest is also found under a tag of its
/// repository that stands for it.
pub(super) fn look_up(store: &Store, name: &Reference) -> Result<Option<NameRecord>, Error> {
    let found = read(&references(store).join(name.file()))?;
    let Some(digest) = name.digest().filter(|_| found.is_none()) else { return Ok(found) };
    let tags = references(store).join(name.repository_folder()).join("_tags");
    for path in entries(&tags)? {
        if let Some(tagged) = read(&path)?.filter(|tagged| tagged.manifest == digest) {
            return Ok(Some(tagged));
        }
    }
    Ok(None)
}

/// Every name, sorted.
pub(super) fn all(store: &Store) -> Result<Vec<NameRecord>, Error> {
    let mut found = Vec::new();
    collect(&references(store), DEPTH_MAX, &mut found)?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Lets `name` stand for `image`, whatever it stood for.
pub(super) fn put(
    store: &Store,
    name: &Reference,
    image: Digest,
    manifest: Digest,
) -> Result<(), Error> {
    let path = references(store).join(name.file());
    let folder = path.parent().unwrap_or(&path);
    atomic::create_dirs(folder, Durability::Disk)?;
    let record = NameRecord { version: record::VERSION, name: name.clone(), image, manifest };
    Ok(file::write(&path, &record, Durability::Disk)?)
}

/// Forgets `name`, with the folders that only it needed. The caller has the
/// store alone.
pub(super) fn remove(store: &Store, name: &Reference) -> Result<(), Error> {
    let root = references(store);
    let path = root.join(name.file());
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Error::io("remove", path.display())(error));
        }
        _ => {}
    }
    for folder in path.ancestors().skip(1).take_while(|folder| *folder != root) {
        // The first folder that another name needs ends this.
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok(())
}

fn references(store: &Store) -> std::path::PathBuf {
    store.root().join("references")
}

fn read(path: &Path) -> Result<Option<NameRecord>, Error> {
    Ok(file::versioned(path, record::VERSION)?)
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<NameRecord>) -> Result<(), Error> {
    for path in entries(folder)? {
        if path.is_dir() {
            if depth > 0 {
                collect(&path, depth - 1, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.extend(read(&path)?);
        }
    }
    Ok(())
}

/// What is in a folder; nothing in one that is not there.
fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>, Error> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("read", folder.display())(error)),
    }
}
