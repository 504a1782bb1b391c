//! The only room with `unsafe` and raw system calls. Everything here is a thin,
//! typed wrapper; what to do with it is decided elsewhere.

pub mod bpf;
pub mod error;
pub mod mount;
pub mod path;

pub use error::SyscallError;
