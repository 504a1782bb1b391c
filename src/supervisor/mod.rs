//! The pod shim: one small single-threaded event loop per pod that carries out
//! what `lifecycle` decides, and the client that talks to it.
#![forbid(unsafe_code)]

pub mod client;
pub mod control;

mod error;
mod log;
mod process;
mod spawn;
mod teardown;
#[cfg(test)]
mod testing;
mod token;

pub use error::{Error, Result};
pub use spawn::{SpawnOptions, spawn};
