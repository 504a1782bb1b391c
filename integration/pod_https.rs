//! Probes and hooks over HTTPS: no certificate counts, redirects and times are
//! as over HTTP.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::pod_crash::process_of;
use crate::pod_probes::{pod_of, status};
use crate::support::{Manner, Server, World};

/// An address of this machine that only one test uses, so that the processes
/// that ask it are known by it.
fn own_host(test: u8) -> String {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{high}.{low}", 100 + test)
}

fn ok() -> Manner {
    Manner::Answers(200, String::new())
}

/// A container with a probe of that server.
fn probing(name: &str, scheme: &str, host: &str, port: u16) -> String {
    format!(
        "name: {name}, IMAGE, command: [sh, -c, 'trap \"exit 0\" TERM; while true; do sleep 0.1; done'],
        readinessProbe: {{ periodSeconds: 1,
            httpGet: {{ host: {host}, port: {port}, scheme: {scheme}, path: '/h?a=b' }} }}"
    )
}

fn is_ready(pod: &serde_json::Value, container: &str) -> bool {
    status(pod, container)["ready"] == true
}

/// The processes that speak TLS with that host.
fn helpers(host: &str) -> usize {
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    let wanted = format!("podrt-net\0{host}\0");
    let lines = entries.map(|entry| fs::read(entry.path().join("cmdline")).unwrap_or_default());
    lines.filter(|line| line == wanted.as_bytes()).count()
}

