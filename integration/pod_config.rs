//! Environment, volumes, identity and limits as a container sees them.

use crate::pod_life::shell_pod;
use crate::support::{FIXTURE_IMAGE, World, skip};

#[test]
fn config_maps_and_secrets_reach_variables_and_files() {
    let world = World::with_fixture();
    let manifest = format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{ name: cm }}
data: {{ key: value, other: two }}
---
apiVersion: v1
kind: Secret
metadata: {{ name: sec }}
stringData: {{ token: hush }}
---
apiVersion: v1
kind: Pod
metadata: {{ name: conf, labels: {{ app: x }} }}
spec:
  restartPolicy: Never
  volumes:
    - {{ name: c, configMap: {{ name: cm }} }}
    - {{ name: s, secret: {{ secretName: sec, defaultMode: 0400 }} }}
    - {{ name: d, downwardAPI: {{ items: [ {{ path: labels, fieldRef: {{ fieldPath: metadata.labels }} }} ] }} }}
  containers:
    - name: main
      image: {FIXTURE_IMAGE}
      command: [sh, -c]
      args:
        - |
          env | grep ^DIRECT | cut -d= -f2; echo $KEY $TOKEN $PRE_key $NAME
          cat /c/key /s/token /d/labels; echo
          readlink /c/key; readlink /c/..data | cut -c1-4
          touch /c/new 2>&1 | grep -o 'Read-only file system'
          stat -L -c %a /s/token
          stat -f -c %T /s
      env:
        - {{ name: DIRECT, value: '$$(X)' }}
        - {{ name: KEY, valueFrom: {{ configMapKeyRef: {{ name: cm, key: key }} }} }}
        - {{ name: TOKEN, valueFrom: {{ secretKeyRef: {{ name: sec, key: token }} }} }}
        - {{ name: NAME, valueFrom: {{ fieldRef: {{ fieldPath: metadata.name }} }} }}
      envFrom: [ {{ prefix: PRE_, configMapRef: {{ name: cm }} }} ]
      volumeMounts:
        - {{ name: c, mountPath: /c }}
        - {{ name: s, mountPath: /s }}
        - {{ name: d, mountPath: /d }}
"
    );
    world.run_pod(&manifest, &[]).ok();
    let log = world.podrt(&["logs", "conf"]).ok();
    let want = "$(X)\nvalue hush value conf\nvaluehushapp=\"x\"\n..data/key\n..20\n\
                Read-only file system\n400\ntmpfs\n";
    assert_eq!(log, want);
    world.podrt(&["delete", "pod", "conf"]).ok();
    world.assert_clean();
}

#[test]
fn a_missing_config_map_is_a_config_error_that_names_it() {
    let world = World::with_fixture();
    let manifest = shell_pod("nocm", "Never", "true")
        + "      envFrom: [ { configMapRef: { name: gone } } ]\n";
    let ran = world.run_pod(&manifest, &["-d"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("CreateContainerConfigError: configmap \"gone\" not found"),
        "{ran:?}"
    );
    world.podrt(&["get", "pod", "nocm"]).error(1);
    world.assert_clean();
}

#[test]
fn the_generated_files_are_the_kubelets() {
    let world = World::with_fixture();
    let manifest = shell_pod("files", "Never", "cat /etc/hosts /etc/hostname").replace(
        "spec:\n",
        "spec:\n  hostAliases: [ { ip: 10.1.2.3, hostnames: [ a.example, b ] } ]\n  subdomain: sub\n",
    );
    world.run_pod(&manifest, &[]).ok();
    let log = world.podrt(&["logs", "files"]).ok();
    let pod = world.pod("files");
    let ip = pod["status"]["podIP"].as_str().expect("podIP");
    let want = format!(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n\
         {ip}\tfiles.sub.default.svc.cluster.local\tfiles\n\n# Entries added by HostAliases.\n10.1.2.3\ta.example\tb\nfiles\n"
    );
    assert_eq!(log, want);
    world.podrt(&["delete", "pod", "files"]).ok();
    world.assert_clean();
}

#[test]
fn security_settings_are_in_force() {
    let world = World::with_fixture();
    let manifest = shell_pod(
        "sec",
        "Never",
        "id -u; id -g; grep -E '^(NoNewPrivs|CapEff|CapBnd)' /proc/self/status; touch /x 2>&1 | grep -o 'Read-only file system'; touch /tmp/e && echo writable",
    ) + "      securityContext: { runAsUser: 1000, runAsGroup: 2000, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: [ALL] } }\n      volumeMounts: [ { name: t, mountPath: /tmp } ]\n  volumes: [ { name: t, emptyDir: { medium: Memory } } ]\n";
    world.run_pod(&manifest, &[]).ok();
    let log = world.podrt(&["logs", "sec"]).ok();
    let zero = "0000000000000000";
    let want = format!(
        "1000\n2000\nCapEff:\t{zero}\nCapBnd:\t{zero}\nNoNewPrivs:\t1\nRead-only file system\nwritable\n"
    );
    assert_eq!(log, want);
    world.podrt(&["delete", "pod", "sec"]).ok();
    world.assert_clean();
}

#[test]
fn run_as_non_root_refuses_a_root_image_in_the_kubelets_words() {
    let world = World::with_fixture();
    let manifest =
        shell_pod("root", "Never", "true") + "      securityContext: { runAsNonRoot: true }\n";
    let ran = world.run_pod(&manifest, &["-d"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("container has runAsNonRoot and image will run as root"),
        "{ran:?}"
    );
    world.assert_clean();
}

#[test]
fn a_memory_limit_kills_and_says_oom_killed() {
    let v2 = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    if !v2.contains("memory") && !std::path::Path::new("/sys/fs/cgroup/memory").is_dir() {
        return skip("a_memory_limit_kills_and_says_oom_killed", "no memory controller");
    }
    let world = World::with_fixture();
    let manifest = shell_pod("oom", "Never", "x=a; while true; do x=$x$x; done")
        + "      resources: { limits: { memory: 32Mi } }\n";
    assert_eq!(world.run_pod(&manifest, &[]).code, 137);
    let pod = world.pod("oom");
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(ended["reason"], "OOMKilled", "{pod:#}");
    assert_eq!(pod["status"]["qosClass"], "Burstable");
    world.podrt(&["delete", "pod", "oom"]).ok();
    world.assert_clean();
}
