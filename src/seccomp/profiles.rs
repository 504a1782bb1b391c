//! Built-in profiles.

use std::collections::BTreeSet;

use oci_spec::runtime::{Capability, LinuxSeccomp};

/// The default profile for a container with these capabilities.
#[must_use]
pub fn runtime_default(capabilities: &BTreeSet<Capability>) -> LinuxSeccomp {
    todo!("{capabilities:?}")
}
