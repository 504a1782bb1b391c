//! The only room with `unsafe` and raw system calls. Everything here is a thin,
//! typed wrapper; what to do with it is decided elsewhere.

pub mod arena;
pub mod bpf;
pub mod cgroupfs;
pub mod clock;
pub mod embedded;
pub mod error;
pub mod event;
pub mod exec;
pub mod exec_view;
pub mod exit_log;
pub mod fault;
pub mod fd;
mod hand_over;
pub mod helper;
pub mod keeper;
pub mod keeper_protocol;
pub mod kernel;
pub mod mount;
pub mod mountinfo;
pub mod netif;
pub mod netlink;
pub mod numa;
pub mod path;
pub mod pidfd_info;
pub mod pipe;
pub mod prctl;
pub mod process;
pub mod pty;
pub mod rename;
pub mod residency;
pub mod seccomp;
pub mod tcp;
pub mod terminal;
#[cfg(test)]
pub(crate) mod testing;
pub mod userns;
pub mod xattr;

pub use error::SyscallError;
