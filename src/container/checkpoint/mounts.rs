//! A container's mounts that come from outside of it. criu leaves them out of
//! a dump, under a name, and in a restore is told what to mount for each name.
//!
//! The name is the destination as the spec has it (and what follows it, for a
//! mount below a recursive bind mount), so that a restore finds the source in
//! its own spec. Masked files all have the name of what covers them.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{Mount, Spec};

use super::super::error::Result;
use super::super::plan::invalid;
use super::criu::failed;
use super::names;
use super::request::Options;
use crate::sys::cgroupfs::{self, CgroupKind, CgroupMount};
use crate::sys::mountinfo;
use crate::sys::path::InRoot;

/// Where the names are noted, in the folder of the images.
const FILE: &str = "mounts.json";
const NULL: &str = "/dev/null";

/// One such mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct External {
    mount_point: PathBuf,
    name: String,
}

/// A mount of the spec, at the place it really is.
struct Placed<'a> {
    mount: &'a Mount,
    at: PathBuf,
}

/// What the spec says of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Bind,
    Cgroup,
    Own,
}

fn source_of(mount: &Mount) -> Option<Source> {
    let has = |name: &str| mount.options().iter().flatten().any(|option| option == name);
    match mount.typ().as_deref() {
        _ if has("remount") => None,
        Some("bind") => Some(Source::Bind),
        _ if has("bind") || has("rbind") => Some(Source::Bind),
        Some("cgroup" | "cgroup2") => Some(Source::Cgroup),
        _ => Some(Source::Own),
    }
}

pub(super) fn is_bind(mount: &Mount) -> bool {
    source_of(mount) == Some(Source::Bind)
}

/// criu mounts the source itself, and knows of no mapped owners.
pub(super) fn refuse_mapped(spec: &Spec) -> Result<()> {
    let mapped = |mount: &&Mount| {
        let option =
            mount.options().iter().flatten().any(|one| matches!(one.as_str(), "idmap" | "ridmap"));
        option || mount.uid_mappings().is_some() || mount.gid_mappings().is_some()
    };
    match spec.mounts().iter().flatten().find(mapped) {
        None => Ok(()),
        Some(mount) => {
            let destination = mount.destination();
            Err(failed(format!("idmapped mount {destination:?}: criu cannot restore it")))
        }
    }
}

/// The mounts of a running container that are not its own. `root` is its root
/// folder, as its first process has it.
pub(super) fn external(
    spec: &Spec,
    root: &impl AsFd,
    mounts: &[mountinfo::Mount],
) -> Vec<External> {
    let inside = |path: &Path| real_path(root, path);
    let all = spec.mounts().iter().flatten();
    let placed: Vec<Placed> = all
        .filter(|mount| source_of(mount).is_some())
        .filter_map(|mount| Some(Placed { mount, at: inside(mount.destination())? }))
        .collect();
    let masks = spec.linux().as_ref().and_then(|linux| linux.masked_paths().as_ref());
    let masks: Vec<PathBuf> =
        masks.into_iter().flatten().filter_map(|path| inside(Path::new(path))).collect();
    let own_cgroups = has_own_cgroups(spec);
    mounts
        .iter()
        .filter(|mount| mount.mount_point != Path::new("/"))
        .filter_map(|mount| {
            let name = name_of(mount, &placed, &masks, own_cgroups)?;
            Some(External { mount_point: mount.mount_point.clone(), name })
        })
        .collect()
}

fn name_of(
    mount: &mountinfo::Mount,
    placed: &[Placed],
    masks: &[PathBuf],
    own_cgroups: bool,
) -> Option<String> {
    let at = &mount.mount_point;
    if masks.contains(at) {
        // A folder is covered by a file system of the container's own.
        return (mount.root != Path::new("/")).then(|| NULL.to_owned());
    }
    let nearest = placed.iter().rev().filter(|one| at.starts_with(&one.at));
    let nearest = nearest.max_by_key(|one| one.at.components().count());
    let named = |one: &Placed| {
        let below = at.strip_prefix(&one.at).unwrap_or(Path::new(""));
        let name = plain(one.mount.destination()).join(below);
        name.to_string_lossy().trim_end_matches('/').to_owned()
    };
    match nearest.map(|one| (one, source_of(one.mount))) {
        Some((one, Some(Source::Bind))) => Some(named(one)),
        Some((one, Some(Source::Cgroup))) if mount.fs_type.starts_with("cgroup") => {
            (!own_cgroups).then(|| named(one))
        }
        // A device of the host's, where nodes cannot be made.
        _ if at.parent() == Some(Path::new("/dev"))
            && mount.root != Path::new("/")
            && mount.fs_type != "devpts" =>
        {
            Some(at.to_string_lossy().into_owned())
        }
        _ => None,
    }
}

