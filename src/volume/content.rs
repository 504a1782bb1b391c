//! What is in configMap, secret, downwardAPI and projected volumes.

use std::collections::BTreeMap;

use super::Result;
use crate::model::plan::{FieldRef, FilesVolume, ObjectKind, ResourceRef};

/// One file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Relative, without `..`.
    pub path: String,
    pub data: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// Where the caller finds what a volume refers to.
pub trait ContentSource {
    /// The keys of an object of the pod's namespace, decoded: a ConfigMap's
    /// data and binaryData, a Secret's data. `None` when it does not exist.
    fn object(&self, kind: ObjectKind, name: &str) -> Option<BTreeMap<String, Vec<u8>>>;
    /// A field of the pod, as the downward API prints it.
    fn field(&self, field: &FieldRef) -> String;
    /// A container's request or limit, divided and rounded up.
    fn resource(&self, resource: &ResourceRef) -> String;
}

/// The files of a volume.
///
/// # Errors
/// A missing object or key that is not optional, in the kubelet's words.
pub fn content(volume: &FilesVolume, source: &dyn ContentSource) -> Result<Vec<FileEntry>> {
    todo!("{volume:?} {}", source.field(&FieldRef::Name))
}
