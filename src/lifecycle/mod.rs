//! A pod's life as pure decisions: facts in ([`Event`]), orders out
//! ([`Action`]), a status to read. Never reads a clock, never does I/O; the
//! whole machine is plain data that the supervisor keeps on disk.
//!
//! The driver's loop:
//! 1. `machine.handle(&event, now)` gives actions; write `snapshot()`, publish
//!    `status()` and `events()` if `revision()` grew, then carry the actions
//!    out. Each is answered by an event, as [`Action`] says.
//! 2. Set a timer to `next_deadline()`; when it fires, handle
//!    [`Event::Deadline`].
//! 3. After a crash: `PodMachine::restore`, report what happened meanwhile,
//!    then carry out what `resume` gives.
//!
//! [`machine`] has the table of states and events; each other file has one
//! subject and, where it has states, their diagram.

#![forbid(unsafe_code)]

pub mod action;
mod amend;
mod backoff;
pub mod columns;
mod conditions;
mod container;
mod container_status;
mod ending;
pub mod event;
mod events;
mod exit;
mod hook;
mod init_order;
pub mod machine;
mod memory;
mod phase;
mod probe;
mod reboot;
mod restart;
mod restart_all;
mod resume;
mod sandbox;
mod start;
mod start_failure;
mod started;
mod status;
mod termination;
#[cfg(test)]
mod tests;

pub use action::Action;
pub use amend::amend;
pub use event::Event;
pub use machine::PodMachine;
pub use memory::{Deletion, RestoreError, SNAPSHOT_VERSION, Snapshot};
