//! A pod's sandbox: the namespaces and the cgroup its containers share, and
//! the pause process that keeps them.
//!
//! ```text
//! <pod cgroup>            limits of the whole pod; containers' cgroups go here
//!   └─ <sandbox id>       pause alone
//! ```
//!
//! A sandbox outlives the process that made it: [`Sandbox::record`] finds it
//! again, together with the descriptor of its `/dev/shm`.
#![forbid(unsafe_code)]

mod create;
mod error;
mod housekeeping;
mod init;
mod record;
mod stop;
mod sysctl;

pub use create::{Sandbox, SandboxOptions};
pub use error::{Error, Result};
pub use init::Step;
pub use record::SandboxRecord;

#[cfg(test)]
mod tests;
