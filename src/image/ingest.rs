//! One addition to the store: layers and blobs gather in a folder of their own
//! below `tmp`, and enter the store together, once all of them are verified
//! and on disk. Interrupted at any moment, it leaves garbage in `tmp` and
//! nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::archive::lower::Lower;
use super::archive::pipe::{self, Seen};
use super::archive::unpack::unpack;
use super::lock::{self, Adding};
use super::record::{self, Layer, Record};
use super::{Digest, Error, Reference, Store, names};
use crate::store::atomic::{self, Durability};
use crate::store::record as file;
use crate::sys::SyscallError;
use crate::sys::fault::{self, Point};

/// What a layer must turn out to be; `None` where nobody has said it.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub media_type: String,
    pub blob: Option<Digest>,
    pub blob_bytes: Option<u64>,
    pub diff_id: Option<Digest>,
}

/// `layers/<chain id>/layer.json`: there only when the folder is complete.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unpacked {
    version: u32,
    diff_id: Digest,
    unpacked_bytes: u64,
}

/// An addition under way. Dropped without [`Ingest::commit`], it leaves nothing.
#[derive(Debug)]
pub(super) struct Ingest<'a> {
    store: &'a Store,
    _adding: Adding,
    folder: PathBuf,
    blobs: BTreeMap<Digest, PathBuf>,
    layers: BTreeMap<Digest, PathBuf>,
}

impl<'a> Ingest<'a> {
    /// Begins; nothing is removed from the store until this ends.
    pub(super) fn begin(store: &'a Store) -> Result<Self, Error> {
        let adding = Adding::begin(store)?;
        let folder = lock::temporary(store);
        atomic::create_dirs(&folder, Durability::Volatile)?;
        let (blobs, layers) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { store, _adding: adding, folder, blobs, layers })
    }

    /// A new file in this addition's folder.
    pub(super) fn scratch(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Keeps a manifest or a config.
    pub(super) fn small_blob(&mut self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        let path = self.folder.join(format!("blob-{}", digest.hex()));
        fs::write(&path, bytes).map_err(Error::io("write", path.display()))?;
        self.blobs.insert(digest, path);
        Ok(digest)
    }

    /// Keeps and unpacks a layer on top of `parents` (lowest first), unless
    /// the store has it already.
    pub(super) fn layer(
        &mut self,
        what: &str,
        blob: impl Read + Send,
        expected: Expected,
        parents: &[Layer],
    ) -> Result<Layer, Error> {
        let parent = parents.last().map(|layer| layer.chain_id);
        if let (Some(digest), Some(blob_bytes), Some(diff_id)) =
            (expected.blob, expected.blob_bytes, expected.diff_id)
        {
            let chain_id = Digest::chain(parent.as_ref(), &diff_id);
            if let Some(unpacked_bytes) = self.unpacked(&chain_id)? {
                if !self.has_blob(&digest) {
                    self.copy_blob(what, blob, digest, blob_bytes)?;
                }
                let media_type = expected.media_type;
                return Ok(Layer {
                    blob: digest,
                    blob_bytes,
                    media_type,
                    diff_id,
                    chain_id,
                    unpacked_bytes,
                });
            }
        }
        let folder = self.folder.join(format!("layer-{}", self.layers.len()));
        let kept = self.folder.join(format!("blob-of-layer-{}", self.layers.len()));
        fault::at(Point::UnpackLayer).map_err(Error::system("unpack", what))?;
        let (unpacked_bytes, seen) = self.unpack(what, blob, parents, &folder, &kept)?;
        verify(what, &expected, &seen)?;
        let chain_id = Digest::chain(parent.as_ref(), &seen.diff_id);
        let note = Unpacked { version: record::VERSION, diff_id: seen.diff_id, unpacked_bytes };
        file::write(&folder.join("layer.json"), &note, Durability::Volatile)?;
        self.layers.insert(chain_id, folder);
        self.blobs.insert(seen.blob, kept);
        let Seen { blob, blob_bytes, diff_id, .. } = seen;
        let media_type = expected.media_type;
        Ok(Layer { blob, blob_bytes, media_type, diff_id, chain_id, unpacked_bytes })
    }

    /// Enters everything into the store, with the image's record and its names.
    pub(super) fn commit(mut self, record: &Record, names: &[Reference]) -> Result<(), Error> {
        self.settle()?;
        let path = self.store.record_file(&record.id);
        fault::at(Point::WriteImageRecord).map_err(Error::system("write", path.display()))?;
        file::write(&path, record, Durability::Disk)?;
        for name in names {
            fault::at(Point::PutImageName).map_err(Error::system("name", name))?;
            names::put(self.store, name, record.id, record.manifest)?;
        }
        Ok(())
    }

    /// Syncs once, then moves layers and blobs to their places.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        let root = self.store.root();
        let failed = |call| {
            move |errno| Error::system("sync", root.display())(SyscallError::new(call, "", errno))
        };
        let opened = File::open(root).map_err(Error::io("open", root.display()))?;
        nix::unistd::syncfs(&opened).map_err(failed("syncfs"))?;
        fault::at(Point::SettleLayers).map_err(Error::system("settle", "layers"))?;
        for (chain_id, folder) in std::mem::take(&mut self.layers) {
            enter(&folder, &self.store.layer(&chain_id))?;
        }
        fault::at(Point::SettleBlobs).map_err(Error::system("settle", "blobs"))?;
        for (digest, path) in std::mem::take(&mut self.blobs) {
            enter(&path, &self.store.blob_file(&digest))?;
        }
        for folder in ["layers", "blobs/sha256"].map(|folder| root.join(folder)) {
            File::open(&folder)
                .and_then(|folder| folder.sync_all())
                .map_err(Error::io("sync", folder.display()))?;
        }
        Ok(())
    }

    fn unpack(
        &self,
        what: &str,
        blob: impl Read + Send,
        parents: &[Layer],
        folder: &Path,
        kept: &Path,
    ) -> Result<(u64, Seen), Error> {
        let diff = folder.join("diff");
        atomic::create_dirs_with_mode(&diff, 0o755, Durability::Volatile)?;
        let lower: Vec<PathBuf> =
            parents.iter().rev().map(|layer| self.layer_folder(&layer.chain_id)).collect();
        let lower = Lower::open(lower.iter().map(PathBuf::as_path))
            .map_err(Error::system("open parents of", what))?;
        let keep = File::create_new(kept).map_err(Error::io("create", kept.display()))?;
        pipe::run(blob, Some(keep), |plain| unpack(plain, &diff, lower), unreadable(what))
    }

    /// Where a layer is now: in the store, or still with this addition.
    fn layer_folder(&self, chain_id: &Digest) -> PathBuf {
        self.layers
            .get(chain_id)
            .map_or_else(|| self.store.layer_folder(chain_id), |folder| folder.join("diff"))
    }

    /// The bytes of a layer that is unpacked already.
    fn unpacked(&self, chain_id: &Digest) -> Result<Option<u64>, Error> {
        let folder =
            self.layers.get(chain_id).cloned().unwrap_or_else(|| self.store.layer(chain_id));
        let note = file::versioned::<Unpacked>(&folder.join("layer.json"), record::VERSION)?;
        Ok(note.map(|note| note.unpacked_bytes))
    }

    fn has_blob(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest) || self.store.blob_file(digest).is_file()
    }

    fn copy_blob(
        &mut self,
        what: &str,
        mut blob: impl Read,
        want: Digest,
        want_bytes: u64,
    ) -> Result<(), Error> {
        use sha2::Digest as _;
        let path = self.folder.join(format!("blob-{}", want.hex()));
        let mut file = File::create(&path).map_err(Error::io("create", path.display()))?;
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        let mut total = 0;
        loop {
            let count = match blob.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(what)(error)),
            };
            total += count as u64;
            hasher.update(&buffer[..count]);
            std::io::Write::write_all(&mut file, &buffer[..count])
                .map_err(Error::io("write", path.display()))?;
        }
        same_size(what, want_bytes, total)?;
        same_digest(what, want, Digest::from_hasher(hasher))?;
        self.blobs.insert(want, path);
        Ok(())
    }
}

