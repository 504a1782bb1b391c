//! `node`: static pods, and the pods of before a reboot.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::pod_crash::process_of;
use crate::pod_life::shell_pod;
use crate::pod_probes::status;
use crate::support::{FIXTURE_IMAGE, Killed, World, run};

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
    let containers = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    let mut states = containers.map(|container| &container["state"]);
    pod["status"]["phase"] == "Running" && states.any(|state| state["running"].is_object())
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

/// What a reboot leaves: objects, the pods' folders and their logs, and nothing
/// of what ran.
fn reboot(world: &World) {
    let saved = world.path().join("saved");
    fs::create_dir_all(&saved).expect("mkdir");
    let copy = |from: PathBuf, to: PathBuf| {
        run(Command::new("cp").arg("-a").arg(from).arg(to)).ok();
    };
    let places =
        [world.data_root().join("objects"), world.data_root().join("pods"), world.log_root()];
    for (number, place) in places.iter().enumerate() {
        copy(place.clone(), saved.join(number.to_string()));
    }
    world.podrt(&["delete", "pods", "--all", "--force"]).ok();
    // What is still being removed would take the copies for it.
    world.assert_clean();
    for (number, place) in places.iter().enumerate() {
        let _ = fs::remove_dir_all(place);
        copy(saved.join(number.to_string()), place.clone());
    }
    fs::remove_dir_all(saved).expect("remove");
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

/// A pod that counts its starts in a volume, with a container that is done.
fn counting(name: &str, policy: &str) -> String {
    let main = "n=$(cat /v/n 2>/dev/null || echo 0); echo $((n+1)) > /v/n; echo start $n; trap 'exit 0' TERM; sleep 1000 & wait";
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{ name: {name} }}
spec:
  restartPolicy: {policy}
  terminationGracePeriodSeconds: 1
  volumes: [ {{ name: v, emptyDir: {{}} }} ]
  containers:
    - name: main
      image: {FIXTURE_IMAGE}
      command: [sh, -c, {main:?}]
      volumeMounts: [ {{ name: v, mountPath: /v }} ]
    - name: done
      image: {FIXTURE_IMAGE}
      command: [sh, -c, 'echo done >> /v/done']
      volumeMounts: [ {{ name: v, mountPath: /v }} ]
"
    )
}

#[test]
fn after_a_reboot_restarts_are_counted_on_and_what_was_done_is_not_done_twice() {
    let world = World::with_fixture();
    for (name, policy) in [("goeson", "OnFailure"), ("once", "Never")] {
        world.run_pod(&counting(name, policy), &["-d"]).ok();
        world.wait_pod(name, 60, |pod| {
            is_running(pod) && status(pod, "done")["state"]["terminated"]["exitCode"] == 0
        });
        wait_for_log_of(&world, name, "start 0\n");
    }
    for restarts in 1..3 {
        reboot(&world);
        let running = node(&world, "20s");
        let pod = world.wait_pod("goeson", 60, |pod| {
            let main = status(pod, "main");
            main["restartCount"] == restarts && main["state"]["running"].is_object()
        });
        let last = &status(&pod, "main")["lastState"]["terminated"];
        assert_eq!(last["reason"], "ContainerStatusUnknown", "{pod:#}");
        assert_eq!(last["exitCode"], 137);
        assert_eq!(status(&pod, "done")["state"]["terminated"]["reason"], "Completed");
        assert_eq!(status(&pod, "done")["restartCount"], 0);
        wait_for_log_of(&world, "goeson", &format!("start {restarts}\n"));
        let before = world.podrt(&["logs", "goeson", "-c", "main", "--previous"]).ok();
        assert_eq!(before, format!("start {}\n", restarts - 1));
        let done = world.podrt(&["exec", "goeson", "-c", "main", "--", "cat", "/v/done"]).ok();
        assert_eq!(done, "done\n");
        let changed = "SandboxChanged Pod sandbox changed, it will be killed and re-created.";
        world.wait_event("goeson", 60, changed);
        // A container of it has run, and none may run again.
        let pod = world.wait_pod("once", 60, |pod| pod["status"]["phase"] == "Failed");
        let end = &status(&pod, "main")["state"]["terminated"];
        assert_eq!(
            (&end["reason"], &end["exitCode"]),
            (&"ContainerStatusUnknown".into(), &137.into())
        );
        drop(running);
    }
    // One that nobody has begun again goes with all its folders.
    reboot(&world);
    world.podrt(&["delete", "pods", "--all"]).ok();
    for folder in [world.data_root().join("pods"), world.log_root()] {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let left: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        assert!(left.is_empty(), "left in {}: {left:?}", folder.display());
    }
    world.assert_clean();
}

#[test]
fn a_pod_whose_keeper_and_shim_were_killed_together_goes_on_with_a_node() {
    let world = World::with_fixture();
    world.run_pod(&counting("lost", "Always"), &["-d"]).ok();
    wait_for_log_of(&world, "lost", "start 0\n");
    let uid = world.pod("lost")["metadata"]["uid"].as_str().expect("uid").to_owned();
    let both = ["podrt-shim", "podrt-keeper"].map(|name| process_of(name, &uid).expect(name));
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        both.iter().for_each(|pid| kill(*pid, signal).expect("kill"));
    }
    // A record that young may be one of a pod that is being started.
    let running = node(&world, "20s");
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut running = Some(running);
    while status(&world.pod("lost"), "main")["restartCount"] != 1 {
        assert!(Instant::now() < deadline, "{:#}", world.pod("lost"));
        std::thread::sleep(Duration::from_millis(500));
        running.take();
        running = Some(node(&world, "20s"));
    }
    wait_for_log_of(&world, "lost", "start 1\n");
    drop(running);
    world.podrt(&["delete", "pods", "--all", "--now"]).ok();
    world.assert_clean();
}

/// Waits until the log of the container `main` is `want`.
#[track_caller]
fn wait_for_log_of(world: &World, pod: &str, want: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let log = world.podrt(&["logs", pod, "-c", "main"]).stdout;
        if log == want {
            return;
        }
        assert!(Instant::now() < deadline, "log of {pod} is {log:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
