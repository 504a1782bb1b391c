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
