//! The command line: what was typed becomes what is meant, and each error is
//! printed exactly once, here.
#![forbid(unsafe_code)]

pub mod dispatch;
pub mod error;
pub mod globals;
pub mod help;
pub mod image;
pub mod logs;
pub mod node;
pub mod oci;
pub mod pod;
pub mod print;
pub mod whose;

pub use dispatch::run;
