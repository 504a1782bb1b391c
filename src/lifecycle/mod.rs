//! A pod's life as pure decisions: facts in ([`Event`]), orders out
//! ([`Action`]), a status to read. Never reads a clock, never does I/O; the
//! whole machine is plain data that the supervisor keeps on disk.

#![forbid(unsafe_code)]

pub mod action;
pub mod columns;
pub mod event;
pub mod machine;

pub use action::Action;
pub use event::Event;
pub use machine::{Deletion, PodMachine, RestoreError, Snapshot};
