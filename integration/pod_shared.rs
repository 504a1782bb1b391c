//! What the containers of a pod share, and what they do not.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::pod_life::shell_pod;
use crate::support::{FIXTURE_IMAGE, World};

fn two(name: &str, extra: &str, first: &str, second: &str) -> String {
    let quote = |script: &str| serde_json::to_string(script).expect("text");
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{ name: {name} }}
spec:
  restartPolicy: Never
{extra}
  containers:
    - {{ name: a, image: {FIXTURE_IMAGE}, command: [sh, -c, {}] }}
    - {{ name: b, image: {FIXTURE_IMAGE}, command: [sh, -c, {}] }}
",
        quote(first),
        quote(second)
    )
}

#[test]
fn containers_share_localhost_the_host_name_and_shared_memory() {
    let world = World::with_fixture();
    let first = "echo -n shared > /dev/shm/f; hostname; echo hi | nc -l -p 7000";
    let second = "until [ -e /dev/shm/f ]; do sleep 0.05; done; cat /dev/shm/f; echo; hostname; \
                  until nc localhost 7000 </dev/null; do sleep 0.05; done";
    world.run_pod(&two("share", "", first, second), &[]).ok();
    assert_eq!(world.podrt(&["logs", "share", "-c", "b"]).ok(), "shared\nshare\nhi\n");
    world.podrt(&["delete", "pod", "share"]).ok();
    world.assert_clean();
}

#[test]
fn containers_do_not_share_files_or_processes() {
    let world = World::with_fixture();
    let first = "touch /mark; sleep 1";
    let second =
        "sleep 0.3; ls /mark 2>&1 | grep -c No; ls -d /proc/[0-9]* | wc -l; sh -c 'echo $PPID'";
    world.run_pod(&two("apart", "", first, second), &[]).ok();
    let log = world.podrt(&["logs", "apart", "-c", "b"]).ok();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], "1", "the other's file is seen: {log}");
    let processes: usize = lines[1].parse().expect("a number");
    assert!(processes <= 4, "the other's processes are seen: {log}");
    assert_eq!(lines[2], "0", "the shell's parent is in the namespace: {log}");
    world.podrt(&["delete", "pod", "apart"]).ok();
    world.assert_clean();
}

#[test]
fn a_shared_process_namespace_has_pause_as_process_1() {
    let world = World::with_fixture();
    let extra = "  shareProcessNamespace: true";
    let first = "touch /dev/shm/a; until [ -e /dev/shm/b ]; do sleep 0.05; done";
    let second = "until [ -e /dev/shm/a ]; do sleep 0.05; done; \
                  cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l; touch /dev/shm/b";
    world.run_pod(&two("pids", extra, first, second), &[]).ok();
    let log = world.podrt(&["logs", "pids", "-c", "b"]).ok();
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines[0].contains("pause"), "{log}");
    assert!(lines[1].parse::<usize>().expect("a number") >= 3, "{log}");
    world.podrt(&["delete", "pod", "pids"]).ok();
    world.assert_clean();
}

#[test]
fn the_host_and_another_pod_reach_a_pod_by_its_address() {
    let world = World::with_fixture();
    let server = "while true; do echo answer | nc -l -p 7000; done";
    world.run_pod(&shell_pod("server", "Always", server), &["-d"]).ok();
    let ip = world.pod("server")["status"]["podIP"].as_str().expect("podIP").to_owned();
    let mut answer = String::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    while answer.is_empty() && Instant::now() < deadline {
        if let Ok(mut stream) = TcpStream::connect((ip.as_str(), 7000)) {
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
            let _ = stream.write_all(b"\n");
            let _ = stream.read_to_string(&mut answer);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(answer, "answer\n");
    let client = format!("until nc {ip} 7000 </dev/null; do sleep 0.1; done");
    world.run_pod(&shell_pod("client", "Never", &client), &[]).ok();
    assert_eq!(world.podrt(&["logs", "client"]).ok(), "answer\n");
    world.podrt(&["delete", "pod", "server", "client", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_pod_without_network_has_only_a_loopback() {
    let world = World::with_fixture();
    let script = "ls /sys/class/net; ip -o addr | grep -c 127.0.0.1";
    world.run_pod(&shell_pod("alone", "Never", script), &["--network=none"]).ok();
    assert_eq!(world.podrt(&["logs", "alone"]).ok(), "lo\n1\n");
    world.podrt(&["delete", "pod", "alone"]).ok();
    world.assert_clean();
}

#[test]
fn a_pod_of_the_host_network_has_the_machines_name_and_links() {
    let world = World::with_fixture();
    world
        .run_pod(
            &shell_pod("host", "Never", "hostname; readlink /proc/1/ns/net"),
            &["--network=host"],
        )
        .ok();
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("hostname");
    let netns = std::fs::read_link("/proc/self/ns/net").expect("netns");
    let want = format!("{}\n{}\n", name.trim(), netns.display());
    assert_eq!(world.podrt(&["logs", "host"]).ok(), want);
    world.podrt(&["delete", "pod", "host"]).ok();
    world.assert_clean();
}
