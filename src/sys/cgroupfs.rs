//! Where the machine mounts its cgroup hierarchies.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use super::{SyscallError, mountinfo};

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupMount {
    pub mount_point: PathBuf,
    pub kind: CgroupKind,
}

/// Which interface a hierarchy has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CgroupKind {
    /// Version 1 with these controllers (`cpu`, `cpuacct`; `name=systemd`).
    V1(Vec<String>),
    V2,
}

/// The usual mount point.
const ROOT: &str = "/sys/fs/cgroup";

/// Options of a v1 mount that are no controllers.
const V1_FLAGS: [&str; 9] = [
    "rw",
    "ro",
    "none",
    "all",
    "noprefix",
    "xattr",
    "clone_children",
    "cpuset_v2_mode",
    "favordynmods",
];

/// The hierarchies that the caller's mount namespace shows: one of version 2 at
/// `/sys/fs/cgroup`, or what `/proc/thread-self/mountinfo` lists.
///
/// # Errors
/// When mountinfo cannot be read.
pub fn mounts() -> Result<Vec<CgroupMount>, SyscallError> {
    if is_cgroup2(Path::new(ROOT)) {
        return Ok(vec![CgroupMount { mount_point: ROOT.into(), kind: CgroupKind::V2 }]);
    }
    Ok(hierarchies(mountinfo::of("thread-self")?))
}

/// Whether a cgroup2 file system is mounted at `path`.
#[must_use]
pub fn is_cgroup2(path: &Path) -> bool {
    loop {
        match statfs(path) {
            Ok(found) => return found.filesystem_type() == CGROUP2_SUPER_MAGIC,
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// The first mount of each hierarchy.
fn hierarchies(mounts: Vec<mountinfo::Mount>) -> Vec<CgroupMount> {
    let mut found: Vec<CgroupMount> = Vec::new();
    for mountinfo::Mount { mount_point, fs_type, super_options, .. } in mounts {
        let kind = match fs_type.as_str() {
            "cgroup2" => CgroupKind::V2,
            "cgroup" => CgroupKind::V1(controllers(&super_options)),
            _ => continue,
        };
        if !found.iter().any(|seen| seen.kind == kind) {
            found.push(CgroupMount { mount_point, kind });
        }
    }
    found
}

fn controllers(options: &str) -> Vec<String> {
    options
        .split(',')
        .filter(|option| !V1_FLAGS.contains(option) && !option.starts_with("release_agent="))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hierarchy_is_found_once_with_its_controllers() {
        let text = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
37 31 0:34 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
38 31 0:38 / /sys/fs/cgroup/un\\040ified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
39 31 0:29 /a /other rw,relatime - cgroup cgroup rw,cpu,cpuacct
broken line
";
        let v1 = |point: &str, names: &[&str]| CgroupMount {
            mount_point: point.into(),
            kind: CgroupKind::V1(names.iter().map(|n| (*n).to_owned()).collect()),
        };
        assert_eq!(
            hierarchies(mountinfo::parse(text)),
            [
                v1("/sys/fs/cgroup/cpu,cpuacct", &["cpu", "cpuacct"]),
                v1("/sys/fs/cgroup/systemd", &["name=systemd"]),
                CgroupMount { mount_point: "/sys/fs/cgroup/un ified".into(), kind: CgroupKind::V2 },
            ]
        );
    }
}
