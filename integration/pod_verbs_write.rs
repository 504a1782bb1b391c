//! `apply`, `create`, `replace`, `label`, `annotate` and `delete`: what they
//! change, and what they say.

use crate::pod_life::{shell_pod, wait_for_log};
use crate::support::{Killed, World};

const SLEEP: &str = "trap 'exit 0' TERM; sleep 1000 & wait";

fn config_map(data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: cm }}\n{data}")
}

#[test]
fn apply_creates_leaves_alone_configures_and_keeps_what_others_set() {
    let world = World::new();
    let apply = |text: &str| {
        let file = world.file("cm.yaml", text);
        world.podrt(&["apply", "-f", &file.to_string_lossy()])
    };
    let value =
        |path: &str| world.podrt(&["get", "cm", "cm", "-o", &format!("jsonpath={path}")]).ok();
    assert_eq!(apply(&config_map("data: { a: '1', b: '2' }")).ok(), "configmap/cm created\n");
    assert_eq!(apply(&config_map("data: { a: '1', b: '2' }")).ok(), "configmap/cm unchanged\n");
    assert_eq!(world.podrt(&["label", "cm", "cm", "by=hand"]).ok(), "configmap/cm labeled\n");
    assert_eq!(apply(&config_map("data: { a: '3' }")).ok(), "configmap/cm configured\n");
    assert_eq!(value("{.data}"), "{\"a\":\"3\"}");
    assert_eq!(value("{.metadata.labels.by}"), "hand");
    let uid = value("{.metadata.uid}");
    assert_eq!(
        apply(&config_map("data: { a: '4' }\nimmutable: true")).ok(),
        "configmap/cm configured\n"
    );
    assert_eq!(
        apply(&config_map("data: { a: '5' }\nimmutable: true")).error(1),
        "podrt: The ConfigMap \"cm\" is invalid: data: Forbidden: field is immutable when `immutable` is set"
    );
    assert_eq!((value("{.data.a}"), value("{.metadata.uid}")), ("4".into(), uid));
    assert_eq!(
        world.podrt(&["delete", "cm", "cm"]).ok(),
        "configmap \"cm\" deleted from default namespace\n"
    );
    assert!(!world.podrt(&["get", "cm", "-A"]).ok().contains("cm"));
}

#[test]
fn an_applied_pod_runs_and_is_recreated_only_when_it_must_be() {
    let world = World::with_fixture();
    let apply = |text: &str| {
        let file = world.file("web.yaml", text);
        world.podrt(&["apply", "-f", &file.to_string_lossy()])
    };
    let uid = || world.podrt(&["get", "pod", "web", "-o", "jsonpath={.metadata.uid}"]).ok();
    let manifest = shell_pod("web", "Always", &format!("echo one; {SLEEP}"));
    assert_eq!(apply(&manifest).ok(), "pod/web created\n");
    wait_for_log(&world, "web", "one\n");
    let first = uid();
    assert_eq!(apply(&manifest).ok(), "pod/web unchanged\n");
    let labelled = manifest.replace("  name: web", "  name: web\n  labels: { tier: front }");
    assert_eq!(apply(&labelled).ok(), "pod/web configured\n");
    assert_eq!(world.podrt(&["get", "po", "-l", "tier=front", "-o", "name"]).ok(), "pod/web\n");
    assert_eq!(uid(), first);
    let other = labelled.replace("echo one", "echo two");
    assert_eq!(apply(&other).ok(), "pod/web configured (recreated)\n");
    assert_ne!(uid(), first);
    wait_for_log(&world, "web", "two\n");
    world.podrt(&["delete", "-f", &world.path().join("web.yaml").to_string_lossy()]).ok();
    world.assert_clean();
}

