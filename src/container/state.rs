//! A container as others see it: the state of the runtime specification.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::Result;
use super::record::{self, Record, StateDir};
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
        let dir = StateDir::of(state_root, id);
        Ok(Self::of(&dir, Record::load(&dir)?))
    }

    /// All containers below `state_root`, by id. One that is just being
    /// removed, or whose record is damaged, is left out.
    ///
    /// # Errors
    /// When the folder cannot be read; a missing one is empty.
    pub fn list(state_root: &Path) -> Result<Vec<Self>> {
        let ids = record::ids(state_root)?;
        Ok(ids.iter().filter_map(|id| Self::load(state_root, id).ok()).collect())
    }

    fn of(dir: &StateDir, record: Record) -> Self {
        let status = record.status(dir);
        Self {
            oci_version: record.oci_version,
            id: record.id,
            pid: if status == Status::Stopped { 0 } else { record.pid },
            status,
            bundle: record.bundle,
            rootfs: record.rootfs,
            created: record.created,
            annotations: record.annotations,
            owner: user_name(record.uid),
            pod: record.owner,
        }
    }
}

/// The name that the host's /etc/passwd has for `uid`, else the number.
fn user_name(uid: u32) -> String {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = uid.to_string();
    let entry = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut found = entry.filter(|fields| fields.get(2) == Some(&number.as_str()));
    found.next().map_or_else(|| number.clone(), |fields| fields[0].to_owned())
}
