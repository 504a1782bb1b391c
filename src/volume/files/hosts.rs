//! `/etc/hosts` as the kubelet writes it.

use std::fmt::Write;

use crate::model::plan::HostAlias;

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

const MANAGED: &str = "# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
";

const MANAGED_HOST_NETWORK: &str = "# Kubernetes-managed hosts file (host network).\n";

/// `/etc/hosts`.
#[must_use]
pub fn hosts(input: &HostsInput<'_>) -> String {
    let mut text = match input.host_file {
        Some(own) => format!("{MANAGED_HOST_NETWORK}{own}"),
        None => format!("{MANAGED}{}", pod_lines(input)),
    };
    if !input.aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in input.aliases {
            // A String takes every write.
            let _ = writeln!(text, "{}\t{}", alias.ip, alias.hostnames.join("\t"));
        }
    }
    text
}

fn pod_lines(input: &HostsInput<'_>) -> String {
    let name = input.hostname;
    let names = match input.domain {
        Some(domain) if !domain.is_empty() => format!("{name}.{domain}\t{name}"),
        _ => name.to_owned(),
    };
    input.pod_ips.iter().map(|ip| format!("{ip}\t{names}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input<'a>(pod_ips: &'a [String], aliases: &'a [HostAlias]) -> HostsInput<'a> {
        HostsInput { host_file: None, pod_ips, hostname: "web", domain: None, aliases }
    }

    #[test]
    fn the_pods_addresses_follow_the_fixed_lines() {
        let ips = ["10.88.0.5".to_owned(), "fd00::5".to_owned()];
        let text = hosts(&input(&ips, &[]));
        assert!(text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with("fe00::2\tip6-allrouters\n10.88.0.5\tweb\nfd00::5\tweb\n"));
    }

    #[test]
    fn a_domain_puts_the_full_name_first() {
        let ips = ["10.88.0.5".to_owned()];
        let text =
            hosts(&HostsInput { domain: Some("sub.ns.svc.cluster.local"), ..input(&ips, &[]) });
        assert!(text.ends_with("\n10.88.0.5\tweb.sub.ns.svc.cluster.local\tweb\n"), "{text}");
    }

    #[test]
    fn aliases_are_appended_in_order_also_to_the_machines_file() {
        let alias = |ip: &str, names: &[&str]| HostAlias {
            ip: ip.into(),
            hostnames: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let aliases = [alias("1.2.3.4", &["a", "b"]), alias("::1", &["c"])];
        let own = HostsInput { host_file: Some("127.0.0.1 node\n"), ..input(&[], &aliases) };
        assert_eq!(
            hosts(&own),
            "# Kubernetes-managed hosts file (host network).\n127.0.0.1 node\n\n\
             # Entries added by HostAliases.\n1.2.3.4\ta\tb\n::1\tc\n"
        );
    }
}
