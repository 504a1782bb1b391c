//! The pod verbs: kubectl's, flag for flag, where kubectl has them.

pub mod apply;
pub mod args;
pub mod changes;
pub mod delete;
pub mod describe;
mod detached;
pub mod events;
pub mod exec;
pub mod follow;
pub mod get;
pub mod logs;
pub mod meta;
pub mod pump;
pub mod rows;
pub mod run;
pub mod selector;
pub mod settings;
pub mod source;
pub mod start;
pub mod types;
pub mod view;
mod watched;
pub mod write;
