//! Manifests: YAML or JSON → typed objects → defaults → validation → the
//! [`crate::model::plan::PodPlan`].
//!
//! Pure: no file, no clock, no randomness; uids, times and facts of the node
//! come in as arguments. Every error names its field as the API server names
//! it and where in the manifest it stands.

#![forbid(unsafe_code)]

mod defaults;
mod downward;
mod error;
mod json;
mod merge;
mod node;
mod object;
mod path;
mod plan;
mod read;
mod scalar;
pub mod schema;
mod static_pod;
#[cfg(test)]
mod tests;
pub mod types;
mod update;
mod validate;
mod yaml;

pub use error::{DecodeError, FieldError, FieldErrorKind, Position, Problem, Rejection, Report};
pub use merge::three_way;
pub use object::{
    ConfigMapObject, Object, OtherObject, PodObject, SecretObject, generated_name, parse,
};
pub use plan::{PlanOptions, plan};
pub use static_pod::{NoStaticPod, StaticSource, static_pod};
pub use types::ObjectMeta;
pub use validate::config_key_problems;
