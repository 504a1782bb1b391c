//! Text → documents → objects: which kind, strict decoding, defaults, rules.

use std::sync::Arc;

use serde_json::Value as Json;

use super::error::{DecodeError, Problem, Report};
use super::node::{Node, Value};
use super::object::{ConfigMapObject, Object, Origin, OtherObject, PodObject, SecretObject};
use super::path::Path;
use super::schema::{Decoder, Struct, decode_struct, encode_struct};
use super::types::{
    ConfigMap, ListMeta, Namespace, ObjectMeta, PersistentVolumeClaim, Pod, Secret, Service,
};
use super::validate::Check;
use super::yaml::SyntaxError;
use super::{defaults, json, validate, yaml};
use crate::model::object::ObjectData;

/// A manifest may not be larger, bytes (a kubelet's limit for a manifest).
const MAX_TEXT: usize = 10 << 20;
/// Lists in lists.
const MAX_LIST_DEPTH: usize = 8;

/// Kinds that make pods; each needs a controller.
const WORKLOADS: [(&str, &str); 7] = [
    ("v1", "ReplicationController"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
];

pub(super) fn objects(text: &str, file: &str) -> Result<Vec<Object>, Report> {
    let documents = documents(text, file).map_err(|error| Report::syntax(file, error))?;
    let mut reader = Reader::new(file);
    for document in documents {
        reader.document(document, None, 0);
    }
    reader.finish()
}

/// The first document's object, without regard to fields nobody knows; `None`
/// for a text without documents.
pub(super) fn first_leniently(text: &str, file: &str) -> Result<Option<Object>, Report> {
    let documents = documents(text, file).map_err(|error| Report::syntax(file, error))?;
    let mut reader = Reader { is_lenient: true, ..Reader::new(file) };
    if let Some(document) = documents.into_iter().next() {
        // A list is no object here.
        reader.document(document, None, MAX_LIST_DEPTH);
    }
    Ok(reader.finish()?.pop())
}

/// An object that was valid when it was stored.
pub(super) fn stored(json: &Json) -> Result<Object, Report> {
    let mut reader = Reader { is_new: false, ..Reader::new("") };
    reader.document(Node::from_json(json), None, MAX_LIST_DEPTH);
    let no_object = || {
        let message = "the stored object is a list".to_owned();
        Report::new("", vec![Problem::Object { message, at: None }])
    };
    reader.finish()?.pop().ok_or_else(no_object)
}

/// JSON when it looks like it, for its own string escapes and documents that
/// follow each other; else YAML, of which most JSON is a part.
fn documents(text: &str, file: &str) -> Result<Vec<Node>, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > MAX_TEXT {
        let message = format!("manifest is larger than {MAX_TEXT} bytes");
        return Err(SyntaxError::at_start(message));
    }
    if !text.trim_start().starts_with('{') {
        return yaml::documents(text);
    }
    match json::documents(text) {
        Ok(documents) => Ok(documents),
        Err(error) => {
            yaml::documents(text).map_err(|yaml| if file.ends_with(".json") { error } else { yaml })
        }
    }
}

