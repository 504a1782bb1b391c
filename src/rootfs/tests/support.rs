//! A bundle in a temporary directory, and threads with mount tables of their own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use super::super::*;

/// A bundle with an empty rootfs below a temporary directory.
pub(super) struct Bundle {
    pub(super) dir: tempfile::TempDir,
}

impl Bundle {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("rootfs")).unwrap();
        Self { dir }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn root(&self) -> PathBuf {
        self.path("rootfs")
    }

    /// Runs `inside` in the finished container's root, or gives the error.
    pub(super) fn enter<T: Send>(
        &self,
        spec: &Value,
        inside: impl FnOnce() -> T + Send,
    ) -> Result<T, String> {
        self.enter_with(spec, |_| {}, inside)
    }

    pub(super) fn enter_with<T: Send>(
        &self,
        spec: &Value,
        adjust: impl FnOnce(&mut RootfsInput<'_>) + Send,
        inside: impl FnOnce() -> T + Send,
    ) -> Result<T, String> {
        in_new_mount_namespace(|| {
            let spec: Spec = serde_json::from_value(with_root(spec)).unwrap();
            let mut plan = RootfsPlan::prepare(input(self, &spec, adjust))
                .map_err(|error| error.to_string())?;
            let _entered = plan.enter(&mut |_| {}).map_err(|error| error.to_string())?;
            Ok(inside())
        })
    }
}

pub(super) fn input<'a>(
    bundle: &'a Bundle,
    spec: &'a Spec,
    adjust: impl FnOnce(&mut RootfsInput<'_>),
) -> RootfsInput<'a> {
    let mut input = RootfsInput {
        spec,
        bundle: bundle.dir.path(),
        root: RootSource::Path("rootfs".into()),
        sources: BTreeMap::new(),
        cgroup: CgroupView { path: "/", own_namespace: false },
        no_pivot: false,
        console: false,
        user_namespace: false,
    };
    adjust(&mut input);
    input
}

pub(super) fn with_root(spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["ociVersion"] = json!("1.3.0");
    if spec.get("root").is_none() {
        spec["root"] = json!({"path": "rootfs"});
    }
    spec
}

/// Runs `body` in a thread with a mount table of its own, as a clone has it.
pub(super) fn in_new_mount_namespace<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).unwrap();
            body()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The same, for tests that mount: nothing of it reaches the machine.
pub(super) fn in_mount_namespace<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    in_new_mount_namespace(|| {
        make_private("/");
        body()
    })
}

/// Keeps what a test mounts from the machine.
pub(super) fn make_private(mount_point: &str) {
    let none = None::<&str>;
    let flags = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
    nix::mount::mount(none, mount_point, none, flags, none).unwrap();
}

/// What `runc spec` writes, less the namespaces.
pub(super) fn default_mounts() -> Value {
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
pub(super) fn mount_table() -> Vec<(String, String, String)> {
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

pub(super) fn options_of(mount_point: &str) -> String {
    let found = mount_table().into_iter().rev().find(|(point, ..)| point == mount_point);
    found.unwrap_or_else(|| panic!("no mount at {mount_point}: {:?}", mount_table())).1
}

pub(super) fn bind(source: &Path, destination: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": options})
}

/// A source directory with one file, as a mount of its own in the caller's
/// namespace; gone with the namespace.
pub(super) fn mounted_tmpfs(path: &Path, options: &str) {
    fs::create_dir_all(path).unwrap();
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(Some("t"), path, Some("tmpfs"), flags, Some(options)).unwrap();
}
