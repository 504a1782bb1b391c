//! Containers of a user who is not root: podrt becomes root of a user
//! namespace with the container's mappings, and goes on in it as usual.
//!
//! One's own id alone may be mapped by oneself; for more, newuidmap(1) and
//! newgidmap(1) are asked, who know /etc/subuid.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;

use nix::errno::Errno;
use nix::unistd::{Gid, Pid, Uid};
use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType, Spec};

use super::error::{Error, Result};
use super::init::procfs::ProcDir;
use super::plan::{invalid, mapping};
use crate::sys::process::{self, Clone, CloneFlags, Wait};
use crate::sys::{SyscallError, fd, prctl};

/// Enters a user and a mount namespace with the spec's mappings, and takes
/// them out of the spec. Nothing happens for root.
///
/// # Errors
/// [`Error::Spec`] without a new user namespace; what the kernel or the
/// helpers refuse.
pub fn enter(spec: &mut Spec) -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let linux = spec.linux_mut().as_mut().ok_or_else(|| invalid("linux is missing"))?;
    let mappings = take_mappings(linux)?;
    let helper = mappings.needs_helper().then(|| Helper::wait_to_map(&mappings)).transpose()?;
    process::unshare(CloneFlags::NEWUSER.union(CloneFlags::NEWNS))
        .map_err(Error::call("make a user namespace"))?;
    match helper {
        Some(helper) => helper.map()?,
        None => mappings.write_own().map_err(Error::call("map users"))?,
    }
    prctl::become_user(Uid::from_raw(0), Gid::from_raw(0), &[])
        .map_err(Error::call("become root of the user namespace"))
}

#[derive(Debug)]
struct Mappings {
    uids: Vec<LinuxIdMapping>,
    gids: Vec<LinuxIdMapping>,
}

fn take_mappings(linux: &mut Linux) -> Result<Mappings> {
    let mut namespaces = linux.namespaces().clone().unwrap_or_default();
    let all = namespaces.len();
    namespaces.retain(|one| one.typ() != LinuxNamespaceType::User || one.path().is_some());
    if namespaces.len() == all {
        return Err(invalid("rootless container requires user namespaces"));
    }
    let taken = Mappings {
        uids: linux.uid_mappings().clone().unwrap_or_default(),
        gids: linux.gid_mappings().clone().unwrap_or_default(),
    };
    if taken.uids.is_empty() || taken.gids.is_empty() {
        return Err(invalid("rootless containers require at least one UID and GID mapping"));
    }
    linux.set_namespaces(Some(namespaces)).set_uid_mappings(None).set_gid_mappings(None);
    Ok(taken)
}

impl Mappings {
    fn needs_helper(&self) -> bool {
        let own = |list: &[LinuxIdMapping], id: u32| matches!(list, [one] if one.size() == 1 && one.host_id() == id);
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        !own(&self.uids, uid) || !own(&self.gids, gid)
    }

    /// Without privilege a process maps its own group only after it has given
    /// up setgroups(2).
    fn write_own(&self) -> std::result::Result<(), SyscallError> {
        let proc = ProcDir::open()?;
        proc.write("self/uid_map", &mapping(&Some(self.uids.clone())))?;
        proc.write("self/setgroups", "deny")?;
        proc.write("self/gid_map", &mapping(&Some(self.gids.clone())))
    }
}

/// A process that stays outside of the new namespace, for whoever maps must be
/// in the one above.
struct Helper {
    process: OwnedFd,
    go: File,
}

impl Helper {
    fn wait_to_map(mappings: &Mappings) -> Result<Self> {
        let pid = Pid::this();
        let (wait, go) = fd::pipe().map_err(Error::call("make a pipe"))?;
        match process::fork_with_pidfd().map_err(Error::call("make a helper"))? {
            Clone::Parent { pidfd, .. } => Ok(Self { process: pidfd, go: File::from(go) }),
            Clone::Child => {
                drop(go);
                // The end of the pipe: there is nothing to map.
                let told = File::from(wait).read_exact(&mut [0]).is_ok();
                let mapped = told
                    && run("newuidmap", pid, &mappings.uids)
                    && run("newgidmap", pid, &mappings.gids);
                process::exit_now(u8::from(!mapped))
            }
        }
    }

    fn map(mut self) -> Result<()> {
        let failed = || Error::call("map users with newuidmap and newgidmap");
        let told = self.go.write_all(b"m");
        told.map_err(|error| SyscallError::from_io("write", "pipe", &error)).map_err(failed())?;
        let ended = process::wait_pidfd(self.process.as_fd(), Wait::Block).map_err(failed())?;
        match ended.map(|status| status.code()) {
            Some(0) => Ok(()),
            _ => Err(failed()(SyscallError::new("execve", "\"newuidmap\"", Errno::EPERM))),
        }
    }
}

/// The program says itself what is wrong.
fn run(program: &str, pid: Pid, mappings: &[LinuxIdMapping]) -> bool {
    let numbers = mappings.iter().flat_map(|m| [m.container_id(), m.host_id(), m.size()]);
    let mut command = Command::new(program);
    command.arg(pid.to_string()).args(numbers.map(|number| number.to_string()));
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("podrt: run {program:?}: {error}");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn linux(value: serde_json::Value) -> Linux {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_user_namespace_is_taken_out_of_the_spec_with_its_mappings() {
        let map = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
        let mut given = linux(json!({
            "namespaces": [{"type": "user"}, {"type": "mount"}],
            "uidMappings": map, "gidMappings": map,
        }));
        let taken = take_mappings(&mut given).unwrap();
        assert_eq!(taken.uids[0].host_id(), 1000);
        assert_eq!(given.namespaces().as_ref().unwrap().len(), 1);
        assert!(given.uid_mappings().is_none() && given.gid_mappings().is_none());
    }

    #[test]
    fn without_a_user_namespace_or_mappings_there_is_no_rootless_container() {
        for bad in [
            json!({"namespaces": [{"type": "mount"}]}),
            json!({"namespaces": [{"type": "user", "path": "/x"}]}),
            json!({"namespaces": [{"type": "user"}]}),
        ] {
            assert!(take_mappings(&mut linux(bad.clone())).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_ones_own_id_is_mapped_without_help() {
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let with = |host: u32, size: u32| {
            let map = |id| {
                serde_json::from_value(json!([{"containerID": 0, "hostID": id, "size": size}]))
            };
            Mappings { uids: map(host).unwrap(), gids: map(gid).unwrap() }.needs_helper()
        };
        assert!(!with(uid, 1));
        assert!(with(uid, 2) && with(uid + 1, 1));
    }
}
