//! Taking names and images away, and the content that nothing needs then.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::archive::limits;
use super::lock::{self, Removing};
use super::manifest::Document;
use super::{Digest, Error, Listed, Reference, Store, lease, names};

/// What a removal did, one step each, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    Untagged(Reference),
    Deleted(Digest),
}

/// What a clean-up did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    pub removed: Vec<Removed>,
    /// Bytes of blobs and of layers' files.
    pub reclaimed_bytes: u64,
}

impl Store {
    /// Gives the image `text` (a name or an id) another name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn tag(&self, text: &str, name: &Reference) -> Result<(), Error> {
        if name.digest().is_some() {
            let what = format!("tag {text:?} as {:?}: a digest cannot be given", name.familiar());
            return Err(Error::Unsupported { what });
        }
        let _adding = lock::Adding::begin(self)?;
        let image = self.find(text)?;
        let id = Digest::parse(&image.id).map_err(|_| Error::NotFound { name: text.into() })?;
        names::put(self, name, id, image.manifest)
    }

    /// Takes a name away, and the image with its last name; an id takes the
    /// image with its only name, or with all of them when `force`. An image
    /// in use keeps its name, or with `force` loses only that.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::InUse`], [`Error::ManyNames`].
    pub fn remove(&self, text: &str, force: bool) -> Result<Vec<Removed>, Error> {
        let removing = Removing::begin(self)?;
        let listed = self.find_listed(text)?;
        let id = listed.record.id;
        let by_id = text.starts_with("sha256:") || !names_it(&listed, text);
        if by_id && listed.names.len() > 1 && !force {
            return Err(Error::ManyNames { image: text.to_owned() });
        }
        let last = by_id || listed.names.len() <= 1;
        let holder = if last { lease::holder(self, &id)? } else { None };
        if let Some(owner) = holder.as_ref().filter(|_| !force) {
            let owner = owner.display().to_string();
            return Err(Error::InUse { image: text.to_owned(), owner });
        }
        let count = if by_id { listed.names.len() } else { 1 };
        let mut removed = Vec::new();
        for record in listed.names.iter().take(count) {
            names::remove(self, &record.name)?;
            removed.push(Removed::Untagged(record.name.clone()));
        }
        if last && holder.is_none() {
            self.delete(&id)?;
            removed.push(Removed::Deleted(id));
            let garbage = self.collect()?.0;
            drop(removing);
            garbage.iter().for_each(|path| lock::discard(path));
        }
        Ok(removed)
    }

    /// Removes nameless images, with `all` also those that have names, except
    /// those in use; then everything that no image needs.
    ///
    /// # Errors
    /// Records that cannot be read or removed.
    pub fn prune(&self, all: bool) -> Result<Pruned, Error> {
        let removing = Removing::begin(self)?;
        let mut removed = Vec::new();
        for listed in self.list()? {
            let id = listed.record.id;
            if (!all && !listed.names.is_empty()) || lease::holder(self, &id)?.is_some() {
                continue;
            }
            for name in listed.names {
                names::remove(self, &name.name)?;
                removed.push(Removed::Untagged(name.name));
            }
            self.delete(&id)?;
            removed.push(Removed::Deleted(id));
        }
        let (garbage, reclaimed_bytes) = self.collect()?;
        drop(removing);
        garbage.iter().for_each(|path| lock::discard(path));
        Ok(Pruned { removed, reclaimed_bytes })
    }

    fn delete(&self, id: &Digest) -> Result<(), Error> {
        let path = self.record_file(id);
        fs::remove_file(&path).map_err(Error::io("remove", path.display()))?;
        lease::forget(self, id);
        Ok(())
    }

    /// Moves what nothing needs to `tmp`; gives what is to be deleted, once
    /// the lock is free, and its size.
    fn collect(&self) -> Result<(Vec<PathBuf>, u64), Error> {
        let (blobs, layers) = self.needed()?;
        let mut bytes = 0;
        let mut garbage = lock::garbage(self);
        let mut take = |folder: &str, needed: &BTreeSet<Digest>| -> Result<(), Error> {
            let folder = self.root().join(folder);
            for path in entries(&folder)? {
                let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
                if Digest::from_hex(name).is_ok_and(|digest| !needed.contains(&digest)) {
                    let target = lock::temporary(self);
                    bytes += size(&path);
                    fs::rename(&path, &target).map_err(Error::io("remove", path.display()))?;
                    garbage.push(target);
                }
            }
            Ok(())
        };
        take("blobs/sha256", &blobs)?;
        take("layers", &layers)?;
        Ok((garbage, bytes))
    }

    /// The blobs and the chain ids that images and names lead to.
    fn needed(&self) -> Result<(BTreeSet<Digest>, BTreeSet<Digest>), Error> {
        let (mut blobs, mut layers) = (BTreeSet::new(), BTreeSet::new());
        for listed in self.list()? {
            blobs.extend([listed.record.id, listed.record.manifest]);
            blobs.extend(listed.record.layers.iter().map(|layer| layer.blob));
            layers.extend(listed.record.layers.iter().map(|layer| layer.chain_id));
            // A name may know the image by another manifest, with other blobs.
            for name in listed.names.iter().filter(|n| n.manifest != listed.record.manifest) {
                blobs.insert(name.manifest);
                blobs.extend(self.layers_of(&name.manifest)?);
            }
        }
        Ok((blobs, layers))
    }

    fn layers_of(&self, manifest: &Digest) -> Result<Vec<Digest>, Error> {
        let bytes = self.small_blob(manifest, limits::MANIFEST_MAX_BYTES)?;
        match Document::parse(&manifest.to_string(), &bytes)? {
            Document::Manifest(manifest) => {
                Ok(manifest.layers.iter().map(|layer| layer.digest).collect())
            }
            Document::Index(_) => Ok(Vec::new()),
        }
    }

    /// A manifest or a config of the store.
    pub(super) fn small_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, Error> {
        let path = self.blob_file(digest);
        let bytes = fs::metadata(&path).map_err(Error::io("read", path.display()))?.len();
        if bytes > limit {
            return Err(Error::Corrupt { path, problem: format!("more than {limit} bytes") });
        }
        fs::read(&path).map_err(Error::io("read", path.display()))
    }
}

/// Whether `text` is the name that the listing was found by, not an id.
fn names_it(listed: &Listed, text: &str) -> bool {
    Reference::parse(text).is_ok_and(|name| {
        listed
            .names
            .first()
            .is_some_and(|first| first.name == name || name.digest() == Some(first.manifest))
    })
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// Bytes of a blob, or of a layer as its note says.
fn size(path: &Path) -> u64 {
    let note = || {
        let bytes = fs::read(path.join("layer.json")).ok()?;
        let note: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        note.get("unpackedBytes")?.as_u64()
    };
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => note().unwrap_or(0),
    }
}
