//! What a `ConfigMap` or `Secret` holds, read from its stored JSON form.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::ObjectKind;

/// The keys of one `ConfigMap` or `Secret`, decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectData {
    /// A `ConfigMap`'s `data`: what environment variables may use.
    pub text: BTreeMap<String, String>,
    /// A `ConfigMap`'s `binaryData`, or a `Secret`'s `data`.
    pub binary: BTreeMap<String, Vec<u8>>,
}

impl ObjectData {
    /// Reads the `v1` object `json`; `None` when a value is no string or no
    /// base64, which a stored object never has.
    #[must_use]
    pub fn from_json(kind: ObjectKind, json: &Value) -> Option<Self> {
        let map = |field: &str| match json.get(field) {
            None | Some(Value::Null) => Some(BTreeMap::new()),
            Some(Value::Object(map)) => map
                .iter()
                .map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect::<Option<BTreeMap<_, _>>>(),
            Some(_) => None,
        };
        let decoded = |field: &str| {
            map(field)?
                .into_iter()
                .map(|(key, value)| Some((key, STANDARD.decode(value).ok()?)))
                .collect::<Option<BTreeMap<_, _>>>()
        };
        Some(match kind {
            ObjectKind::ConfigMap => Self { text: map("data")?, binary: decoded("binaryData")? },
            ObjectKind::Secret => Self { text: BTreeMap::new(), binary: decoded("data")? },
        })
    }

    /// The value of a key for an environment variable: a `ConfigMap`'s `data`
    /// or a `Secret`'s `data`, never `binaryData`.
    #[must_use]
    pub fn env(&self, kind: ObjectKind, key: &str) -> Option<Vec<u8>> {
        match kind {
            ObjectKind::ConfigMap => self.text.get(key).map(|text| text.clone().into_bytes()),
            ObjectKind::Secret => self.binary.get(key).cloned(),
        }
    }

    /// Every key with its bytes, as a volume shows them.
    #[must_use]
    pub fn files(&self) -> BTreeMap<&str, &[u8]> {
        let text = self.text.iter().map(|(key, value)| (key.as_str(), value.as_bytes()));
        let binary = self.binary.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        text.chain(binary).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stored_objects_give_their_bytes() {
        let json = json!({"data": {"a": "x"}, "binaryData": {"b": "AAE="}});
        let data = ObjectData::from_json(ObjectKind::ConfigMap, &json).expect("valid");
        assert_eq!(data.env(ObjectKind::ConfigMap, "a").as_deref(), Some(b"x".as_slice()));
        assert_eq!(data.env(ObjectKind::ConfigMap, "b"), None);
        assert_eq!(data.files(), BTreeMap::from([("a", b"x".as_slice()), ("b", &[0, 1])]));

        let secret = ObjectData::from_json(ObjectKind::Secret, &json!({"data": {"k": "aGk="}}));
        assert_eq!(
            secret.and_then(|data| data.env(ObjectKind::Secret, "k")).as_deref(),
            Some(b"hi".as_slice())
        );
    }

    #[test]
    fn a_broken_object_gives_nothing() {
        for json in [json!({"data": {"k": "?"}}), json!({"data": {"k": 1}}), json!({"data": 1})] {
            assert_eq!(ObjectData::from_json(ObjectKind::Secret, &json), None, "{json}");
        }
    }
}
