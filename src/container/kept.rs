//! What is kept of a container's spec for the verbs to come.
//!
//! An OCI container keeps its `config.json`. A pod's container keeps the
//! neutral spec that it was made from, in `container.json`: reading a whole OCI
//! spec takes code (down to regular expressions) that a shim has no other use
//! for. The two ways meet in no match, so that each executable links its own.

use std::fmt::Debug;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use oci_spec::runtime::Spec;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Error, Result};
use super::from_spec;
use crate::model::spec::ContainerSpec;
use crate::sys::SyscallError;

/// Writes what later verbs need into the container's state directory.
pub trait Keep: Debug {
    /// # Errors
    /// The file cannot be written, or exists.
    fn keep(&self, state: &Path, spec: &Spec) -> Result<()>;
}

/// The spec itself.
#[derive(Debug, Clone, Copy)]
pub struct Config;

const CONFIG: &str = "config.json";
const CONTAINER: &str = "container.json";

impl Keep for Config {
    fn keep(&self, state: &Path, spec: &Spec) -> Result<()> {
        write(&state.join(CONFIG), spec)
    }
}

/// All of it but the mounts, which are made once.
impl Keep for ContainerSpec {
    fn keep(&self, state: &Path, _spec: &Spec) -> Result<()> {
        write(&state.join(CONTAINER), &Self { mounts: Vec::new(), ..self.clone() })
    }
}

/// What [`Config`] kept.
pub(super) fn config(state: &Path) -> Result<Spec> {
    read(&state.join(CONFIG))
}

/// What [`ContainerSpec`] kept.
pub(super) fn container(state: &Path) -> Result<ContainerSpec> {
    read(&state.join(CONTAINER))
}

/// [`container`] as an OCI spec, without the pod's mounts.
pub(super) fn container_as_spec(state: &Path) -> Result<Spec> {
    from_spec::oci(&container(state)?, Vec::new()).map(|(spec, _)| spec)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(|error| failed("read", path, &error))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::Parse { path: path.to_owned(), problem: error.to_string() })
}

/// Written once, before state.json says that the container is there.
/// Environments hold secrets: for root's eyes only.
fn write<T: Serialize>(path: &Path, what: &T) -> Result<()> {
    let bytes = serde_json::to_vec(what)
        .map_err(|error| Error::Parse { path: path.to_owned(), problem: error.to_string() })?;
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(&bytes))
        .map_err(|error| failed("write", path, &error))
}

fn failed(call: &'static str, path: &Path, error: &std::io::Error) -> Error {
    Error::Call {
        what: "container state".to_owned(),
        source: SyscallError::from_io(call, format!("{path:?}"), error),
    }
}
