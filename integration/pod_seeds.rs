//! Cases of the specification that other files do not have: inputs that come
//! late, expansion, owners of volumes, resolv.conf, scores, orphans.

use crate::pod_life::{shell_pod, wait_for_log};
use crate::pod_probes::{pod_of, status};
use crate::support::{FIXTURE_IMAGE, World};

fn create(world: &World, manifest: &str) {
    let file = world.file("later.yaml", manifest);
    world.podrt(&["create", "-f", &file.to_string_lossy()]).ok();
}

#[test]
fn a_config_map_that_comes_late_starts_its_container() {
    let world = World::with_fixture();
    let manifest = shell_pod("latecm", "Never", "echo $KEY")
        + "      envFrom: [ { configMapRef: { name: late } } ]\n";
    world.run_pod(&manifest, &["-d", "--wait=none"]).ok();
    let pod = world.wait_pod("latecm", 60, |pod| {
        status(pod, "main")["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    });
    let waiting = &status(&pod, "main")["state"]["waiting"];
    assert_eq!(waiting["message"], "configmap \"late\" not found");
    assert_eq!(pod["status"]["phase"], "Pending");
    create(&world, "{apiVersion: v1, kind: ConfigMap, metadata: {name: late}, data: {KEY: here}}");
    world.wait_pod("latecm", 60, |pod| pod["status"]["phase"] == "Succeeded");
    assert_eq!(world.podrt(&["logs", "latecm"]).ok(), "here\n");
    world.podrt(&["delete", "pod", "latecm"]).ok();
    world.assert_clean();
}

#[test]
fn a_pod_waits_for_its_volumes_before_it_has_a_sandbox() {
    let world = World::with_fixture();
    let manifest = shell_pod("latesec", "Never", "cat /s/token")
        + "      volumeMounts: [ { name: s, mountPath: /s } ]\n  volumes: [ { name: s, secret: { secretName: late } } ]\n";
    world.run_pod(&manifest, &["-d", "--wait=none"]).ok();
    let failed =
        "FailedMount MountVolume.SetUp failed for volume \"s\" : secret \"late\" not found";
    world.wait_event("latesec", 60, failed);
    let pod = world.pod("latesec");
    assert_eq!(status(&pod, "main")["state"]["waiting"]["reason"], "ContainerCreating");
    assert!(pod["status"]["podIP"].is_null(), "{pod:#}");
    create(
        &world,
        "{apiVersion: v1, kind: Secret, metadata: {name: late}, stringData: {token: hush}}",
    );
    world.wait_pod("latesec", 60, |pod| pod["status"]["phase"] == "Succeeded");
    assert_eq!(world.podrt(&["logs", "latesec"]).ok(), "hush");
    world.podrt(&["delete", "pod", "latesec"]).ok();
    world.assert_clean();
}

#[test]
fn references_in_commands_expand_once_and_only_where_they_are_known() {
    let world = World::with_fixture();
    let table = [
        ("$(A)", "1"),
        ("$(MISSING)", "$(MISSING)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$$", "$"),
        ("$A", "$A"),
        ("${A}", "${A}"),
        ("$", "$"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("$(A))", "1)"),
        ("$($(A))", "$($(A))"),
        ("<$(EMPTY)>", "<>"),
        ("$(LATER)", "$(A)"),
        ("$(EARLIER)", "1"),
        ("$(PATH)", "$(PATH)"),
    ];
    let inputs: Vec<String> = table.iter().map(|(input, _)| format!("'{input}'")).collect();
    let env = "env: [ { name: A, value: '1' }, { name: EARLIER, value: $(A) },
        { name: EMPTY, value: '' }, { name: LATER, value: $$(A) } ]";
    let main = format!(
        "name: main, IMAGE, {env}, command: [printf, '%s\\n'], args: [ {} ]",
        inputs.join(", ")
    );
    assert_eq!(world.run_pod(&pod_of("expand", "Never", 1, &[&main]), &[]).code, 0);
    let log = world.podrt(&["logs", "expand"]).ok();
    let want: Vec<&str> = table.iter().map(|(_, output)| *output).collect();
    assert_eq!(log.lines().collect::<Vec<_>>(), want);
    world.podrt(&["delete", "pod", "expand"]).ok();
    world.assert_clean();
}

#[test]
fn volumes_belong_to_the_file_system_group() {
    let world = World::with_fixture();
    create(
        &world,
        "{apiVersion: v1, kind: Secret, metadata: {name: owned}, stringData: {token: hush}}",
    );
    let script =
        "stat -L -c '%a %g' /e /s/token; id -G | grep -o 4000; touch /e/new; stat -c %g /e/new";
    let manifest = format!(
        "apiVersion: v1
kind: Pod
metadata: {{ name: group }}
spec:
  restartPolicy: Never
  securityContext: {{ fsGroup: 4000, runAsUser: 1000, runAsGroup: 1000 }}
  volumes:
    - {{ name: e, emptyDir: {{}} }}
    - {{ name: s, secret: {{ secretName: owned, defaultMode: 0400 }} }}
  containers:
    - name: main
      image: {FIXTURE_IMAGE}
      command: [sh, -c, \"{script}\"]
      volumeMounts: [ {{ name: e, mountPath: /e }}, {{ name: s, mountPath: /s }} ]
"
    );
    assert_eq!(world.run_pod(&manifest, &[]).code, 0);
    let log = world.podrt(&["logs", "group"]).ok();
    assert_eq!(log, "2777 4000\n440 4000\n4000\n4000\n");
    world.podrt(&["delete", "pod", "group"]).ok();
    world.assert_clean();
}

#[test]
fn a_pod_without_a_dns_policy_has_what_its_config_says() {
    let world = World::with_fixture();
    let manifest = shell_pod("dns", "Never", "cat /etc/resolv.conf").replace(
        "spec:\n",
        "spec:\n  dnsPolicy: None\n  dnsConfig:\n    nameservers: [ 192.0.2.1 ]\n    \
         searches: [ a.example, b.example ]\n    \
         options: [ { name: ndots, value: '2' }, { name: edns0 } ]\n",
    );
    assert_eq!(world.run_pod(&manifest, &[]).code, 0);
    let want = "search a.example b.example\nnameserver 192.0.2.1\noptions ndots:2 edns0\n";
    assert_eq!(world.podrt(&["logs", "dns"]).ok(), want);
    world.podrt(&["delete", "pod", "dns"]).ok();
    world.assert_clean();
}

#[test]
fn the_score_of_a_container_follows_from_its_request() {
    let world = World::with_fixture();
    let memory = std::fs::read_to_string("/proc/meminfo").expect("meminfo");
    let kib: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok())
        .expect("MemTotal");
    let requested = 256 << 20;
    let want = 1000 - 1000 * requested / (kib * 1024);
    let some = "name: some, IMAGE, command: [cat, /proc/self/oom_score_adj],
        resources: { requests: { memory: 256Mi } }";
    assert_eq!(world.run_pod(&pod_of("score", "Never", 1, &[some]), &[]).code, 0);
    assert_eq!(world.podrt(&["logs", "score"]).ok(), format!("{want}\n"));
    let none = "name: none, IMAGE, command: [cat, /proc/self/oom_score_adj]";
    assert_eq!(world.run_pod(&pod_of("effort", "Never", 1, &[none]), &[]).code, 0);
    assert_eq!(world.podrt(&["logs", "effort"]).ok(), "1000\n");
    world.podrt(&["delete", "pods", "--all"]).ok();
    world.assert_clean();
}

/// The process that its parent left ends as pause's child, and pause reaps it.
#[test]
fn pause_reaps_what_a_shared_process_namespace_leaves_behind() {
    let world = World::with_fixture();
    let script = "(sh -c 'echo $$ > /orphan; sleep 0.1' &); \
                  until [ -s /orphan ]; do sleep 0.01; done; read pid < /orphan; \
                  until ! [ -e /proc/$pid ]; do sleep 0.01; done; echo reaped; sleep 1000";
    let manifest = shell_pod("reap", "Never", script)
        .replace("spec:\n", "spec:\n  shareProcessNamespace: true\n");
    world.run_pod(&manifest, &["-d"]).ok();
    wait_for_log(&world, "reap", "reaped\n");
    world.podrt(&["delete", "pod", "reap", "--now"]).ok();
    world.assert_clean();
}
