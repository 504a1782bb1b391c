//! The files podrt generates for a pod; pure.

use crate::model::plan::{DnsPlan, HostAlias};

/// What `/etc/hosts` is made from.
#[derive(Debug, Clone, Copy)]
pub struct HostsInput<'a> {
    /// The machine's own file, for pods on the machine's network.
    pub host_file: Option<&'a str>,
    pub pod_ips: &'a [String],
    pub hostname: &'a str,
    /// `<subdomain>.<ns>.svc.<clusterDomain>`.
    pub domain: Option<&'a str>,
    pub aliases: &'a [HostAlias],
}

/// `/etc/hosts`.
#[must_use]
pub fn hosts(input: &HostsInput<'_>) -> String {
    todo!("{input:?}")
}

/// `/etc/resolv.conf` and what had to be left out of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvConf {
    pub text: String,
    /// Messages of `DNSConfigForming` events.
    pub warnings: Vec<String>,
}

/// `/etc/resolv.conf`; `host_file` is the machine's own.
#[must_use]
pub fn resolv_conf(dns: &DnsPlan, host_file: &str) -> ResolvConf {
    todo!("{dns:?} {host_file}")
}

/// `/etc/hostname`.
#[must_use]
pub fn hostname(name: &str) -> String {
    format!("{name}\n")
}
