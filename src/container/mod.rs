//! OCI containers: from a spec to a process that waits to be started, and
//! everything one does with it afterwards.

#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod commands;
pub mod creation;
pub mod error;
pub mod events;
pub mod exec;
pub mod features;
pub mod from_spec;
pub mod namespace;
pub mod options;
pub mod resources;
pub mod rootless;
pub mod spec;
pub mod stage;
pub mod state;
pub mod update;
pub mod verbs;

mod console;
mod devices;
mod draft;
mod hooks;
mod init;
mod kept;
mod machine;
mod net_devices;
mod newborn;
mod outset;
mod plan;
mod proc_mount;
mod record;
mod refuse;
mod systemd;

pub use commands::Commands;
pub use creation::{Creation, Progress, create, read_exec_status};
pub use error::{Error, Result};
pub use events::Watch;
pub use exec::{Executing, Target};
pub use kept::{Config, Keep};
pub use namespace::{Namespace, NamespaceFds};
pub use options::{
    CgroupDriver, Console, CreateOptions, Created, Exec, ExecOptions, Gate, RootSource, Stdio,
};
pub use stage::{Stage, StepError};
pub use state::{State, Status};
pub use update::{update, update_rdt};
pub use verbs::{delete, delete_of_pod, kill, pause, processes, resume, start};

/// Decides all that [`create`] decides before it makes anything.
///
/// # Errors
/// What is wrong with the spec, or missing on the machine.
pub fn draft(options: CreateOptions) -> Result<()> {
    draft::Draft::new(options).map(drop)
}
