//! The store's folder: opening it, its locks, and reading what is there.

use std::path::{Path, PathBuf};

use super::record::{NameRecord, Record};
use super::{Digest, Error, Image, Reference};

/// The images below one data root. Opening is cheap; every command opens its
/// own. Adding and removing exclude each other across processes.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens `<data_root>/images`, making it when it is missing. Only its
    /// owner may enter it: layers hold other people's setuid files.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let _ = root;
        todo!("next landing")
    }

    /// The image that a name stands for; `None` when it is not here.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn resolve(&self, name: &Reference) -> Result<Option<Image>, Error> {
        let _ = (name, &self.root);
        todo!("next landing")
    }

    /// The image of a name, an id or the start of an id.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`], [`Error::Reference`].
    pub fn find(&self, text: &str) -> Result<Image, Error> {
        let _ = text;
        todo!("next landing")
    }

    /// Every image with its names, sorted by name.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn list(&self) -> Result<Vec<(Record, Vec<NameRecord>)>, Error> {
        todo!("next landing")
    }

    /// The folder of an unpacked layer, for overlayfs.
    #[must_use]
    pub fn layer_folder(&self, chain_id: &Digest) -> PathBuf {
        self.root.join("layers").join(chain_id.hex()).join("diff")
    }
}
