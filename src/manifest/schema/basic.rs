//! Strings, numbers, booleans, and lists and maps of any field.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::Schema;
use super::field::{Decoder, Field, Place, decode_or_zero};
use crate::manifest::node::{Node, Value};

impl Field for String {
    fn go_type() -> Cow<'static, str> {
        "string".into()
    }

    fn decode(node: &Node, place: Place<'_>, decoder: &mut Decoder) -> Self {
        if let Value::String(text) = &node.value {
            return text.clone();
        }
        decoder.wrong_type::<Self>(node, place, node.json_kind());
        Self::default()
    }

    fn encode(&self) -> Json {
        Json::String(self.clone())
    }

    fn is_omitted(&self) -> bool {
        self.is_empty()
    }
}

impl Field for bool {
    fn go_type() -> Cow<'static, str> {
        "bool".into()
    }

    fn decode(node: &Node, place: Place<'_>, decoder: &mut Decoder) -> Self {
        if let Value::Bool(value) = node.value {
            return value;
        }
        decoder.wrong_type::<Self>(node, place, node.json_kind());
        false
    }

    fn encode(&self) -> Json {
        Json::Bool(*self)
    }

    fn is_omitted(&self) -> bool {
        !self
    }
}

macro_rules! integer_field {
    ($rust:ty, $go:literal) => {
        impl Field for $rust {
            fn go_type() -> Cow<'static, str> {
                $go.into()
            }

            fn decode(node: &Node, place: Place<'_>, decoder: &mut Decoder) -> Self {
                let Value::Number(number) = &node.value else {
                    decoder.wrong_type::<Self>(node, place, node.json_kind());
                    return 0;
                };
                let value = number.as_i64().and_then(|value| Self::try_from(value).ok());
                if value.is_none() {
                    decoder.wrong_type::<Self>(node, place, &format!("number {number}"));
                }
                value.unwrap_or_default()
            }

            fn encode(&self) -> Json {
                Json::from(*self)
            }

            fn is_omitted(&self) -> bool {
                *self == 0
            }
        }
    };
}

integer_field!(i32, "int32");
integer_field!(i64, "int64");

impl<T: Field> Field for Option<T> {
    const SCHEMA: Option<&'static Schema> = T::SCHEMA;

    fn go_type() -> Cow<'static, str> {
        T::go_type()
    }

    fn decode(node: &Node, place: Place<'_>, decoder: &mut Decoder) -> Self {
        Some(T::decode(node, place, decoder))
    }

    fn encode(&self) -> Json {
        self.as_ref().map_or(Json::Null, T::encode)
    }

    fn is_omitted(&self) -> bool {
        self.is_none()
    }
}

impl<T: Field> Field for Vec<T> {
    const SCHEMA: Option<&'static Schema> = T::SCHEMA;

    fn go_type() -> Cow<'static, str> {
        format!("[]{}", T::go_type()).into()
    }

    fn decode(node: &Node, place: Place<'_>, decoder: &mut Decoder) -> Self {
        let Value::List(items) = &node.value else {
            decoder.wrong_type::<Self>(node, place, node.json_kind());
            return Self::new();
        };
        let decode = |(index, item): (usize, &Node)| {
            let path = place.path.index(index);
            decode_or_zero(item, Place { path: &path, go_type: None, ..place }, decoder)
        };
        items.iter().enumerate().map(decode).collect()
    }

    fn encode(&self) -> Json {
        Json::Array(self.iter().map(T::encode).collect())
    }

    fn is_omitted(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    const SCHEMA: Option<&'static Schema> = T::SCHEMA;

    fn go_type() -> Cow<'static, str> {
        format!("map[string]{}", T::go_type()).into()
    }

    fn decode(node: &Node, place: Place<'_>, decoder: &mut Decoder) -> Self {
        let Value::Map(entries) = &node.value else {
            decoder.wrong_type::<Self>(node, place, node.json_kind());
            return Self::new();
        };
        let mut map = Self::new();
        for entry in entries {
            let path = place.path.key(&entry.key);
            let place = Place { path: &path, go_type: None, ..place };
            map.insert(entry.key.clone(), decode_or_zero(&entry.value, place, decoder));
        }
        map
    }

    fn encode(&self) -> Json {
        Json::Object(self.iter().map(|(key, value)| (key.clone(), value.encode())).collect())
    }

    fn is_omitted(&self) -> bool {
        self.is_empty()
    }
}
