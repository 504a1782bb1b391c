//! A pod's life as pure decisions: facts in ([`Event`]), orders out
//! ([`Action`]), a status to read. Never reads a clock, never does I/O; the
//! whole machine is plain data that the supervisor keeps on disk.

#![forbid(unsafe_code)]

pub mod action;
pub mod event;

pub use action::Action;
pub use event::Event;