struct Reader<'a> {
    file: &'a str,
    is_new: bool,
    /// Unknown and repeated fields are no errors.
    is_lenient: bool,
    objects: Vec<Object>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// Reads new objects, strictly.
    fn new(file: &'a str) -> Self {
        Self { file, is_new: true, is_lenient: false, objects: Vec::new(), problems: Vec::new() }
    }

    fn finish(self) -> Result<Vec<Object>, Report> {
        if self.problems.is_empty() {
            return Ok(self.objects);
        }
        Err(Report::new(self.file, self.problems))
    }

    fn object_problem(&mut self, node: &Node, message: String) {
        self.problems.push(Problem::Object { message, at: node.at });
    }

    /// `of_list` is the kind that items of a typed list need not repeat.
    fn document(&mut self, node: Node, of_list: Option<&str>, depth: usize) {
        if !matches!(node.value, Value::Map(_)) {
            let kind = node.json_kind();
            self.object_problem(
                &node,
                format!(
                    "unable to decode {:?}: json: cannot unmarshal {kind} into Go value of type \
                     map[string]interface {{}}",
                    self.file
                ),
            );
            return;
        }
        let text = |key: &str| node.get(key).and_then(Node::as_str).map(str::to_owned);
        let kind = text("kind").or_else(|| of_list.map(str::to_owned));
        let version = text("apiVersion").or_else(|| of_list.map(|_| "v1".to_owned()));
        match (kind, version) {
            (None, _) => self.missing(&node, "Kind"),
            (_, None) => self.missing(&node, "apiVersion"),
            (Some(kind), Some(version)) => self.of_kind(node, &kind, &version, depth),
        }
    }

    fn missing(&mut self, node: &Node, field: &str) {
        let message = format!("unable to decode {:?}: Object '{field}' is missing", self.file);
        self.object_problem(node, message);
    }

    fn of_kind(&mut self, node: Node, kind: &str, version: &str, depth: usize) {
        match (version, kind) {
            ("v1", "Pod") => self.pod(node),
            ("v1", "ConfigMap") => self.config_map(&node),
            ("v1", "Secret") => self.secret(&node),
            ("v1", "Namespace") => self.kept(&node, |_: &mut Namespace| {}),
            ("v1", "Service") => self.kept(&node, defaults::service),
            ("v1", "PersistentVolumeClaim") => self.kept(&node, defaults::claim),
            ("v1", "List") => self.list(node, None, depth),
            ("v1", "PodList" | "ConfigMapList" | "SecretList" | "ServiceList") => {
                self.list(node, kind.strip_suffix("List"), depth);
            }
            _ if WORKLOADS.contains(&(version, kind)) => {
                self.object_problem(&node, format!("kind {kind} is not supported yet"));
            }
            _ => {
                let name = node.get("metadata").and_then(|metadata| metadata.get("name"));
                let name = name.and_then(Node::as_str).unwrap_or_default();
                let message = format!(
                    "resource mapping not found for name: {name:?} from {:?}: no matches for kind \
                     {kind:?} in version {version:?}",
                    self.file
                );
                self.object_problem(&node, message);
            }
        }
    }

    fn list(&mut self, node: Node, of: Option<&str>, depth: usize) {
        if depth >= MAX_LIST_DEPTH {
            self.object_problem(&node, "lists are nested too deeply".to_owned());
            return;
        }
        let mut decoder = Decoder::default();
        let Value::Map(entries) = node.value else { return };
        for entry in entries {
            let path = Path::ROOT.child(&entry.key);
            match (entry.key.as_str(), entry.value.value) {
                ("kind" | "apiVersion", _) | ("items", Value::Null) => {}
                ("metadata", value) => {
                    let node = Node { at: entry.value.at, value };
                    let _: Option<ListMeta> = decode_struct(&node, &path, &mut decoder);
                }
                ("items", Value::List(items)) => {
                    for item in items {
                        self.document(item, of, depth + 1);
                    }
                }
                ("items", _) => {
                    decoder.wrong("items is no list", entry.value.at);
                }
                _ => decoder.unknown_field(&path, entry.at),
            }
        }
        self.decode_problem("List", decoder);
    }

    /// Reports what the decoder found; true when there was nothing.
    fn decode_problem(&mut self, kind: &str, decoder: Decoder) -> bool {
        let mut errors = decoder.errors;
        if errors.is_empty() {
            return true;
        }
        errors.sort_by_key(|error| error.at);
        self.problems.push(Problem::Decode {
            kind: kind.to_owned(),
            version: "v1".to_owned(),
            errors,
        });
        false
    }

    fn decode<T: Struct>(&mut self, node: &Node) -> Option<T> {
        let mut decoder = Decoder::default();
        node.duplicates(&Path::ROOT, &mut |path, entry| {
            let message = format!("duplicate field \"{path}\"");
            decoder.errors.push(DecodeError { message, is_strict: true, at: entry.at });
        });
        let object = decode_struct(node, &Path::ROOT, &mut decoder);
        if self.is_lenient {
            decoder.errors.retain(|error| !error.is_strict);
        }
        if !self.decode_problem(T::NAME, decoder) {
            return None;
        }
        object
    }

    /// Reports what the rules found; true when there was nothing.
    fn invalid(&mut self, kind: &str, metadata: &ObjectMeta, check: Check<'_>) -> bool {
        if check.errors.is_empty() {
            return true;
        }
        let name = if metadata.name.is_empty() { &metadata.generate_name } else { &metadata.name };
        self.problems.push(Problem::Invalid {
            kind: kind.to_owned(),
            name: name.clone(),
            errors: check.errors,
        });
        false
    }

    fn pod(&mut self, node: Node) {
        let Some(pod) = self.decode::<Pod>(&node) else { return };
        let mut spec = pod.spec;
        let warnings = validate::warnings(&spec);
        defaults::pod(&mut spec);
        let mut check = Check::new(Some(&node));
        validate::pod(&mut check, &pod.metadata, &spec, self.is_new);
        if self.invalid("Pod", &pod.metadata, check) {
            let node = self.is_new.then(|| Arc::new(node));
            let origin = Origin { file: self.file.to_owned(), node };
            let pod = PodObject::new(pod.metadata, spec, warnings, origin);
            self.objects.push(Object::Pod(Box::new(pod)));
        }
    }

    fn config_map(&mut self, node: &Node) {
        let Some(object) = self.decode::<ConfigMap>(node) else { return };
        let mut check = Check::new(Some(node));
        validate::config_map(&mut check, &object);
        if self.invalid("ConfigMap", &object.metadata, check) {
            let binary = object.binary_data.into_iter().map(|(key, value)| (key, value.0));
            self.objects.push(Object::ConfigMap(ConfigMapObject {
                metadata: object.metadata,
                data: ObjectData { text: object.data, binary: binary.collect() },
                immutable: object.immutable.unwrap_or(false),
            }));
        }
    }

    fn secret(&mut self, node: &Node) {
        let Some(mut object) = self.decode::<Secret>(node) else { return };
        defaults::secret(&mut object);
        let mut check = Check::new(Some(node));
        validate::secret(&mut check, &object);
        if self.invalid("Secret", &object.metadata, check) {
            let data = object.data.into_iter().map(|(key, value)| (key, value.0)).collect();
            self.objects.push(Object::Secret(SecretObject {
                metadata: object.metadata,
                r#type: object.r#type,
                data: ObjectData { binary: data, ..ObjectData::default() },
                immutable: object.immutable.unwrap_or(false),
            }));
        }
    }

    fn kept<T: Kept>(&mut self, node: &Node, defaults: impl FnOnce(&mut T)) {
        let Some(mut object) = self.decode::<T>(node) else { return };
        defaults(&mut object);
        let metadata = object.take_metadata();
        let mut check = Check::new(Some(node));
        validate::kept_object(&mut check, T::NAME, &metadata);
        if self.invalid(T::NAME, &metadata, check) {
            let kind = T::NAME.to_owned();
            let json = encode_struct(&object);
            self.objects.push(Object::Other(OtherObject { metadata, kind, json }));
        }
    }
}

/// A kind whose objects are decoded, defaulted and kept.
trait Kept: Struct {
    fn take_metadata(&mut self) -> ObjectMeta;
}

macro_rules! kept {
    ($($kind:ident),*) => {$(
        impl Kept for $kind {
            fn take_metadata(&mut self) -> ObjectMeta {
                std::mem::take(&mut self.metadata)
            }
        }
    )*};
}

kept!(Namespace, Service, PersistentVolumeClaim);
