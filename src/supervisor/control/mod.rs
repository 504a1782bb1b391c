//! The control socket: what is said ([`protocol`]), how it travels
//! ([`channel`]), and the shim's end of it ([`server`]).

pub mod channel;
pub mod protocol;
pub mod server;
pub mod socket;
