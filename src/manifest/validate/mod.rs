//! The API server's rules: exact paths, texts and order, all at once.

mod affinity;
mod check;
mod container;
mod env;
mod meta;
mod mount;
mod names;
mod network;
mod objects;
mod pod;
mod probe;
mod resources;
mod security;
mod volume;
mod warnings;

pub(super) use check::Check;
pub use names::config_key as config_key_problems;
pub(super) use objects::{config_map, kept_object, secret};
pub(super) use pod::{APPARMOR_CONTAINER, pod};
pub(super) use resources::{aggregate_requests, hugepage_size, is_extended_resource};
pub(super) use security::dotted_sysctl;
pub(super) use warnings::warnings;
