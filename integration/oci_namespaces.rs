//! Namespaces made and joined.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Bundle, World};

const KINDS: [(&str, &str); 6] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
];

fn link(process: &str, kind: &str) -> String {
    fs::read_link(format!("/proc/{process}/ns/{kind}")).unwrap().display().to_string()
}

fn pid_of(world: &World, id: &str) -> String {
    let state: Value = serde_json::from_str(&world.podrt(&["state", id]).ok()).unwrap();
    state["pid"].to_string()
}

/// A process in new namespaces that lives until dropped.
struct Holder(Child);

impl Holder {
    fn new(flags: &[&str]) -> Self {
        let mut child = Command::new("unshare")
            .args(flags)
            .args(["--fork", "--kill-child", "sh", "-c", "echo ready; exec sleep 1000"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let mut line = [0; 6];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).expect("ready");
        Self(child)
    }

    /// The pid of the process inside.
    fn inner(&self) -> String {
        let path = format!("/proc/{0}/task/{0}/children", self.0.id());
        fs::read_to_string(path).unwrap().trim().to_owned()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_namespace_of_the_spec_is_new_and_the_others_are_the_hosts() {
    let world = World::new();
    let id = world.name("c");
    let mut bundle = Bundle::new(&world, "b", &["sleep", "1000"]);
    for dropped in ["", "network", "ipc", "pid", "cgroup"] {
        bundle.config["linux"]["namespaces"] = KINDS
            .iter()
            .filter(|(kind, _)| *kind != dropped)
            .map(|(kind, _)| json!({"type": kind}))
            .collect();
        if dropped == "network" {
            let mounts = bundle.config["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| mount["destination"] != "/sys");
            mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
        }
        let path = bundle.write();
        world.podrt(&["create", "-b", &path, &id]).ok();
        let pid = pid_of(&world, &id);
        for (kind, file) in KINDS {
            let same = link(&pid, file) == link("self", file);
            assert_eq!(same, kind == dropped, "{kind} without {dropped:?}");
        }
        world.podrt(&["delete", &id]).ok();
    }
    world.assert_clean();
}

#[test]
fn namespaces_are_joined_by_path() {
    let world = World::new();
    let id = world.name("c");
    let holder = Holder::new(&["--net", "--ipc", "--uts"]);
    let inner = holder.inner();
    let mut bundle = Bundle::new(&world, "b", &["sleep", "1000"]);
    let path_of = |kind: &str| format!("/proc/{inner}/ns/{kind}");
    bundle.config["linux"]["namespaces"] = json!([
        {"type": "network", "path": path_of("net")},
        {"type": "ipc", "path": path_of("ipc")},
        {"type": "uts", "path": path_of("uts")},
        {"type": "mount"}, {"type": "pid"}, {"type": "cgroup"},
    ]);
    let path = bundle.write();
    world.podrt(&["run", "-d", "-b", &path, &id]).ok();
    let pid = pid_of(&world, &id);
    for kind in ["net", "ipc", "uts"] {
        assert_eq!(link(&pid, kind), link(&inner, kind), "{kind}");
    }
    assert_ne!(link(&pid, "mnt"), link("self", "mnt"));
    world.podrt(&["delete", "-f", &id]).ok();
    world.assert_clean();
}

#[test]
fn a_joined_pid_namespace_shows_its_processes_and_only_those() {
    let world = World::new();
    let id = world.name("c");
    let holder = Holder::new(&["--pid"]);
    let inner = holder.inner();
    for seccomp in [false, true] {
        let script = "cat /proc/1/comm; test $$ -gt 1 && echo not-first; \
                      ls -d /proc/[0-9]* | wc -l";
        let mut bundle = Bundle::new(&world, "b", &["sh", "-c", script]);
        bundle.config["linux"]["namespaces"] = json!([
            {"type": "pid", "path": format!("/proc/{inner}/ns/pid")},
            {"type": "mount"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "cgroup"},
        ]);
        if seccomp {
            // Without no_new_privs the filter is there before the last clone.
            bundle.config["process"]["noNewPrivileges"] = json!(false);
            bundle.config["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
            });
        }
        let path = bundle.write();
        let out = world.podrt(&["run", "-b", &path, &id]).ok();
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0], "sleep");
        assert_eq!(lines[1], "not-first");
        assert!(lines[2].parse::<u32>().unwrap() <= 6, "{out}");
    }
    world.assert_clean();
}

#[test]
fn a_user_namespace_maps_root_to_somebody_harmless() {
    let world = World::new();
    let id = world.name("c");
    let script = "id -u; cat /proc/self/uid_map; touch /tmp/made && stat -c %u /tmp/made; \
                  cat /proc/self/oom_score_adj; ulimit -n";
    let mut bundle = Bundle::new(&world, "b", &["sh", "-c", script]);
    let linux = &mut bundle.config["linux"];
    linux["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    linux["uidMappings"] = map.clone();
    linux["gidMappings"] = map;
    bundle.config["process"]["oomScoreAdj"] = json!(100);
    // The mapped root owns its root file system, and may reach it.
    let mut command = Command::new("chown");
    crate::support::run(command.arg("-R").arg("-h").arg("100000:100000").arg(bundle.rootfs())).ok();
    for folder in [world.path(), Path::new(&bundle.path)] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = bundle.write();
    let out = world.podrt(&["run", "-b", &path, &id]).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "0");
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["0", "100000", "65536"]);
    assert_eq!(lines[2], "0");
    assert_eq!(lines[3..], ["100", "1024"]);
    world.assert_clean();
}

