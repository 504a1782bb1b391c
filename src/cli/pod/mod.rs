//! The pod verbs: kubectl's, flag for flag, where kubectl has them.

pub mod args;
pub mod delete;
pub mod describe;
mod detached;
pub mod exec;
pub mod follow;
pub mod get;
pub mod logs;
pub mod pump;
pub mod run;
pub mod selector;
pub mod start;
pub mod types;
pub mod view;
mod watched;
