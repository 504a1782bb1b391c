//! Manifests: YAML or JSON → typed objects → defaults → validation → the
//! [`crate::model::plan::PodPlan`].
//!
//! Pure: no file, no clock, no randomness; uids, times and facts of the node
//! come in as arguments. Every error names its field as the API server names
//! it and where in the manifest it stands.

#![forbid(unsafe_code)]

mod error;
mod object;
mod plan;

pub use error::{FieldError, FieldErrorKind, Position, Report};
pub use object::{
    ConfigMapObject, Object, ObjectMeta, OtherObject, PodObject, SecretObject, parse,
};
pub use plan::{PlanOptions, plan};
