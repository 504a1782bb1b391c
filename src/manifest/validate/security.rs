//! Security contexts.

use std::collections::BTreeSet;

use super::check::Check;
use super::names;
use super::volume::descending_path;
use crate::manifest::path::Path;
use crate::manifest::schema::encode_struct;
use crate::manifest::types::{
    AppArmorProfile, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext, Sysctl,
};

const SYSCTL: &str = "must have at most 253 characters and match regex \
    ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];

fn id(check: &mut Check<'_>, id: Option<i64>, path: &Path<'_>) {
    if let Some(id) = id
        && !(0..=i64::from(i32::MAX)).contains(&id)
    {
        check.invalid(path, id, "must be between 0 and 2147483647, inclusive");
    }
}

/// `spec.securityContext`.
pub(super) fn pod(check: &mut Check<'_>, spec: &PodSpec, path: &Path<'_>) {
    let Some(security) = &spec.security_context else { return };
    id(check, security.fs_group, &path.child("fsGroup"));
    id(check, security.run_as_user, &path.child("runAsUser"));
    id(check, security.run_as_group, &path.child("runAsGroup"));
    let groups = path.child("supplementalGroups");
    for (index, group) in security.supplemental_groups.iter().enumerate() {
        id(check, Some(*group), &groups.index(index));
    }
    if spec.share_process_namespace == Some(true) && spec.host_pid {
        let field = Path::ROOT.child("spec");
        check.at(&field.child("shareProcessNamespace"), |check| {
            let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
            check.invalid(&path.child("shareProcessNamespace"), true, detail);
        });
    }
    sysctls(check, spec, security, &path.child("sysctls"));
    if let Some(policy) = &security.fs_group_change_policy {
        let path = path.child("fsGroupChangePolicy");
        check.one_of_if_set(&path, policy, &["Always", "OnRootMismatch"]);
    }
    seccomp(check, security.seccomp_profile.as_ref(), &path.child("seccompProfile"));
    apparmor(check, security.app_armor_profile.as_ref(), &path.child("appArmorProfile"));
    if let Some(policy) = &security.supplemental_groups_policy {
        let path = path.child("supplementalGroupsPolicy");
        check.one_of_if_set(&path, policy, &["Merge", "Strict"]);
    }
    if let Some(policy) = &security.se_linux_change_policy {
        let path = path.child("seLinuxChangePolicy");
        check.one_of_if_set(&path, policy, &["MountOption", "Recursive"]);
    }
}

fn sysctls(check: &mut Check<'_>, spec: &PodSpec, security: &PodSecurityContext, path: &Path<'_>) {
    let mut known = BTreeSet::new();
    for (index, Sysctl { name, .. }) in security.sysctls.iter().enumerate() {
        let path = path.index(index);
        let path = path.child("name");
        if name.is_empty() {
            check.required(&path, "");
        } else if !names::is_sysctl(name) {
            check.invalid(&path, name, SYSCTL);
        } else if !known.insert(name) {
            check.duplicate(&path, name);
        }
        let dotted = dotted_sysctl(name);
        if spec.host_network && dotted.starts_with("net.") {
            check.invalid(&path, name, "may not be specified when 'hostNetwork' is true");
        } else if spec.host_ipc && is_ipc_sysctl(&dotted) {
            check.invalid(&path, name, "may not be specified when 'hostIPC' is true");
        }
    }
}

/// `net/ipv4/x` as `net.ipv4.x`. With slashes as separators a dot is part of a
/// name, so that the two swap.
pub(in crate::manifest) fn dotted_sysctl(name: &str) -> String {
    match name.find(['.', '/']).map(|at| name.as_bytes()[at]) {
        Some(b'/') => name
            .chars()
            .map(|c| match c {
                '/' => '.',
                '.' => '/',
                c => c,
            })
            .collect(),
        _ => name.to_owned(),
    }
}

pub(in crate::manifest) fn is_ipc_sysctl(dotted: &str) -> bool {
    ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|group| dotted.starts_with(group))
        || dotted == "kernel.sem"
}

fn seccomp(check: &mut Check<'_>, profile: Option<&SeccompProfile>, path: &Path<'_>) {
    let Some(profile) = profile else { return };
    let kind = path.child("type");
    if profile.r#type.is_empty() {
        check.required(&kind, "type is required when seccompProfile is set");
    } else {
        check.one_of_if_set(&kind, &profile.r#type, &PROFILES);
    }
    let path = path.child("localhostProfile");
    match (&profile.localhost_profile, profile.r#type == "Localhost") {
        (None, true) => check.required(&path, "must be set when seccomp type is Localhost"),
        (Some(file), true) => descending_path(check, file, &path),
        (Some(_), false) => check.invalid(
            &path,
            encode_struct(profile),
            "can only be set when seccomp type is Localhost",
        ),
        (None, false) => {}
    }
}

fn apparmor(check: &mut Check<'_>, profile: Option<&AppArmorProfile>, path: &Path<'_>) {
    let Some(profile) = profile else { return };
    let (kind, path) = (path.child("type"), path.child("localhostProfile"));
    let name = profile.localhost_profile.as_ref();
    match profile.r#type.as_str() {
        "" => check.required(&kind, "type is required when appArmorProfile is set"),
        "Localhost" => match name {
            Some(name) if name.trim() != name => {
                check.invalid(&path, name, "must not be padded with whitespace");
            }
            Some(name) if !name.is_empty() => {
                if name.len() > 4095 {
                    check.too_long(&path, 4095);
                }
            }
            _ => check.required(&path, "must be set when AppArmor type is Localhost"),
        },
        "RuntimeDefault" | "Unconfined" => {
            if let Some(name) = name {
                check.invalid(&path, name, "can only be set when AppArmor type is Localhost");
            }
        }
        other => check.not_supported(&kind, other, &PROFILES),
    }
}

/// A container's `securityContext`.
pub(super) fn container(
    check: &mut Check<'_>,
    security: &SecurityContext,
    host_users: bool,
    path: &Path<'_>,
) {
    id(check, security.run_as_user, &path.child("runAsUser"));
    id(check, security.run_as_group, &path.child("runAsGroup"));
    if let Some(mount) = &security.proc_mount {
        let path = path.child("procMount");
        check.one_of_if_set(&path, mount, &["Default", "Unmasked"]);
        if host_users && mount == "Unmasked" {
            check.invalid(&path, mount, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    seccomp(check, security.seccomp_profile.as_ref(), &path.child("seccompProfile"));
    if security.allow_privilege_escalation == Some(false) {
        if security.privileged == Some(true) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            check.invalid(path, encode_struct(security), detail);
        }
        let added = security.capabilities.iter().flat_map(|capabilities| &capabilities.add);
        for _ in added.filter(|name| *name == "CAP_SYS_ADMIN") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            check.invalid(path, encode_struct(security), detail);
        }
    }
    apparmor(check, security.app_armor_profile.as_ref(), &path.child("appArmorProfile"));
}

#[cfg(test)]
mod tests {
    use super::dotted_sysctl;

    #[test]
    fn both_separators_name_the_same_sysctl() {
        assert_eq!(dotted_sysctl("net/ipv4/tcp_syncookies"), "net.ipv4.tcp_syncookies");
        assert_eq!(dotted_sysctl("net.ipv4.tcp_syncookies"), "net.ipv4.tcp_syncookies");
        assert_eq!(
            dotted_sysctl("net/ipv4/conf/eno2.100/rp_filter"),
            "net.ipv4.conf.eno2/100.rp_filter"
        );
    }
}
