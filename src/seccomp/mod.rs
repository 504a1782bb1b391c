//! System call filters: an OCI profile becomes one BPF program.
//!
//! [`Filter::compile`] does everything in the parent: names become numbers for
//! each ABI (`syscalls`), the profile becomes verdicts by number (`policy`),
//! and those become a tree of comparisons over the number, with a block of
//! argument checks at the leaves that need one (`program`).
//! [`Filter::install`] is one system call, fit for the last moment before
//! exec.
#![forbid(unsafe_code)]

pub mod profiles;

mod error;
mod filter;
mod policy;
mod program;
mod syscall_table;
mod syscalls;
#[cfg(test)]
mod tests;

pub use error::{Error, Result};
pub use filter::Filter;
pub use policy::native_architectures;
