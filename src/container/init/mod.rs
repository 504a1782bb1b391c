//! What happens inside the new process, and the plan it follows.
//!
//! The parent resolves every question into a plan before the clone; the child
//! walks through named stages, reports the one that failed and never logs.

pub(super) mod channel;
pub(super) mod child;
pub(super) mod executable;
pub(super) mod namespaces;
pub(super) mod placement;
pub(super) mod privileges;
pub(super) mod process;
pub(super) mod procfs;
pub(super) mod terminal;
