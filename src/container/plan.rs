//! From a spec to the plan of its first process: all that can be decided, and
//! refused, before anything is made.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use oci_spec::runtime::{Linux, LinuxIdMapping, Spec};

use super::error::{Error, Result};
use super::init::namespaces::{Choice, NamespacePlan};
use super::init::procfs::sysctl_path;
use super::namespace::{Namespace, NamespaceFds};
use crate::sys::SyscallError;

pub(super) fn invalid(problem: impl Into<String>) -> Error {
    Error::Spec { problem: problem.into() }
}

/// The `linux` part, which a container on Linux must have.
pub(super) fn linux(spec: &Spec) -> Result<&Linux> {
    spec.linux().as_ref().ok_or_else(|| invalid("linux is missing"))
}

/// The namespaces of the spec with the caller's in their place.
pub(super) fn namespaces(linux: &Linux, mut given: NamespaceFds) -> Result<NamespacePlan> {
    let mut choices = Vec::new();
    let mut seen = Vec::new();
    for wish in linux.namespaces().iter().flatten() {
        let kind = Namespace::from(wish.typ());
        if seen.contains(&kind) {
            return Err(invalid(format!("namespace {:?} is given twice", kind.file())));
        }
        seen.push(kind);
        if given.contains_key(&kind) {
            continue;
        }
        match wish.path() {
            None => choices.push((kind, Choice::New)),
            Some(path) if path.as_os_str().is_empty() => choices.push((kind, Choice::New)),
            Some(path) => {
                if let Some(fd) = open_namespace(kind, path)? {
                    choices.push((kind, Choice::Join(fd)));
                }
            }
        }
    }
    while let Some((kind, fd)) = given.pop_first() {
        choices.push((kind, Choice::Join(fd)));
    }
    let plan = NamespacePlan::new(choices);
    if !plan.own_mount {
        return Err(invalid("a container needs a mount namespace of its own"));
    }
    Ok(plan)
}

/// Opens a namespace to join; `None` when it is the one we are in already,
/// which for a user namespace could not be joined again.
fn open_namespace(kind: Namespace, path: &Path) -> Result<Option<OwnedFd>> {
    let what = || format!("open {} namespace", kind.file());
    let failed = |call, errno| Error::Call {
        what: what(),
        source: SyscallError::new(call, format!("{path:?}"), errno),
    };
    if !path.is_absolute() {
        return Err(invalid(format!("namespace path {path:?} is not absolute")));
    }
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let fd = nix::fcntl::open(path, flags, Mode::empty()).map_err(|errno| failed("open", errno))?;
    let stat = nix::sys::statfs::fstatfs(&fd).map_err(|errno| failed("fstatfs", errno))?;
    if stat.filesystem_type() != nix::sys::statfs::NSFS_MAGIC {
        return Err(invalid(format!("{path:?} is no namespace")));
    }
    let own = format!("/proc/self/ns/{}", kind.file());
    let own = nix::sys::stat::stat(own.as_str()).map_err(|errno| failed("stat", errno))?;
    let stat = nix::sys::stat::fstat(fd.as_fd()).map_err(|errno| failed("fstat", errno))?;
    Ok((own.st_ino != stat.st_ino || own.st_dev != stat.st_dev).then_some(fd))
}

/// The text of `timens_offsets`.
pub(super) fn time_offsets(linux: &Linux) -> Result<Option<String>> {
    let Some(offsets) = linux.time_offsets() else { return Ok(None) };
    let mut lines = String::new();
    for (clock, offset) in offsets {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(invalid(format!("time offset for unknown clock {clock:?}")));
        }
        let (secs, nanos) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        lines += &format!("{clock} {secs} {nanos}\n");
    }
    Ok(Some(lines).filter(|lines| !lines.is_empty()))
}

/// One kind of mapping as the text of `uid_map` or `gid_map`.
pub(super) fn mapping(mappings: &Option<Vec<LinuxIdMapping>>) -> String {
    let line = |m: &LinuxIdMapping| format!("{} {} {}\n", m.container_id(), m.host_id(), m.size());
    mappings.iter().flatten().map(line).collect()
}

/// Sysctls as files below /proc with their values. One that belongs to no
/// namespace of the container would change the host.
pub(super) fn sysctls(linux: &Linux, plan: &NamespacePlan) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for (name, value) in linux.sysctl().iter().flatten() {
        let path = sysctl_path(name);
        let (has, kind) = match path.strip_prefix("sys/").unwrap_or_default() {
            "kernel/domainname" => (plan.own_uts, Namespace::Uts),
            "kernel/hostname" => {
                return Err(invalid(format!("sysctl {name:?}: use hostname instead")));
            }
            path if is_ipc(path) => (plan.has_ipc, Namespace::Ipc),
            path if path.starts_with("net/") => (plan.has_network, Namespace::Network),
            path if path.starts_with("user/") => (plan.foreign_user, Namespace::User),
            _ => {
                return Err(invalid(format!(
                    "sysctl {name:?} is not in a separate kernel namespace"
                )));
            }
        };
        if !has {
            let kind = kind.file();
            return Err(invalid(format!(
                "sysctl {name:?} is not allowed in the hosts {kind} namespace"
            )));
        }
        files.push((path, value.clone()));
    }
    Ok(files)
}

