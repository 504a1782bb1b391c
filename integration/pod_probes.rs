//! Probes: each kind passing and failing, the words users read, and what a
//! result does to the pod.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::pod_crash::pids_in_cgroup;
use crate::support::{FIXTURE_IMAGE, World};

/// A pod of these containers, each the inside of a YAML flow mapping; `IMAGE`
/// in it is the fixture, and `IP` an environment variable with the pod's.
pub fn pod_of(name: &str, policy: &str, grace: u32, containers: &[&str]) -> String {
    let list: String = containers.iter().map(|c| format!("    - {{ {c} }}\n")).collect();
    let text = format!(
        "apiVersion: v1
kind: Pod
metadata: {{ name: {name} }}
spec:
  restartPolicy: {policy}
  terminationGracePeriodSeconds: {grace}
  containers:
{list}"
    );
    let ip = "env: [ { name: IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } } ]";
    text.replace("ENV", ip).replace("IMAGE", &format!("image: {FIXTURE_IMAGE}"))
}

pub fn status<'a>(pod: &'a Value, container: &str) -> &'a Value {
    let lists = ["containerStatuses", "initContainerStatuses"].map(|list| &pod["status"][list]);
    let all = lists.into_iter().filter_map(Value::as_array).flatten();
    all.into_iter().find(|status| status["name"] == container).unwrap_or(&Value::Null)
}

fn condition<'a>(pod: &'a Value, kind: &str) -> &'a Value {
    let list = pod["status"]["conditions"].as_array().expect("conditions");
    list.iter().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

fn ip(pod: &Value) -> String {
    pod["status"]["podIP"].as_str().expect("an address").to_owned()
}

fn is_ready(pod: &Value, container: &str) -> bool {
    status(pod, container)["ready"] == true
}

