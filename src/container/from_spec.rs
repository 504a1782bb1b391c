//! The neutral [`ContainerSpec`] as an OCI spec: the one place where pods and
//! CRI requests become OCI.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use oci_spec::runtime::Spec;

use super::error::Result;
use crate::model::spec::ContainerSpec;

/// Turns a container of a pod into an OCI spec and the `sources` of
/// [`CreateOptions`](super::CreateOptions): `detached` are the trees that
/// [`BindSource::Detached`](crate::model::spec::BindSource) counts.
///
/// # Errors
/// [`Error::Spec`](super::Error::Spec) for a seccomp profile that is none, or a
/// detached source that was not given.
pub fn oci(
    container: &ContainerSpec,
    hostname: &str,
    detached: Vec<OwnedFd>,
) -> Result<(Spec, BTreeMap<usize, OwnedFd>)> {
    let _ = (container, hostname, detached);
    todo!()
}
