//! Limits changed, usage told.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Bundle, World, has_controllers, skip};

/// A running container with a device node that it may not open.
fn running(world: &World, args: &[&str]) -> String {
    let id = world.name("c");
    let mut bundle = Bundle::new(world, "b", args).with_payload();
    bundle.config["linux"]["devices"] =
        json!([{"path": "/dev/leaf", "type": "c", "major": 10, "minor": 200}]);
    let path = bundle.write();
    world.podrt(&["run", "-d", "-b", &path, &id]).ok();
    id
}

/// What a file of the container's cgroup holds, whichever version has it.
fn inside(world: &World, id: &str, v1: &str, v2: &str) -> String {
    let script = format!("cat /sys/fs/cgroup/{v1} 2>/dev/null || cat /sys/fs/cgroup/{v2}");
    world.podrt(&["exec", id, "sh", "-c", &script]).ok().trim().to_owned()
}

#[test]
fn update_sets_what_it_names_and_leaves_the_rest() {
    let name = "update_sets_what_it_names_and_leaves_the_rest";
    if !has_controllers(name, &["memory", "pids", "cpu"]) {
        return;
    }
    let world = World::new();
    let id = running(&world, &["sleep", "1000"]);
    let memory = |id: &str| inside(&world, id, "memory/memory.limit_in_bytes", "memory.max");
    let pids = |id: &str| inside(&world, id, "pids/pids.max", "pids.max");
    let quota = |id: &str| inside(&world, id, "cpu/cpu.cfs_quota_us", "cpu.max");
    world.podrt(&["update", "--memory", "64m", "--pids-limit", "50", &id]).ok();
    assert_eq!((memory(&id), pids(&id)), ("67108864".to_owned(), "50".to_owned()));
    world.podrt(&["update", "--cpu-quota=30000", &id]).ok();
    assert_eq!(quota(&id).split(' ').next(), Some("30000"));
    assert_eq!(memory(&id), "67108864", "what is not named stays");
    let mut command = world.command(&["update", "--resources", "-", &id]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("podrt");
    let resources = json!({"memory": {"limit": 33_554_432}, "pids": {"limit": 60}});
    write!(child.stdin.take().expect("stdin"), "{resources}").expect("write");
    assert!(child.wait().expect("its end").success());
    assert_eq!((memory(&id), pids(&id)), ("33554432".to_owned(), "60".to_owned()));
    let error = world.podrt(&["update", "--memory", "lots", &id]).error(1);
    assert!(error.ends_with("invalid value \"lots\" for flag -memory"), "{error}");
    world.podrt(&["delete", "-f", &id]).ok();
    world.assert_clean();
}

#[test]
fn update_replaces_the_rules_for_devices_whole() {
    let world = World::new();
    let id = running(&world, &["sleep", "1000"]);
    let open = || world.podrt(&["exec", &id, "sh", "-c", ": </dev/leaf"]).code == 0;
    let file = |rules: Value| world.file("r.json", &json!({ "devices": rules }).to_string());
    let update = |rules: Value| {
        world.podrt(&["update", "-r", &file(rules).to_string_lossy(), &id]).ok();
    };
    let deny = json!({"allow": false, "access": "rwm"});
    let tun = json!({"allow": true, "type": "c", "major": 10, "minor": 200, "access": "rw"});
    assert!(!open());
    update(json!([deny, tun]));
    assert!(open());
    update(json!([deny]));
    assert!(!open(), "the earlier rules are gone");
    assert_eq!(world.podrt(&["exec", &id, "sh", "-c", "echo x >/dev/null"]).code, 0);
    world.podrt(&["delete", "-f", &id]).ok();
    world.assert_clean();
}

#[test]
fn only_a_container_that_lives_is_updated_or_watched() {
    let world = World::new();
    for args in [&["update", "--pids-limit", "5"][..], &["events", "--stats"]] {
        let run = |id: &str| world.podrt(&[args, &[id]].concat());
        assert!(run("nope").error(1).contains("does not exist"));
        let id = running(&world, &["true"]);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !world.podrt(&["state", &id]).ok().contains("stopped") {
            assert!(std::time::Instant::now() < deadline, "it never ends");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert!(run(&id).error(1).contains("container not running"));
        world.podrt(&["delete", &id]).ok();
    }
    world.assert_clean();
}

#[test]
fn events_tell_usage_and_a_lack_of_memory_until_the_container_ends() {
    let name = "events_tell_usage_and_a_lack_of_memory_until_the_container_ends";
    if !has_controllers(name, &["memory"]) {
        return;
    }
    let world = World::new();
    let id = running(
        &world,
        &["sh", "-c", "while :; do test -e /go && payload memhog 67108864; sleep 0.1; done"],
    );
    let text = world.podrt(&["events", "--stats", &id]).ok();
    let event: Value = serde_json::from_str(&text).expect("one event");
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(id)));
    assert!(event["data"]["cpu"]["usage"]["total"].as_u64().expect("a number") > 0, "{event}");
    assert!(event["data"]["memory"]["usage"]["usage"].as_u64().expect("a number") > 0, "{event}");

    world.podrt(&["update", "--memory", "32m", "--memory-swap", "32m", &id]).ok();
    let mut command = world.command(&["events", "--interval", "100ms", &id]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("podrt");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("an event").expect("text");
        serde_json::from_str(&line).expect("an event is one line of JSON")
    };
    assert_eq!(next()["type"], "stats");
    world.podrt(&["exec", &id, "touch", "/go"]).ok();
    // One comes every 100 ms.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while next() != json!({"type": "oom", "id": id}) {
        assert!(std::time::Instant::now() < deadline, "no notice");
    }
    world.podrt(&["kill", &id, "KILL"]).ok();
    assert!(child.wait().expect("its end").success(), "it ends with the container");
    world.podrt(&["delete", "-f", &id]).ok();
    world.assert_clean();
}

#[test]
fn a_share_of_the_cache_is_refused_by_name_without_the_hardware() {
    let name = "a_share_of_the_cache_is_refused_by_name_without_the_hardware";
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
    if mounts.contains(" resctrl ") {
        return skip(name, "there is a resctrl file system");
    }
    let world = World::new();
    let id = world.name("c");
    let bundle = Bundle::new(&world, "b", &["sleep", "1000"]).write();
    world.podrt(&["run", "-d", "-b", &bundle, &id]).ok();
    for flag in ["--l3-cache-schema=L3:0=f", "--mem-bw-schema=MB:0=20"] {
        let error = world.podrt(&["update", flag, &id]).error(1);
        assert!(
            error.ends_with("set linux.intelRdt: no resctrl file system is mounted"),
            "{error}"
        );
    }
    let error = world.podrt(&["update", "--mem-bw-schema=L3:0=f", &id]).error(1);
    assert!(error.contains("linux.intelRdt.memBwSchema"), "{error}");
    world.podrt(&["delete", "-f", &id]).ok();
    world.assert_clean();
}
