//! Mount points of other volumes inside a volume that is read-only.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::model::plan::{ContainerPlan, MountPlan};

/// The directories that other mounts of the containers need inside the volume
/// `name`, relative to it: the outermost ones, what lies below them is the
/// inner volume's.
pub(super) fn mount_points<'a>(
    name: &str,
    containers: impl Iterator<Item = &'a ContainerPlan>,
) -> BTreeSet<PathBuf> {
    containers.flat_map(|container| in_container(name, &container.mounts)).collect()
}

fn in_container(name: &str, mounts: &[MountPlan]) -> BTreeSet<PathBuf> {
    let all: BTreeSet<PathBuf> = mounts.iter().map(|mount| clean(&mount.path)).collect();
    let mut found = BTreeSet::new();
    for outer in mounts.iter().filter(|mount| mount.volume == name) {
        let outer = clean(&outer.path);
        let mut last: Option<&PathBuf> = None;
        // A set of paths is sorted: what is nested follows what it is in.
        for inner in all.iter().filter(|path| **path != outer && path.starts_with(&outer)) {
            if last.is_some_and(|last| inner.starts_with(last)) {
                continue;
            }
            last = Some(inner);
            found.extend(inner.strip_prefix(&outer).ok().map(Path::to_owned));
        }
    }
    found
}

/// The path without `.`, `..` and double slashes, relative to the root.
fn clean(path: &str) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::{Propagation, RecursiveReadOnly};

    fn mount(volume: &str, path: &str) -> MountPlan {
        MountPlan {
            volume: volume.into(),
            path: path.into(),
            read_only: false,
            recursive_read_only: RecursiveReadOnly::Disabled,
            propagation: Propagation::Private,
            sub_path: None,
        }
    }

    #[test]
    fn the_outermost_mounts_inside_a_volume_need_a_directory() {
        let mounts = [
            mount("v", "/etc/app"),
            mount("a", "/etc/app/one//x/"),
            mount("b", "/etc/app/one/x/deeper"),
            mount("c", "/etc/app/../app/two"),
            mount("d", "/etc/application"),
            mount("e", "/etc"),
        ];
        let found: Vec<_> = in_container("v", &mounts).into_iter().collect();
        assert_eq!(found, [PathBuf::from("one/x"), PathBuf::from("two")]);
        assert!(in_container("d", &mounts).is_empty());
    }
}
