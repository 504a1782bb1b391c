//! Lists of names that lie beside the images.

use std::path::Path;

use super::super::error::{Error, Result};
use super::super::record::store_error;
use crate::store::atomic::{self, Durability};
use crate::sys::SyscallError;

pub(super) fn write(path: &Path, names: &[String]) -> Result<()> {
    let bytes = serde_json::to_vec(names)
        .map_err(|error| Error::Parse { path: path.to_owned(), problem: error.to_string() })?;
    atomic::write(path, &bytes, Durability::Disk).map_err(|error| store_error(&error))
}

/// `None` when there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Vec<String>>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Error::Parse { path: path.to_owned(), problem: error.to_string() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Call {
            what: "read checkpoint".to_owned(),
            source: SyscallError::from_io("open", format!("{path:?}"), &error),
        }),
    }
}
