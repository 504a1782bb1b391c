//! The part of an image's config that a container's process gets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::Signal;

/// What an image says about its process; empty where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageConfig {
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// `user`, `uid`, `user:group` or `uid:gid`; empty is root.
    pub user: String,
    /// Empty is `/`.
    pub working_dir: String,
    /// None when the image names none, or none that Linux knows.
    pub stop_signal: Option<Signal>,
    /// Paths that want a volume, in order.
    pub volumes: Vec<String>,
    /// `80/tcp`, in order.
    pub exposed_ports: Vec<String>,
    pub labels: BTreeMap<String, String>,
}