#[test]
fn a_new_user_namespace_can_go_with_joined_namespaces_of_the_host() {
    let world = World::new();
    let id = world.name("c");
    let holder = Holder::new(&["--ipc"]);
    let mut bundle =
        Bundle::new(&world, "b", &["sh", "-c", "id -u; readlink /proc/self/ns/ipc; echo $$"]);
    let linux = &mut bundle.config["linux"];
    linux["namespaces"] = json!([
        {"type": "ipc", "path": format!("/proc/{}/ns/ipc", holder.inner())},
        {"type": "user"}, {"type": "mount"}, {"type": "pid"}, {"type": "network"}, {"type": "uts"},
    ]);
    let map = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
    linux["uidMappings"] = map.clone();
    linux["gidMappings"] = map;
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    // An mqueue file system belongs to the joined ipc namespace's owner.
    mounts.retain(|mount| mount["destination"] != "/dev/mqueue");
    let path = bundle.write();
    let out = world.podrt(&["run", "-b", &path, &id]).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines, ["0", link(&holder.inner(), "ipc").as_str(), "1"]);
    world.assert_clean();
}

#[test]
fn a_time_namespace_has_its_offsets() {
    let world = World::new();
    let id = world.name("c");
    let mut bundle = Bundle::new(&world, "b", &["cut", "-d.", "-f1", "/proc/uptime"]);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "time"}));
    bundle.config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1_000_000, "nanosecs": 0}});
    let path = bundle.write();
    let out = world.podrt(&["run", "-b", &path, &id]).ok();
    assert!(out.trim().parse::<u64>().unwrap() > 1_000_000, "{out}");
    world.assert_clean();
}

#[test]
fn a_user_namespace_can_be_joined_and_an_exec_follows() {
    let world = World::new();
    let id = world.name("c");
    let mut holder = Command::new("unshare").args(["-U", "sleep", "1000"]).spawn().unwrap();
    let inner = holder.id();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while link(&inner.to_string(), "user") == link("self", "user") {
        assert!(std::time::Instant::now() < deadline, "no new namespace");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{inner}/{map}"), "0 100000 65536").unwrap();
    }
    let mut bundle = Bundle::new(&world, "b", &["sleep", "1000"]);
    let path = format!("/proc/{inner}/ns/user");
    let list = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    list.push(json!({"type": "user", "path": path}));
    for folder in [world.path(), Path::new(&bundle.path)] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = bundle.write();
    let ran = world.podrt(&["run", "-d", "-b", &path, &id]);
    let pid = pid_of(&world, &id);
    let joined = link(&pid, "user") == link(&inner.to_string(), "user");
    let script = "id -u; cat /proc/self/uid_map";
    let out = world.podrt(&["exec", &id, "sh", "-c", script]);
    world.podrt(&["delete", "-f", &id]).ok();
    let _ = holder.kill();
    let _ = holder.wait();
    assert!(ran.code == 0 && joined, "{ran:?}");
    let words: Vec<String> = out.ok().split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["0", "0", "100000", "65536"]);
    world.assert_clean();
}
