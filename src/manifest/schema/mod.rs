//! How the `v1` objects are described, decoded and encoded.

mod basic;
mod field;
mod object;
mod special;

pub(in crate::manifest) use field::{Decoder, Field, Place, decode_or_zero};
pub use object::{FieldSchema, Schema};
pub(in crate::manifest) use object::{
    Struct, decode_struct, encode_field, encode_struct, objects, wrong_struct,
};
pub use special::{Bytes, IntOrString, Raw};
