//! Root file systems made for real, each in a thread with a mount namespace of
//! its own: unshare(CLONE_NEWNS) and pivot_root(2) reach no other thread.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use super::*;

/// A bundle with an empty rootfs below a temporary directory.
struct Bundle {
    dir: tempfile::TempDir,
}

impl Bundle {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("rootfs")).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn root(&self) -> PathBuf {
        self.path("rootfs")
    }

    /// Runs `inside` in the finished container's root, or gives the error.
    fn enter<T: Send>(&self, spec: &Value, inside: impl FnOnce() -> T + Send) -> Result<T, String> {
        self.enter_with(spec, |_| {}, inside)
    }

    fn enter_with<T: Send>(
        &self,
        spec: &Value,
        adjust: impl FnOnce(&mut RootfsInput<'_>) + Send,
        inside: impl FnOnce() -> T + Send,
    ) -> Result<T, String> {
        in_mount_namespace(|| {
            let spec: Spec = serde_json::from_value(with_root(spec)).unwrap();
            let mut input = RootfsInput {
                spec: &spec,
                bundle: self.dir.path(),
                root: RootSource::Path("rootfs".into()),
                sources: BTreeMap::new(),
                cgroup: CgroupView { path: "/", own_namespace: false },
                no_pivot: false,
                console: false,
                user_namespace: false,
            };
            adjust(&mut input);
            let mut plan = RootfsPlan::prepare(input).map_err(|error| error.to_string())?;
            let _entered = plan.enter(&mut |_| {}).map_err(|error| error.to_string())?;
            Ok(inside())
        })
    }
}

fn with_root(spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["ociVersion"] = json!("1.3.0");
    if spec.get("root").is_none() {
        spec["root"] = json!({"path": "rootfs"});
    }
    spec
}

/// Runs `body` in a thread with a private copy of the mount table.
fn in_mount_namespace<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).unwrap();
            body()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What `runc spec` writes, less the namespaces.
fn default_mounts() -> Value {
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
         "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
    ])
}

/// `mountinfo` as (mount point, per-mount options, type).
fn mount_table() -> Vec<(String, String, String)> {
    let text = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let field = |line: &str, index: usize| line.split(' ').nth(index).unwrap().to_owned();
    text.lines()
        .map(|line| {
            let (before, after) = line.split_once(" - ").unwrap();
            let tags: Vec<_> = before.split(' ').skip(6).collect();
            let options = format!("{},{}", field(before, 5), tags.join(","));
            (field(before, 4), options, field(after, 0))
        })
        .collect()
}

fn options_of(mount_point: &str) -> String {
    let found = mount_table().into_iter().rev().find(|(point, ..)| point == mount_point);
    found.unwrap_or_else(|| panic!("no mount at {mount_point}: {:?}", mount_table())).1
}

fn bind(source: &Path, destination: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": options})
}

#[test]
fn the_default_bundle_has_what_a_container_expects() {
    let bundle = Bundle::new();
    let spec = json!({"mounts": default_mounts(), "linux": {
        "maskedPaths": ["/proc/keys", "/proc/fs", "/proc/driver", "/sys/kernel", "/none"],
        "readonlyPaths": ["/proc/sys", "/proc/bus", "/none"],
    }});
    bundle
        .enter(&spec, || {
            assert_eq!(fs::read_link("/dev/fd").unwrap(), Path::new("/proc/self/fd"));
            assert_eq!(fs::read_link("/dev/ptmx").unwrap(), Path::new("pts/ptmx"));
            let null = fs::metadata("/dev/null").unwrap();
            assert!(null.file_type().is_char_device());
            assert_eq!(null.permissions().mode() & 0o7777, 0o666);
            assert_eq!(null.rdev(), nix::sys::stat::makedev(1, 3));
            fs::write("/dev/null", "gone").unwrap();
            assert!(options_of("/dev").starts_with("rw,nosuid"), "{}", options_of("/dev"));
            assert!(options_of("/sys").starts_with("ro,nosuid,nodev,noexec"));
            assert!(options_of("/proc/sys").starts_with("ro"));
            assert!(options_of("/sys/fs/cgroup").starts_with("ro,nosuid,nodev,noexec"));
            assert_eq!(fs::read("/proc/keys").unwrap(), b"");
            assert_eq!(fs::read_dir("/sys/kernel").unwrap().count(), 0);
            let refused = fs::write("/sys/kernel/x", "").unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
            let refused = fs::write("/proc/sys/kernel/ctrl-alt-del", "0").unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
            assert_eq!(std::env::current_dir().unwrap(), Path::new("/"));
            assert!(fs::create_dir("/made").is_ok());
        })
        .unwrap();
    assert!(bundle.root().join("made").is_dir());
    assert!(!bundle.root().join("dev/null").exists(), "devices belong to the tmpfs");
}

#[test]
fn nothing_of_the_host_stays_below_the_new_root() {
    let bundle = Bundle::new();
    let spec = json!({"mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}]});
    let points = bundle.enter(&spec, mount_table).unwrap();
    let points: Vec<_> = points.into_iter().map(|(point, ..)| point).collect();
    assert_eq!(points, ["/", "/proc"]);
}
