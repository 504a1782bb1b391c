//! How a `v1` object is described: one `object!` block per Go struct gives
//! the Rust struct, the strict decoder, the encoder and the list of fields.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use super::error::{DecodeError, Position};
use super::node::{Node, Value};
use super::path::Path;
use crate::model::{Quantity, Timestamp, quantity};

/// The name of an API struct and its fields, for walking a whole object.
#[derive(Debug)]
pub struct Schema {
    pub name: &'static str,
    pub fields: &'static [FieldSchema],
}

#[derive(Debug)]
pub struct FieldSchema {
    /// The field's name in JSON.
    pub json: &'static str,
    /// The struct it holds, itself or in a list or map.
    pub schema: Option<&'static Schema>,
}

/// Collects what is wrong while decoding goes on.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    pub errors: Vec<DecodeError>,
}

/// Where a value is decoded: what Go's errors say about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The struct that has the field.
    pub owner: &'static str,
    pub path: &'a Path<'a>,
    /// The Go type where it is not that of the Rust type.
    pub go_type: Option<&'static str>,
}

impl Decoder {
    pub(super) fn unknown_field(&mut self, path: &Path<'_>, at: Option<Position>) {
        let message = format!("unknown field \"{path}\"");
        self.errors.push(DecodeError { message, is_strict: true, at });
    }

    pub(super) fn wrong(&mut self, message: impl Into<String>, at: Option<Position>) {
        self.errors.push(DecodeError { message: message.into(), is_strict: false, at });
    }

    fn wrong_type<T: Field>(&mut self, node: &Node, place: Place<'_>, what: &str) {
        let go_type = place.go_type.map_or_else(T::go_type, Cow::Borrowed);
        let (owner, names) = (place.owner, place.path.names());
        let message = format!(
            "json: cannot unmarshal {what} into Go struct field {owner}.{names} of type {go_type}"
        );
        self.wrong(message, node.at);
    }
}

/// A value of an API object. `Default` is Go's zero value.
pub(super) trait Field: Sized + Default {
    const SCHEMA: Option<&'static Schema> = None;

    fn go_type() -> Cow<'static, str>;

    /// Reads a value that is not null; what is wrong goes to the decoder and
    /// the zero value takes its place.
    fn decode(node: &Node, place: Place<'_>, decoder: &mut Decoder) -> Self;

    fn encode(&self) -> Json;

    /// Go's `omitempty`: true for values that are left out.
    fn is_omitted(&self) -> bool;
}

pub(super) fn decode_or_zero<T: Field>(node: &Node, place: Place<'_>, decoder: &mut Decoder) -> T {
    match node.value {
        Value::Null => T::default(),
        _ => T::decode(node, place, decoder),
    }
}

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

/// A number, or the name of something that has one (`intstr.IntOrString`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntOrString {
    Int(i32),
    String(String),
}

impl Default for IntOrString {
    fn default() -> Self {
        Self::Int(0)
    }
}

impl Field for IntOrString {
    fn go_type() -> Cow<'static, str> {
        "int32".into()
    }

    fn decode(node: &Node, _place: Place<'_>, decoder: &mut Decoder) -> Self {
        let what = match &node.value {
            Value::String(text) => return Self::String(text.clone()),
            Value::Number(number) => {
                match number.as_i64().and_then(|value| i32::try_from(value).ok()) {
                    Some(value) => return Self::Int(value),
                    None => format!("number {number}"),
                }
            }
            _ => node.json_kind().to_owned(),
        };
        let message = format!("json: cannot unmarshal {what} into Go value of type int32");
        decoder.wrong(message, node.at);
        Self::default()
    }

    fn encode(&self) -> Json {
        match self {
            Self::Int(value) => Json::from(*value),
            Self::String(text) => Json::String(text.clone()),
        }
    }

    fn is_omitted(&self) -> bool {
        *self == Self::Int(0)
    }
}

/// Kept in its canonical form, as the API server stores it.
impl Field for Quantity {
    fn go_type() -> Cow<'static, str> {
        "resource.Quantity".into()
    }

    fn decode(node: &Node, _place: Place<'_>, decoder: &mut Decoder) -> Self {
        let parsed = match &node.value {
            Value::String(text) => Self::parse(text.trim()),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => None,
        };
        if parsed.is_none() {
            decoder.wrong(quantity::SYNTAX, node.at);
        }
        parsed.map(|quantity| quantity.canonical()).unwrap_or_default()
    }

    fn encode(&self) -> Json {
        Json::String(self.to_string())
    }

    fn is_omitted(&self) -> bool {
        false
    }
}

impl Field for Timestamp {
    fn go_type() -> Cow<'static, str> {
        "v1.Time".into()
    }

    fn decode(node: &Node, place: Place<'_>, decoder: &mut Decoder) -> Self {
        let Some(text) = node.as_str() else {
            decoder.wrong_type::<Self>(node, place, node.json_kind());
            return Self::default();
        };
        let time = Self::parse_rfc3339(text);
        if time.is_none() {
            let message = format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\"");
            decoder.wrong(message, node.at);
        }
        time.unwrap_or_default()
    }

    fn encode(&self) -> Json {
        Json::String(self.to_string())
    }

    fn is_omitted(&self) -> bool {
        false
    }
}

