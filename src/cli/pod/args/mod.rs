//! What may be typed behind each pod verb.

mod common;
mod inside;
mod read;
mod run;
#[cfg(test)]
mod tests;
mod write;

pub use common::{Parsed, Scope, WideScope, parse};
pub use inside::ExecArgs;
pub use read::{DescribeArgs, GetArgs, LogsArgs};
pub use run::{Network, RunArgs, WaitFor};
pub use write::{ApplyArgs, CreateArgs, DeleteArgs, Files, MetaArgs, ReplaceArgs};
