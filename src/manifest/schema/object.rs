//! API structs: one block of `objects!` per Go struct gives the Rust struct,
//! the strict decoder, the encoder and the list of fields.

use serde_json::{Map, Value as Json};

use super::field::{Decoder, Field, Place};
use crate::manifest::node::{Node, Value};
use crate::manifest::path::Path;

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

/// A struct of the API: what the `objects!` macro implements.
pub(in crate::manifest) trait Struct: Default {
    const NAME: &'static str;
    const FIELDS: &'static [FieldSchema];

    /// Reads one field; false when the struct has none of that name.
    fn decode_field(&mut self, key: &str, node: &Node, path: &Path<'_>, to: &mut Decoder) -> bool;

    fn encode_fields(&self, map: &mut Map<String, Json>);
}

/// Decodes all fields of a map, reporting those the struct does not have.
pub(in crate::manifest) fn decode_struct<T: Struct>(
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

pub(in crate::manifest) fn encode_struct<T: Struct>(object: &T) -> Json {
    let mut map = Map::new();
    object.encode_fields(&mut map);
    Json::Object(map)
}

pub(in crate::manifest) fn wrong_struct<T: Struct + Field>(
    node: &Node,
    place: Place<'_>,
    to: &mut Decoder,
) {
    to.wrong_type::<T>(node, place, node.json_kind());
}

/// Puts a field into an object being encoded.
pub(in crate::manifest) fn encode_field<T: Field>(
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

pub(in crate::manifest) use objects;
