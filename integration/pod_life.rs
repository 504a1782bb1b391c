//! Pods from manifest to end: phases, restarts, init containers, stops.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{FIXTURE_IMAGE, World};

/// A pod of one container that runs a shell script.
pub fn shell_pod(name: &str, policy: &str, script: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  restartPolicy: {policy}
  terminationGracePeriodSeconds: 2
  containers:
    - name: main
      image: {FIXTURE_IMAGE}
      command: [sh, -c, {}]
",
        serde_json::to_string(script).expect("text")
    )
}

fn terminated(pod: &Value, index: usize) -> &Value {
    &pod["status"]["containerStatuses"][index]["state"]["terminated"]
}

#[test]
fn a_pod_that_exits_0_succeeds_and_its_output_has_the_containers_name_in_front() {
    let world = World::with_fixture();
    let ran = world.run_pod(&shell_pod("ok", "Never", "echo out; echo err >&2"), &[]);
    assert!(ran.stdout.contains("main | out\n"), "{ran:?}");
    assert!(ran.stdout.contains("main | err\n"), "{ran:?}");
    ran.ok();
    let pod = world.pod("ok");
    assert_eq!(pod["status"]["phase"], "Succeeded");
    assert_eq!(terminated(&pod, 0)["reason"], "Completed");
    world.podrt(&["delete", "pod", "ok"]).ok();
    world.assert_clean();
}

