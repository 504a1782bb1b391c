//! What may be typed behind each pod verb.

mod common;
mod inside;
mod read;
mod run;
#[cfg(test)]
mod tests;
mod write;

pub use common::{Parsed, Scope, WideScope, parse, parse_duration};
pub use inside::{AttachArgs, DebugArgs, ExecArgs, Streams};
pub use read::{DescribeArgs, EventsArgs, GetArgs, LogsArgs, Timeout, WaitArgs};
pub use run::{Network, RunArgs, RunImageArgs, WaitFor};
pub use write::{ApplyArgs, CreateArgs, DeleteArgs, Files, MetaArgs, ReplaceArgs};
