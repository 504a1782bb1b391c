//! What the store knows of one image.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Digest, ImageConfig, Reference};

/// The version of the records on disk; others are refused.
pub(super) const VERSION: u32 = 1;

/// An image ready to run: every layer is unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The full name it was looked up by, or one of its names; its id when it
    /// has none.
    pub name: String,
    /// `sha256:…`, the digest of its config.
    pub id: String,
    /// The digest of the manifest that the name stands for.
    pub manifest: Digest,
    pub config: ImageConfig,
    /// Folders for overlayfs, topmost first.
    pub layers: Vec<PathBuf>,
    /// Bytes of the files in all layers.
    pub size_bytes: u64,
}

/// One image, `records/<hex of the id>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub(super) version: u32,
    /// The digest of the config.
    pub id: Digest,
    /// A manifest that describes it; references may know another one.
    pub manifest: Digest,
    /// RFC 3339, as the config says it.
    pub created: Option<String>,
    pub architecture: String,
    pub os: String,
    pub config: ImageConfig,
    /// Lowest first, as in the manifest.
    pub layers: Vec<Layer>,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// The blob as the manifest names it, often compressed.
    pub blob: Digest,
    pub blob_bytes: u64,
    pub media_type: String,
    /// The digest of the plain tar.
    pub diff_id: Digest,
    /// The digest of this layer on its parents: the name of the unpacked folder.
    pub chain_id: Digest,
    /// Bytes of its regular files.
    pub unpacked_bytes: u64,
}

impl Record {
    /// Bytes of the files in all layers.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.unpacked_bytes).sum()
    }
}

/// What a name stands for, `references/…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NameRecord {
    pub(super) version: u32,
    pub name: Reference,
    pub image: Digest,
    pub manifest: Digest,
}
