//! A manifest's tree, every node with its position.

use serde_json::{Map, Number, Value as Json};

use super::error::Position;
use super::path::{Path, Segment};

/// The deepest nesting a manifest may have. The deepest v1 field lies at 12.
pub(super) const MAX_DEPTH: usize = 100;

/// One value and where it begins; trees made from stored JSON have no places.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub at: Option<Position>,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Node>),
    /// In the order of the text; a key may come twice, the last one counts.
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub at: Option<Position>,
    pub value: Node,
}

impl Node {
    /// The value of `key` in a map.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().rev().find(|entry| entry.key == key),
            _ => None,
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Go's name for the kind of JSON value.
    pub(super) fn json_kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::List(_) => "array",
            Value::Map(_) => "object",
        }
    }

    /// Where `path` stands, or the nearest of its parents that exists. A
    /// scalar's place is its value, a collection's the key that names it.
    pub(super) fn locate(&self, path: &Path<'_>) -> Option<Position> {
        let mut found = self.at;
        let mut node = self;
        for segment in path.segments() {
            let (next, at) = match (segment, &node.value) {
                (Segment::Field(key) | Segment::Key(key), Value::Map(_)) => {
                    let Some(entry) = node.entry(key) else { break };
                    let is_scalar =
                        !matches!(entry.value.value, Value::Null | Value::List(_) | Value::Map(_));
                    (&entry.value, if is_scalar { entry.value.at } else { entry.at })
                }
                (Segment::Index(index), Value::List(items)) => {
                    let Some(item) = items.get(index) else { break };
                    (item, item.at)
                }
                _ => break,
            };
            found = at.or(found);
            node = next;
        }
        found
    }

    /// Calls `found` with the path of every key that a map has twice.
    pub(super) fn duplicates(&self, path: &Path<'_>, found: &mut impl FnMut(&Path<'_>, &Entry)) {
        match &self.value {
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.duplicates(&path.index(index), found);
                }
            }
            Value::Map(entries) => {
                let mut seen = std::collections::HashSet::with_capacity(entries.len());
                for entry in entries {
                    let path = path.child(&entry.key);
                    if !seen.insert(entry.key.as_str()) {
                        found(&path, entry);
                    }
                    entry.value.duplicates(&path, found);
                }
            }
            _ => {}
        }
    }

    pub(super) fn from_json(json: &Json) -> Self {
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => Value::Number(number.clone()),
            Json::String(text) => Value::String(text.clone()),
            Json::Array(items) => Value::List(items.iter().map(Self::from_json).collect()),
            Json::Object(map) => Value::Map(
                map.iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        at: None,
                        value: Self::from_json(value),
                    })
                    .collect(),
            ),
        };
        Self { at: None, value }
    }

    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(number) => Json::Number(number.clone()),
            Value::String(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(entries) => Json::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.to_json()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }
}