fn is_ipc(path: &str) -> bool {
    const KERNEL: [&str; 10] = [
        "msgmax",
        "msgmnb",
        "msgmni",
        "sem",
        "shmall",
        "shmmax",
        "shmmni",
        "shm_rmid_forced",
        "msg_next_id",
        "sem_next_id",
    ];
    path.starts_with("fs/mqueue/")
        || path.strip_prefix("kernel/").is_some_and(|name| KERNEL.contains(&name))
}

/// A name that the container may set: only with an uts namespace, or the host
/// would be renamed.
pub(super) fn machine_name(
    field: &str,
    name: &Option<String>,
    plan: &NamespacePlan,
) -> Result<Option<String>> {
    match name.as_deref() {
        None | Some("") => Ok(None),
        Some(_) if !plan.own_uts => {
            Err(invalid(format!("unable to set {field} without a private UTS namespace")))
        }
        Some(name) => Ok(Some(name.to_owned())),
    }
}

/// The container's cgroup, absolute in the hierarchy: that of the spec (a
/// relative one counts from the top), else one named like the container.
pub(super) fn cgroup_path(linux: &Linux, id: &str) -> Result<String> {
    let Some(path) = linux.cgroups_path().as_ref().filter(|p| !p.as_os_str().is_empty()) else {
        return Ok(format!("/{id}"));
    };
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        use std::path::Component::{Normal, ParentDir};
        match part {
            Normal(name) => clean.push(name),
            ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    match clean.to_str() {
        Some("/") | None => Err(invalid(format!("cgroupsPath {path:?} names no cgroup"))),
        Some(text) => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn linux(value: serde_json::Value) -> Linux {
        serde_json::from_value(value).unwrap()
    }

    fn plan_with(kinds: &[&str]) -> NamespacePlan {
        let list: Vec<_> = kinds.iter().map(|kind| json!({"type": kind})).collect();
        namespaces(&linux(json!({"namespaces": list})), NamespaceFds::new()).unwrap()
    }

    #[test]
    fn a_sysctl_of_the_host_is_refused() {
        let plan = plan_with(&["mount", "ipc"]);
        let check = |name: &str| sysctls(&linux(json!({"sysctl": {name: "1"}})), &plan);
        assert!(check("kernel.shmmax").is_ok());
        assert!(check("fs.mqueue.msg_max").is_ok());
        for name in
            ["net.ipv4.ip_forward", "kernel.panic", "kernel.hostname", "user.max_ipc", "vm.x"]
        {
            assert!(check(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_container_is_never_named_in_the_hosts_uts_namespace() {
        let name = Some("x".to_owned());
        assert!(machine_name("hostname", &name, &plan_with(&["mount"])).is_err());
        assert_eq!(machine_name("hostname", &name, &plan_with(&["mount", "uts"])).unwrap(), name);
        assert_eq!(machine_name("hostname", &None, &plan_with(&["mount"])).unwrap(), None);
    }

    #[test]
    fn cgroup_paths_stay_below_the_top() {
        let path = |given: &str| cgroup_path(&linux(json!({"cgroupsPath": given})), "id").ok();
        assert_eq!(path("/a/../../b").as_deref(), Some("/b"));
        assert_eq!(path("a/b/").as_deref(), Some("/a/b"));
        assert_eq!(path("").as_deref(), Some("/id"));
        assert_eq!(path("/.."), None);
    }

    #[test]
    fn namespaces_that_make_no_container_are_refused() {
        for list in [
            json!([{"type": "mount"}, {"type": "mount"}]),
            json!([{"type": "pid"}]),
            json!([{"type": "mount"}, {"type": "network", "path": "relative"}]),
            json!([{"type": "mount"}, {"type": "network", "path": "/dev/null"}]),
        ] {
            let linux = linux(json!({"namespaces": list}));
            assert!(namespaces(&linux, NamespaceFds::new()).is_err(), "{list}");
        }
        let own = json!([{"type": "mount"}, {"type": "network", "path": "/proc/self/ns/net"}]);
        let plan = namespaces(&linux(json!({"namespaces": own})), NamespaceFds::new()).unwrap();
        assert!(!plan.has_network, "the namespace we are in is not joined");
    }
}
