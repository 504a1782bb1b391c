//! podrt runs Kubernetes pods and OCI bundles on one Linux machine.
//!
//! `docs/architecture.md` has the map; `integration/rooms.rs` keeps the rooms
//! apart: each may use only those above it in this list that the map allows.

pub mod model;

pub mod lifecycle;
pub mod manifest;

pub mod sys;

pub mod cgroup;
pub mod image;
pub mod network;
pub mod rootfs;
pub mod seccomp;
pub mod store;
pub mod volume;

pub mod tls;

pub mod container;
pub mod sandbox;
pub mod supervisor;

pub mod cli;
