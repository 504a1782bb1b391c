//! What every value of an API object can do: be decoded strictly, with Go's
//! words for what is wrong, and be encoded.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::Schema;
use crate::manifest::error::{DecodeError, Position};
use crate::manifest::node::{Node, Value};
use crate::manifest::path::Path;

/// Collects what is wrong while decoding goes on.
#[derive(Debug, Default)]
pub(in crate::manifest) struct Decoder {
    pub errors: Vec<DecodeError>,
}

/// Where a value is decoded: what Go's errors say about it.
#[derive(Debug, Clone, Copy)]
pub(in crate::manifest) struct Place<'a> {
    /// The struct that has the field.
    pub owner: &'static str,
    pub path: &'a Path<'a>,
    /// The Go type where it is not that of the Rust type.
    pub go_type: Option<&'static str>,
}

impl Decoder {
    pub(in crate::manifest) fn unknown_field(&mut self, path: &Path<'_>, at: Option<Position>) {
        let message = format!("unknown field \"{path}\"");
        self.errors.push(DecodeError { message, is_strict: true, at });
    }

    pub(in crate::manifest) fn wrong(&mut self, message: impl Into<String>, at: Option<Position>) {
        self.errors.push(DecodeError { message: message.into(), is_strict: false, at });
    }

    pub(in crate::manifest) fn wrong_type<T: Field>(
        &mut self,
        node: &Node,
        place: Place<'_>,
        what: &str,
    ) {
        let go_type = place.go_type.map_or_else(T::go_type, Cow::Borrowed);
        let (owner, names) = (place.owner, place.path.names());
        let message = format!(
            "json: cannot unmarshal {what} into Go struct field {owner}.{names} of type {go_type}"
        );
        self.wrong(message, node.at);
    }
}

/// A value of an API object. `Default` is Go's zero value.
pub(in crate::manifest) trait Field: Sized + Default {
    const SCHEMA: Option<&'static Schema> = None;

    fn go_type() -> Cow<'static, str>;

    /// Reads a value that is not null; what is wrong goes to the decoder and
    /// the zero value takes its place.
    fn decode(node: &Node, place: Place<'_>, decoder: &mut Decoder) -> Self;

    fn encode(&self) -> Json;

    /// Go's `omitempty`: true for values that are left out.
    fn is_omitted(&self) -> bool;
}

pub(in crate::manifest) fn decode_or_zero<T: Field>(
    node: &Node,
    place: Place<'_>,
    decoder: &mut Decoder,
) -> T {
    match node.value {
        Value::Null => T::default(),
        _ => T::decode(node, place, decoder),
    }
}
