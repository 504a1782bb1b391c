//! Running a process in a container.

use std::path::Path;

use super::error::Result;
use super::options::{Exec, ExecOptions};
use crate::model::ContainerId;

/// A container that processes are run in: loaded once, used for many.
#[derive(Debug)]
pub struct Target {
    /// The container's own process, to copy what an exec inherits.
    pub process: oci_spec::runtime::Process,
}

impl Target {
    /// # Errors
    /// [`Error::DoesNotExist`](super::Error::DoesNotExist),
    /// [`Error::NotRunning`](super::Error::NotRunning).
    pub fn load(state_root: &Path, id: &ContainerId) -> Result<Self> {
        let _ = (state_root, id);
        todo!()
    }

    /// Runs one process; returns when its program has been executed.
    ///
    /// # Errors
    /// What failed, [`Error::Step`](super::Error::Step) inside.
    pub fn exec(&self, options: ExecOptions) -> Result<Exec> {
        let _ = options;
        todo!()
    }
}