#[test]
fn a_pod_that_exits_3_fails_with_3() {
    let world = World::with_fixture();
    let ran = world.run_pod(&shell_pod("bad", "Never", "exit 3"), &[]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let pod = world.pod("bad");
    assert_eq!(pod["status"]["phase"], "Failed");
    assert_eq!(terminated(&pod, 0)["exitCode"], 3);
    assert_eq!(terminated(&pod, 0)["reason"], "Error");
    world.podrt(&["delete", "pod", "bad"]).ok();
    world.assert_clean();
}

#[test]
fn a_finished_pod_leaves_only_its_record() {
    let world = World::with_fixture();
    world.run_pod(&shell_pod("brief", "Never", "true"), &[]).ok();
    world.assert_clean();
    world.podrt(&["get", "pod", "brief"]).ok();
    world.podrt(&["delete", "pod", "brief"]).ok();
    world.podrt(&["get", "pod", "brief"]).error(1);
}

#[test]
fn rm_removes_the_record_and_the_second_run_is_like_the_first() {
    let world = World::with_fixture();
    for _ in 0..2 {
        world.run_pod(&shell_pod("again", "Never", "echo once"), &["--rm"]).ok();
        assert_eq!(
            world.podrt(&["get", "pod", "again"]).error(1),
            "podrt: pods \"again\" not found"
        );
    }
    world.assert_clean();
}

#[test]
fn a_busy_name_is_refused_and_replace_takes_it_over() {
    let world = World::with_fixture();
    let manifest = shell_pod("busy", "Always", "sleep 1000");
    world.run_pod(&manifest, &["-d"]).ok();
    let uid = world.pod("busy")["metadata"]["uid"].clone();
    let refused = world.run_pod(&manifest, &["-d"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("pods \"busy\" already exists"), "{refused:?}");
    assert_eq!(world.pod("busy")["metadata"]["uid"], uid);
    world.run_pod(&manifest, &["-d", "--replace"]).ok();
    assert_ne!(world.pod("busy")["metadata"]["uid"], uid);
    world.podrt(&["delete", "pod", "busy", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_crashing_container_restarts_at_once_and_then_backs_off() {
    let world = World::with_fixture();
    let script = "date +%s.%N >> /proc/1/fd/1; exit 1";
    world.run_pod(&shell_pod("crash", "Always", script), &["-d"]).ok();
    let pod = world.wait_pod("crash", 10, |pod| {
        let status = &pod["status"]["containerStatuses"][0];
        status["restartCount"] == 1 && status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    let message = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"];
    let uid = pod["metadata"]["uid"].as_str().expect("uid");
    let want = format!("back-off 10s restarting failed container=main pod=crash_default({uid})");
    assert_eq!(message, &Value::from(want));
    assert_eq!(pod["status"]["phase"], "Running");
    let row = world.podrt(&["get", "pods"]).ok();
    assert!(row.contains("CrashLoopBackOff"), "{row}");
    world.podrt(&["delete", "pod", "crash", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn init_containers_run_in_order_before_the_app() {
    let world = World::with_fixture();
    let manifest = format!(
        "apiVersion: v1
kind: Pod
metadata: {{ name: order }}
spec:
  restartPolicy: Never
  volumes: [ {{ name: v, emptyDir: {{}} }} ]
  initContainers:
    - {{ name: one, image: {FIXTURE_IMAGE}, command: [sh, -c, 'sleep 0.3; echo one >> /v/f'], volumeMounts: [ {{ name: v, mountPath: /v }} ] }}
    - {{ name: two, image: {FIXTURE_IMAGE}, command: [sh, -c, 'echo two >> /v/f'], volumeMounts: [ {{ name: v, mountPath: /v }} ] }}
  containers:
    - {{ name: app, image: {FIXTURE_IMAGE}, command: [cat, /v/f], volumeMounts: [ {{ name: v, mountPath: /v }} ] }}
"
    );
    world.run_pod(&manifest, &[]).ok();
    assert_eq!(world.podrt(&["logs", "order", "-c", "app"]).ok(), "one\ntwo\n");
    let pod = world.pod("order");
    for status in pod["status"]["initContainerStatuses"].as_array().expect("statuses") {
        assert_eq!(status["state"]["terminated"]["reason"], "Completed");
        assert_eq!(status["ready"], true);
    }
    world.podrt(&["delete", "pod", "order"]).ok();
    world.assert_clean();
}

#[test]
fn a_failing_init_container_fails_a_never_pod_and_the_app_never_runs() {
    let world = World::with_fixture();
    let manifest = shell_pod("noinit", "Never", "echo app").replace(
        "  containers:",
        &format!("  initContainers: [ {{ name: i, image: {FIXTURE_IMAGE}, command: ['false'] }} ]\n  containers:"),
    );
    let ran = world.run_pod(&manifest, &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(!ran.stdout.contains("app"), "{ran:?}");
    let pod = world.pod("noinit");
    assert_eq!(pod["status"]["phase"], "Failed");
    let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting["reason"], "PodInitializing");
    let row = world.podrt(&["get", "pods"]).ok();
    assert!(row.contains("Init:Error"), "{row}");
    world.podrt(&["delete", "pod", "noinit"]).ok();
    world.assert_clean();
}

#[test]
fn a_container_that_traps_term_ends_with_its_own_code_on_delete() {
    let world = World::with_fixture();
    let script = "trap 'echo got term; exit 0' TERM; echo up; while true; do sleep 0.1; done";
    let grace = ("GracePeriodSeconds: 2", "GracePeriodSeconds: 500");
    let manifest = shell_pod("trap", "Always", script).replace(grace.0, grace.1);
    world.run_pod(&manifest, &["-d"]).ok();
    wait_for_log(&world, "trap", "up\n");
    let begin = Instant::now();
    world.podrt(&["delete", "pod", "trap", "--grace-period=200"]).ok();
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    world.assert_clean();
}

#[test]
fn a_container_that_ignores_term_is_killed_after_the_grace_period() {
    let world = World::with_fixture();
    let script = "trap '' TERM; echo up; while true; do sleep 0.1; done";
    world.run_pod(&shell_pod("deaf", "Always", script), &["-d"]).ok();
    wait_for_log(&world, "deaf", "up\n");
    let begin = Instant::now();
    world.podrt(&["delete", "pod", "deaf"]).ok();
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(2), "{took:?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
    world.assert_clean();
}

#[test]
fn the_termination_message_is_read_from_its_file() {
    let world = World::with_fixture();
    let script = "echo -n last words > /dev/termination-log; exit 7";
    assert_eq!(world.run_pod(&shell_pod("words", "Never", script), &[]).code, 7);
    assert_eq!(terminated(&world.pod("words"), 0)["message"], "last words");
    world.podrt(&["delete", "pod", "words"]).ok();
    world.assert_clean();
}

#[test]
fn a_missing_entrypoint_is_a_start_error_with_128() {
    let world = World::with_fixture();
    let manifest = shell_pod("nofile", "Never", "x").replace("[sh, -c, \"x\"]", "[/no/such/file]");
    let ran = world.run_pod(&manifest, &[]);
    assert_eq!(ran.code, 128, "{ran:?}");
    let pod = world.pod("nofile");
    assert_eq!(pod["status"]["phase"], "Failed");
    assert_eq!(terminated(&pod, 0)["reason"], "StartError");
    let message = terminated(&pod, 0)["message"].as_str().expect("message");
    assert!(message.contains("no such file or directory"), "{message}");
    world.podrt(&["delete", "pod", "nofile"]).ok();
    world.assert_clean();
}

#[test]
fn interrupting_the_foreground_stops_the_pod_and_gives_130() {
    let world = World::with_fixture();
    let path = world.file("pod.yaml", &shell_pod("fore", "Always", "echo up; sleep 1000"));
    let mut child = world.command(&["run", &path.to_string_lossy()]).spawn().expect("spawn");
    world.wait_pod_if_any("fore", 10, |pod| pod["status"]["phase"] == "Running");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("kill");
    assert_eq!(child.wait().expect("wait").code(), Some(130));
    world.assert_clean();
    assert_eq!(world.pod("fore")["status"]["phase"], "Failed");
    assert_eq!(world.pod("fore")["status"]["reason"], "Terminated");
    world.podrt(&["delete", "pod", "fore"]).ok();
}

/// Waits until the log of the pod's only container is `want`.
#[track_caller]
pub fn wait_for_log(world: &World, pod: &str, want: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let log = world.podrt(&["logs", pod]).stdout;
        if log == want {
            return;
        }
        assert!(Instant::now() < deadline, "log of {pod} is {log:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
