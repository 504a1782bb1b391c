//! create + start + delete of an OCI bundle, three commands, as callers of a
//! runtime do it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::timing::{Series, is_installed, time};
use super::{Place, table};

struct Contender {
    name: &'static str,
    program: PathBuf,
    root: PathBuf,
}

/// Prints one table for each bundle and pace.
pub fn compare(place: &Place, rounds: usize) {
    let contenders = contenders(place);
    let bundles = [("default bundle", default_spec()), ("default seccomp profile", with_seccomp())];
    for (name, spec) in bundles {
        let bundle = bundle(place, name, &spec);
        for (pace, pause) in [("back to back", 0), ("250 ms of idle before each cycle", 250)] {
            let rounds = if pause == 0 { rounds } else { rounds.min(15) };
            let rows = run(&contenders, &bundle, rounds, Duration::from_millis(pause));
            let title = format!("create + start + delete, {name}, {pace}");
            table::print(&title, &["create", "start", "delete", "sum"], &rows, "crun");
        }
    }
}

fn contenders(place: &Place) -> Vec<Contender> {
    let root = |name: &str| place.work.path().join(format!("root-{name}"));
    let peer = |name: &'static str| Contender { name, program: name.into(), root: root(name) };
    vec![
        Contender { name: "podrt", program: place.podrt.clone(), root: root("podrt") },
        peer("crun"),
        peer("runc"),
        peer("youki"),
    ]
}

fn run(
    contenders: &[Contender],
    bundle: &Path,
    rounds: usize,
    pause: Duration,
) -> Vec<(String, Option<Vec<Series>>)> {
    let mut rows: Vec<(String, Option<Vec<Series>>)> = contenders
        .iter()
        .map(|c| {
            let here = c.program.is_absolute() || is_installed(c.name);
            (c.name.to_owned(), here.then(|| vec![Series::default(); 4]))
        })
        .collect();
    for round in 0..=rounds {
        for (contender, (_, series)) in contenders.iter().zip(&mut rows) {
            let Some(series) = series else { continue };
            std::thread::sleep(pause);
            let times = cycle(contender, bundle, round);
            // The first round only warms the caches.
            if round > 0 {
                let sum = times.iter().sum();
                times.into_iter().chain([sum]).zip(series).for_each(|(time, s)| s.push(time));
            }
        }
    }
    rows
}

fn cycle(contender: &Contender, bundle: &Path, round: usize) -> [Duration; 3] {
    let id = format!("bench-{}-{}-{round}", contender.name, std::process::id());
    let verb = |args: &[&str]| {
        let mut command = Command::new(&contender.program);
        command.arg("--root").arg(&contender.root).args(args).arg(&id).current_dir(bundle);
        command
    };
    let create = time(&mut verb(&["create"]));
    let start = time(&mut verb(&["start"]));
    let delete = time(&mut verb(&["delete", "--force"]));
    [create, start, delete]
}

fn bundle(place: &Place, name: &str, spec: &Value) -> PathBuf {
    let path = place.work.path().join(name.replace(' ', "-"));
    fs::create_dir_all(&path).expect("bundle");
    let mut spec = spec.clone();
    spec["root"]["path"] = place.rootfs.to_string_lossy().into_owned().into();
    fs::write(path.join("config.json"), spec.to_string()).expect("config.json");
    path
}

/// What `runc spec` writes, for a process that ends at once.
fn default_spec() -> Value {
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
fn with_seccomp() -> Value {
    let mut spec = default_spec();
    let profile = podrt::seccomp::profiles::runtime_default::<&str>(&[]);
    spec["linux"]["seccomp"] = serde_json::to_value(profile).expect("profile");
    spec
}