impl Drop for Ingest<'_> {
    fn drop(&mut self) {
        lock::discard(&self.folder);
    }
}

/// Renames into the store; what another command entered meanwhile is the same.
fn enter(from: &Path, to: &Path) -> Result<(), Error> {
    match fs::rename(from, to) {
        Err(error)
            if [Errno::ENOTEMPTY, Errno::EEXIST]
                .map(|errno| Some(errno as i32))
                .contains(&error.raw_os_error()) =>
        {
            Ok(())
        }
        done => done.map_err(Error::io("rename", to.display())),
    }
}

fn verify(what: &str, expected: &Expected, seen: &Seen) -> Result<(), Error> {
    if let Some(want) = expected.blob {
        same_digest(what, want, seen.blob)?;
    }
    if let Some(want) = expected.blob_bytes {
        same_size(what, want, seen.blob_bytes)?;
    }
    match expected.diff_id {
        Some(want) => same_digest(&format!("{what}, unpacked"), want, seen.diff_id),
        None => Ok(()),
    }
}

pub(super) fn same_digest(what: &str, want: Digest, got: Digest) -> Result<(), Error> {
    if want == got {
        return Ok(());
    }
    Err(Error::DigestMismatch { what: what.to_owned(), want, got })
}

pub(super) fn same_size(what: &str, want: u64, got: u64) -> Result<(), Error> {
    if want == got {
        return Ok(());
    }
    Err(Error::malformed(what, format!("want {want} bytes, got {got}")))
}

fn unreadable(what: &str) -> impl Fn(std::io::Error) -> Error {
    let what = what.to_owned();
    move |error| match error.raw_os_error() {
        Some(_) => Error::io("read", &what)(error),
        None => Error::malformed(&what, error),
    }
}
