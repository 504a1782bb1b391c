//! The objects of a manifest.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::error::{Problem, Report};
use super::node::Node;
use super::schema::encode_struct;
use super::types::{ConfigMap, ObjectMeta, PodSpec, Secret};
use super::{read, validate};
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

/// A pod with its defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct PodObject {
    pub metadata: ObjectMeta,
    pub spec: PodSpec,
    warnings: Vec<String>,
    origin: Origin,
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

/// An object of another kind, decoded strictly and kept.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherObject {
    pub metadata: ObjectMeta,
    pub kind: String,
    /// All of it but `metadata`.
    pub json: Json,
}

/// Where a pod was read, for the positions in later errors. Two pods that say
/// the same are equal wherever they stand.
#[derive(Debug, Clone, Default)]
pub(super) struct Origin {
    pub file: String,
    pub node: Option<Arc<Node>>,
}

impl PartialEq for Origin {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

/// Reads every object of `text` (YAML, many documents, or JSON), fills in the
/// defaults and validates; `file_name` only appears in errors. An object
/// without a namespace keeps an empty one in its metadata until the caller
/// sets it.
///
/// # Errors
/// All that is wrong, in every object, at once.
pub fn parse(text: &str, file_name: &str) -> Result<Vec<Object>, Report> {
    read::objects(text, file_name)
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

    /// False for objects of the whole machine.
    #[must_use]
    pub fn is_namespaced(&self) -> bool {
        self.kind() != "Namespace"
    }

    /// Completes `generateName` with five characters made of `random`, as the
    /// API server does; without effect on an object that has a name.
    pub fn generate_name(&mut self, random: u64) {
        let metadata = self.metadata_mut();
        if metadata.name.is_empty() {
            metadata.name = generated_name(&metadata.generate_name, random);
        }
    }

    /// The `v1` object as the API server would store it.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Pod(pod) => pod.to_json(None),
            Self::ConfigMap(object) => object.to_json(),
            Self::Secret(object) => object.to_json(),
            Self::Other(object) => object.to_json(),
        }
    }

    /// Reads back what [`Object::to_json`] gave; defaults and rules apply as to
    /// a new object, but a pod may have ephemeral containers.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn from_json(json: &Json) -> Result<Self, Report> {
        read::stored(json)
    }
}

/// `base` (cut to leave room) and five characters that make no words.
#[must_use]
pub fn generated_name(base: &str, random: u64) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    const SUFFIX: usize = 5;
    const MAX_BASE: usize = 63 - SUFFIX;
    let cut = base.char_indices().nth(MAX_BASE).map_or(base.len(), |(at, _)| at);
    let mut name = base[..cut].to_owned();
    let mut rest = random;
    for _ in 0..SUFFIX {
        let size = ALPHABET.len() as u64;
        let index = usize::try_from(rest % size).unwrap_or(0);
        name.push(char::from(ALPHABET[index]));
        rest /= size;
    }
    name
}

fn whole(kind: &str, metadata: &ObjectMeta, rest: Map<String, Json>) -> Json {
    let mut object = rest;
    object.insert("apiVersion".into(), "v1".into());
    object.insert("kind".into(), kind.into());
    object.insert("metadata".into(), encode_struct(metadata));
    Json::Object(object)
}

impl PodObject {
    /// Puts a decoded and defaulted pod together.
    pub(super) fn new(
        metadata: ObjectMeta,
        spec: PodSpec,
        warnings: Vec<String>,
        origin: Origin,
    ) -> Self {
        Self { metadata, spec, warnings, origin }
    }

    /// The `v1` Pod: metadata, defaulted spec and, when given, status.
    #[must_use]
    pub fn to_json(&self, status: Option<&PodStatus>) -> Json {
        let mut rest = Map::new();
        rest.insert("spec".into(), encode_struct(&self.spec));
        if let Some(status) = status.and_then(|status| serde_json::to_value(status).ok()) {
            rest.insert("status".into(), status);
        }
        whole("Pod", &self.metadata, rest)
    }

    /// The pod as it was given, without defaults.
    #[must_use]
    pub fn original(&self) -> Json {
        match &self.origin.node {
            Some(node) => node.to_json(),
            None => self.to_json(None),
        }
    }

    /// What kubectl prints as `Warning: …`.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Checks the pod again, after a caller has changed it.
    ///
    /// # Errors
    /// Every broken rule.
    pub fn validate(&self) -> Result<(), Report> {
        let mut check = validate::Check::new(self.origin.node.as_deref());
        validate::pod(&mut check, &self.metadata, &self.spec, false);
        if check.errors.is_empty() {
            return Ok(());
        }
        let problem = Problem::Invalid {
            kind: "Pod".to_owned(),
            name: self.metadata.name.clone(),
            errors: check.errors,
        };
        Err(Report::new(&self.origin.file, vec![problem]))
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl ConfigMapObject {
    #[must_use]
    pub fn to_json(&self) -> Json {
        let bytes = |bytes: &Vec<u8>| super::schema::Bytes(bytes.clone());
        let binary = self.data.binary.iter().map(|(key, value)| (key.clone(), bytes(value)));
        let object = ConfigMap {
            immutable: self.immutable.then_some(true),
            data: self.data.text.clone(),
            binary_data: binary.collect(),
            ..ConfigMap::default()
        };
        with_metadata("ConfigMap", &self.metadata, encode_struct(&object))
    }
}

impl SecretObject {
    #[must_use]
    pub fn to_json(&self) -> Json {
        let bytes = |bytes: &Vec<u8>| super::schema::Bytes(bytes.clone());
        let data = self.data.binary.iter().map(|(key, value)| (key.clone(), bytes(value)));
        let object = Secret {
            immutable: self.immutable.then_some(true),
            data: data.collect(),
            r#type: self.r#type.clone(),
            ..Secret::default()
        };
        with_metadata("Secret", &self.metadata, encode_struct(&object))
    }
}

impl OtherObject {
    #[must_use]
    pub fn to_json(&self) -> Json {
        with_metadata(&self.kind, &self.metadata, self.json.clone())
    }
}

fn with_metadata(kind: &str, metadata: &ObjectMeta, object: Json) -> Json {
    match object {
        Json::Object(rest) => whole(kind, metadata, rest),
        _ => whole(kind, metadata, Map::new()),
    }
}
