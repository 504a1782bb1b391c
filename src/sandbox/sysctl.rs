//! Which sysctls a sandbox sets, and where they lie below `/proc/sys`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Error, Result};
use crate::model::plan::NetworkMode;
use crate::model::spec::SandboxSpec;

/// A value and its file, relative to `/proc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sysctl {
    pub(super) path: PathBuf,
    pub(super) value: String,
}

/// What pods on a network of their own get unless they say otherwise: ports
/// below 1024 and ping need no privilege, there being nobody to protect.
const NETWORK_DEFAULTS: [(&str, &str); 2] =
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];

/// The sysctls of a sandbox, its defaults included.
///
/// # Errors
/// [`Error::ForeignSysctl`] for one that would change the machine's own,
/// [`Error::MalformedSysctl`].
pub(super) fn of(spec: &SandboxSpec) -> Result<Vec<Sysctl>> {
    let mut wanted = BTreeMap::new();
    if spec.network != NetworkMode::Host {
        wanted.extend(NETWORK_DEFAULTS.map(|(name, value)| (path_of(name), (name, value))));
    }
    for (name, value) in &spec.sysctls {
        wanted.insert(path_of(name), (name, value));
    }
    let check = |(path, (name, value)): (Option<PathBuf>, (&str, &str))| {
        let path = path.ok_or_else(|| Error::MalformedSysctl { name: name.to_owned() })?;
        match missing_namespace(&path, spec) {
            Some(needs) => Err(Error::ForeignSysctl { name: name.to_owned(), needs }),
            None => Ok(Sysctl { path, value: value.to_owned() }),
        }
    };
    wanted.into_iter().map(check).collect()
}

/// `net.ipv4.tcp_syncookies` and `net/ipv4/tcp_syncookies` are the same file:
/// whichever separator comes first is the one. Between dots a slash stands for
/// a dot, as in the name of an interface (sysctl(8)).
fn path_of(name: &str) -> Option<PathBuf> {
    let separator = name.chars().find(|c| matches!(c, '.' | '/'))?;
    let mut path = PathBuf::from("sys");
    for part in name.split(separator) {
        let part = part.replace('/', ".");
        if matches!(part.as_str(), "" | "." | "..") || part.contains('\0') {
            return None;
        }
        path.push(part);
    }
    Some(path)
}

/// The namespace that would have to be the pod's own and is not.
fn missing_namespace(path: &std::path::Path, spec: &SandboxSpec) -> Option<&'static str> {
    let text = path.to_str().unwrap_or_default();
    let ipc = ["sys/kernel/shm", "sys/kernel/msg", "sys/fs/mqueue/"];
    if text.starts_with("sys/net/") {
        (spec.network == NetworkMode::Host).then_some("a network namespace")
    } else if text == "sys/kernel/sem" || ipc.iter().any(|prefix| text.starts_with(prefix)) {
        spec.host_ipc.then_some("an ipc namespace")
    } else {
        Some("a kernel")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::tests::spec;

    fn with(
        sysctls: &[(&str, &str)],
        change: impl FnOnce(&mut SandboxSpec),
    ) -> Result<Vec<Sysctl>> {
        let mut spec = spec("sysctl");
        spec.sysctls = sysctls.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        change(&mut spec);
        of(&spec)
    }

    #[test]
    fn pods_with_a_network_of_their_own_bind_low_ports_and_ping_unless_they_say_otherwise() {
        let path = |name: &str| PathBuf::from(format!("sys/net/ipv4/{name}"));
        let defaults = with(&[], |_| {}).unwrap();
        assert_eq!(
            defaults,
            [
                Sysctl { path: path("ip_unprivileged_port_start"), value: "0".into() },
                Sysctl { path: path("ping_group_range"), value: "0 2147483647".into() },
            ]
        );
        for name in ["net.ipv4.ping_group_range", "net/ipv4/ping_group_range"] {
            let own = with(&[(name, "1 0")], |_| {}).unwrap();
            assert_eq!(own[1], Sysctl { path: path("ping_group_range"), value: "1 0".into() });
        }
        assert_eq!(with(&[], |spec| spec.network = NetworkMode::Host).unwrap(), []);
    }

    #[test]
    fn a_name_means_one_file_with_either_separator() {
        let table = [
            ("net.ipv4.tcp_syncookies", Some("sys/net/ipv4/tcp_syncookies")),
            ("net/ipv4/tcp_syncookies", Some("sys/net/ipv4/tcp_syncookies")),
            ("net.ipv4.conf.eth0/1.forwarding", Some("sys/net/ipv4/conf/eth0.1/forwarding")),
            ("net/ipv4/conf/eth0.1/forwarding", Some("sys/net/ipv4/conf/eth0.1/forwarding")),
            ("kernel", None),
            ("", None),
            (".//.sysrq-trigger", None),
            ("net..x", None),
            ("net/../../sysrq-trigger", None),
            ("net.\0", None),
        ];
        for (name, want) in table {
            assert_eq!(path_of(name), want.map(PathBuf::from), "{name:?}");
        }
    }

    #[test]
    fn a_sysctl_of_the_machine_is_refused() {
        let foreign = |name: &str, change: fn(&mut SandboxSpec)| {
            matches!(with(&[(name, "1")], change), Err(Error::ForeignSysctl { .. }))
        };
        assert!(foreign("kernel.panic", |_| {}));
        assert!(foreign("vm.swappiness", |_| {}));
        assert!(foreign("net.core.somaxconn", |spec| spec.network = NetworkMode::Host));
        assert!(foreign("kernel.shmmax", |spec| spec.host_ipc = true));
        assert!(!foreign("kernel.shmmax", |_| {}));
        assert!(!foreign("kernel.sem", |_| {}));
        assert!(!foreign("fs.mqueue.msg_max", |_| {}));
        assert!(!foreign("net.core.somaxconn", |_| {}));
    }
}