#[test]
fn a_new_image_restarts_the_container_in_place() {
    let world = World::with_fixture();
    world.podrt(&["image", "tag", crate::support::FIXTURE_IMAGE, "podrt.local/fixture:v2"]).ok();
    let manifest = shell_pod("img", "Never", SLEEP);
    let file = world.file("img.yaml", &manifest);
    let apply = || world.podrt(&["apply", "-f", &file.to_string_lossy()]).ok();
    apply();
    world.wait_pod("img", 10, |pod| pod["status"]["phase"] == "Running");
    let uid = world.pod("img")["metadata"]["uid"].clone();
    world.file("img.yaml", &manifest.replace("fixture:latest", "fixture:v2"));
    assert_eq!(apply(), "pod/img configured\n");
    let pod = world.wait_pod("img", 20, |pod| {
        let status = &pod["status"]["containerStatuses"][0];
        status["restartCount"] == 1 && status["state"]["running"].is_object()
    });
    assert_eq!(pod["metadata"]["uid"], uid);
    assert_eq!(pod["metadata"]["generation"], 2);
    assert_eq!(pod["spec"]["containers"][0]["image"], "podrt.local/fixture:v2");
    let events = world.podrt(&["get", "events"]).ok();
    assert!(events.contains("Container main definition changed, will be restarted"), "{events}");
    world.podrt(&["delete", "pod", "img", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn create_and_replace_tell_what_is_there_and_what_is_not() {
    let world = World::with_fixture();
    let file = world.file("pod.yaml", &shell_pod("web", "Always", SLEEP));
    let file = file.to_string_lossy().into_owned();
    assert_eq!(
        world.podrt(&["replace", "-f", &file]).error(1),
        format!("podrt: error when replacing {file:?}: pods \"web\" not found")
    );
    assert_eq!(world.podrt(&["create", "-f", &file]).ok(), "pod/web created\n");
    assert_eq!(
        world.podrt(&["create", "-f", &file]).error(1),
        format!("podrt: error when creating {file:?}: pods \"web\" already exists")
    );
    assert_eq!(world.podrt(&["replace", "-f", &file]).ok(), "pod/web replaced\n");
    let changed = world.file("pod.yaml", &shell_pod("web", "Never", SLEEP));
    assert!(changed.ends_with("pod.yaml"));
    let refused = world.podrt(&["replace", "-f", &file]).error(1);
    assert!(
        refused
            .starts_with("podrt: The Pod \"web\" is invalid: spec: Forbidden: pod updates may not"),
        "{refused}"
    );
    assert_eq!(
        world.podrt(&["replace", "--force", "-f", &file]).ok(),
        "pod \"web\" deleted from default namespace\npod/web replaced\n"
    );
    world.podrt(&["delete", "pods", "--all", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_label_reaches_a_running_pods_files() {
    let world = World::with_fixture();
    let manifest = "apiVersion: v1
kind: Pod
metadata: { name: down, labels: { tier: a } }
spec:
  containers:
    - name: main
      image: podrt.local/fixture:latest
      command: [sh, -c, \"trap 'exit 0' TERM; sleep 1000 & wait\"]
      volumeMounts: [{ name: info, mountPath: /info }]
  volumes:
    - name: info
      downwardAPI:
        items:
          - { path: tier, fieldRef: { fieldPath: \"metadata.labels['tier']\" } }
";
    world.run_pod(manifest, &["-d"]).ok();
    assert_eq!(
        world.podrt(&["label", "pod", "down", "tier=b"]).error(1),
        "podrt: 'tier' already has a value (a), and --overwrite is false"
    );
    assert_eq!(
        world.podrt(&["label", "pod/down", "tier=b", "--overwrite"]).ok(),
        "pod/down labeled\n"
    );
    assert_eq!(world.podrt(&["label", "pod/down", "tier=b"]).ok(), "pod/down not labeled\n");
    assert_eq!(world.podrt(&["exec", "down", "--", "cat", "/info/tier"]).ok(), "b");
    assert_eq!(world.podrt(&["annotate", "po", "down", "note=x y"]).ok(), "pod/down annotated\n");
    assert_eq!(world.podrt(&["annotate", "po", "down", "--list"]).ok(), "note=x y\n");
    assert_eq!(world.podrt(&["label", "po", "down", "tier-"]).ok(), "pod/down unlabeled\n");
    let bad = world.podrt(&["label", "po", "down", "k=not ok"]).error(1);
    assert!(bad.contains("metadata.labels: Invalid value: \"not ok\""), "{bad}");
    assert_eq!(
        world.podrt(&["label", "po", "gone", "a=b"]).error(1),
        "podrt: pods \"gone\" not found"
    );
    world.podrt(&["delete", "pod", "down", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn get_prints_templates_columns_and_several_types() {
    let world = World::new();
    let file = world.file("cm.yaml", &config_map("data: { k: v }"));
    world.podrt(&["create", "-f", &file.to_string_lossy()]).ok();
    let get = |output: &str| world.podrt(&["get", "cm", "-o", output]);
    assert_eq!(get("jsonpath={.items[*].metadata.name}").ok(), "cm");
    assert_eq!(
        get("custom-columns=N:.metadata.name,K:.data.k,X:.no").ok(),
        "N    K   X\ncm   v   <none>\n"
    );
    assert_eq!(
        get("go-template={{.x}}").error(1),
        "podrt: output format \"go-template\" is not supported: use jsonpath or custom-columns"
    );
    assert!(get("nope").error(1).contains("allowed formats are: custom-columns,json,"));
    assert!(get("jsonpath={.x").error(1).contains("unclosed action"));
    assert!(world.podrt(&["get", "cm,secret"]).ok().contains("configmap/cm   1"));
    let some = world.podrt(&["get", "cm", "cm", "gone"]);
    assert!(some.stdout.contains("cm") && some.code == 1, "{some:?}");
    assert_eq!(some.stderr, "podrt: configmaps \"gone\" not found\n");
}

#[test]
fn folders_and_namespaces_are_read_as_kubectl_reads_them() {
    let world = World::new();
    let dir = world.path().join("all");
    std::fs::create_dir_all(dir.join("below")).expect("mkdir");
    std::fs::write(dir.join("a.yaml"), config_map("data: {}")).expect("write");
    std::fs::write(dir.join("b.txt"), "not read").expect("write");
    std::fs::write(
        dir.join("below/c.yml"),
        config_map("data: {}").replace("name: cm", "name: deep, namespace: other"),
    )
    .expect("write");
    let dir = dir.to_string_lossy().into_owned();
    assert_eq!(world.podrt(&["apply", "-f", &dir]).ok(), "configmap/cm created\n");
    assert_eq!(
        world.podrt(&["apply", "-R", "-f", &dir, "-o", "name"]).ok(),
        "configmap/cm\nconfigmap/deep\n"
    );
    assert_eq!(
        world.podrt(&["apply", "-n", "mine", "-R", "-f", &dir]).error(1),
        "podrt: the namespace from the provided object \"other\" does not match the namespace \"mine\". You must pass '--namespace=other' to perform this operation."
    );
    assert_eq!(
        world.podrt(&["apply", "-f", "/no/such"]).error(1),
        "podrt: the path \"/no/such\" does not exist"
    );
    let deleted = world.podrt(&["delete", "cm", "--all", "-n", "other"]).ok();
    assert_eq!(deleted, "configmap \"deep\" deleted from other namespace\n");
}

#[test]
fn a_watch_prints_what_is_there_and_then_every_change() {
    use std::io::{BufRead as _, BufReader};
    let world = World::new();
    let mut child = Killed::spawn(world.command(&["get", "cm", "-w", "--no-headers"]));
    let mut lines = BufReader::new(child.0.stdout.take().expect("stdout")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    let file = world.file("cm.yaml", &config_map("data: { k: v }"));
    // The watch may not have begun before the first write.
    world.podrt(&["apply", "-f", &file.to_string_lossy()]).ok();
    assert!(next().starts_with("cm   1"), "created");
    world.file("cm.yaml", &config_map("data: { k: v, l: w }"));
    world.podrt(&["apply", "-f", &file.to_string_lossy()]).ok();
    assert!(next().starts_with("cm   2"), "changed");
    world.podrt(&["delete", "cm", "cm"]).ok();
    assert!(next().starts_with("cm   2"), "gone");
}

#[test]
fn config_maps_and_secrets_are_made_of_literals_files_and_lines() {
    let world = World::with_fixture();
    let file = world.file("app.conf", "a = 1\n");
    let env = world.file("lines.env", "# none\nA=b c\n\nC=\n");
    let (file, env) = (file.to_string_lossy(), env.to_string_lossy());
    let from_file = format!("--from-file={file}");
    let renamed = format!("--from-file=other={file}");
    let args = ["create", "configmap", "cm", &from_file, &renamed, "--from-literal=k=v=w"];
    assert_eq!(world.podrt(&args).ok(), "configmap/cm created\n");
    assert_eq!(
        world.podrt(&args).error(1),
        "podrt: failed to create configmap: configmaps \"cm\" already exists"
    );
    let show = |kind: &str, name: &str| -> serde_json::Value {
        let text = world.podrt(&["get", kind, name, "-o", "json"]).ok();
        serde_json::from_str(&text).expect("JSON")
    };
    let data = serde_json::json!({"app.conf": "a = 1\n", "other": "a = 1\n", "k": "v=w"});
    assert_eq!(show("configmap", "cm")["data"], data);
    let env = format!("--from-env-file={env}");
    let args = ["create", "secret", "generic", "s", &env, "--type=example.com/kind"];
    assert_eq!(world.podrt(&args).ok(), "secret/s created\n");
    let secret = show("secret", "s");
    assert_eq!(secret["data"], serde_json::json!({"A": "YiBj", "C": ""}));
    assert_eq!(secret["type"], "example.com/kind");

    let manifest = shell_pod("reads", "Never", "echo $A $(cat /cm/k)")
        + "      envFrom: [ { secretRef: { name: s } } ]
      volumeMounts: [ { name: cm, mountPath: /cm } ]
  volumes: [ { name: cm, configMap: { name: cm } } ]
";
    world.run_pod(&manifest, &[]).ok();
    assert_eq!(world.podrt(&["logs", "reads"]).ok(), "b c v=w\n");
    world.podrt(&["delete", "pod", "reads"]).ok();
    world.podrt(&["delete", "configmap/cm", "secret/s"]).ok();
    world.assert_clean();
}

#[test]
fn what_create_would_make_is_printed_and_not_made() {
    let world = World::with_fixture();
    let args = ["create", "cm", "cm", "--from-literal=a=b", "--dry-run=client", "-o", "yaml"];
    let yaml = "apiVersion: v1\ndata:\n  a: b\nkind: ConfigMap\nmetadata:\n  name: cm\n";
    assert_eq!(world.podrt(&args).ok(), yaml);
    assert_eq!(
        world.podrt(&[&args[..], &["-n", "x"]].concat()).ok(),
        format!("{yaml}  namespace: x\n")
    );
    assert_eq!(world.podrt(&["get", "configmaps", "-A"]).ok(), "");
    let dry = ["create", "namespace", "n", "--dry-run=client"];
    assert_eq!(world.podrt(&dry).ok(), "namespace/n created (dry run)\n");
    assert_eq!(world.podrt(&["create", "ns", "n"]).ok(), "namespace/n created\n");
    assert_eq!(
        world.podrt(&["create", "ns", "n"]).error(1),
        "podrt: namespaces \"n\" already exists"
    );
    let hashed = ["create", "configmap", "one", "--append-hash", "-o", "name"];
    let name = world.podrt(&hashed).ok();
    assert_eq!(name.trim().len(), "configmap/one-0123456789".len(), "{name}");
    let refused = |args: &[&str], text: &str| {
        assert_eq!(world.podrt(&[&["create"], args].concat()).error(1), format!("podrt: {text}"));
    };
    refused(&["secret", "generic"], "exactly one NAME is required, got 0");
    refused(
        &["configmap", "x", "--from-file=/no/such"],
        "error reading /no/such: no such file or directory",
    );
    refused(
        &["configmap", "x", "--from-literal=a=b", "--from-env-file=/dev/null"],
        "from-env-file cannot be combined with from-file or from-literal",
    );
    refused(&["quota", "x"], "create quota is not supported: write a manifest and use create -f");
    world.podrt(&["delete", "namespace", "n"]).ok();
    world.podrt(&["delete", name.trim()]).ok();
    world.assert_clean();
}
