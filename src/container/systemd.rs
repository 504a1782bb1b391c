//! The two drivers of cgroups: podrt itself, and systemd.

use std::collections::BTreeMap;

use oci_spec::runtime::{Linux, LinuxResources};

use super::error::{Error, Result};
use super::options::CgroupDriver;
use super::plan;
use super::record::{Record, cgroup_error};
use crate::cgroup::systemd::{self, Placeholder, ScopeName};
use crate::cgroup::{self, Cgroup};
use crate::model::ErrorKind;
use crate::sys::userns;

/// The container's cgroup, absolute in the hierarchy.
///
/// # Errors
/// For a `cgroupsPath` of the wrong form, or without systemd.
pub(super) fn cgroup_path(driver: CgroupDriver, linux: &Linux, id: &str) -> Result<String> {
    match driver {
        CgroupDriver::Cgroupfs => plan::cgroup_path(linux, id),
        // What a mount of type cgroup shows.
        CgroupDriver::Disabled => Ok("/".to_owned()),
        CgroupDriver::Systemd if !systemd::available() => Err(Error::Resource {
            what: "cgroup",
            kind: ErrorKind::Unsupported,
            problem: "systemd cgroup flag passed, but systemd support for managing cgroups is not \
                      available"
                .to_owned(),
        }),
        CgroupDriver::Systemd => {
            let path = linux.cgroups_path().as_ref();
            let path = path.and_then(|path| path.to_str()).unwrap_or_default();
            let name = ScopeName::parse(path, id).map_err(|_| {
                plan::invalid(format!(
                    "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd \
                     cgroups, got {path:?} instead"
                ))
            })?;
            Ok(name.cgroup())
        }
    }
}

/// A cgroup for a container to be, and the placeholder that goes once the
/// container's first process is inside.
pub(super) type Made = (Option<Cgroup>, Option<Placeholder>);

/// Makes it. Root of another user namespace than the machine's may do without
/// one, if the spec sets no limits; device rules are none there, for nobody can
/// make a device.
///
/// # Errors
/// What the kernel or systemd refuses.
pub(super) fn make(record: &Record, resources: &LinuxResources) -> Result<Made> {
    let inside = userns::inside();
    let mut resources = resources.clone();
    if inside {
        resources.set_devices(None);
    }
    let made = match record.cgroup_driver {
        CgroupDriver::Disabled => return without(&resources),
        CgroupDriver::Cgroupfs => {
            Cgroup::create(&record.cgroup, &resources).map(|made| (made, None))
        }
        CgroupDriver::Systemd => make_scope(&record.cgroup, &record.annotations, &resources),
    };
    match made {
        Ok((cgroup, placeholder)) => Ok((Some(cgroup), placeholder)),
        Err(error) if inside && is_denied(&error) && !has_limits(&resources) => Ok((None, None)),
        Err(error) => Err(cgroup_error(&error)),
    }
}

/// No cgroup: nothing to limit, and nothing to attach device rules to.
fn without(resources: &LinuxResources) -> Result<Made> {
    if has_limits(resources.clone().set_devices(None)) {
        return Err(plan::invalid(
            "linux.resources: limits need a cgroup, and cgroups are disabled",
        ));
    }
    Ok((None, None))
}

fn is_denied(error: &cgroup::Error) -> bool {
    error.kind() == ErrorKind::PermissionDenied
}

/// Whether any limit is asked for.
fn has_limits(resources: &LinuxResources) -> bool {
    *resources != *LinuxResources::default().set_devices(None)
}

fn make_scope(
    cgroup: &str,
    annotations: &BTreeMap<String, String>,
    resources: &LinuxResources,
) -> std::result::Result<(Cgroup, Option<Placeholder>), cgroup::Error> {
    let name = ScopeName::of_cgroup(cgroup)?;
    let own = systemd::from_annotations(annotations)?;
    let placeholder = systemd::start(&name, resources, &own)?;
    match Cgroup::adopt(cgroup, resources) {
        Ok(adopted) => Ok((adopted, Some(placeholder))),
        Err(error) => {
            drop(placeholder);
            // The first failure is what the caller must hear of.
            let _ = systemd::stop(&name);
            Err(error)
        }
    }
}

/// Removes a cgroup without processes, and with systemd its scope.
pub(super) fn remove(
    driver: CgroupDriver,
    cgroup: &Cgroup,
) -> std::result::Result<(), cgroup::Error> {
    if driver == CgroupDriver::Systemd {
        systemd::stop(&ScopeName::of_cgroup(cgroup.path())?)?;
    }
    cgroup.remove()
}

/// New limits, where systemd has to know of them.
pub(super) fn set_limits(
    record: &Record,
    resources: &LinuxResources,
) -> std::result::Result<(), cgroup::Error> {
    match record.cgroup_driver {
        CgroupDriver::Cgroupfs | CgroupDriver::Disabled => Ok(()),
        CgroupDriver::Systemd => {
            systemd::set_limits(&ScopeName::of_cgroup(&record.cgroup)?, resources)
        }
    }
}
