//! `node`: what a kubelet does when it starts and while it runs: pods of a
//! manifest directory, and the pods of before a reboot.

pub mod args;
mod pods;
mod run;
mod sources;

pub use args::NodeArgs;
pub use run::{is_running, run};
