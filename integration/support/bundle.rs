//! OCI bundles for tests of the runtime's verbs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::World;

/// A folder with a config.json that a test shapes before it is written.
#[derive(Debug)]
pub struct Bundle {
    pub path: PathBuf,
    pub config: Value,
}

impl Bundle {
    /// A bundle of `world` whose process is `args`, with busybox as rootfs and
    /// the namespaces and mounts of `runc spec`.
    pub fn new(world: &World, name: &str, args: &[&str]) -> Self {
        let path = world.path().join(format!("bundle-{name}"));
        fs::create_dir_all(&path).expect("bundle folder");
        busybox_rootfs(&path.join("rootfs"));
        Self { path, config: default_config(args) }
    }

    /// Adds the fixture image's `payload` to the root file system.
    pub fn with_payload(self) -> Self {
        let payload = super::fixture_rootfs().join("bin/payload");
        fs::copy(payload, self.rootfs().join("bin/payload")).expect("run `make fixtures`");
        self
    }

    /// Writes config.json and returns the bundle's path as text.
    pub fn write(&self) -> String {
        let text = serde_json::to_vec_pretty(&self.config).expect("config is JSON");
        fs::write(self.path.join("config.json"), text).expect("config.json");
        self.path.to_string_lossy().into_owned()
    }

    pub fn rootfs(&self) -> PathBuf {
        self.path.join("rootfs")
    }
}

/// A small root file system with Debian's static busybox.
pub fn busybox_rootfs(rootfs: &Path) {
    for folder in ["bin", "etc", "proc", "sys", "dev", "tmp", "root"] {
        fs::create_dir_all(rootfs.join(folder)).expect("rootfs folder");
    }
    fs::copy("/bin/busybox", rootfs.join("bin/busybox")).expect("busybox-static is installed");
    let applets = [
        "sh", "ls", "cat", "echo", "sleep", "true", "false", "id", "pwd", "env", "hostname", "ps",
        "kill", "mount", "umount", "mkdir", "rm", "touch", "test", "stat", "readlink", "head",
        "tail", "grep", "wc", "seq", "dd", "ln", "chmod", "tty", "stty", "nc", "ip", "printf",
        "sync", "date", "find", "mknod", "ulimit", "nproc", "yes", "tr", "cut", "sort", "setsid",
    ];
    for applet in applets {
        let _ = symlink("busybox", rootfs.join("bin").join(applet));
    }
    fs::write(
        rootfs.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n",
    )
    .expect("passwd");
    fs::write(rootfs.join("etc/group"), "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n")
        .expect("group");
}

fn default_config(args: &[&str]) -> Value {
    let caps = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": args,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true
        },
        "root": { "path": "rootfs", "readonly": false },
        "hostname": "bundle",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
              "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
            { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
              "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
            { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
              "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs",
              "options": ["nosuid", "noexec", "nodev", "ro"] },
            { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
              "options": ["nosuid", "noexec", "nodev", "relatime", "ro"] }
        ],
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" },
                { "type": "mount" }, { "type": "cgroup" }
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}
