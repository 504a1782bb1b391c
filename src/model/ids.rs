//! Names of things, checked once where they enter.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a string is no container id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidId {
    /// The empty string.
    Empty,
    /// More than 1024 bytes.
    TooLong,
    /// `.`, `..`, or a character outside `[A-Za-z0-9_+.-]`.
    Malformed(String),
    /// A name podrt keeps for itself below its root.
    Reserved(String),
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("container id cannot be empty"),
            Self::TooLong => f.write_str("container id is longer than 1024 bytes"),
            Self::Malformed(id) => write!(f, "invalid container id format: {id:?}"),
            Self::Reserved(id) => write!(f, "container id {id:?} is reserved"),
        }
    }
}

impl std::error::Error for InvalidId {}

/// An OCI container's id: runc's rule, safe as a single path component.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// Checks `id` against runc's rule (`[\w+.-]+`, not `.` or `..`).
    ///
    /// # Errors
    /// [`InvalidId`] says which part of the rule is broken.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidId> {
        let id = id.into();
        if id.is_empty() {
            return Err(InvalidId::Empty);
        }
        if id.len() > 1024 {
            return Err(InvalidId::TooLong);
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'-' | b'.');
        if id == "." || id == ".." || !id.bytes().all(allowed) {
            return Err(InvalidId::Malformed(id));
        }
        if id == "pods" {
            return Err(InvalidId::Reserved(id));
        }
        Ok(Self(id))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ContainerId {
    type Error = InvalidId;
    fn try_from(id: String) -> Result<Self, InvalidId> {
        Self::new(id)
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

/// A pod's uid: a path component like a container id, usually a UUID.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PodUid(String);

impl PodUid {
    /// Checks `uid`: at most 64 bytes of `[A-Za-z0-9-]`, not empty.
    ///
    /// # Errors
    /// [`InvalidId`] as for container ids.
    pub fn new(uid: impl Into<String>) -> Result<Self, InvalidId> {
        let uid = uid.into();
        if uid.is_empty() {
            return Err(InvalidId::Empty);
        }
        if uid.len() > 64 || !uid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(InvalidId::Malformed(uid));
        }
        Ok(Self(uid))
    }

    /// The uid as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for PodUid {
    type Error = InvalidId;
    fn try_from(uid: String) -> Result<Self, InvalidId> {
        Self::new(uid)
    }
}

impl From<PodUid> for String {
    fn from(uid: PodUid) -> Self {
        uid.0
    }
}

/// Namespace and name: what a user calls a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodKey {
    /// The namespace, `default` where none was given.
    pub namespace: String,
    /// The name.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_id_is_a_safe_path_component() {
        for good in ["a", "a.b-c_d+e", "0123"] {
            assert!(ContainerId::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a\0", "ä", "pods"] {
            assert!(ContainerId::new(bad).is_err(), "{bad}");
        }
        assert_eq!(ContainerId::new("x".repeat(1025)), Err(InvalidId::TooLong));
    }
}
