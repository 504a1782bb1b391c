//! Hooks: what each handler does, what its failure leads to, and what a stop's
//! grace period has left after it.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::pod_probes::{pod_of, status};
use crate::support::World;

/// The pod with a folder of the world at `/h` in every container, so that what
/// containers note is there after they are gone.
fn with_folder(world: &World, pod: &str) -> String {
    let path = world.path().join("h");
    fs::create_dir_all(&path).expect("folder");
    let volume =
        format!("spec:\n  volumes: [ {{ name: h, hostPath: {{ path: {} }} }} ]", path.display());
    let mount = "volumeMounts: [ { name: h, mountPath: /h } ], image:";
    pod.replace("spec:", &volume).replace("image:", mount)
}

fn noted(world: &World) -> String {
    fs::read_to_string(world.path().join("h/log")).unwrap_or_default()
}

fn waiting<'a>(pod: &'a Value, container: &str) -> &'a Value {
    &status(pod, container)["state"]["waiting"]
}

#[test]
fn the_next_container_waits_for_the_post_start_hook() {
    let world = World::with_fixture();
    let first = "name: first, IMAGE, command: [sleep, '1000'],
        lifecycle: { postStart: { exec: { command: [sh, -c, 'sleep 1; echo hooked >> /h/log'] } } }";
    let second = "name: second, IMAGE, command: [sh, -c, 'echo second >> /h/log; exec sleep 1000']";
    let manifest = with_folder(&world, &pod_of("next", "Always", 1, &[first, second]));
    world.run_pod(&manifest, &["-d"]).ok();
    world.wait_pod("next", 5, |pod| status(pod, "second")["ready"] == true);
    assert_eq!(noted(&world), "hooked\nsecond\n");
    assert_eq!(status(&world.pod("next"), "first")["ready"], true);
    world.podrt(&["delete", "pod", "next", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_failing_post_start_hook_stops_the_container_and_the_start_counts_as_failed() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [sh, -c, 'trap \"exit 0\" TERM; while true; do sleep 0.1; done'],
        lifecycle: { postStart: { exec: { command: [sh, -c, 'echo out; echo err >&2; exit 3'] } },
                     preStop: { exec: { command: [sh, -c, 'echo stopped >> /h/log'] } } }";
    let manifest = with_folder(&world, &pod_of("post", "Always", 5, &[main]));
    world.run_pod(&manifest, &["-d", "--wait=none"]).ok();
    let pod =
        world.wait_pod("post", 8, |pod| waiting(pod, "main")["reason"] == "PostStartHookError");
    let uid = pod["metadata"]["uid"].as_str().expect("uid");
    assert_eq!(
        waiting(&pod, "main")["message"],
        json!(format!(
            "Exec lifecycle hook ([sh -c echo out; echo err >&2; exit 3]) for Container \"main\" \
             in Pod \"post_default({uid})\" failed - error: command 'sh -c echo out; echo err >&2; \
             exit 3' exited with 3: err\n, message: \"out\\nerr\\n\""
        ))
    );
    world.wait_event("post", 1, "main: FailedPostStartHook PostStartHook failed");
    world.wait_event("post", 1, "main: Killing FailedPostStartHook");
    world.wait_pod("post", 10, |pod| waiting(pod, "main")["reason"] == "CrashLoopBackOff");
    assert!(noted(&world).starts_with("stopped\n"), "preStop runs");
    world.podrt(&["delete", "pod", "post", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn any_answer_satisfies_an_http_hook_and_none_fails_it() {
    let world = World::with_fixture();
    let server = "name: server, IMAGE, command: [payload, http-serve, '8080', --status, '500']";
    let happy = "name: happy, IMAGE, ENV, command: [sleep, '1000'],
        lifecycle: { postStart: { httpGet: { port: 8080, path: /hi } } }";
    let sad = "name: sad, IMAGE, command: [sleep, '1000'],
        lifecycle: { postStart: { httpGet: { port: 8081, path: /hi } } }";
    world.run_pod(&pod_of("web", "Always", 1, &[server, happy, sad]), &["-d", "--wait=none"]).ok();
    let pod = world.wait_pod("web", 8, |pod| waiting(pod, "sad")["reason"] == "PostStartHookError");
    let ip = pod["status"]["podIP"].as_str().expect("address");
    let uid = pod["metadata"]["uid"].as_str().expect("uid");
    assert_eq!(
        waiting(&pod, "sad")["message"],
        json!(format!(
            "HTTP lifecycle hook (/hi) for Container \"sad\" in Pod \"web_default({uid})\" failed \
             - error: Get \"http://{ip}:8081/hi\": dial tcp {ip}:8081: connect: connection refused"
        ))
    );
    assert_eq!(status(&pod, "happy")["ready"], true);
    world.podrt(&["delete", "pod", "web", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_tcp_hook_is_accepted_and_fails_when_it_runs() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [payload, tcp-listen, '7000'],
        lifecycle: { postStart: { tcpSocket: { port: 7000 } } }";
    world.run_pod(&pod_of("tcph", "Always", 1, &[main]), &["-d", "--wait=none"]).ok();
    let pod =
        world.wait_pod("tcph", 8, |pod| waiting(pod, "main")["reason"] == "PostStartHookError");
    assert_eq!(
        waiting(&pod, "main")["message"],
        "Cannot run handler: invalid handler: &LifecycleHandler{Exec:nil,HTTPGet:nil,\
         TCPSocket:&TCPSocketAction{Port:{0 7000 },Host:,},Sleep:nil,}"
    );
    world.podrt(&["delete", "pod", "tcph", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn the_pre_stop_hook_runs_before_the_signal_and_its_time_is_part_of_the_grace_period() {
    let world = World::with_fixture();
    let script = "trap 'echo term >> /h/log' TERM; touch /up; while true; do sleep 0.1; done";
    let main = format!(
        "name: main, IMAGE, command: [sh, -c, {}],
        readinessProbe: {{ exec: {{ command: [test, -e, /up] }} }},
        lifecycle: {{ preStop: {{ exec: {{ command: [sh, -c, 'sleep 1.3; echo hook >> /h/log'] }} }} }}",
        json!(script)
    );
    let manifest = with_folder(&world, &pod_of("pre", "Always", 4, &[&main]));
    world.run_pod(&manifest, &["-d", "--wait=ready"]).ok();
    let begin = Instant::now();
    world.podrt(&["delete", "pod", "pre"]).ok();
    // 1.3 s of hook cost a whole second: KILL comes 3 s after TERM.
    let took = begin.elapsed().as_secs_f64();
    assert!((4.2..60.0).contains(&took), "{took}");
    assert_eq!(noted(&world), "hook\nterm\n");
    world.assert_clean();
}

#[test]
fn a_pre_stop_hook_that_takes_too_long_is_abandoned_and_two_seconds_are_left() {
    let world = World::with_fixture();
    let script = "trap 'echo term >> /h/log' TERM; touch /up; while true; do sleep 0.1; done";
    let main = format!(
        "name: main, IMAGE, command: [sh, -c, {}],
        readinessProbe: {{ exec: {{ command: [test, -e, /up] }} }},
        lifecycle: {{ preStop: {{ exec: {{ command: [sh, -c, 'sleep 60; echo hook >> /h/log'] }} }} }}",
        json!(script)
    );
    let manifest = with_folder(&world, &pod_of("long", "Always", 2, &[&main]));
    world.run_pod(&manifest, &["-d", "--wait=ready"]).ok();
    let begin = Instant::now();
    world.podrt(&["delete", "pod", "long"]).ok();
    let took = begin.elapsed().as_secs_f64();
    assert!((3.9..60.0).contains(&took), "{took}");
    assert_eq!(noted(&world), "term\n");
    world.assert_clean();
}

#[test]
fn a_sleep_hook_keeps_the_container_running_for_its_seconds() {
    let world = World::with_fixture();
    let script = "trap 'exit 0' TERM; touch /up; while true; do sleep 0.05; done";
    let main = format!(
        "name: main, IMAGE, command: [sh, -c, {}],
        readinessProbe: {{ exec: {{ command: [test, -e, /up] }} }},
        lifecycle: {{ preStop: {{ sleep: {{ seconds: 1 }} }} }}",
        json!(script)
    );
    world.run_pod(&pod_of("nap", "Always", 5, &[&main]), &["-d", "--wait=ready"]).ok();
    let begin = Instant::now();
    world.podrt(&["delete", "pod", "nap"]).ok();
    let took = begin.elapsed().as_secs_f64();
    assert!((1.0..60.0).contains(&took), "{took}");
    world.assert_clean();
}

#[test]
fn a_failed_pre_stop_hook_is_told_and_the_stop_goes_on() {
    let world = World::with_fixture();
    let liveness =
        "livenessProbe: { exec: { command: ['false'] }, periodSeconds: 1, failureThreshold: 1 }";
    let bad = format!(
        "name: bad, IMAGE, command: [sleep, '1000'], {liveness},
        lifecycle: {{ preStop: {{ exec: {{ command: ['false'] }} }} }}"
    );
    let server = "name: server, IMAGE, command: [payload, http-serve, '8080', --status, '500']";
    let good = format!(
        "name: good, IMAGE, command: [sleep, '1000'], {liveness},
        lifecycle: {{ preStop: {{ httpGet: {{ port: 8080 }} }} }}"
    );
    world.run_pod(&pod_of("fail", "Never", 1, &[server, &bad, &good]), &["-d"]).ok();
    world.wait_event("fail", 8, "bad: FailedPreStopHook PreStopHook failed");
    let pod = world.wait_pod("fail", 8, |pod| {
        ["bad", "good"].iter().all(|name| status(pod, name)["state"]["terminated"].is_object())
    });
    assert_eq!(status(&pod, "good")["state"]["terminated"]["exitCode"], 137);
    let failed = world.events("fail");
    assert!(!failed.iter().any(|event| event.starts_with("good: FailedPreStop")), "{failed:#?}");
    world.podrt(&["delete", "pod", "fail", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_container_that_ends_by_itself_or_by_force_has_no_pre_stop_hook() {
    let world = World::with_fixture();
    let hook = "lifecycle: { preStop: { exec: { command: [sh, -c, 'echo hook >> /h/log'] } } }";
    let brief = format!("name: main, IMAGE, command: ['true'], {hook}");
    let manifest = with_folder(&world, &pod_of("brief", "Never", 1, &[&brief]));
    world.run_pod(&manifest, &["--rm"]).ok();
    let long = format!("name: main, IMAGE, command: [sleep, '1000'], {hook}");
    let manifest = with_folder(&world, &pod_of("force", "Never", 1, &[&long]));
    world.run_pod(&manifest, &["-d"]).ok();
    world.podrt(&["delete", "pod", "force", "--force"]).ok();
    assert_eq!(noted(&world), "");
    world.assert_clean();
}

#[test]
fn a_delete_does_not_wait_for_a_post_start_hook_that_hangs() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [sleep, '1000'],
        lifecycle: { postStart: { exec: { command: [sh, -c, 'touch /up; sleep 1000'] } } }";
    world.run_pod(&pod_of("hang", "Always", 1, &[main]), &["-d", "--wait=none"]).ok();
    world.wait_event("hang", 5, "main: Started Container started");
    let begin = Instant::now();
    world.podrt(&["delete", "pod", "hang"]).ok();
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    world.assert_clean();
}
