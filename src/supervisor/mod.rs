//! The pod shim: one small single-threaded event loop per pod that carries out
//! what `lifecycle` decides, and the client that talks to it.
//!
//! - [`client`], [`spawn()`]: the command's side.
//! - [`control`]: what both say to each other.
//! - `shim`, `event_loop`: the shim's start, loop and end.
//! - `driver`: orders to effects, effects to facts.
//! - `log`, `probe`, `process`: pieces without decisions, mostly pure.
#![forbid(unsafe_code)]

pub mod client;
pub mod control;

mod driver;
mod error;
mod event_loop;
mod kept;
pub mod log;
pub mod probe;
pub mod process;
mod shim;
mod shims_cgroup;
mod spawn;
mod teardown;
#[cfg(test)]
mod testing;
mod token;
mod trace;

pub use error::{Error, Result};
pub use shim::run;
pub use spawn::{SpawnOptions, spawn};
