//! The control socket: what is said ([`protocol`]), by clients and the shim.

pub mod protocol;
