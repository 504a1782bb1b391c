//! The objects of a manifest.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Report;
use crate::model::object::ObjectData;
use crate::model::status::PodStatus;

/// One object of a manifest, defaulted and validated.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    Pod(Box<PodObject>),
    ConfigMap(ConfigMapObject),
    Secret(SecretObject),
    /// Namespace, Service, `PersistentVolumeClaim`: kept as they are.
    Other(OtherObject),
}

/// `metadata`; an empty string is an absent field.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObjectMeta {
    pub name: String,
    pub generate_name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// A pod with its defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct PodObject {
    pub metadata: ObjectMeta,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ConfigMapObject {
    pub metadata: ObjectMeta,
    pub data: ObjectData,
    pub immutable: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SecretObject {
    pub metadata: ObjectMeta,
    pub r#type: String,
    pub data: ObjectData,
    pub immutable: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OtherObject {
    pub metadata: ObjectMeta,
    pub kind: String,
    pub json: Value,
}

/// Reads every object of `text` (YAML, many documents, or JSON), fills in the
/// defaults and validates; `file_name` only appears in errors. An object
/// without a namespace keeps an empty one in its metadata until the caller
/// sets it; validation treats it as `default`.
///
/// # Errors
/// All that is wrong, in every object, at once.
pub fn parse(_text: &str, _file_name: &str) -> Result<Vec<Object>, Report> {
    todo!()
}

impl Object {
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Pod(_) => "Pod",
            Self::ConfigMap(_) => "ConfigMap",
            Self::Secret(_) => "Secret",
            Self::Other(other) => &other.kind,
        }
    }

    #[must_use]
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Pod(pod) => &pod.metadata,
            Self::ConfigMap(object) => &object.metadata,
            Self::Secret(object) => &object.metadata,
            Self::Other(object) => &object.metadata,
        }
    }

    pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Pod(pod) => &mut pod.metadata,
            Self::ConfigMap(object) => &mut object.metadata,
            Self::Secret(object) => &mut object.metadata,
            Self::Other(object) => &mut object.metadata,
        }
    }

    /// The `v1` object as the API server would store it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        todo!()
    }

    /// Reads back what [`Object::to_json`] gave (defaults and rules apply again).
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn from_json(_json: &Value) -> Result<Self, Report> {
        todo!()
    }
}

impl PodObject {
    /// The `v1` Pod: metadata, defaulted spec and, when given, status.
    #[must_use]
    pub fn to_json(&self, _status: Option<&PodStatus>) -> Value {
        todo!()
    }

    /// What kubectl prints as `Warning: …`, with positions.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        todo!()
    }
}
