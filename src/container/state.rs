//! A container as others see it: the state of the runtime specification.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::Result;
use crate::model::{ContainerId, PodUid};

/// What a container does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    /// As the specification spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// What `state` and `list` print: the specification's fields, then runc's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    pub oci_version: String,
    pub id: ContainerId,
    /// 0 when stopped.
    pub pid: i32,
    pub status: Status,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    /// RFC 3339, UTC.
    pub created: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Name of the user who created it, or the uid as text.
    pub owner: String,
    /// The pod it belongs to, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodUid>,
}

impl State {
    /// The state of one container; the status is derived now.
    ///
    /// # Errors
    /// [`Error::DoesNotExist`](super::Error::DoesNotExist).
    pub fn load(state_root: &Path, id: &ContainerId) -> Result<Self> {
        let _ = (state_root, id);
        todo!()
    }

    /// All containers below `state_root`, by id.
    ///
    /// # Errors
    /// When the folder cannot be read; a missing one is empty.
    pub fn list(state_root: &Path) -> Result<Vec<Self>> {
        let _ = state_root;
        todo!()
    }
}
