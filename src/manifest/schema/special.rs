//! Values with a form of their own: quantities, times, base64.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::field::{Decoder, Field, Place};
use crate::manifest::node::{Node, Value};
use crate::model::{Quantity, Timestamp, quantity};

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
