//! JSON files with a format version.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::atomic::{self, Durability};
use super::{Error, Result};

/// No record comes near: an object is at most 1.5 MiB as JSON.
const LIMIT_BYTES: u64 = 16 << 20;

#[derive(Deserialize)]
struct Version {
    version: u64,
}

/// The file's bytes; `None` when there is no such file.
pub(super) fn bytes(path: &Path) -> Result<Option<Vec<u8>>> {
    let failed = |call| move |e: std::io::Error| Error::io("read record", path, call, &e);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed("open")(e)),
    };
    let mut bytes = Vec::new();
    file.take(LIMIT_BYTES + 1).read_to_end(&mut bytes).map_err(failed("read"))?;
    if bytes.len() as u64 > LIMIT_BYTES {
        return Err(Error::TooLarge { path: path.into(), limit_bytes: LIMIT_BYTES });
    }
    Ok(Some(bytes))
}

/// A JSON file of any shape.
pub(super) fn json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    bytes(path)?.map(|bytes| parse(path, &bytes)).transpose()
}

/// A record with a `version`, which must be `known`.
pub(crate) fn versioned<T: DeserializeOwned>(path: &Path, known: u32) -> Result<Option<T>> {
    let Some(bytes) = bytes(path)? else { return Ok(None) };
    // Another version may have another shape: look at that field first.
    let found = parse::<Version>(path, &bytes)?.version;
    if found != u64::from(known) {
        return Err(Error::Version { path: path.into(), found, known });
    }
    parse(path, &bytes).map(Some)
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|e| Error::Garbled { path: path.into(), cause: e.to_string() })
}

/// Writes `value` as JSON.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T, durability: Durability) -> Result<()> {
    atomic::write(path, &to_bytes(path, value)?, durability)
}

/// `value` as JSON, for the file at `path`.
fn to_bytes<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|e| Error::Garbled { path: path.into(), cause: e.to_string() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::plan::PodPlan;
    use crate::store::StatusRecord;

    fn read_back(bytes: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status.json");
        std::fs::write(&path, bytes).unwrap();
        let plan = versioned::<PodPlan>(&path, 1).map(drop).unwrap_err();
        let status = versioned::<StatusRecord>(&path, 1).map(drop).unwrap_err();
        let machine = versioned::<serde_json::Value>(&path, 77).map(drop).unwrap_err();
        for error in [&plan, &status, &machine] {
            assert!(error.to_string().contains("status.json"), "{error}");
        }
        status.to_string()
    }

    #[test]
    fn a_damaged_record_is_an_error_that_names_the_file() {
        assert!(read_back(b"").contains("EOF"));
        assert!(read_back(br#"{"version":1,"status":{"pha"#).contains("EOF"));
        assert!(read_back(br#"{"version":2}"#).ends_with("version 2, this podrt knows version 1"));
        assert!(read_back(br#"{"version":1}"#).contains("missing field"));
        read_back(&b"[".repeat(100_000));
        read_back(&[br#"{"version":1,"status":"#.as_slice(), &b"[".repeat(100_000)].concat());
    }

    #[test]
    fn a_record_beyond_all_sizes_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.json");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(bytes(&path), Err(Error::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read_back(&bytes);
        }
    }
}
