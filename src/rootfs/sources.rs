//! Bind mounts: detached trees that the parent opens and finishes, so that the
//! child only puts them in place.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{Linux, LinuxIdMapping, Mount};

use super::error::Error;
use super::options::{IdMap, MountOptions};
use crate::sys::mount::{self, Attributes, Propagation};
use crate::sys::userns::{self, IdRange};
use crate::sys::{SyscallError, path};

/// A detached tree with its final attributes.
#[derive(Debug)]
pub(super) struct Tree {
    pub fd: OwnedFd,
    pub is_directory: bool,
    /// Over `/proc` only another procfs may be bound.
    pub is_procfs: bool,
}

/// A bind mount as the spec has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub mount: &'a Mount,
    pub destination: &'a Path,
    pub options: &'a MountOptions,
    pub inherited: Propagation,
    pub container: Option<&'a Linux>,
}

/// Clones the tree at the mount's source; a relative one is below the bundle.
pub(super) fn open(
    mount: &Mount,
    bundle: &Path,
    destination: &Path,
    recursive: bool,
) -> Result<OwnedFd, Error> {
    let Some(source) = mount.source().as_deref().filter(|path| !path.as_os_str().is_empty()) else {
        return Err(Error::Mount {
            destination: destination.to_owned(),
            reason: "a bind mount needs a source",
            value: String::new(),
        });
    };
    mount::clone_tree(mount::at_cwd(), bundle.join(source), recursive)
        .map_err(|source| Error::Source { destination: destination.to_owned(), source })
}

/// Sets attributes, mapping and propagation of a detached tree.
pub(super) fn configure(fd: OwnedFd, request: &Request<'_>) -> Result<Tree, Error> {
    let failed = |source| Error::Source { destination: request.destination.to_owned(), source };
    map_owners(&fd, request)?;
    attributes(&fd, request.options).map_err(failed)?;
    spread(&fd, request).map_err(failed)?;
    let stat = path::stat(fd.as_fd()).map_err(failed)?;
    let is_procfs = path::require_procfs(fd.as_fd()).is_ok();
    Ok(Tree { is_directory: path::is_directory(&stat), is_procfs, fd })
}

fn attributes(fd: &OwnedFd, options: &MountOptions) -> Result<(), SyscallError> {
    for (change, recursive) in [(options.recursive, true), (options.attributes, false)] {
        if !change.is_empty() {
            let change =
                Attributes { set: change.set, clear: change.clear, ..Attributes::default() };
            mount::set_attributes(fd.as_fd(), change, recursive)?;
        }
    }
    Ok(())
}

fn spread(fd: &OwnedFd, request: &Request<'_>) -> Result<(), SyscallError> {
    let asked = &request.options.propagation;
    let default = [(request.inherited, true)];
    for &(propagation, recursive) in if asked.is_empty() { &default[..] } else { asked } {
        let change = Attributes { propagation: Some(propagation), ..Attributes::default() };
        mount::set_attributes(fd.as_fd(), change, recursive)?;
    }
    Ok(())
}

/// `idmap`, `ridmap`, or mappings of the mount's own: files' owners are mapped
/// as the mount says, or else as the container's user namespace does.
fn map_owners(fd: &OwnedFd, request: &Request<'_>) -> Result<(), Error> {
    let Some((uids, gids)) = mappings(request)? else { return Ok(()) };
    let failed = |source| Error::Mapping { destination: request.destination.to_owned(), source };
    let namespace = userns::with_mappings(&uids, &gids).map_err(failed)?;
    let change = Attributes { user_namespace: Some(namespace.as_fd()), ..Attributes::default() };
    let recursive = request.options.id_map == Some(IdMap::Recursive);
    mount::set_attributes(fd.as_fd(), change, recursive).map_err(failed)
}

type Mappings = (Vec<IdRange>, Vec<IdRange>);

fn mappings(request: &Request<'_>) -> Result<Option<Mappings>, Error> {
    let mount = request.mount;
    let own = (mount.uid_mappings().as_deref(), mount.gid_mappings().as_deref());
    let (uids, gids) = match own {
        (None, None) if request.options.id_map.is_none() => return Ok(None),
        (None, None) => {
            let linux = request.container;
            let uids = linux.and_then(|linux| linux.uid_mappings().as_deref());
            (uids, linux.and_then(|linux| linux.gid_mappings().as_deref()))
        }
        own => own,
    };
    match (uids, gids) {
        (Some(uids), Some(gids)) if !uids.is_empty() && !gids.is_empty() => {
            Ok(Some((ranges(uids), ranges(gids))))
        }
        _ => Err(Error::Mount {
            destination: request.destination.to_owned(),
            reason: "an idmapped mount needs uid and gid mappings",
            value: String::new(),
        }),
    }
}

/// In a mount's mapping, `containerID` is the owner on disk and `hostID` the
/// owner that shows; so it is in the namespace that carries it.
fn ranges(mappings: &[LinuxIdMapping]) -> Vec<IdRange> {
    mappings
        .iter()
        .map(|m| IdRange { inside: m.container_id(), outside: m.host_id(), count: m.size() })
        .collect()
}
