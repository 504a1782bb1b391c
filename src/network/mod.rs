//! The network of pods: a bridge on the machine, an address for each pod from
//! one pool whatever the roots, and a veth pair between the two.
//!
//! ```text
//! machine   podrt0 (gateway, .1) ── podrt<address> ┐ veth
//! pod       lo, eth0 (address, default route) ─────┘
//! ```
//!
//! Bridge and pool belong to the machine, not to a root; the pool lies in
//! `/run/podrt-machine/network`. What is not there, deliberately: forwarding
//! beyond the machine, and any deletion of a veth (a dying namespace takes its
//! end along, and with it the other; deleting one by hand takes the kernel ten
//! times as long as making it).
#![forbid(unsafe_code)]

mod attach;
mod bridge;
mod error;
mod host;
mod link;
mod pool;
mod subnet;

pub use attach::{AttachRequest, Attachment, House, Network, Settings};
pub use error::{Error, Result};
pub use host::addresses as host_addresses;
pub use pool::{Entry, Owner};
pub use subnet::Subnet;

#[cfg(test)]
mod tests;
