//! Logs: their format, rotation, followers, and a container that floods them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::pod_life::shell_pod;
use crate::pod_probes::status;
use crate::support::World;

/// The log files of a pod's container, oldest first.
fn files(world: &World, pod: &str) -> Vec<PathBuf> {
    let uid = world.pod(pod)["metadata"]["uid"].as_str().expect("uid").to_owned();
    let folder = world.log_root().join(format!("default_{pod}_{uid}/main"));
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("folder").flatten().map(|entry| entry.path()).collect();
    // `0.log` is the newest, and sorts before `0.log.<time>`.
    files.sort_by_key(|path| (path.extension().is_some_and(|e| e == "log"), path.clone()));
    files
}

fn contents(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("log");
    text.lines().map(|line| line.split_once(' ').expect("time").1.to_owned()).collect()
}

#[test]
fn a_log_is_cut_into_as_many_files_as_are_asked_for() {
    let world = World::with_fixture();
    let script = "i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done; sleep 1000";
    let limits = ["-d", "--log-max-size=20k", "--log-max-files=3"];
    world.run_pod(&shell_pod("rot", "Never", script), &limits).ok();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !world.podrt(&["logs", "rot", "--tail=1"]).stdout.contains("line 4999") {
        assert!(Instant::now() < deadline, "{:?}", files(&world, "rot"));
        std::thread::sleep(Duration::from_millis(50));
    }
    let files = files(&world, "rot");
    assert_eq!(files.len(), 3, "{files:?}");
    let lines: Vec<String> = files.iter().flat_map(|path| contents(path)).collect();
    let first = 5000 - lines.len();
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("stdout F line {}", first + number));
    }
    world.podrt(&["delete", "pod", "rot", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_follower_sees_every_line_across_rotation_and_restart() {
    let world = World::with_fixture();
    // Nothing is said before somebody listens: a log that is followed begins
    // with the file that is the newest then.
    let script = "echo begin; until [ -e /v/go ]; do sleep 0.05; done; \
                  i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); \
                  [ $((i % 100)) = 0 ] && usleep 10000; done; exit 1";
    let limits = ["-d", "--log-max-size=10k", "--log-max-files=30", "--max-container-backoff=1s"];
    let manifest = shell_pod("fol", "OnFailure", script)
        + "      volumeMounts: [ { name: v, mountPath: /v } ]\n  volumes: [ { name: v, emptyDir: {} } ]\n";
    world.run_pod(&manifest, &limits).ok();
    let output = world.path().join("followed");
    let mut command = world.command(&["logs", "-f", "fol"]);
    let mut child =
        command.stdout(Stdio::from(File::create(&output).expect("file"))).spawn().expect("spawn");
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::read(&output).expect("output") != b"begin\n" {
        assert!(Instant::now() < deadline, "nothing is followed");
        std::thread::sleep(Duration::from_millis(20));
    }
    world.podrt(&["exec", "fol", "--", "touch", "/v/go"]).ok();
    world.wait_pod("fol", 20, |pod| status(pod, "main")["restartCount"] == 2);
    world.podrt(&["delete", "pod", "fol", "--now"]).ok();
    assert!(child.wait().expect("wait").success());
    let text = fs::read_to_string(&output).expect("output");
    let lines: Vec<&str> = text.lines().collect();
    for (number, line) in lines.iter().take(6002).enumerate() {
        let want = match number % 3001 {
            0 => "begin".to_owned(),
            number => format!("line {}", number - 1),
        };
        assert_eq!(*line, want, "line {number}");
    }
    assert!(lines.len() >= 6002, "{}", lines.len());
    world.assert_clean();
}

#[test]
fn long_and_unfinished_lines_are_partial_entries() {
    let world = World::with_fixture();
    let script = "head -c 20000 /dev/zero | tr '\\0' x; echo; echo -n end >&2";
    world.run_pod(&shell_pod("part", "Never", script), &[]).ok();
    let entries = contents(&files(&world, "part")[0]);
    let shapes: Vec<(String, usize)> =
        entries.iter().map(|entry| (entry[..8].to_owned(), entry.len() - 9)).collect();
    let want = [("stdout P", 16384), ("stdout F", 20000 - 16384), ("stderr P", 3)];
    assert_eq!(shapes, want.map(|(tag, length)| (tag.to_owned(), length)));
    assert_eq!(world.podrt(&["logs", "part"]).ok().len(), 20000 + 1 + 3);
    world.podrt(&["delete", "pod", "part"]).ok();
    world.assert_clean();
}

#[test]
fn only_the_last_instance_that_ended_keeps_its_log() {
    let world = World::with_fixture();
    let manifest = shell_pod("old", "Always", "echo said; exit 1");
    world.run_pod(&manifest, &["-d", "--max-container-backoff=1s"]).ok();
    world.wait_pod("old", 20, |pod| {
        status(pod, "main")["restartCount"].as_u64().is_some_and(|count| count >= 3)
    });
    let files = files(&world, "old");
    assert!(files.len() <= 3, "{files:?}");
    assert!(!files.iter().any(|path| path.ends_with("0.log")), "{files:?}");
    assert_eq!(world.podrt(&["logs", "old", "-p"]).ok(), "said\n");
    world.podrt(&["delete", "pod", "old", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_flood_leaves_the_shims_memory_flat() {
    let world = World::with_fixture();
    // With their prefixes twice the five files of 10 MiB that are kept.
    let script = "until [ -e /go ]; do sleep 0.1; done; \
                  yes 'a line of a flood that does not end for a good while' | \
                  head -c 60000000; echo; echo over; sleep 100000";
    world.run_pod(&shell_pod("flood", "Never", script), &["-d"]).ok();
    let uid = world.pod("flood")["metadata"]["uid"].as_str().expect("uid").to_owned();
    let shim = crate::pod_crash::process_of("podrt-shim", &uid).expect("a shim");
    let peak_kib = || -> u64 {
        let text = fs::read_to_string(format!("/proc/{shim}/status")).expect("status");
        let line = text.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
        line.split_whitespace().nth(1).expect("number").parse().expect("number")
    };
    world.podrt(&["exec", "flood", "--", "touch", "/go"]).ok();
    let before = peak_kib();
    let deadline = Instant::now() + Duration::from_secs(400);
    while world.podrt(&["logs", "flood", "--tail=1"]).stdout != "over\n" {
        assert!(Instant::now() < deadline, "the flood does not end");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(files(&world, "flood").len() > 2, "the flood has turned the files over");
    let grown = peak_kib().saturating_sub(before);
    assert!(grown < 1024, "the shim has grown by {grown} KiB from {before} KiB");
    world.podrt(&["delete", "pod", "flood", "--now"]).ok();
    world.assert_clean();
}
