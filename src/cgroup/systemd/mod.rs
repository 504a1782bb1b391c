//! systemd as the maker of cgroups: a transient scope for each container,
//! asked for over systemd's own socket.
//!
//! A scope cannot be empty, so that a placeholder process holds it from its
//! making until the container's first process is cloned into it.

mod bus;
mod name;
mod properties;
mod scope;
mod wire;

pub use name::ScopeName;
pub use properties::{Property, from_annotations};
pub use scope::{Placeholder, available, set_limits, start, stop};
