//! Containers in scopes of systemd's, where systemd runs the machine.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Bundle, World, run, skip};

fn has_systemd(test: &str) -> bool {
    let has = Path::new("/run/systemd/system").is_dir();
    if !has {
        skip(test, "systemd does not run this machine");
    }
    has
}

/// A property of a unit, as systemctl(1) prints it.
fn property(unit: &str, name: &str) -> String {
    let mut command = Command::new("systemctl");
    let ran = run(command.args(["show", "--value", "-p", name, unit]));
    ran.ok().trim().to_owned()
}

fn bundle(world: &World, change: impl FnOnce(&mut Value)) -> (String, String) {
    let mut bundle = Bundle::new(world, "b", &["sleep", "1000"]);
    change(&mut bundle.config);
    (bundle.write(), world.name("c"))
}

#[test]
fn a_container_is_a_scope_with_its_limits_until_it_is_deleted() {
    if !has_systemd("a_container_is_a_scope_with_its_limits_until_it_is_deleted") {
        return;
    }
    let world = World::new();
    let (path, id) = bundle(&world, |config| {
        config["linux"]["cgroupsPath"] =
            json!(format!("podrt-test.slice:leaf:{}", world.name("c")));
        config["linux"]["resources"]["memory"] = json!({"limit": 67_108_864});
        config["linux"]["resources"]["cpu"] =
            json!({"shares": 512, "quota": 50_000, "period": 100_000});
        config["annotations"] = json!({"org.systemd.property.TimeoutStopUSec": "uint64 7000000"});
    });
    let unit = format!("leaf-{id}.scope");
    world.podrt(&["--systemd-cgroup", "create", "-b", &path, &id]).ok();
    world.podrt(&["start", &id]).ok();
    let state: Value = serde_json::from_str(&world.podrt(&["state", &id]).ok()).unwrap();
    let cgroup = std::fs::read_to_string(format!("/proc/{}/cgroup", state["pid"])).unwrap();
    assert!(cgroup.contains(&format!("/podrt.slice/podrt-test.slice/{unit}")), "{cgroup}");
    for (name, want) in [
        ("ActiveState", "active"),
        ("Delegate", "yes"),
        ("Slice", "podrt-test.slice"),
        ("MemoryMax", "67108864"),
        ("CPUWeight", "59"),
        ("CPUQuotaPerSecUSec", "500ms"),
        ("TimeoutStopUSec", "7s"),
    ] {
        assert_eq!(property(&unit, name), want, "{name}");
    }
    assert_eq!(world.podrt(&["exec", &id, "cat", "/sys/fs/cgroup/memory.max"]).ok(), "67108864\n");
    world.podrt(&["update", "--memory", "32m", &id]).ok();
    assert_eq!(property(&unit, "MemoryMax"), "33554432");
    run(Command::new("systemctl").arg("daemon-reload")).ok();
    assert_eq!(world.podrt(&["exec", &id, "cat", "/sys/fs/cgroup/memory.max"]).ok(), "33554432\n");
    world.podrt(&["pause", &id]).ok();
    world.podrt(&["resume", &id]).ok();
    world.podrt(&["delete", "--force", &id]).ok();
    assert_eq!(property(&unit, "ActiveState"), "inactive");
    assert_eq!(property(&unit, "LoadState"), "not-found", "nothing of it is remembered");
    world.assert_clean();
}

#[test]
fn a_create_that_fails_leaves_no_scope() {
    if !has_systemd("a_create_that_fails_leaves_no_scope") {
        return;
    }
    let world = World::new();
    let (path, id) = bundle(&world, |config| config["process"]["args"] = json!(["nope"]));
    let error = world.podrt(&["--systemd-cgroup", "create", "-b", &path, &id]).error(1);
    assert!(error.contains("executable file not found"), "{error}");
    assert_eq!(property(&format!("podrt-{id}.scope"), "LoadState"), "not-found");
    world.assert_clean();
}

#[test]
fn a_path_of_another_form_or_a_machine_without_systemd_is_refused() {
    let world = World::new();
    let (path, id) = bundle(&world, |config| config["linux"]["cgroupsPath"] = json!("/a/b"));
    let error = world.podrt(&["--systemd-cgroup", "create", "-b", &path, &id]).error(1);
    let phrase = if Path::new("/run/systemd/system").is_dir() {
        "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups"
    } else {
        "systemd cgroup flag passed, but systemd support for managing cgroups is not available"
    };
    assert!(error.contains(phrase), "{error}");
    world.assert_clean();
}
