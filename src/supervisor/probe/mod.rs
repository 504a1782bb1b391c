//! What probes and hooks say over the network, without I/O.

pub mod http;
pub mod url;
