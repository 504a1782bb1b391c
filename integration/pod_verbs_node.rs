//! `node`: static pods, and the pods of before a reboot.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::pod_life::shell_pod;
use crate::support::{Killed, World};

const SLEEP: &str = "trap 'exit 0' TERM; sleep 1000 & wait";

fn manifests(world: &World) -> PathBuf {
    let dir = world.path().join("manifests");
    fs::create_dir_all(&dir).expect("mkdir");
    dir
}

fn node(world: &World, every: &str) -> Killed {
    let dir = manifests(world).to_string_lossy().into_owned();
    let every = format!("--file-check-frequency={every}");
    let mut command = world.command(&["node", "--manifests", &dir, &every]);
    command.stderr(Stdio::null());
    Killed::spawn(command)
}

/// The pod's name on this machine.
fn on_node(name: &str) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("hostname");
    format!("{name}-{}", host.trim().to_lowercase())
}

#[track_caller]
fn wait_until_gone(world: &World, name: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while world.podrt(&["get", "pod", name]).code == 0 {
        assert!(Instant::now() < deadline, "{name} is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn is_running(pod: &serde_json::Value) -> bool {
    pod["status"]["phase"] == "Running"
}

#[test]
fn static_pods_come_change_and_go_with_their_files() {
    let world = World::with_fixture();
    let dir = manifests(&world);
    fs::write(dir.join(".hidden.yaml"), shell_pod("hidden", "Always", SLEEP)).expect("write");
    fs::write(dir.join("a.yaml.bak"), shell_pod("first", "Always", SLEEP)).expect("write");
    // The default rescan is too late for the test: only the kernel's word counts.
    let running = node(&world, "20s");
    let (first, second) = (on_node("first"), on_node("second"));
    world.wait_pod_if_any(&first, 15, is_running);
    let pod = world.pod(&first);
    assert_eq!(pod["metadata"]["annotations"]["kubernetes.io/config.source"], "file");
    assert_eq!(pod["metadata"]["uid"], pod["metadata"]["annotations"]["kubernetes.io/config.hash"]);
    world.podrt(&["get", "pod", &on_node("hidden")]).error(1);

    fs::write(dir.join("b.yaml"), shell_pod("second", "Always", SLEEP)).expect("write");
    world.wait_pod_if_any(&second, 15, is_running);
    let refused = world.podrt(&["delete", "pod", &second]);
    assert!(refused.stderr.contains("is a static pod\nhint: "), "{refused:?}");

    let uid = world.pod(&second)["metadata"]["uid"].clone();
    let changed = shell_pod("second", "Always", &format!("echo changed; {SLEEP}"));
    fs::write(dir.join("b.yaml"), changed).expect("write");
    world.wait_pod_if_any(&second, 20, |pod| pod["metadata"]["uid"] != uid && is_running(pod));

    // An invalid file leaves its pod alone until the next rescan.
    let uid = world.pod(&first)["metadata"]["uid"].clone();
    fs::write(dir.join("a.yaml.bak"), "nonsense: [").expect("write");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(world.pod(&first)["metadata"]["uid"], uid);

    fs::remove_file(dir.join("b.yaml")).expect("remove");
    wait_until_gone(&world, &second);
    drop(running);
    world.podrt(&["delete", "pods", "--all", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_rescan_finds_what_the_kernel_did_not_tell_and_leaves_out_what_is_invalid() {
    let world = World::with_fixture();
    let dir = manifests(&world);
    fs::write(dir.join("a.yaml"), shell_pod("scan", "Always", SLEEP)).expect("write");
    let running = node(&world, "1s");
    let name = on_node("scan");
    world.wait_pod_if_any(&name, 15, is_running);
    fs::write(dir.join("a.yaml"), "nonsense: [").expect("write");
    wait_until_gone(&world, &name);
    // Through a link that is there already only a rescan sees the change.
    let target = world.file("target.yaml", "not yet");
    std::os::unix::fs::symlink(&target, dir.join("link.yaml")).expect("symlink");
    fs::write(&target, shell_pod("linked", "Always", SLEEP)).expect("write");
    world.wait_pod_if_any(&on_node("linked"), 15, is_running);
    drop(running);
    world.podrt(&["delete", "pods", "--all", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_new_node_adopts_what_runs_and_ends_what_nobody_asks_for() {
    let world = World::with_fixture();
    let dir = manifests(&world);
    for name in ["stays", "goes"] {
        fs::write(dir.join(name), shell_pod(name, "Always", SLEEP)).expect("write");
    }
    let first = node(&world, "20s");
    world.wait_pod_if_any(&on_node("stays"), 15, is_running);
    world.wait_pod_if_any(&on_node("goes"), 15, is_running);
    let second = world.podrt(&["node", "--manifests", &dir.to_string_lossy()]);
    assert_eq!(second.error(1), "podrt: another podrt node is at work here");
    drop(first);
    // The pods go on without a node.
    let before = world.pod(&on_node("stays"));
    fs::remove_file(dir.join("goes")).expect("remove");
    let again = node(&world, "20s");
    wait_until_gone(&world, &on_node("goes"));
    let after = world.pod(&on_node("stays"));
    let id = |pod: &serde_json::Value| pod["status"]["containerStatuses"][0]["containerID"].clone();
    assert_eq!((id(&before), is_running(&after)), (id(&after), true));
    drop(again);
    world.podrt(&["delete", "pods", "--all", "--now"]).ok();
    world.assert_clean();
}

/// What a reboot leaves: the objects, and nothing of what ran.
fn reboot(world: &World) {
    let objects = world.data_root().join("objects/default/Pod");
    let saved: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(&objects)
        .expect("objects")
        .map(|entry| entry.expect("entry").path())
        .map(|path| (path.clone(), fs::read(path).expect("read")))
        .collect();
    world.podrt(&["delete", "pods", "--all", "--force"]).ok();
    for (path, bytes) in saved {
        fs::write(path, bytes).expect("write");
    }
}

#[test]
fn after_a_reboot_detached_and_applied_pods_begin_again_and_no_others() {
    let world = World::with_fixture();
    world.run_pod(&shell_pod("detached", "Always", SLEEP), &["-d", "--network=none"]).ok();
    let file = world.file("applied.yaml", &shell_pod("applied", "Always", SLEEP));
    world.podrt(&["apply", "-f", &file.to_string_lossy()]).ok();
    world.run_pod(&shell_pod("done", "Never", "true"), &["-d", "--wait=completed"]).ok();
    world.run_pod(&shell_pod("front", "Never", "exit 0"), &[]).ok();
    world.wait_pod("applied", 10, is_running);
    let uid = world.pod("detached")["metadata"]["uid"].clone();
    reboot(&world);
    let table = world.podrt(&["get", "pods", "--no-headers"]).ok();
    let status = |name: &str| {
        let line = table.lines().find(|line| line.starts_with(name)).expect("a line");
        line.split_whitespace().nth(2).expect("STATUS").to_owned()
    };
    assert_eq!((status("detached"), status("done")), ("Unknown".into(), "Completed".into()));

    let running = node(&world, "20s");
    world.wait_pod("detached", 15, is_running);
    world.wait_pod("applied", 15, is_running);
    let pod = world.pod("detached");
    assert_eq!(pod["metadata"]["uid"], uid);
    let links = world.podrt(&["exec", "detached", "--", "ls", "/sys/class/net"]).ok();
    assert_eq!(links, "lo\n", "it got a network that it had not before");
    assert_eq!(world.pod("done")["status"]["phase"], "Succeeded");
    assert!(world.podrt(&["exec", "done", "--", "true"]).code != 0);
    drop(running);
    world.podrt(&["delete", "pods", "--all", "--now"]).ok();
    world.assert_clean();
}
