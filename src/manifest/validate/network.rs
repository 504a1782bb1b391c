//! Host names, addresses, DNS.

use std::net::IpAddr;

use super::check::Check;
use super::names;
use crate::manifest::path::Path;
use crate::manifest::types::{HostAlias, PodDNSConfig, PodSpec};

/// An address in its one canonical spelling (strict since 1.36).
pub(super) fn ip(check: &mut Check<'_>, text: &str, path: &Path<'_>) {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            check.invalid(path, text, "must not be an IPv4-mapped IPv6 address");
        }
        Ok(_) => {}
        Err(_) if has_leading_zeros(text) => {
            check.invalid(path, text, "must not have leading 0s");
        }
        Err(_) => {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            check.invalid(path, text, detail);
        }
    }
}

/// An IPv4 address but for zeros that some programs take for octal.
fn has_leading_zeros(text: &str) -> bool {
    let parts: Vec<_> = text.split('.').collect();
    let is_part = |part: &&str| {
        let significant = part.trim_start_matches('0');
        !part.is_empty() && (significant.is_empty() || significant.parse::<u8>().is_ok())
    };
    parts.len() == 4 && parts.iter().all(is_part)
}

pub(super) fn host_aliases(check: &mut Check<'_>, aliases: &[HostAlias], path: &Path<'_>) {
    for (index, alias) in aliases.iter().enumerate() {
        let path = path.index(index);
        ip(check, &alias.ip, &path.child("ip"));
        let hostnames = path.child("hostnames");
        for (index, name) in alias.hostnames.iter().enumerate() {
            check.invalid_each(&hostnames.index(index), name, names::subdomain(name));
        }
    }
}

pub(super) fn dns(check: &mut Check<'_>, spec: &PodSpec, path: &Path<'_>) {
    let is_none = spec.dns_policy == "None";
    let Some(config) = &spec.dns_config else {
        if is_none {
            check.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        return;
    };
    if is_none && config.nameservers.is_empty() {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        check.required(&path.child("nameservers"), detail);
        return;
    }
    dns_config(check, config, path);
}

fn dns_config(check: &mut Check<'_>, config: &PodDNSConfig, path: &Path<'_>) {
    let servers = path.child("nameservers");
    if config.nameservers.len() > 3 {
        let detail = "must not have more than 3 nameservers";
        check.invalid(&servers, config.nameservers.as_slice(), detail);
    }
    for (index, server) in config.nameservers.iter().enumerate() {
        ip(check, server, &servers.index(index));
    }
    let searches = path.child("searches");
    if config.searches.len() > 32 {
        let detail = "must not have more than 32 search paths";
        check.invalid(&searches, config.searches.as_slice(), detail);
    }
    if config.searches.join(" ").len() > 2048 {
        let detail =
            "must not have more than 2048 characters (including spaces) in the search list";
        check.invalid(&searches, config.searches.as_slice(), detail);
    }
    for (index, search) in config.searches.iter().enumerate().filter(|(_, search)| *search != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        let broken = names::subdomain_with_underscore(search);
        check.invalid_each(&searches.index(index), search, broken);
    }
    let options = path.child("options");
    for (index, option) in config.options.iter().enumerate() {
        if option.name.is_empty() {
            check.required(&options.index(index), "must not be empty");
        }
    }
}

/// `hostPort` is `containerPort` in the machine's network.
pub(super) fn host_network_ports(check: &mut Check<'_>, spec: &PodSpec, path: &Path<'_>) {
    if !spec.host_network {
        return;
    }
    let containers = path.child("containers");
    for (index, container) in spec.containers.iter().enumerate() {
        let container_path = containers.index(index);
        let ports = container_path.child("ports");
        for (index, port) in container.ports.iter().enumerate() {
            if port.host_port != port.container_port {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                check.invalid(&ports.index(index).child("hostPort"), port.host_port, detail);
            }
        }
    }
}

pub(super) fn hostname_override(check: &mut Check<'_>, spec: &PodSpec, path: &Path<'_>) {
    let Some(name) = &spec.hostname_override else { return };
    let path = path.child("hostnameOverride");
    if spec.set_hostname_as_fqdn == Some(true) {
        check.forbidden(&path, "may not be specified when setHostnameAsFQDN is true");
    }
    if spec.host_network {
        check.forbidden(&path, "may not be specified when hostNetwork is true");
    }
    if name.len() > 64 {
        check.too_long(&path, 64);
    }
    check.invalid_each(&path, name, names::subdomain(name));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_spelling() {
        let table = [
            ("10.0.0.1", None),
            ("::1", None),
            ("2001:db8::ffff", None),
            ("010.0.0.1", Some("must not have leading 0s")),
            ("1.2.3.00", Some("must not have leading 0s")),
            ("::ffff:1.2.3.4", Some("must not be an IPv4-mapped IPv6 address")),
            ("1.2.3", Some("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")),
            ("", Some("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")),
            ("1.2.3.400", Some("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")),
        ];
        for (text, detail) in table {
            let mut check = Check::new(None);
            ip(&mut check, text, &Path::ROOT.child("ip"));
            let found = check.errors.first().map(|error| error.detail.as_str());
            assert_eq!(found, detail, "{text}");
        }
    }
}
