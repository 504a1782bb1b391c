//! System call filters: an OCI profile becomes one BPF program.
#![forbid(unsafe_code)]

pub mod profiles;

mod error;
mod filter;

pub use error::{Error, Result};
pub use filter::Filter;
