//! The `v1` objects, field for field as Kubernetes 1.36 has them. An empty
//! string, list or map is an absent field, as in the API.

mod container;
mod meta;
mod other;
mod pod;
mod scheduling;
mod security;
mod volume;
mod volume_remote;

pub use container::*;
pub use meta::*;
pub use other::*;
pub use pod::*;
pub use scheduling::*;
pub use security::*;
pub use volume::*;
pub use volume_remote::*;

use super::schema::{Schema, Struct};

/// The fields of a Pod and of everything in it.
#[must_use]
pub fn pod_schema() -> &'static Schema {
    const SCHEMA: Schema = Schema { name: Pod::NAME, fields: Pod::FIELDS };
    &SCHEMA
}
