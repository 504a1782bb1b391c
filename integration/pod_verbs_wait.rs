//! `wait`, `events` and kubectl's `run NAME --image`.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::pod_life::shell_pod;
use crate::support::{FIXTURE_IMAGE, Killed, World, run};

const SLEEP: &str = "trap 'exit 0' TERM; sleep 1000 & wait";

#[test]
fn wait_returns_when_the_condition_is_met_and_not_before() {
    let world = World::with_fixture();
    let manifest = shell_pod("w", "Always", &format!("sleep 1; touch /ok; {SLEEP}"))
        + "      readinessProbe: { exec: { command: [cat, /ok] }, periodSeconds: 1 }\n";
    world.run_pod(&manifest, &["-d", "--wait=none"]).ok();
    assert_eq!(
        world.podrt(&["wait", "pod/w", "--for=condition=Ready", "--timeout=0"]).error(1),
        "podrt: timed out waiting for the condition on pods/w"
    );
    let met = world.podrt(&["wait", "pod/w", "--for=condition=Ready", "--timeout=200s"]).ok();
    assert_eq!(met, "pod/w condition met\n");
    let phase = "--for=jsonpath={.status.phase}=Running";
    assert_eq!(world.podrt(&["wait", "po", "--all", phase, "-o", "name"]).ok(), "pod/w\n");
    assert_eq!(
        world.podrt(&["wait", "pod", "gone", "--for=condition=Ready"]).error(1),
        "podrt: pods \"gone\" not found"
    );
    assert_eq!(world.podrt(&["wait", "pod/gone", "--for=delete"]).ok(), "");
    assert_eq!(
        world.podrt(&["wait", "pods", "-l", "a=b", "--for=delete"]).error(1),
        "podrt: no matching resources found"
    );
    assert_eq!(
        world.podrt(&["wait", "pod/w", "--for=ready"]).error(1),
        "podrt: unrecognized condition: \"ready\""
    );
    let waiting = world
        .command(&["wait", "pod/w", "--for=delete", "--timeout=200s"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn");
    await_watching(&waiting);
    world.podrt(&["delete", "pod", "w", "--now"]).ok();
    let output = waiting.wait_with_output().expect("wait");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "pod/w condition met\n");
    world.assert_clean();
}

/// Until the command has looked, and sits in poll(2) on its inotify.
#[track_caller]
fn await_watching(command: &std::process::Child) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let folder = format!("/proc/{}", command.id());
    let is_inotify = |entry: std::fs::DirEntry| {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        target.to_string_lossy() == "anon_inode:inotify"
    };
    // poll and ppoll of x86-64, ppoll of aarch64.
    let is_polling = || {
        let call = std::fs::read_to_string(format!("{folder}/syscall")).expect("it runs");
        ["7 ", "271 ", "73 "].iter().any(|poll| call.starts_with(poll))
    };
    let descriptors = || std::fs::read_dir(format!("{folder}/fd")).expect("it runs").flatten();
    while !(descriptors().any(is_inotify) && is_polling()) {
        assert!(Instant::now() < deadline, "it watches nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn wait_for_a_pod_that_is_still_to_be_created() {
    let world = World::with_fixture();
    let waiting = world
        .command(&["wait", "pod/late", "--for=create", "--timeout=200s"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn");
    let begun = Instant::now();
    std::thread::sleep(Duration::from_millis(200));
    world.run_pod(&shell_pod("late", "Never", "true"), &["-d"]).ok();
    let output = waiting.wait_with_output().expect("wait");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "pod/late condition met\n");
    assert!(begun.elapsed() < Duration::from_secs(190), "it was told, and did not look at the end");
    world.podrt(&["delete", "pod", "late"]).ok();
    world.assert_clean();
}

#[test]
fn events_tell_what_happened_to_which_pod() {
    let world = World::with_fixture();
    let none = world.podrt(&["events"]);
    assert_eq!(none.stderr, "No events found in default namespace.\n");
    let mut watch = Killed::spawn(world.command(&["events", "-w", "--no-headers"]));
    let mut lines = BufReader::new(watch.0.stdout.take().expect("stdout")).lines();
    world.run_pod(&shell_pod("one", "Never", "exit 1"), &["-d"]).ok();
    world.run_pod(&shell_pod("two", "Always", "exit 1"), &["-d"]).ok();
    world.wait_pod("two", 15, |pod| {
        let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        waiting["reason"] == "CrashLoopBackOff"
    });
    let table = world.podrt(&["events", "--for", "pod/two"]).ok();
    let heading: Vec<&str> = table.lines().next().expect("heading").split_whitespace().collect();
    assert_eq!(heading, ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]);
    assert!(table.contains("Pod/two") && !table.contains("Pod/one"), "{table}");
    let warnings = world.podrt(&["events", "--types=Warning", "-o", "json"]).ok();
    let list: serde_json::Value = serde_json::from_str(&warnings).expect("JSON");
    let items = list["items"].as_array().expect("items");
    assert!(!items.is_empty() && items.iter().all(|event| event["type"] == "Warning"), "{list:#}");
    let back_off = items.iter().find(|event| event["reason"] == "BackOff").expect("BackOff");
    assert_eq!(back_off["involvedObject"]["fieldPath"], "spec.containers{main}");
    assert!(lines.any(|line| line.expect("text").contains("Back-off restarting failed container")));
    assert_eq!(
        world.podrt(&["events", "--types=Bad"]).error(1),
        "podrt: valid --types are Normal or Warning"
    );
    world.podrt(&["delete", "pods", "--all", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn run_with_an_image_makes_kubectls_pod() {
    let world = World::with_fixture();
    let image = format!("--image={FIXTURE_IMAGE}");
    let yaml = world.podrt(&["run", "web", &image, "--dry-run=client", "-o", "yaml"]).ok();
    assert!(yaml.contains("    run: web\n") && yaml.contains("restartPolicy: Always"), "{yaml}");
    assert_eq!(
        world.podrt(&["run", "web", &image, "--env=A=b", "--", "sh", "-c", SLEEP]).ok(),
        "pod/web created\n"
    );
    world.podrt(&["wait", "pod/web", "--for=condition=Ready"]).ok();
    assert_eq!(world.podrt(&["exec", "web", "--", "sh", "-c", "echo $A"]).ok(), "b\n");
    assert_eq!(world.podrt(&["run", "web", &image]).error(1), "podrt: pods \"web\" already exists");
    let bad = world.podrt(&["run", "Bad", &image]);
    let lines: Vec<&str> = bad.stderr.lines().collect();
    assert_eq!((bad.code, lines[0]), (1, "podrt: The Pod \"Bad\" is invalid: "));
    assert!(
        lines[1].starts_with("* metadata.name: Invalid value: \"Bad\": a lowercase"),
        "{bad:?}"
    );
    assert!(!bad.stderr.contains("pod.json"), "{bad:?}");
    world.podrt(&["delete", "pod", "web", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn an_attached_run_passes_every_byte_and_the_exit_code() {
    let world = World::with_fixture();
    let input = world.file("input", "through\n");
    let image = format!("--image={FIXTURE_IMAGE}");
    let script = "cat; echo err >&2; exit 4";
    let args =
        ["run", "c", &image, "-i", "--rm", "--restart=Never", "-q", "--", "sh", "-c", script];
    let mut command = world.command(&args);
    command.stdin(std::fs::File::open(&input).expect("open"));
    let ran = run(&mut command);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (4, "through\n", "err\n"));
    world.podrt(&["get", "pod", "c"]).error(1);
    world.assert_clean();
}
