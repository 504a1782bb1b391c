//! Security contexts of pod and container, merged.

use super::seconds;
use crate::manifest::types::{
    AppArmorProfile, Container, ObjectMeta, PodSecurityContext, PodSpec, SELinuxOptions,
    SeccompProfile, SecurityContext,
};
use crate::manifest::validate::APPARMOR_CONTAINER;
use crate::model::plan::{AppArmorChoice, SeccompChoice, SecurityPlan, SelinuxLabel};

/// Ids were checked to lie within 31 bits.
pub(super) fn id(id: i64) -> u32 {
    seconds(id)
}

pub(super) fn is_privileged(container: &Container) -> bool {
    container.security_context.as_ref().and_then(|context| context.privileged).unwrap_or(false)
}

pub(super) fn security(
    metadata: &ObjectMeta,
    spec: &PodSpec,
    container: &Container,
    seccomp_default: bool,
) -> SecurityPlan {
    let (no_pod, no_own) = (PodSecurityContext::default(), SecurityContext::default());
    let pod = spec.security_context.as_ref().unwrap_or(&no_pod);
    let own = container.security_context.as_ref().unwrap_or(&no_own);
    let privileged = is_privileged(container);
    let upper = |names: &[String]| names.iter().map(|name| name.to_uppercase()).collect();
    let capabilities = own.capabilities.clone().unwrap_or_default();
    SecurityPlan {
        privileged,
        run_as_user: own.run_as_user.or(pod.run_as_user).map(id),
        run_as_group: own.run_as_group.or(pod.run_as_group).map(id),
        run_as_non_root: own.run_as_non_root.or(pod.run_as_non_root).unwrap_or(false),
        read_only_root: own.read_only_root_filesystem.unwrap_or(false),
        allow_privilege_escalation: own.allow_privilege_escalation.unwrap_or(true),
        capabilities_add: upper(&capabilities.add),
        capabilities_drop: upper(&capabilities.drop),
        unmasked_proc: own.proc_mount.as_deref() == Some("Unmasked"),
        seccomp: seccomp(
            own.seccomp_profile.as_ref().or(pod.seccomp_profile.as_ref()),
            privileged,
            seccomp_default,
        ),
        apparmor: apparmor(metadata, pod, own, &container.name),
        selinux: own.se_linux_options.as_ref().or(pod.se_linux_options.as_ref()).map(selinux),
    }
}

fn seccomp(
    profile: Option<&SeccompProfile>,
    privileged: bool,
    seccomp_default: bool,
) -> SeccompChoice {
    let Some(profile) = profile.filter(|_| !privileged) else {
        return match seccomp_default && !privileged {
            true => SeccompChoice::RuntimeDefault,
            false => SeccompChoice::Unconfined,
        };
    };
    match (profile.r#type.as_str(), &profile.localhost_profile) {
        ("RuntimeDefault", _) => SeccompChoice::RuntimeDefault,
        ("Localhost", Some(file)) => SeccompChoice::Localhost(file.clone()),
        _ => SeccompChoice::Unconfined,
    }
}

/// The container's field, then the annotation of old, then the pod's field.
fn apparmor(
    metadata: &ObjectMeta,
    pod: &PodSecurityContext,
    own: &SecurityContext,
    container: &str,
) -> AppArmorChoice {
    let field = |profile: &AppArmorProfile| match profile.r#type.as_str() {
        "Unconfined" => AppArmorChoice::Unconfined,
        "Localhost" => {
            AppArmorChoice::Localhost(profile.localhost_profile.clone().unwrap_or_default())
        }
        _ => AppArmorChoice::RuntimeDefault,
    };
    if let Some(profile) = &own.app_armor_profile {
        return field(profile);
    }
    match metadata.annotations.get(&format!("{APPARMOR_CONTAINER}{container}")).map(String::as_str)
    {
        Some("runtime/default") => AppArmorChoice::RuntimeDefault,
        Some("unconfined") => AppArmorChoice::Unconfined,
        Some(name) if name.starts_with("localhost/") => {
            AppArmorChoice::Localhost(name["localhost/".len()..].to_owned())
        }
        _ => pod.app_armor_profile.as_ref().map_or(AppArmorChoice::Unset, field),
    }
}

fn selinux(options: &SELinuxOptions) -> SelinuxLabel {
    let part = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    SelinuxLabel {
        user: part(&options.user),
        role: part(&options.role),
        r#type: part(&options.r#type),
        level: part(&options.level),
    }
}
