//! What runs when, and how often: sidecars, init containers, restart rules,
//! deadlines; and the last words of what ended.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};

use crate::pod_life::shell_pod;
use crate::pod_probes::{pod_of, status};
use crate::support::{FIXTURE_IMAGE, World};

/// The pod with these init containers, and the world's folder `h` at `/h` in
/// every container.
fn with(world: &World, pod: &str, inits: &[&str]) -> String {
    let path = world.path().join("h");
    fs::create_dir_all(&path).expect("folder");
    let list: String = inits.iter().map(|i| format!("    - {{ {i} }}\n")).collect();
    let spec = format!(
        "spec:
  volumes: [ {{ name: h, hostPath: {{ path: {} }} }} ]
  initContainers:
{list}",
        path.display()
    );
    let mount = format!("volumeMounts: [ {{ name: h, mountPath: /h }} ], image: {FIXTURE_IMAGE}");
    let spec = if inits.is_empty() { spec.replace("  initContainers:\n", "") } else { spec };
    let pod = pod.replace("spec:\n", &spec).replace("IMAGE", &format!("image: {FIXTURE_IMAGE}"));
    pod.replace(&format!("image: {FIXTURE_IMAGE}"), &mount)
}

fn noted(world: &World) -> String {
    fs::read_to_string(world.path().join("h/log")).unwrap_or_default()
}

/// Notes its start and its TERM, and ends with 0 then.
fn noter(name: &str, more: &str) -> String {
    let script = format!(
        "trap 'echo {name} ends >> /h/log; exit 0' TERM; echo {name} >> /h/log; \
         while true; do sleep 0.05; done"
    );
    format!("name: {name}, IMAGE, command: [sh, -c, {}]{more}", json!(script))
}

fn ended<'a>(pod: &'a Value, container: &str) -> &'a Value {
    &status(pod, container)["state"]["terminated"]
}

#[test]
fn sidecars_end_when_the_work_is_done_and_do_not_count() {
    let world = World::with_fixture();
    let side = "name: side, IMAGE, restartPolicy: Always, command: [sh, -c, 'sleep 1000 & wait']";
    let main = "name: main, IMAGE, command: [sh, -c, 'sleep 0.5; exit 0']";
    world.run_pod(&with(&world, &pod_of("job", "Never", 2, &[main]), &[side]), &[]).ok();
    let pod = world.pod("job");
    assert_eq!(pod["status"]["phase"], "Succeeded");
    assert_ne!(ended(&pod, "side")["exitCode"], 0, "{pod:#}");
    assert!(world.podrt(&["get", "pods"]).ok().contains("Completed"));
    world.podrt(&["delete", "pod", "job"]).ok();
    world.assert_clean();
}

#[test]
fn sidecars_start_in_order_and_end_in_reverse_after_the_app() {
    let world = World::with_fixture();
    let always = ", restartPolicy: Always";
    let (a, b) = (noter("a", always), noter("b", always));
    let ready = ", readinessProbe: { exec: { command: [grep, main, /h/log] } }";
    let main = noter("main", ready);
    let manifest = with(&world, &pod_of("ord", "Always", 5, &[&main]), &[&a, &b]);
    world.run_pod(&manifest, &["-d", "--wait=ready"]).ok();
    world.podrt(&["delete", "pod", "ord"]).ok();
    assert_eq!(noted(&world), "a\nb\nmain\nmain ends\nb ends\na ends\n");
    world.assert_clean();
}