/// Whether the container's cgroups are a file system of its own rather than
/// part of the host's.
fn has_own_cgroups(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let cgroup = oci_spec::runtime::LinuxNamespaceType::Cgroup;
    let own = namespaces.into_iter().flatten().any(|one| one.typ() == cgroup);
    let mounts = cgroupfs::mounts().unwrap_or_default();
    own && matches!(mounts.as_slice(), [CgroupMount { kind: CgroupKind::V2, .. }])
}

/// Where `path` leads inside, all links followed.
fn real_path(root: &impl AsFd, path: &Path) -> Option<PathBuf> {
    let handle = InRoot::new(root.as_fd()).handle(path).ok()?;
    let (shown, top) = (path_of(handle.as_fd())?, path_of(root.as_fd())?);
    let below = shown.strip_prefix(top).ok()?;
    Some(plain(below))
}

/// The path from the root of the mount namespace that an open file is in.
fn path_of(fd: BorrowedFd<'_>) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()
}

/// From `/`, without dots.
fn plain(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    clean
}

/// Tells criu to leave them out, and notes their names.
pub(super) fn leave_out(folder: &Path, external: &[External], options: &mut Options) -> Result<()> {
    for one in external {
        options.external_mount(&one.mount_point.to_string_lossy(), &one.name);
    }
    let mut list: Vec<String> = external.iter().map(|one| one.name.clone()).collect();
    list.sort();
    list.dedup();
    names::write(&folder.join(FILE), &list)
}

/// Tells criu what to mount for each name.
pub(super) fn bring_back(
    folder: &Path,
    spec: &Spec,
    bundle: &Path,
    cgroup: &str,
    options: &mut Options,
) -> Result<()> {
    let list = match names::read(&folder.join(FILE))? {
        Some(list) => list,
        None => names_of_spec(spec),
    };
    for name in &list {
        let source = source_for(name, spec, bundle, cgroup)?;
        options.external_mount(name, &source.to_string_lossy());
    }
    Ok(())
}

/// The names of a checkpoint without a list of them: another runtime's.
fn names_of_spec(spec: &Spec) -> Vec<String> {
    let binds = spec.mounts().iter().flatten();
    let binds = binds.filter(|mount| is_bind(mount));
    let names = binds.map(|mount| mount.destination().to_string_lossy().into_owned());
    names.chain([NULL.to_owned()]).collect()
}

fn source_for(name: &str, spec: &Spec, bundle: &Path, cgroup: &str) -> Result<PathBuf> {
    let at = Path::new(name);
    let all = spec.mounts().iter().flatten().filter(|mount| source_of(mount).is_some());
    let nearest = all
        .map(|mount| (mount, plain(mount.destination())))
        .filter(|(_, place)| at.starts_with(place))
        .max_by_key(|(_, place)| place.components().count());
    let missing = || invalid(format!("the checkpoint's mount {name:?} has no source in this spec"));
    match nearest.map(|(mount, place)| (mount, place, source_of(mount))) {
        Some((mount, place, Some(Source::Bind))) => {
            let source = mount.source().as_deref().ok_or_else(missing)?;
            let below = at.strip_prefix(place).unwrap_or(Path::new(""));
            let source = bundle.join(source);
            Ok(if below.as_os_str().is_empty() { source } else { source.join(below) })
        }
        Some((_, place, Some(Source::Cgroup))) => {
            let below = at.strip_prefix(place).unwrap_or(Path::new(""));
            cgroup_source(below, cgroup).ok_or_else(missing)
        }
        _ if at.parent() == Some(Path::new("/dev")) => Ok(at.to_owned()),
        _ => Err(missing()),
    }
}

