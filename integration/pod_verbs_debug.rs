//! `debug`: ephemeral containers.

use nix::sys::signal::{Signal, kill};

use crate::pod_crash::{pids_in_cgroup, replace};
use crate::pod_life::shell_pod;
use crate::support::{FIXTURE_IMAGE, World, run};

const SLEEP: &str = "trap 'exit 0' TERM; sleep 1000 & wait";

#[test]
fn a_debug_container_sees_its_targets_processes_and_passes_its_streams() {
    let world = World::with_fixture();
    world.run_pod(&shell_pod("web", "Always", SLEEP), &["-d"]).ok();
    let input = world.file("input", "typed\n");
    let image = format!("--image={FIXTURE_IMAGE}");
    let script = "cat; tr '\\0' ' ' < /proc/1/cmdline; echo; echo $A; exit 3";
    let args = [
        "debug",
        "web",
        &image,
        "--target=main",
        "-c",
        "dbg",
        "-i",
        "-q",
        "--env=A=b",
        "--",
        "sh",
        "-c",
        script,
    ];
    let mut command = world.command(&args);
    command.stdin(std::fs::File::open(&input).expect("open"));
    let ran = run(&mut command).ok();
    let lines: Vec<&str> = ran.lines().collect();
    assert_eq!((lines[0], lines[2]), ("typed", "b"), "{ran}");
    assert!(lines[1].starts_with("sh -c trap"), "{ran}");
    let pod = world.wait_pod("web", 10, |pod| {
        let status = &pod["status"]["ephemeralContainerStatuses"][0];
        status["state"]["terminated"]["exitCode"] == 3
    });
    assert_eq!(pod["spec"]["ephemeralContainers"][0]["targetContainerName"], "main");
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    assert_eq!(pod["status"]["phase"], "Running");
    assert!(world.podrt(&["logs", "web", "-c", "dbg"]).ok().ends_with("b\n"));
    world.podrt(&["delete", "pod", "web", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn what_cannot_be_debugged_is_refused_in_one_line() {
    let world = World::with_fixture();
    world.run_pod(&shell_pod("web", "Always", SLEEP), &["-d"]).ok();
    world.run_pod(&shell_pod("done", "Never", "true"), &["-d", "--wait=completed"]).ok();
    let image = format!("--image={FIXTURE_IMAGE}");
    let debug = |pod: &str, args: &[&str]| {
        world.podrt(&[&["debug", pod, image.as_str(), "-c", "dbg"], args].concat())
    };
    assert_eq!(debug("gone", &[]).error(1), "podrt: pods \"gone\" not found");
    assert_eq!(
        debug("done", &[]).error(1),
        "podrt: cannot debug a completed pod; current phase is Succeeded"
    );
    assert_eq!(
        debug("web", &["--target=nobody"]).error(1),
        "podrt: The Pod \"web\" is invalid: spec.ephemeralContainers[0].targetContainerName: Not found: \"nobody\""
    );
    assert_eq!(debug("web", &["--profile=x"]).error(1), "podrt: unknown profile: x");
    assert_eq!(
        debug("web", &["-t"]).error(1),
        "podrt: -i/--stdin is required for containers with -t/--tty=true"
    );
    debug("web", &["--", "true"]).ok();
    assert_eq!(
        debug("web", &[]).error(1),
        "podrt: existing ephemeral containers \"dbg\" may not be changed"
    );
    world.podrt(&["delete", "pods", "--all", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_debug_container_outlives_shim_and_keeper_and_is_started_once() {
    let world = World::with_fixture();
    world.run_pod(&shell_pod("web", "Always", SLEEP), &["-d"]).ok();
    let image = format!("--image={FIXTURE_IMAGE}");
    let args = ["debug", "web", &image, "--target=main", "-c", "dbg", "--", "sleep", "7777"];
    world.podrt(&args).ok();
    let debugger = |pod: &serde_json::Value| pod["status"]["ephemeralContainerStatuses"][0].clone();
    world.wait_pod("web", 60, |pod| debugger(pod)["state"]["running"].is_object());
    let uid = world.pod("web")["metadata"]["uid"].as_str().expect("uid").to_owned();
    for victim in ["podrt-shim", "podrt-keeper", "podrt-shim"] {
        replace(&world, "web", victim);
        let pids = world.podrt(&["exec", "web", "-c", "dbg", "--", "cat", "/proc/1/cmdline"]).ok();
        assert!(pids.starts_with("sh"), "the target's process 1: {pids}");
    }
    assert!(debugger(&world.pod("web"))["state"]["running"].is_object());
    let debugging = pids_in_cgroup(&format!("{uid}.dbg.0"));
    kill(debugging[0], Signal::SIGKILL).expect("kill");
    let pod =
        world.wait_pod("web", 60, |pod| debugger(pod)["state"]["terminated"]["exitCode"] == 137);
    assert_eq!(debugger(&pod)["restartCount"], 0);
    replace(&world, "web", "podrt-shim");
    world.podrt(&["exec", "web", "-c", "main", "--", "true"]).ok();
    let pod = world.pod("web");
    assert_eq!(debugger(&pod)["state"]["terminated"]["exitCode"], 137, "{pod:#}");
    world.podrt(&["delete", "pods", "--all", "--now"]).ok();
    world.assert_clean();
}
