//! The OCI verbs: runc's command line, flag for flag.

mod checkpoint;
mod completion;
mod create;
mod delete;
mod events;
mod exec;
mod features;
mod flags;
mod foreground;
mod kill;
mod list;
mod pause;
mod process;
mod ps;
mod report;
mod restore;
mod resume;
mod run;
mod spec;
mod start;
mod state;
mod update;
mod verb;

pub use verb::run;
