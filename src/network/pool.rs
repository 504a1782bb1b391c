//! Who has which address: one file for each, so that taking and giving back
//! one costs the same whatever the number of pods.
//!
//! Everything here happens under the machine's network lock. Under it, an
//! entry without the interface that is named after its address is stale: its
//! owner died before the interface came or after it went.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Error, Result};
use crate::model::{PodUid, Timestamp};
use crate::store::atomic::{Durability, create_dirs};
use crate::sys::clock;

/// A pod of one of the machine's podrt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The root that the pod belongs to.
    pub root: PathBuf,
    pub uid: PodUid,
}

/// One address in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    #[serde(flatten)]
    pub owner: Owner,
    pub since: Timestamp,
}

/// The folder of the pool.
#[derive(Debug)]
pub(super) struct Pool {
    folder: PathBuf,
}

impl Pool {
    pub(super) fn open(folder: PathBuf) -> Result<Self> {
        create_dirs(&folder, Durability::Volatile)?;
        Ok(Self { folder })
    }

    /// Puts `owner` on `address`; false when somebody has it.
    pub(super) fn take(&self, address: Ipv4Addr, owner: &Owner) -> Result<bool> {
        let path = self.path(address);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let mut file: File = match options.open(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            result => result.map_err(|error| Error::pool("open", &path, &error))?,
        };
        let entry = Entry { owner: owner.clone(), since: clock::now().wall };
        // A crash in here leaves a garbled entry, which counts as taken until
        // it is found stale.
        let bytes = serde_json::to_vec(&entry).unwrap_or_default();
        file.write_all(&bytes).map_err(|error| Error::pool("write", &path, &error))?;
        Ok(true)
    }

    /// Takes whoever has `address` off it.
    pub(super) fn free(&self, address: Ipv4Addr) -> Result<()> {
        let path = self.path(address);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::pool("unlink", &path, &error))
            }
            _ => Ok(()),
        }
    }

    /// The entry of `address`; `None` when it is free or garbled.
    pub(super) fn entry(&self, address: Ipv4Addr) -> Option<Entry> {
        serde_json::from_slice(&fs::read(self.path(address)).ok()?).ok()
    }

    /// The addresses that are taken, in no order, read as they are asked for.
    pub(super) fn taken(&self) -> Result<impl Iterator<Item = Ipv4Addr> + use<>> {
        let entries = fs::read_dir(&self.folder)
            .map_err(|error| Error::pool("opendir", &self.folder, &error))?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
    }

    fn path(&self, address: Ipv4Addr) -> PathBuf {
        self.folder.join(address.to_string())
    }
}

/// A one-line file next to the pool: what the machine's podrt agreed on.
pub(super) fn read_note<T: std::str::FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Writes a note. It may be lost or torn by a crash: a reader checks it.
pub(super) fn write_note(path: &Path, value: impl std::fmt::Display) -> Result<()> {
    fs::write(path, format!("{value}\n")).map_err(|error| Error::pool("write", path, &error))
}

/// Removes a note.
pub(super) fn remove_note(path: &Path) {
    // A note that stays is checked by the next reader like any other.
    let _ = fs::remove_file(path);
}
