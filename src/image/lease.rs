//! Leases: who uses which image. A lease holds as long as the path that its
//! owner named exists, so that a crash or a reboot (which empties `/run`) ends
//! it without anybody's help, and no root can remove what another one runs.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::lock::Adding;
use super::{Digest, Error, Image, Store, record};
use crate::store::atomic::{self, Durability};
use crate::store::record as file;

#[derive(Debug, Serialize, Deserialize)]
struct Lease {
    version: u32,
    owner: PathBuf,
}

/// Keeps `image` from removal while `owner` exists: a pod's or a container's
/// folder below its root (`Roots::pod_run`), which must be there already and
/// must be UTF-8. Taking a lease twice is taking it once.
///
/// # Errors
/// [`Error::NotFound`] when the image has gone meanwhile.
pub fn take(store: &Store, image: &Image, owner: &Path) -> Result<(), Error> {
    let not_found = || Error::NotFound { name: image.name.clone() };
    let id = Digest::parse(&image.id).map_err(|_| not_found())?;
    let _adding = Adding::begin(store)?;
    if !store.record_file(&id).exists() {
        return Err(not_found());
    }
    let path = folder(store, &id).join(file_name(owner));
    atomic::create_dirs(&folder(store, &id), Durability::Volatile)?;
    let lease = Lease { version: record::VERSION, owner: owner.to_owned() };
    // After a loss of power there is no pod to keep it for.
    Ok(file::write(&path, &lease, Durability::Volatile)?)
}

/// Gives back every lease of `owner`. None to give back is no error.
///
/// # Errors
/// A lease that cannot be removed.
pub fn drop(store: &Store, owner: &Path) -> Result<(), Error> {
    let name = file_name(owner);
    for id in subfolders(&store.root().join("leases"))? {
        let path = id.join(&name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io("remove", path.display())(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// One who uses the image, if anybody does.
pub(super) fn holder(store: &Store, id: &Digest) -> Result<Option<PathBuf>, Error> {
    for path in subfolders(&folder(store, id))? {
        let Some(lease) = file::versioned::<Lease>(&path, record::VERSION)? else { continue };
        if lease.owner.symlink_metadata().is_ok() {
            return Ok(Some(lease.owner));
        }
    }
    Ok(None)
}

/// Forgets the leases of an image that is being removed.
pub(super) fn forget(store: &Store, id: &Digest) {
    let _ = fs::remove_dir_all(folder(store, id));
}

fn folder(store: &Store, id: &Digest) -> PathBuf {
    store.root().join("leases").join(id.hex())
}

/// A path may be longer than a file's name: its digest stands for it.
fn file_name(owner: &Path) -> String {
    format!("{}.json", Digest::of(owner.as_os_str().as_bytes()).hex())
}

fn subfolders(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| !path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".")))
            .collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("read", folder.display())(error)),
    }
}