/// What a mount of type cgroup shows: the host's hierarchy, or in a folder for
/// each one the container's own part of it.
fn cgroup_source(below: &Path, cgroup: &str) -> Option<PathBuf> {
    let mounts = cgroupfs::mounts().ok()?;
    if below.as_os_str().is_empty() {
        return mounts.into_iter().next().map(|mount| mount.mount_point);
    }
    let mut named = mounts.into_iter().map(|mount| mount.mount_point);
    let place = named.find(|place| place.file_name() == Some(below.as_os_str()))?;
    Some(place.join(cgroup.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(mounts: serde_json::Value) -> Spec {
        let mut spec = super::super::super::spec::example(None);
        spec["mounts"] = mounts;
        serde_json::from_value(spec).unwrap()
    }

    fn mounted(at: &str, root: &str, fs_type: &str) -> mountinfo::Mount {
        mountinfo::Mount {
            id: 1,
            root: root.into(),
            mount_point: at.into(),
            fs_type: fs_type.to_owned(),
            super_options: String::new(),
        }
    }

    #[test]
    fn what_comes_from_outside_is_told_from_what_is_the_containers_own() {
        let spec = spec(json!([
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/data", "type": "bind", "source": "/srv", "options": ["rbind"]},
            {"destination": "/data/own", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/run/x", "source": "/x", "options": ["bind"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}
        ]));
        let placed: Vec<Placed> = spec
            .mounts()
            .iter()
            .flatten()
            .map(|mount| Placed { mount, at: mount.destination().clone() })
            .collect();
        let masks = [PathBuf::from("/proc/kcore"), "/proc/scsi".into()];
        for (at, root, fs_type, name) in [
            ("/data", "/srv", "ext4", Some("/data")),
            ("/data/deep/er", "/", "xfs", Some("/data/deep/er")),
            ("/data/own", "/", "tmpfs", None),
            ("/run/x", "/x", "ext4", Some("/run/x")),
            ("/proc", "/", "proc", None),
            ("/proc/sys", "/sys", "proc", None),
            ("/proc/kcore", "/null", "devtmpfs", Some("/dev/null")),
            ("/proc/scsi", "/", "tmpfs", None),
            ("/dev", "/", "tmpfs", None),
            ("/dev/full", "/full", "devtmpfs", Some("/dev/full")),
            ("/dev/console", "/0", "devpts", None),
            ("/dev/shm", "/", "tmpfs", None),
            ("/sys/fs/cgroup", "/", "cgroup2", Some("/sys/fs/cgroup")),
            ("/sys/fs/cgroup/memory", "/x", "cgroup", Some("/sys/fs/cgroup/memory")),
        ] {
            let mount = mounted(at, root, fs_type);
            assert_eq!(name_of(&mount, &placed, &masks, false).as_deref(), name, "{at}");
        }
        let cgroup = mounted("/sys/fs/cgroup", "/", "cgroup2");
        assert_eq!(name_of(&cgroup, &placed, &masks, true), None, "its own");
    }

    #[test]
    fn the_source_is_found_in_the_spec_of_the_restore() {
        let spec = spec(json!([
            {"destination": "/data", "type": "bind", "source": "vol"},
            {"destination": "/data/../run/x", "type": "bind", "source": "/x"}
        ]));
        let source = |name| source_for(name, &spec, Path::new("/b"), "/c").ok();
        assert_eq!(source("/data"), Some("/b/vol".into()));
        assert_eq!(source("/data/deep"), Some("/b/vol/deep".into()));
        assert_eq!(source("/run/x"), Some("/x".into()));
        assert_eq!(source("/dev/null"), Some("/dev/null".into()));
        assert_eq!(source("/gone"), None);
    }

    #[test]
    fn an_idmapped_mount_is_refused_by_name() {
        let plain = json!([{"destination": "/a", "type": "bind", "source": "/a"}]);
        refuse_mapped(&spec(plain)).unwrap();
        let mapped = json!([
            {"destination": "/a", "type": "bind", "source": "/a", "options": ["bind", "idmap"]}
        ]);
        let error = refuse_mapped(&spec(mapped)).unwrap_err().to_string();
        assert!(error.contains("\"/a\""), "{error}");
    }
}
