//! Fields that no part of podrt applies, and such as contradict each other:
//! refused by name before anything is made. Whatever else is in a spec, some
//! step applies it.

use oci_spec::runtime::{Linux, Process, Spec};

use super::error::Result;
use super::init::namespaces::NamespacePlan;
use super::net_devices;
use super::plan::invalid;

/// What is wrong with a spec, whatever the machine and the namespaces are.
pub(super) fn check(spec: &Spec, linux: &Linux) -> Result<()> {
    version(spec.version())?;
    other_platforms(spec)?;
    match spec.process() {
        None => return Err(invalid("process is missing")),
        Some(process) => process_fields(process)?,
    }
    if spec.root().is_none() {
        return Err(invalid("root is missing"));
    }
    net_devices::check(linux)?;
    selinux("linux.mountLabel", linux.mount_label().as_deref())
}

/// A process that is run in a container, or is its first.
pub(super) fn process_fields(process: &Process) -> Result<()> {
    if process.command_line().is_some() {
        return Err(invalid("process.commandLine is for Windows only"));
    }
    if process.user().username().is_some() {
        return Err(invalid("process.user.username is for Windows only"));
    }
    selinux("process.selinuxLabel", process.selinux_label().as_deref())
}

/// What only a namespace of the container's own could apply.
pub(super) fn without_namespace(linux: &Linux, namespaces: &NamespacePlan) -> Result<()> {
    let given = |list: &Option<Vec<_>>| list.as_ref().is_some_and(|list| !list.is_empty());
    if !namespaces.foreign_user && (given(linux.uid_mappings()) || given(linux.gid_mappings())) {
        return Err(invalid(
            "user namespace mappings specified, but user namespace isn't enabled in the config",
        ));
    }
    if !namespaces.has_network && net_devices::given(linux) {
        return Err(invalid(
            "linux.netDevices: unable to move network devices without a private NET namespace",
        ));
    }
    if !namespaces.own_time && linux.time_offsets().as_ref().is_some_and(|map| !map.is_empty()) {
        return Err(invalid(
            "time namespace offsets specified, but time namespace isn't enabled in the config",
        ));
    }
    Ok(())
}

/// Versions 1.x of the specification are compatible with each other.
fn version(text: &str) -> Result<()> {
    let mut parts = text.split(['.', '-', '+']);
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
    match (number(), number(), number()) {
        (Some(1), Some(_), Some(_)) => Ok(()),
        _ => Err(invalid(format!("ociVersion {text:?} is not supported, it must be 1.x.y"))),
    }
}

fn other_platforms(spec: &Spec) -> Result<()> {
    let sections = [
        ("solaris", spec.solaris().is_some()),
        ("windows", spec.windows().is_some()),
        ("vm", spec.vm().is_some()),
        ("zos", spec.zos().is_some()),
    ];
    match sections.into_iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(invalid(format!("{name} is not for containers of Linux"))),
        None => Ok(()),
    }
}

/// As in runc: a label that nobody would enforce is refused.
fn selinux(field: &str, label: Option<&str>) -> Result<()> {
    match label {
        None | Some("") => Ok(()),
        Some(_) if selinux_enabled() => Ok(()),
        Some(_) => Err(invalid(format!(
            "{field}: selinux label is specified in config, but selinux is disabled or not supported"
        ))),
    }
}

/// Whether the kernel enforces (or reports by) SELinux labels.
pub(super) fn selinux_enabled() -> bool {
    std::path::Path::new("/sys/fs/selinux/enforce").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_of_the_first_major_are_taken() {
        for good in ["1.0.0", "1.3.0", "1.0.2-dev", "1.99.0"] {
            assert!(version(good).is_ok(), "{good}");
        }
        for bad in ["", "1", "1.0", "2.0.0", "0.9.0", "x"] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }
}
