//! The store's folder: opening it and reading what is there.

use std::fs;
use std::path::{Path, PathBuf};

use super::names;
use super::record::{self, NameRecord, Record};
use super::{Digest, Error, Image, Reference};
use crate::store::atomic::{self, Durability};
use crate::store::record as file;

/// The images below one data root. Opening is cheap; every command opens its
/// own, and any number may work at the same time.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// One image and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub record: Record,
    /// Sorted; empty for an image whose names moved on to others.
    pub names: Vec<NameRecord>,
}

impl Store {
    /// Opens `<data_root>/images`, making it when it is missing. Only its
    /// owner may enter it: layers hold other people's setuid files.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let store = Self { root: root.to_owned() };
        // Made last: where it is, the others are.
        if !store.empty_layer().is_dir() {
            let folders = ["blobs/sha256", "records", "references", "layers", "leases", "tmp"];
            for folder in folders.map(|folder| root.join(folder)).iter() {
                atomic::create_dirs(folder, Durability::Volatile)?;
            }
            atomic::create_dirs_with_mode(&store.empty_layer(), 0o755, Durability::Volatile)?;
        }
        Ok(store)
    }

    /// The image that a name stands for; `None` when it is not here. A digest
    /// also finds an image that came under a tag of the same repository.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn resolve(&self, name: &Reference) -> Result<Option<Image>, Error> {
        let Some(found) = names::look_up(self, name)? else { return Ok(None) };
        let record = self.record(&found.image)?.ok_or_else(|| Error::Corrupt {
            path: self.record_file(&found.image),
            problem: format!("missing, but {name} names it"),
        })?;
        Ok(Some(self.image(name.to_string(), found.manifest, record)))
    }

    /// The image of a name, an id or the start of an id.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`], [`Error::Reference`].
    pub fn find(&self, text: &str) -> Result<Image, Error> {
        let listed = self.find_listed(text)?;
        let name = listed.names.first().map(|name| (name.name.to_string(), name.manifest));
        let (name, manifest) =
            name.unwrap_or_else(|| (listed.record.id.to_string(), listed.record.manifest));
        Ok(self.image(name, manifest, listed.record))
    }

    /// As [`Store::find`]; a name comes first among the names.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub fn find_listed(&self, text: &str) -> Result<Listed, Error> {
        let not_found = || Error::NotFound { name: text.to_owned() };
        let explicit_id = text.strip_prefix("sha256:");
        if explicit_id.is_none()
            && let Ok(name) = Reference::parse(text)
            && let Some(found) = names::look_up(self, &name)?
        {
            let mut listed = self.listed_by_id(&found.image)?.ok_or_else(not_found)?;
            listed.names.retain(|other| other.name != found.name);
            listed.names.insert(0, found);
            return Ok(listed);
        }
        let prefix = explicit_id.unwrap_or(text);
        if prefix.is_empty() || !prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            let problem = |problem| Error::Reference { text: text.to_owned(), problem };
            return Err(Reference::parse(text).map_or_else(problem, |_| not_found()));
        }
        let mut matching = self.ids()?.into_iter().filter(|id| id.hex().starts_with(prefix));
        match (matching.next(), matching.next()) {
            (None, _) => Err(not_found()),
            (Some(_), Some(_)) => Err(Error::Ambiguous { id: text.to_owned() }),
            (Some(id), None) => self.listed_by_id(&id)?.ok_or_else(not_found),
        }
    }

    /// Every image with its names, sorted by name, nameless ones last.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let names = names::all(self)?;
        let mut images = Vec::new();
        for id in self.ids()? {
            let Some(record) = self.record(&id)? else { continue };
            let names = names.iter().filter(|name| name.image == id).cloned().collect();
            images.push(Listed { record, names });
        }
        images.sort_by(|a, b| {
            let key = |listed: &Listed| listed.names.first().map(|name| name.name.to_string());
            let (a, b) = (key(a), key(b));
            a.is_none().cmp(&b.is_none()).then_with(|| a.cmp(&b))
        });
        Ok(images)
    }

    /// The folder of an unpacked layer, for overlayfs.
    #[must_use]
    pub fn layer_folder(&self, chain_id: &Digest) -> PathBuf {
        self.layer(chain_id).join("diff")
    }

    /// The file of a blob.
    #[must_use]
    pub fn blob_file(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// An empty folder: the only layer of an image that has none.
    pub(super) fn empty_layer(&self) -> PathBuf {
        self.root.join("empty")
    }

    pub(super) fn layer(&self, chain_id: &Digest) -> PathBuf {
        self.root.join("layers").join(chain_id.hex())
    }

    pub(super) fn record_file(&self, id: &Digest) -> PathBuf {
        self.root.join("records").join(format!("{}.json", id.hex()))
    }

    pub(super) fn record(&self, id: &Digest) -> Result<Option<Record>, Error> {
        Ok(file::versioned(&self.record_file(id), record::VERSION)?)
    }

    /// The ids of all images, sorted.
    pub(super) fn ids(&self) -> Result<Vec<Digest>, Error> {
        let folder = self.root.join("records");
        let entries = fs::read_dir(&folder).map_err(Error::io("read", folder.display()))?;
        let id = |entry: fs::DirEntry| {
            Digest::from_hex(entry.file_name().to_str()?.strip_suffix(".json")?).ok()
        };
        let mut ids: Vec<_> = entries.flatten().filter_map(id).collect();
        ids.sort();
        Ok(ids)
    }

    fn listed_by_id(&self, id: &Digest) -> Result<Option<Listed>, Error> {
        let Some(record) = self.record(id)? else { return Ok(None) };
        let mut names = names::all(self)?;
        names.retain(|name| name.image == *id);
        Ok(Some(Listed { record, names }))
    }

    fn image(&self, name: String, manifest: Digest, record: Record) -> Image {
        let mut layers: Vec<_> =
            record.layers.iter().rev().map(|layer| self.layer_folder(&layer.chain_id)).collect();
        if layers.is_empty() {
            layers.push(self.empty_layer());
        }
        let size_bytes = record.size_bytes();
        let id = record.id.to_string();
        Image { name, id, manifest, config: record.config, layers, size_bytes }
    }
}
