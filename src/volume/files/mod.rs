//! The files podrt generates for a pod; pure.

mod hosts;
mod resolv_conf;

pub use hosts::{HostsInput, hosts};
pub use resolv_conf::{ResolvConf, resolv_conf};

/// `/etc/hostname`.
#[must_use]
pub fn hostname(name: &str) -> String {
    format!("{name}\n")
}
