//! The cgroup's path under each driver.

use oci_spec::runtime::Linux;

use super::error::Result;
use super::options::CgroupDriver;
use super::plan;

/// The container's cgroup, absolute in the hierarchy.
///
/// # Errors
/// For a `cgroupsPath` of the wrong form.
pub(super) fn cgroup_path(driver: CgroupDriver, linux: &Linux, id: &str) -> Result<String> {
    match driver {
        CgroupDriver::Cgroupfs => plan::cgroup_path(linux, id),
        CgroupDriver::Systemd => {
            Err(plan::invalid("the systemd cgroup driver is not available yet"))
        }
    }
}