#[test]
fn a_readiness_probe_that_executes_a_command_moves_ready_and_restarts_nothing() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [sh, -c, 'touch /ok; sleep 1000'],
        readinessProbe: { exec: { command: [sh, -c, 'echo out; echo err >&2; test -e /ok'] },
                          periodSeconds: 1, failureThreshold: 2 }";
    world.run_pod(&pod_of("rdy", "Always", 1, &[main]), &["-d"]).ok();
    let pod = world.wait_pod("rdy", 5, |pod| condition(pod, "Ready")["status"] == "True");
    assert!(is_ready(&pod, "main"));
    let begin = Instant::now();
    world.podrt(&["exec", "rdy", "--", "rm", "/ok"]).ok();
    let pod = world.wait_pod("rdy", 8, |pod| !is_ready(pod, "main"));
    assert!(begin.elapsed() >= Duration::from_millis(900), "two failures are a period apart");
    assert_eq!(status(&pod, "main")["restartCount"], 0);
    let ready = condition(&pod, "Ready");
    assert_eq!(ready["reason"], "ContainersNotReady");
    assert_eq!(ready["message"], "containers with unready status: [main]");
    world.wait_event("rdy", 1, "main: Unhealthy Readiness probe failed: out\nerr\n");
    world.podrt(&["exec", "rdy", "--", "touch", "/ok"]).ok();
    world.wait_pod("rdy", 5, |pod| is_ready(pod, "main"));
    world.podrt(&["delete", "pod", "rdy", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_failed_liveness_probe_kills_within_its_own_grace_period_and_the_container_restarts() {
    let world = World::with_fixture();
    let script = r#""trap '' TERM; touch /ok; while true; do sleep 0.1; done""#;
    let main = format!(
        "name: main, IMAGE, command: [sh, -c, {script}],
        livenessProbe: {{ exec: {{ command: [test, -e, /ok] }}, initialDelaySeconds: 1,
                         periodSeconds: 1, failureThreshold: 1, terminationGracePeriodSeconds: 3 }}"
    );
    world.run_pod(&pod_of("live", "Always", 60, &[&main]), &["-d"]).ok();
    world.wait_pod("live", 5, |pod| status(pod, "main")["started"] == true);
    std::thread::sleep(Duration::from_millis(500));
    let begin = Instant::now();
    world.podrt(&["exec", "live", "--", "rm", "/ok"]).ok();
    world.wait_event(
        "live",
        5,
        "main: Killing Container main failed liveness probe, will be restarted",
    );
    let pod = world.wait_pod("live", 10, |pod| status(pod, "main")["restartCount"] == 1);
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(2500) && took < Duration::from_secs(55), "{took:?}");
    assert_eq!(status(&pod, "main")["lastState"]["terminated"]["exitCode"], 137);
    assert_eq!(pod["status"]["phase"], "Running");
    world.podrt(&["delete", "pod", "live", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_liveness_probe_ends_a_pod_that_never_restarts() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [sleep, '1000'],
        livenessProbe: { exec: { command: ['false'] }, periodSeconds: 1, failureThreshold: 1 }";
    let ran = world.run_pod(&pod_of("once", "Never", 1, &[main]), &[]);
    assert_eq!(ran.code, 137, "sleep as process 1 ignores TERM: {ran:?}");
    let events = world.events("once");
    let killing = "main: Killing Container main failed liveness probe".to_owned();
    assert!(events.contains(&killing), "{events:#?}");
    let pod = world.pod("once");
    assert_eq!(pod["status"]["phase"], "Failed");
    assert_eq!(status(&pod, "main")["restartCount"], 0);
    world.podrt(&["delete", "pod", "once"]).ok();
    world.assert_clean();
}

#[test]
fn a_command_that_takes_too_long_fails_and_one_that_is_not_there_counts_for_nothing() {
    let world = World::with_fixture();
    let slow = "name: slow, IMAGE, command: [sleep, '1000'],
        livenessProbe: { exec: { command: [sleep, '55'] }, periodSeconds: 1, failureThreshold: 100 }";
    let none = "name: none, IMAGE, command: [sleep, '1000'],
        livenessProbe: { exec: { command: [/no/such] }, periodSeconds: 1, failureThreshold: 1 }";
    world.run_pod(&pod_of("exec", "Always", 1, &[slow, none]), &["-d"]).ok();
    world.wait_event(
        "exec",
        5,
        "slow: Unhealthy Liveness probe failed: command timed out: \"sleep 55\" timed out after 1s",
    );
    // At most the one that is under way: those that timed out were killed.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let processes = world.podrt(&["exec", "exec", "-c", "slow", "--", "ps"]).ok();
        if processes.matches("sleep 55").count() <= 1 {
            break;
        }
        assert!(Instant::now() < deadline, "{processes}");
    }
    let errored = "none: Unhealthy Liveness probe errored and resulted in unknown state: ";
    let is_it =
        |event: &String| event.starts_with(errored) && event.contains("no such file or directory");
    while !world.events("exec").iter().any(is_it) {
        assert!(Instant::now() < deadline, "{:#?}", world.events("exec"));
        std::thread::sleep(Duration::from_millis(50));
    }
    let pod = world.pod("exec");
    assert_eq!(status(&pod, "none")["restartCount"], 0, "{:#?}", world.events("exec"));
    world.podrt(&["delete", "pod", "exec", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn what_answers_a_probe_without_end_is_timed_out_and_keeps_nobody_waiting() {
    let world = World::with_fixture();
    let port = endless_server();
    let main = format!(
        "name: main, IMAGE, command: [sleep, '1000'],
        readinessProbe: {{ httpGet: {{ host: 127.0.0.1, port: {port} }}, periodSeconds: 1 }},
        livenessProbe: {{ exec: {{ command: ['yes'] }}, periodSeconds: 1, failureThreshold: 100 }}"
    );
    world.run_pod(&pod_of("endless", "Always", 1, &[&main]), &["-d"]).ok();
    let yes =
        "main: Unhealthy Liveness probe failed: command timed out: \"yes\" timed out after 1s";
    world.wait_event("endless", 5, yes);
    let get = format!(
        "main: Unhealthy Readiness probe failed: Get \"http://127.0.0.1:{port}/\": context \
         deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    );
    world.wait_event("endless", 5, &get);
    world.podrt(&["delete", "pod", "endless", "--now"]).ok();
    world.assert_clean();
}

/// A server on the machine that goes on announcing an answer.
fn endless_server() -> u16 {
    use std::io::Write as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("address").port();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
            std::thread::spawn(move || while connection.write_all(&interim).is_ok() {});
        }
    });
    port
}

#[test]
fn an_http_probe_goes_to_the_ports_name_and_reads_the_status() {
    let world = World::with_fixture();
    let web =
        "name: web, IMAGE, command: [payload, http-serve, '8080', --file-toggle, /ok, --log, /log],
        ports: [ { name: http, containerPort: 8080 } ],
        readinessProbe: { httpGet: { port: http, path: '/healthz?full=1' }, periodSeconds: 1 }";
    let shut = "name: shut, IMAGE, command: [sleep, '1000'],
        readinessProbe: { httpGet: { port: 8099 }, periodSeconds: 1 }";
    let lost = "name: lost, IMAGE, command: [sleep, '1000'],
        readinessProbe: { httpGet: { port: nowhere }, periodSeconds: 1 }";
    world.run_pod(&pod_of("http", "Always", 1, &[web, shut, lost]), &["-d"]).ok();
    let down = "web: Unhealthy Readiness probe failed: HTTP probe failed with statuscode: 503";
    world.wait_event("http", 5, down);
    let ip = ip(&world.pod("http"));
    let refused = format!(
        "shut: Unhealthy Readiness probe failed: Get \"http://{ip}:8099/\": dial tcp {ip}:8099: \
         connect: connection refused"
    );
    world.wait_event("http", 5, &refused);
    let unknown = "lost: Unhealthy Readiness probe errored and resulted in unknown state: \
                   strconv.Atoi: parsing \"nowhere\": invalid syntax";
    world.wait_event("http", 5, unknown);
    assert!(!is_ready(&world.pod("http"), "web"));
    world.podrt(&["exec", "http", "-c", "web", "--", "touch", "/ok"]).ok();
    world.wait_pod("http", 5, |pod| is_ready(pod, "web") && !is_ready(pod, "shut"));
    let log = world.podrt(&["exec", "http", "-c", "web", "--", "cat", "/log"]).ok();
    assert!(log.starts_with("GET /healthz?full=1 HTTP/1.1\n"), "{log}");
    world.podrt(&["delete", "pod", "http", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn redirects_are_followed_on_the_same_host_only_and_ten_times_at_most() {
    let world = World::with_fixture();
    let container = |name: &str, port: u32, to: &str| {
        format!(
            "name: {name}, IMAGE, ENV, command: [payload, http-serve, '{port}', --redirect, '{to}'],
             readinessProbe: {{ httpGet: {{ port: {port} }}, periodSeconds: 1 }}"
        )
    };
    let away = container("away", 8081, "http://127.0.0.1:1/elsewhere");
    let follow = container("follow", 8082, "http://$(IP):8084/down");
    let round = container("round", 8083, "/again");
    let down = "name: down, IMAGE, command: [payload, http-serve, '8084', --status, '418']";
    let manifest = pod_of("redir", "Always", 1, &[&away, &follow, &round, down]);
    world.run_pod(&manifest, &["-d"]).ok();
    let warning = "away: ProbeWarning Readiness probe warning: Probe terminated redirects, \
                   Response body: status 302\n";
    world.wait_event("redir", 5, warning);
    world.wait_pod("redir", 5, |pod| is_ready(pod, "away"));
    let status = "follow: Unhealthy Readiness probe failed: HTTP probe failed with statuscode: 418";
    world.wait_event("redir", 5, status);
    let many =
        "round: Unhealthy Readiness probe failed: Get \"/again\": stopped after 10 redirects";
    world.wait_event("redir", 5, many);
    world.podrt(&["delete", "pod", "redir", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_slow_http_server_fails_in_the_words_of_gos_client() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [payload, http-serve, '80', --delay, '3'],
        livenessProbe: { httpGet: { port: 80 }, periodSeconds: 1, failureThreshold: 2 }";
    world.run_pod(&pod_of("slow", "Always", 1, &[main]), &["-d"]).ok();
    let pod = world.wait_pod("slow", 5, |pod| status(pod, "main")["started"] == true);
    let text = format!(
        "main: Unhealthy Liveness probe failed: Get \"http://{}:80/\": context deadline exceeded \
         (Client.Timeout exceeded while awaiting headers)",
        ip(&pod)
    );
    world.wait_event("slow", 5, &text);
    world.wait_pod("slow", 10, |pod| status(pod, "main")["restartCount"] == 1);
    world.podrt(&["delete", "pod", "slow", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_tcp_probe_is_content_with_a_connection() {
    let world = World::with_fixture();
    let open = "name: open, IMAGE, command: [payload, tcp-listen, '7000'],
        ports: [ { name: it, containerPort: 7000 } ],
        readinessProbe: { tcpSocket: { port: it }, periodSeconds: 1 }";
    let shut = "name: shut, IMAGE, command: [sleep, '1000'],
        readinessProbe: { tcpSocket: { port: 7001 }, periodSeconds: 1 }";
    world.run_pod(&pod_of("tcp", "Always", 1, &[open, shut]), &["-d"]).ok();
    let pod = world.wait_pod("tcp", 5, |pod| is_ready(pod, "open"));
    let refused = format!(
        "shut: Unhealthy Readiness probe failed: dial tcp {}:7001: connect: connection refused",
        ip(&pod)
    );
    world.wait_event("tcp", 5, &refused);
    assert!(!is_ready(&world.pod("tcp"), "shut"));
    world.podrt(&["delete", "pod", "tcp", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_grpc_probe_asks_for_the_services_health() {
    let world = World::with_fixture();
    let container = |name: &str, port: u32, flag: &str, value: u32| {
        format!(
            "name: {name}, IMAGE, command: [payload, grpc-serve, '{port}', {flag}, '{value}'],
             readinessProbe: {{ grpc: {{ port: {port}, service: db }}, periodSeconds: 1 }}"
        )
    };
    let well = container("well", 5001, "--status", 1);
    let ill = container("ill", 5002, "--status", 2);
    let other = container("other", 5003, "--code", 12);
    let shut = "name: shut, IMAGE, command: [sleep, '1000'],
        readinessProbe: { grpc: { port: 5004 }, periodSeconds: 1 }";
    world.run_pod(&pod_of("grpc", "Always", 1, &[&well, &ill, &other, shut]), &["-d"]).ok();
    let pod = world.wait_pod("grpc", 5, |pod| is_ready(pod, "well"));
    let texts = [
        "ill: Unhealthy Readiness probe failed: service unhealthy (responded with \
         \"NOT_SERVING\")"
            .to_owned(),
        "other: Unhealthy Readiness probe failed: error: this server does not implement the grpc \
         health protocol (grpc.health.v1.Health): as told"
            .to_owned(),
        format!(
            "shut: Unhealthy Readiness probe failed: timeout: failed to connect service \
             \"{}:5004\" within 1s: context deadline exceeded",
            ip(&pod)
        ),
    ];
    for text in &texts {
        world.wait_event("grpc", 5, text);
    }
    let pod = world.pod("grpc");
    let ready = ["well", "ill", "other", "shut"].map(|name| is_ready(&pod, name));
    assert_eq!(ready, [true, false, false, false]);
    world.podrt(&["delete", "pod", "grpc", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn nothing_else_is_probed_before_the_startup_probe_has_succeeded() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [sh, -c, 'exec sleep 1000'],
        startupProbe: { exec: { command: [test, -e, /ok] }, periodSeconds: 1, failureThreshold: 3 },
        livenessProbe: { exec: { command: [touch, /alive] }, periodSeconds: 1 },
        readinessProbe: { exec: { command: [touch, /ready] }, periodSeconds: 1 }";
    let manifest = pod_of("start", "Always", 1, &[main]);
    world.run_pod(&manifest, &["-d"]).ok();
    world.wait_event("start", 60, "main: Unhealthy Startup probe failed: ");
    let pod = world.pod("start");
    assert_eq!(status(&pod, "main")["started"], false);
    assert!(!is_ready(&pod, "main"));
    world.wait_event(
        "start",
        60,
        "main: Killing Container main failed startup probe, will be restarted",
    );
    world.wait_pod("start", 60, |pod| {
        let status = status(pod, "main");
        status["restartCount"] == 1 && status["state"]["running"].is_object()
    });
    let probed = world.podrt(&["exec", "start", "--", "ls", "/alive", "/ready"]);
    assert!(probed.stdout.is_empty(), "{probed:?}");
    // Three seconds may be over on a busy machine, and the next instance has no
    // such file.
    let deadline = Instant::now() + Duration::from_secs(120);
    while status(&world.pod("start"), "main")["started"] != true {
        assert!(Instant::now() < deadline, "never started: {:#}", world.pod("start"));
        let _ = world.podrt(&["exec", "start", "--", "touch", "/ok"]);
        std::thread::sleep(Duration::from_millis(100));
    }
    world.wait_pod("start", 60, |pod| is_ready(pod, "main"));
    while world.podrt(&["exec", "start", "--", "ls", "/alive", "/ready"]).code != 0 {
        assert!(Instant::now() < deadline, "the other probes do not begin");
        std::thread::sleep(Duration::from_millis(100));
    }
    world.podrt(&["delete", "pod", "start", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_sidecars_startup_probe_holds_back_what_comes_after_it() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [sleep, '1000']";
    let sidecar = format!(
        "  initContainers:
    - {{ name: side, image: {FIXTURE_IMAGE}, restartPolicy: Always, command: [sleep, '1000'],
        startupProbe: {{ exec: {{ command: [test, -e, /ok] }}, periodSeconds: 1, failureThreshold: 60 }},
        readinessProbe: {{ exec: {{ command: [test, -e, /ready] }}, periodSeconds: 1 }} }}
  containers:"
    );
    let manifest = pod_of("side", "Always", 1, &[main]).replace("  containers:", &sidecar);
    world.run_pod(&manifest, &["-d", "--wait=none"]).ok();
    world.wait_event("side", 5, "side: Unhealthy Startup probe failed: ");
    let pod = world.pod("side");
    assert_eq!(status(&pod, "side")["started"], false);
    assert_eq!(status(&pod, "main")["state"]["waiting"]["reason"], "PodInitializing");
    assert_eq!(pod["status"]["phase"], "Pending");
    let row = world.podrt(&["get", "pods"]).ok();
    assert!(row.contains("Init:0/1"), "{row}");
    world.podrt(&["exec", "side", "-c", "side", "--", "touch", "/ok"]).ok();
    let pod = world.wait_pod("side", 5, |pod| status(pod, "main")["state"]["running"].is_object());
    assert_eq!(condition(&pod, "Initialized")["status"], "True");
    assert_eq!(condition(&pod, "ContainersReady")["status"], "False", "the sidecar counts");
    world.podrt(&["exec", "side", "-c", "side", "--", "touch", "/ready"]).ok();
    world.wait_pod("side", 5, |pod| condition(pod, "Ready")["status"] == "True");
    world.podrt(&["delete", "pod", "side", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_pod_without_an_address_is_probed_from_within() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [payload, http-serve, '8080'],
        readinessProbe: { httpGet: { port: 8080 }, periodSeconds: 1 }";
    world.run_pod(&pod_of("lone", "Always", 1, &[main]), &["-d", "--network", "none"]).ok();
    world.wait_pod("lone", 5, |pod| is_ready(pod, "main"));
    world.podrt(&["delete", "pod", "lone", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_readiness_gate_that_nobody_sets_keeps_the_pod_from_being_ready() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [sleep, '1000']";
    let gates = "spec:\n  readinessGates: [ { conditionType: example.com/green } ]\n";
    let manifest = pod_of("gate", "Always", 1, &[main]).replace("spec:\n", gates);
    world.run_pod(&manifest, &["-d"]).ok();
    let pod = world.wait_pod("gate", 5, |pod| is_ready(pod, "main"));
    assert_eq!(condition(&pod, "ContainersReady")["status"], "True");
    let ready = condition(&pod, "Ready");
    assert_eq!(ready["status"], "False");
    assert_eq!(ready["reason"], "ReadinessGatesNotReady");
    let text =
        "corresponding condition of pod readiness gate \"example.com/green\" does not exist.";
    assert_eq!(ready["message"], text);
    let row = world.podrt(&["get", "pods", "-o", "wide"]).ok();
    assert!(row.trim_end().ends_with("0/1"), "{row}");
    world.podrt(&["delete", "pod", "gate", "--now"]).ok();
    world.assert_clean();
}

/// The file that makes a pod's processes stand still, in the hierarchy where
/// nothing else of podrt looks if there is one, and the words for it.
fn freezer(uid: &str) -> (PathBuf, [&'static str; 2]) {
    let pid = pids_in_cgroup(uid)[0];
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("cgroup");
    let path = |prefix: &str| {
        let line = text.lines().find_map(|line| line.split_once(prefix)).map(|(_, path)| path);
        line.map(|path| path[..path.find(uid).expect("the pod's") + uid.len()].to_owned())
    };
    match path(":freezer:") {
        Some(path) => {
            let file = format!("/sys/fs/cgroup/freezer{path}/freezer.state");
            (file.into(), ["FROZEN", "THAWED"])
        }
        None => {
            let path = path("0::").expect("a cgroup");
            (format!("/sys/fs/cgroup{path}/cgroup.freeze").into(), ["1", "0"])
        }
    }
}

#[test]
fn a_container_that_stands_still_keeps_its_shim_from_nothing() {
    let world = World::with_fixture();
    let probe = "{ exec: { command: ['true'] }, periodSeconds: 1, failureThreshold: 1000 }";
    let main = format!("name: main, IMAGE, command: [sleep, '1000'], livenessProbe: {probe}");
    world.run_pod(&pod_of("still", "Always", 1, &[&main]), &["-d"]).ok();
    let uid = world.pod("still")["metadata"]["uid"].as_str().expect("uid").to_owned();
    let (file, [freeze, thaw]) = freezer(&uid);
    fs::write(&file, freeze).expect("freeze");
    let deadline = Instant::now() + Duration::from_secs(60);
    let unhealthy = |events: &[String]| events.iter().any(|event| event.contains("Unhealthy "));
    while !unhealthy(&world.events("still")) {
        assert!(Instant::now() < deadline, "{:?}", world.events("still"));
        std::thread::sleep(Duration::from_millis(50));
    }
    // Only the shim can do this.
    world.podrt(&["label", "pod", "still", "seen=yes"]).ok();
    fs::write(&file, thaw).expect("thaw");
    world.podrt(&["exec", "still", "--", "true"]).ok();
    assert_eq!(status(&world.pod("still"), "main")["restartCount"], 0);
    world.podrt(&["delete", "pod", "still", "--now"]).ok();
    world.assert_clean();
}
