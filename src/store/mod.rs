//! Records on disk: written whole or not at all, locked, versioned.
//!
//! - [`atomic`]: a file is the old one or the new one, never half of one.
//! - [`lock`]: exclusion between processes that ends with its holder.
//! - [`pods`]: what each pod is, was told and has become, below the root.
//! - [`objects`]: API objects as given and defaulted, below the data root.
//!
//! Whatever is read back may be damaged: a record that cannot be understood is
//! an error that names the file, and never hides the records beside it.
#![forbid(unsafe_code)]

pub mod atomic;
pub mod lock;
pub mod objects;
pub mod pods;

mod error;
mod name;
pub(crate) mod record;
#[cfg(test)]
pub(crate) mod testing;

pub use error::{Error, Result};
pub use objects::{Listing, ObjectKey, ObjectStore, Written};
pub use pods::{LoadedPod, PodRecord, PodStore, StatusRecord};
