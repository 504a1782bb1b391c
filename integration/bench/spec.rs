//! The bundles.

use serde_json::{Value, json};

/// What `runc spec` writes, for a process that ends at once.
pub fn default() -> Value {
    let caps = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["/bin/true"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true
        },
        "root": { "readonly": true },
        "hostname": "bench",
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"])
        ],
        "linux": {
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" },
                { "type": "mount" }
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

/// The same with the profile that container engines give by default.
pub fn with_seccomp() -> Value {
    let mut spec = default();
    let profile = podrt::seccomp::profiles::runtime_default::<&str>(&[]);
    spec["linux"]["seccomp"] = serde_json::to_value(profile).expect("profile");
    spec
}

/// The same with a user namespace, and the cgroup namespace that its mount of
/// cgroups needs.
pub fn with_user_namespace() -> Value {
    let mut spec = default();
    let linux = &mut spec["linux"];
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    linux["uidMappings"] = map.clone();
    linux["gidMappings"] = map;
    let namespaces = linux["namespaces"].as_array_mut().expect("a list");
    namespaces.extend([json!({ "type": "user" }), json!({ "type": "cgroup" })]);
    spec
}

/// The same with a process that runs until it is killed.
pub fn long_lived() -> Value {
    let mut spec = default();
    spec["process"]["args"] = json!(["/bin/sleep", "100000"]);
    spec
}
