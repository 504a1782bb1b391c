//! Who a container's process is and what it may do: the kubelet's and
//! containerd's rules on top of the plan. Pure but for the image's user file.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;

use oci_spec::runtime::LinuxSeccomp;

use crate::model::plan::{ContainerPlan, PodPlan, SecurityPlan};
use crate::model::spec::UserSpec;
use crate::rootfs::users::{self, UserError};
use crate::seccomp::profiles::runtime_default;

/// The largest uid that Kubernetes knows.
const MAX_UID: u64 = 2_147_483_647;

/// containerd's default set, without `CAP_`.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Every capability of Linux 5.9 and later, without `CAP_`, in order of their
/// numbers.
const ALL_CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The capabilities of a container, with `CAP_`: `ALL` first, then single
/// additions, then single drops; a name that Linux does not have counts for
/// nothing.
#[must_use]
pub fn capabilities(security: &SecurityPlan) -> Vec<String> {
    let known = |name: &str| ALL_CAPABILITIES.into_iter().find(|known| *known == name);
    let has_all = |list: &[String]| list.iter().any(|name| name == "ALL");
    let mut set: BTreeSet<&str> = DEFAULT_CAPABILITIES.into();
    if security.privileged || has_all(&security.capabilities_add) {
        set.extend(ALL_CAPABILITIES);
    }
    if !security.privileged {
        if has_all(&security.capabilities_drop) {
            set.clear();
        }
        set.extend(security.capabilities_add.iter().filter_map(|name| known(name)));
        for name in &security.capabilities_drop {
            set.remove(name.as_str());
        }
    }
    set.into_iter().map(|name| format!("CAP_{name}")).collect()
}

/// The runtime's own seccomp profile for a process with these capabilities.
#[must_use]
pub fn default_seccomp(capabilities: &[String]) -> LinuxSeccomp {
    runtime_default(capabilities)
}

/// `runAsNonRoot`, checked before anything is made.
///
/// # Errors
/// The kubelet's text.
pub fn check_non_root(
    plan: &PodPlan,
    container: &ContainerPlan,
    image_user: &str,
) -> Result<(), String> {
    let security = &container.security;
    if !security.run_as_non_root {
        return Ok(());
    }
    let whose = format!("(pod: \"{}\", container: {})", plan.kubelet_name(), container.name);
    match security.run_as_user {
        Some(0) => {
            return Err(format!("container's runAsUser breaks non-root policy {whose}"));
        }
        Some(_) => return Ok(()),
        None => {}
    }
    let name = image_user.split(':').next().unwrap_or_default();
    match name.parse::<u64>() {
        _ if name.is_empty() => {}
        Ok(0) => {}
        Ok(uid) if uid <= MAX_UID => return Ok(()),
        Ok(uid) => {
            return Err(format!(
                "container has runAsNonRoot and image has an invalid user id ({uid}). \
                 (Must be 1-({MAX_UID})): must be between 0 and {MAX_UID}, inclusive {whose}"
            ));
        }
        Err(_) => {
            return Err(format!(
                "container has runAsNonRoot and image has non-numeric user ({name}), \
                 cannot verify user is non-root {whose}"
            ));
        }
    }
    Err(format!("container has runAsNonRoot and image will run as root {whose}"))
}

/// The user, group and further groups of a container's process.
///
/// # Errors
/// The image names a user that it does not have.
pub fn user(
    plan: &PodPlan,
    container: &ContainerPlan,
    image_user: &str,
    root: BorrowedFd<'_>,
) -> Result<UserSpec, UserError> {
    let security = &container.security;
    let asked = match (security.run_as_user, security.run_as_group) {
        (Some(uid), None) => uid.to_string(),
        (Some(uid), Some(gid)) => format!("{uid}:{gid}"),
        (None, None) => image_user.to_owned(),
        (None, Some(gid)) => {
            format!("{}:{gid}", image_user.split(':').next().unwrap_or_default())
        }
    };
    let mut user = users::resolve(root, &asked)?.user;
    let sandbox = &plan.sandbox;
    if asked.contains(':') {
        // The image's group file lists the user whatever group it runs as.
        user.additional_gids = users::resolve(root, &user.uid.to_string())?.user.additional_gids;
    }
    if sandbox.strict_groups {
        user.additional_gids.clear();
    }
    user.additional_gids.extend(sandbox.fs_group);
    user.additional_gids.extend(&sandbox.supplemental_groups);
    let mut seen = BTreeSet::new();
    user.additional_gids.retain(|gid| seen.insert(*gid));
    Ok(user)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::testing::{container, pod};

    fn with(add: &[&str], drop: &[&str]) -> Vec<String> {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut security = container().security;
        (security.capabilities_add, security.capabilities_drop) = (list(add), list(drop));
        capabilities(&security)
    }

    #[test]
    fn additions_and_drops_are_applied_in_containerds_order() {
        assert_eq!(with(&[], &[]).len(), 14);
        assert_eq!(with(&["ALL"], &[]).len(), 41);
        assert_eq!(with(&[], &["ALL"]), [""; 0]);
        assert_eq!(with(&["SYS_ADMIN"], &["ALL"]), ["CAP_SYS_ADMIN"]);
        assert_eq!(with(&["ALL"], &["KILL"]).len(), 40);
        assert_eq!(with(&["CAP_SYS_ADMIN", "NONE"], &[]).len(), 14);
        let mut security = container().security;
        security.privileged = true;
        security.capabilities_drop = vec!["ALL".to_owned()];
        assert_eq!(capabilities(&security).len(), 41);
    }

    #[test]
    fn run_as_non_root_is_judged_by_what_the_process_would_be() {
        let judge = |run_as_user, image_user: &str| {
            let mut container = container();
            container.security.run_as_non_root = true;
            container.security.run_as_user = run_as_user;
            check_non_root(&pod(), &container, image_user).err().unwrap_or_default()
        };
        let whose = "(pod: \"web_default(11111111-2222-3333-4444-555555555555)\", container: main)";
        let root = format!("container has runAsNonRoot and image will run as root {whose}");
        assert_eq!(judge(Some(1), "root"), "");
        assert_eq!(judge(None, "1000"), "");
        assert_eq!(judge(None, "1000:0"), "");
        for image_user in ["", "0", "0:5", ":5"] {
            assert_eq!(judge(None, image_user), root, "{image_user}");
        }
        assert_eq!(
            judge(Some(0), "1000"),
            format!("container's runAsUser breaks non-root policy {whose}")
        );
        assert_eq!(
            judge(None, "nobody"),
            format!(
                "container has runAsNonRoot and image has non-numeric user (nobody), cannot \
                 verify user is non-root {whose}"
            )
        );
        assert!(judge(None, "2147483648").contains("invalid user id (2147483648)"));
    }
}
