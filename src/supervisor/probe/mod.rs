//! What probes and hooks say over the network, without I/O.

pub mod grpc;
pub mod hpack;
pub mod http;
pub mod url;