#[test]
fn a_sidecar_restarts_whatever_the_pods_policy() {
    let world = World::with_fixture();
    let side = "name: side, IMAGE, restartPolicy: Always, command: [sh, -c, 'sleep 0.3; exit 5']";
    let main = "name: main, IMAGE, command: [sleep, '1000']";
    let manifest = with(&world, &pod_of("sides", "Never", 1, &[main]), &[side]);
    world.run_pod(&manifest, &["-d", "--max-container-backoff=1s"]).ok();
    let pod = world.wait_pod("sides", 10, |pod| {
        status(pod, "side")["restartCount"].as_u64().is_some_and(|count| count >= 2)
    });
    assert_eq!(status(&pod, "side")["lastState"]["terminated"]["exitCode"], 5);
    assert_eq!(pod["status"]["phase"], "Running");
    world.podrt(&["delete", "pod", "sides", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn an_init_container_is_retried_until_it_succeeds() {
    let world = World::with_fixture();
    let init =
        "name: init, IMAGE, command: [sh, -c, 'echo try >> /h/log; [ $(wc -l < /h/log) -ge 3 ]']";
    let main = "name: main, IMAGE, command: ['true']";
    let manifest = with(&world, &pod_of("retry", "OnFailure", 1, &[main]), &[init]);
    world.run_pod(&manifest, &["--max-container-backoff=1s"]).ok();
    let pod = world.pod("retry");
    assert_eq!(status(&pod, "init")["restartCount"], 2);
    assert_eq!(ended(&pod, "init")["reason"], "Completed");
    world.podrt(&["delete", "pod", "retry"]).ok();
    world.assert_clean();
}

#[test]
fn a_restart_rule_wins_over_the_policies() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, restartPolicy: Never,
        restartPolicyRules: [ { action: Restart, exitCodes: { operator: In, values: [42] } } ],
        command: [sh, -c, 'echo run >> /h/log; [ $(wc -l < /h/log) = 1 ] && exit 42; exit 3']";
    let ran = world.run_pod(&with(&world, &pod_of("rule", "Never", 1, &[main]), &[]), &[]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let pod = world.pod("rule");
    assert_eq!(status(&pod, "main")["restartCount"], 1);
    assert_eq!(status(&pod, "main")["lastState"]["terminated"]["exitCode"], 42);
    assert_eq!(pod["status"]["phase"], "Failed");
    world.podrt(&["delete", "pod", "rule"]).ok();
    world.assert_clean();
}

#[test]
fn a_rule_can_restart_all_containers_in_place() {
    let world = World::with_fixture();
    let init = "name: init, IMAGE, command: [sh, -c, 'echo init >> /h/log']";
    let main = "name: main, IMAGE, restartPolicy: Never,
        restartPolicyRules: [ { action: RestartAllContainers, exitCodes: { operator: In, values: [88] } } ],
        command: [sh, -c, 'sleep 0.5; [ $(wc -l < /h/log) = 1 ] && exit 88; sleep 1000']";
    let other = "name: other, IMAGE, command: [sleep, '1000']";
    let manifest = with(&world, &pod_of("all", "Never", 30, &[main, other]), &[init]);
    world.run_pod(&manifest, &["-d"]).ok();
    let address = world.pod("all")["status"]["podIP"].clone();
    let pod = world.wait_pod("all", 15, |pod| {
        ["main", "other"].iter().all(|name| {
            let status = status(pod, name);
            status["restartCount"] == 1 && status["ready"] == true
        })
    });
    assert_eq!(noted(&world), "init\ninit\n");
    assert_eq!(pod["status"]["podIP"], address, "the sandbox stays");
    let last = &status(&pod, "other")["lastState"]["terminated"];
    assert_eq!(
        (&last["reason"], &last["exitCode"]),
        (&"RestartingAllContainers".into(), &137.into())
    );
    world.podrt(&["delete", "pod", "all", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_pod_past_its_deadline_fails() {
    let world = World::with_fixture();
    let manifest =
        shell_pod("late", "Always", "trap 'exit 0' TERM; while true; do sleep 0.05; done")
            .replace("spec:\n", "spec:\n  activeDeadlineSeconds: 2\n");
    let begin = Instant::now();
    let ran = world.run_pod(&manifest, &[]);
    assert_ne!(ran.code, 0);
    let took = begin.elapsed().as_secs_f64();
    assert!((1.0..60.0).contains(&took), "{took}");
    let pod = world.pod("late");
    assert_eq!(pod["status"]["phase"], "Failed");
    assert_eq!(pod["status"]["reason"], "DeadlineExceeded");
    let text = "Pod was active on the node longer than the specified deadline";
    assert_eq!(pod["status"]["message"], text);
    assert!(world.events("late").contains(&format!("DeadlineExceeded {text}")));
    world.podrt(&["delete", "pod", "late"]).ok();
    world.assert_clean();
}

#[test]
fn the_last_words_come_from_the_file_the_path_or_the_log() {
    let world = World::with_fixture();
    let policy = "terminationMessagePolicy: FallbackToLogsOnError";
    let log = format!(
        "name: log, IMAGE, {policy}, command: [sh, -c, 'for i in $(seq 100); do echo line $i; done; exit 1']"
    );
    let file = format!(
        "name: file, IMAGE, {policy}, command: [sh, -c, 'echo said; echo -n written > /dev/termination-log; exit 1']"
    );
    let path = "name: path, IMAGE, terminationMessagePath: /tmp/words, securityContext: { runAsUser: 1000 },
        command: [sh, -c, 'echo -n elsewhere > /tmp/words; exit 1']";
    let fine = format!("name: fine, IMAGE, {policy}, command: [sh, -c, 'echo said']");
    let many = "name: many, IMAGE, command: [sh, -c, 'head -c 10000 /dev/zero | tr \"\\0\" x > /dev/termination-log']";
    let manifest = pod_of("words", "Never", 1, &[&log, &file, path, &fine, many]);
    assert_eq!(world.run_pod(&manifest, &[]).code, 1);
    let pod = world.pod("words");
    let lines: Vec<String> = (21..=100).map(|i| format!("line {i}\n")).collect();
    assert_eq!(ended(&pod, "log")["message"], json!(lines.concat()));
    assert_eq!(ended(&pod, "file")["message"], "written");
    assert_eq!(ended(&pod, "path")["message"], "elsewhere");
    assert_eq!(ended(&pod, "fine")["message"], Value::Null);
    let cut = ended(&pod, "many")["message"].as_str().map(str::len);
    assert_eq!(cut, Some(12288 / 5), "five containers share 12 KiB");
    world.podrt(&["delete", "pod", "words"]).ok();
    world.assert_clean();
}