/// Bytes that JSON carries as base64.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Field for Bytes {
    fn go_type() -> Cow<'static, str> {
        "[]uint8".into()
    }

    fn decode(node: &Node, place: Place<'_>, decoder: &mut Decoder) -> Self {
        let Some(text) = node.as_str() else {
            decoder.wrong_type::<Self>(node, place, node.json_kind());
            return Self::default();
        };
        let unwrapped: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        match STANDARD.decode(&unwrapped) {
            Ok(bytes) => Self(bytes),
            Err(error) => {
                let offset = match error {
                    base64::DecodeError::InvalidByte(offset, _)
                    | base64::DecodeError::InvalidLastSymbol(offset, _) => offset,
                    _ => unwrapped.len(),
                };
                decoder.wrong(format!("illegal base64 data at input byte {offset}"), node.at);
                Self::default()
            }
        }
    }

    fn encode(&self) -> Json {
        Json::String(STANDARD.encode(&self.0))
    }

    fn is_omitted(&self) -> bool {
        false
    }
}

/// Any JSON, kept as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Raw(pub Json);

impl Field for Raw {
    fn go_type() -> Cow<'static, str> {
        "v1.FieldsV1".into()
    }

    fn decode(node: &Node, _place: Place<'_>, _decoder: &mut Decoder) -> Self {
        Self(node.to_json())
    }

    fn encode(&self) -> Json {
        self.0.clone()
    }

    fn is_omitted(&self) -> bool {
        self.0.is_null()
    }
}

/// A struct of the API: what the `object!` macro implements.
pub(super) trait Struct: Default {
    const NAME: &'static str;
    const FIELDS: &'static [FieldSchema];

    /// Reads one field; false when the struct has none of that name.
    fn decode_field(&mut self, key: &str, node: &Node, path: &Path<'_>, to: &mut Decoder) -> bool;

    fn encode_fields(&self, map: &mut Map<String, Json>);
}

/// Decodes all fields of a map, reporting those the struct does not have.
pub(super) fn decode_struct<T: Struct>(
    node: &Node,
    path: &Path<'_>,
    to: &mut Decoder,
) -> Option<T> {
    let Value::Map(entries) = &node.value else { return None };
    let mut object = T::default();
    for entry in entries {
        let path = path.child(&entry.key);
        if !object.decode_field(&entry.key, &entry.value, &path, to) {
            to.unknown_field(&path, entry.at);
        }
    }
    Some(object)
}

pub(super) fn encode_struct<T: Struct>(object: &T) -> Json {
    let mut map = Map::new();
    object.encode_fields(&mut map);
    Json::Object(map)
}

pub(super) fn wrong_struct<T: Struct + Field>(node: &Node, place: Place<'_>, to: &mut Decoder) {
    to.wrong_type::<T>(node, place, node.json_kind());
}

/// Puts a field into an object being encoded.
pub(super) fn encode_field<T: Field>(
    map: &mut Map<String, Json>,
    key: &str,
    value: &T,
    is_always: bool,
) {
    if is_always || !value.is_omitted() {
        map.insert(key.to_owned(), value.encode());
    }
}

/// Describes API structs. A field reads
/// `rust_name: Type = "jsonName"`, then `as "GoType"` where Go has a type of
/// its own for it, then `always` where Go prints it even when it is zero.
macro_rules! objects {
    ($(
        $(#[$meta:meta])*
        $name:ident {
            $( $field:ident : $type:ty = $json:literal $(as $go:literal)? $([$always:ident])? ),* $(,)?
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq)]
        #[allow(missing_docs, reason = "the fields are the API's")]
        pub struct $name {
            $( pub $field: $type, )*
        }

        impl $crate::manifest::schema::Struct for $name {
            const NAME: &'static str = stringify!($name);
            const FIELDS: &'static [$crate::manifest::schema::FieldSchema] = &[$(
                $crate::manifest::schema::FieldSchema {
                    json: $json,
                    schema: <$type as $crate::manifest::schema::Field>::SCHEMA,
                },
            )*];

            fn decode_field(
                &mut self,
                key: &str,
                node: &$crate::manifest::node::Node,
                path: &$crate::manifest::path::Path<'_>,
                to: &mut $crate::manifest::schema::Decoder,
            ) -> bool {
                match key {
                    $( $json => {
                        let place = $crate::manifest::schema::Place {
                            owner: stringify!($name),
                            path,
                            go_type: [$($go,)? ""].first().copied().filter(|go| !go.is_empty()),
                        };
                        self.$field = $crate::manifest::schema::decode_or_zero(node, place, to);
                    } )*
                    _ => return false,
                }
                true
            }

            fn encode_fields(&self, map: &mut serde_json::Map<String, serde_json::Value>) {
                $( $crate::manifest::schema::encode_field(
                    map,
                    $json,
                    &self.$field,
                    [$(stringify!($always),)? ""][0] == "always",
                ); )*
            }
        }

        impl $crate::manifest::schema::Field for $name {
            const SCHEMA: Option<&'static $crate::manifest::schema::Schema> =
                Some(&$crate::manifest::schema::Schema {
                    name: stringify!($name),
                    fields: <Self as $crate::manifest::schema::Struct>::FIELDS,
                });

            fn go_type() -> std::borrow::Cow<'static, str> {
                concat!("v1.", stringify!($name)).into()
            }

            fn decode(
                node: &$crate::manifest::node::Node,
                place: $crate::manifest::schema::Place<'_>,
                to: &mut $crate::manifest::schema::Decoder,
            ) -> Self {
                $crate::manifest::schema::decode_struct(node, place.path, to).unwrap_or_else(|| {
                    $crate::manifest::schema::wrong_struct::<Self>(node, place, to);
                    Self::default()
                })
            }

            fn encode(&self) -> serde_json::Value {
                $crate::manifest::schema::encode_struct(self)
            }

            fn is_omitted(&self) -> bool {
                false
            }
        }
    )*};
}

pub(super) use objects;
