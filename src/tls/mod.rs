//! TLS for those who cannot carry it themselves: `podrt-net`, which a shim
//! starts for a probe or hook over HTTPS. The shim speaks HTTP into one end of
//! a socket pair; this side of it encrypts.

#![forbid(unsafe_code)]

mod program;
mod relay;
mod session;
mod words;

pub use program::run;
