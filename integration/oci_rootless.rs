//! Containers of a user who is not root.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Bundle, Ran, World, podrt_path, run, skip};

/// nobody
const USER: u32 = 65534;

/// A world that belongs to a user, with a podrt that he can reach.
struct Home {
    world: World,
}

impl Home {
    fn new() -> Self {
        let world = World::new();
        fs::set_permissions(world.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        chown(world.path(), Some(USER), Some(USER)).expect("chown");
        fs::copy(podrt_path(), world.path().join("podrt")).expect("copy podrt");
        Self { world }
    }

    /// A bundle of the user's, as `spec --rootless` shapes it.
    fn bundle(&self, args: &[&str], change: impl FnOnce(&mut Value)) -> String {
        let mut bundle = Bundle::new(&self.world, "b", args);
        let config = &mut bundle.config;
        let kinds = ["user", "pid", "ipc", "uts", "mount", "cgroup"];
        config["linux"]["namespaces"] = kinds.iter().map(|kind| json!({"type": kind})).collect();
        let own = json!([{"containerID": 0, "hostID": USER, "size": 1}]);
        config["linux"]["uidMappings"] = own.clone();
        config["linux"]["gidMappings"] = own;
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
        for mount in mounts {
            if mount["destination"] == "/dev/pts" {
                let options = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
                mount["options"] = json!(options);
            }
            if mount["destination"] == "/sys" {
                *mount = json!({"destination": "/sys", "type": "none", "source": "/sys",
                                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]});
            }
        }
        change(config);
        let path = bundle.write();
        run(Command::new("chown").args(["-Rh", &format!("{USER}:{USER}"), &path])).ok();
        path
    }

    fn podrt(&self, args: &[&str]) -> Ran {
        self.run(&[&self.world.path().join("podrt").to_string_lossy()], args)
    }

    fn run(&self, program: &[&str], args: &[&str]) -> Ran {
        let user = USER.to_string();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", &user, "--regid", &user, "--clear-groups"])
            .args(program)
            .args(args)
            .env("PODRT_ROOT", self.world.root())
            .stdin(Stdio::null());
        run(&mut command)
    }
}

#[test]
fn a_user_runs_a_container_without_a_cgroup_and_executes_in_it() {
    let home = Home::new();
    let id = home.world.name("c");
    let script = "id -u; cat /proc/self/uid_map; test -c /dev/null && echo device";
    let path = home.bundle(&["sh", "-c", script], |_| ());
    let out = home.podrt(&["run", "-b", &path, &id]).ok();
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "65534", "1", "device"]);

    let path = home.bundle(&["sleep", "1000"], |_| ());
    home.podrt(&["create", "-b", &path, &id]).ok();
    home.podrt(&["start", &id]).ok();
    let state: Value = serde_json::from_str(&home.podrt(&["state", &id]).ok()).unwrap();
    assert_eq!(state["status"], "running");
    let out = home.podrt(&["exec", &id, "sh", "-c", "id -u; cat /proc/1/comm"]).ok();
    assert_eq!(out, "0\nsleep\n");
    assert_eq!(home.podrt(&["exec", &id, "sh", "-c", "exit 7"]).code, 7);
    let error = home.podrt(&["pause", &id]).error(1);
    assert!(error.contains("a rootless container has none"), "{error}");
    home.podrt(&["kill", "--all", &id, "KILL"]).ok();
    home.podrt(&["delete", "--force", &id]).ok();
    home.world.assert_clean();
}

#[test]
fn what_a_user_may_not_do_is_refused_and_leaves_nothing() {
    type Change = fn(&mut Value);
    let home = Home::new();
    let cases: [(&str, Change); 3] = [
        ("rootless container requires user namespaces", |config| {
            config["linux"]["namespaces"].as_array_mut().unwrap().remove(0);
        }),
        ("rootless containers require at least one UID and GID mapping", |config| {
            config["linux"]["uidMappings"] = json!([]);
        }),
        ("permission denied", |config| {
            config["linux"]["resources"]["pids"] = json!({"limit": 5});
        }),
    ];
    for (phrase, change) in cases {
        let path = home.bundle(&["true"], change);
        let error = home.podrt(&["create", "-b", &path, &home.world.name("c")]).error(1);
        assert!(error.contains(phrase), "{error}");
        home.world.assert_clean();
    }
}

#[test]
fn more_ids_are_mapped_by_the_helpers_that_know_subuid() {
    let name = "more_ids_are_mapped_by_the_helpers_that_know_subuid";
    let subuid = fs::read_to_string("/etc/subuid").unwrap_or_default();
    let entry = subuid
        .lines()
        .find_map(|line| line.strip_prefix("nobody:").or_else(|| line.strip_prefix("65534:")));
    let range = entry
        .and_then(|rest| rest.split_once(':'))
        .and_then(|(first, count)| Some((first.parse::<u32>().ok()?, count.parse::<u32>().ok()?)));
    let (Some((first, count)), true) = (range, Path::new("/usr/bin/newuidmap").exists()) else {
        return skip(name, "newuidmap or an entry for nobody in /etc/subuid is missing");
    };
    let home = Home::new();
    let path = home.bundle(&["sh", "-c", "cat /proc/self/uid_map | tail -1; id -G"], |config| {
        let map = json!([{"containerID": 0, "hostID": USER, "size": 1},
                         {"containerID": 1, "hostID": first, "size": count}]);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
    });
    let out = home.podrt(&["run", "-b", &path, &home.world.name("c")]).ok();
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!(words, ["1", &first.to_string(), &count.to_string(), "0"]);
    home.world.assert_clean();
}

#[test]
fn root_of_a_user_namespace_runs_a_container_as_podman_asks_for_it() {
    let home = Home::new();
    let path = home.bundle(&["sh", "-c", "id -u; test -c /dev/zero && echo device"], |config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().remove(0);
        let linux = config["linux"].as_object_mut().unwrap();
        linux.remove("uidMappings");
        linux.remove("gidMappings");
    });
    let podrt = home.world.path().join("podrt");
    let program = ["unshare", "-Urm", &podrt.to_string_lossy()];
    let out = home.run(&program, &["run", "-b", &path, &home.world.name("c")]).ok();
    assert_eq!(out, "0\ndevice\n");
    home.world.assert_clean();
}
