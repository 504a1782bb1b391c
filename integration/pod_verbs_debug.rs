//! `debug`: ephemeral containers.

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