/// None of them is left once no pod asks.
fn wait_for_no_helpers(host: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while helpers(host) > 0 {
        assert!(Instant::now() < deadline, "podrt-net stays");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_https_probe_is_content_with_any_certificate_and_outlives_its_shim() {
    let world = World::with_fixture();
    let host = own_host(1);
    let host = host.as_str();
    let server = Server::start(host, true, ok());
    world
        .run_pod(
            &pod_of("tls", "Always", 1, &[&probing("main", "HTTPS", host, server.port)]),
            &["-d"],
        )
        .ok();
    let pod = world.wait_pod("tls", 60, |pod| is_ready(pod, "main"));
    let head = server.asked().remove(0);
    let want =
        format!("GET /h?a=b HTTP/1.1\r\nHost: {host}:{}\r\nUser-Agent: kube-probe/", server.port);
    assert!(head.starts_with(&want), "{head}");

    server.change(Manner::Answers(500, String::new()));
    world.wait_pod("tls", 60, |pod| !is_ready(pod, "main"));
    let failed = "main: Unhealthy Readiness probe failed: HTTP probe failed with statuscode: 500";
    world.wait_event("tls", 60, failed);
    let uid = pod["metadata"]["uid"].as_str().expect("uid");
    for name in ["podrt-shim", "podrt-keeper"] {
        kill(process_of(name, uid).expect(name), Signal::SIGKILL).expect("kill");
        server.change(ok());
        world.wait_pod("tls", 60, |pod| is_ready(pod, "main"));
        server.change(Manner::Answers(500, String::new()));
        world.wait_pod("tls", 60, |pod| !is_ready(pod, "main"));
    }
    world.podrt(&["delete", "pod", "tls", "--now"]).ok();
    wait_for_no_helpers(host);
    world.assert_clean();
}

#[test]
fn redirects_lead_from_http_to_https_and_on() {
    let world = World::with_fixture();
    let host = own_host(2);
    let host = host.as_str();
    let last = Server::start(host, true, Manner::Answers(418, String::new()));
    let to_last = format!("https://{host}:{}/last", last.port);
    let second = Server::start(host, true, Manner::Answers(302, to_last));
    let to_second = format!("https://{host}:{}/second", second.port);
    let first = Server::start(host, false, Manner::Answers(301, to_second));
    let away = Server::start(host, true, Manner::Answers(302, "https://127.0.0.1:1/".into()));
    let round = Server::start(host, true, Manner::Answers(302, "/again".into()));
    let containers = [
        probing("first", "HTTP", host, first.port),
        probing("away", "HTTPS", host, away.port),
        probing("round", "HTTPS", host, round.port),
    ];
    let containers: Vec<&str> = containers.iter().map(String::as_str).collect();
    world.run_pod(&pod_of("tlsredir", "Always", 1, &containers), &["-d"]).ok();
    let failed = "first: Unhealthy Readiness probe failed: HTTP probe failed with statuscode: 418";
    world.wait_event("tlsredir", 60, failed);
    assert!(last.asked()[0].starts_with("GET /last HTTP/1.1\r\n"), "{:?}", last.asked());
    world.wait_pod("tlsredir", 60, |pod| is_ready(pod, "away"));
    let many =
        "round: Unhealthy Readiness probe failed: Get \"/again\": stopped after 10 redirects";
    world.wait_event("tlsredir", 60, many);
    world.podrt(&["delete", "pod", "tlsredir", "--now"]).ok();
    wait_for_no_helpers(host);
    world.assert_clean();
}

#[test]
fn a_server_that_speaks_no_tls_or_does_not_answer_fails_in_the_words_of_gos_client() {
    let world = World::with_fixture();
    let host = own_host(3);
    let host = host.as_str();
    let plain = Server::start(host, false, ok());
    let mute = Server::start(host, true, Manner::Hangs);
    let containers =
        [probing("plain", "HTTPS", host, plain.port), probing("mute", "HTTPS", host, mute.port)];
    let containers: Vec<&str> = containers.iter().map(String::as_str).collect();
    world.run_pod(&pod_of("notls", "Always", 1, &containers), &["-d"]).ok();
    let failed = |name: &str, port: u16, cause: &str| {
        format!(
            "{name}: Unhealthy Readiness probe failed: Get \"https://{host}:{port}/h?a=b\": {cause}"
        )
    };
    let cause = "http: server gave HTTP response to HTTPS client";
    world.wait_event("notls", 60, &failed("plain", plain.port, cause));
    let cause = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    world.wait_event("notls", 60, &failed("mute", mute.port, cause));
    world.podrt(&["delete", "pod", "notls", "--now"]).ok();
    // Those of connections that hang end with their probe.
    wait_for_no_helpers(host);
    world.assert_clean();
}

#[test]
fn hooks_ask_over_https_too() {
    let world = World::with_fixture();
    let host = own_host(4);
    let host = host.as_str();
    let server = Server::start(host, true, ok());
    let hooks = format!(
        "lifecycle: {{ postStart: {{ httpGet: {{ host: {host}, port: {port}, scheme: HTTPS, path: /begin }} }},
                       preStop: {{ httpGet: {{ host: {host}, port: {port}, scheme: HTTPS, path: /end }} }} }}",
        port = server.port
    );
    let main = format!("name: main, IMAGE, command: [sleep, '1000'], {hooks}");
    world.run_pod(&pod_of("tlshook", "Always", 5, &[&main]), &["-d"]).ok();
    world.wait_pod("tlshook", 60, |pod| is_ready(pod, "main"));
    world.podrt(&["delete", "pod", "tlshook", "--now"]).ok();
    let paths: Vec<String> = server
        .asked()
        .iter()
        .map(|head| head.split(' ').nth(1).unwrap_or_default().to_owned())
        .collect();
    assert_eq!(paths, ["/begin", "/end"]);
    assert!(server.asked()[0].contains("User-Agent: kube-lifecycle/"), "{:?}", server.asked());

    let plain = Server::start(host, false, ok());
    let failing = main.replace(&server.port.to_string(), &plain.port.to_string());
    world.run_pod(&pod_of("tlspost", "Never", 1, &[&failing]), &["-d", "--wait=none"]).ok();
    world.wait_event("tlspost", 60, "main: FailedPostStartHook PostStartHook failed");
    world.podrt(&["delete", "pod", "tlspost", "--now"]).ok();
    wait_for_no_helpers(host);
    world.assert_clean();
}
