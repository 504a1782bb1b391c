//! Images on this machine: a content store below `<data_root>/images/`,
//! references in docker's spelling, layers unpacked so that overlayfs can use
//! them as they are, and leases that keep what is in use.
//!
//! ```text
//! images/
//!   lock                              flock: shared to add, exclusive to remove
//!   blobs/sha256/<hex>                manifests, configs and layers as they came
//!   records/<hex>.json                one image, by the digest of its config
//!   references/<domain>/<path>/_tags/<tag>.json
//!   references/<domain>/<path>/_digests/<hex>.json
//!   layers/<chain hex>/diff/          one unpacked layer on its chain of parents
//!   leases/<image hex>/<hash>         who uses an image
//!   tmp/                              work in progress; garbage when nobody holds the lock
//! ```
//!
//! What a pod's start needs (`Store::resolve`, `lease`, `overlay`) reaches no
//! decompressor and no tar reader.

#![forbid(unsafe_code)]

pub mod archive;
pub mod change;
pub mod config;
pub mod digest;
pub mod error;
pub mod import;
mod ingest;
mod layout;
pub mod lease;
pub mod load;
mod lock;
pub mod manifest;
mod names;
pub mod overlay;
pub mod record;
pub mod reference;
pub mod remove;
pub mod save;
pub mod store;

pub use config::ImageConfig;
pub use digest::Digest;
pub use error::Error;
pub use record::{Image, NameRecord, Record};
pub use reference::{InvalidReference, Reference};
pub use store::{Listed, Store};

#[cfg(test)]
mod tests;
