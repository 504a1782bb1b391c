//! The pod verbs as a user types them, and what they say when something is
//! wrong.

use crate::pod_life::{shell_pod, wait_for_log};
use crate::support::World;

#[test]
fn get_prints_kubectls_columns_and_formats() {
    let world = World::with_fixture();
    assert_eq!(world.podrt(&["get", "pods"]).stderr, "No resources found in default namespace.\n");
    world.run_pod(&shell_pod("web", "Always", "sleep 1000"), &["-d"]).ok();
    let table = world.podrt(&["get", "pods"]).ok();
    let lines: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]);
    assert_eq!(lines[1][..4], ["web", "1/1", "Running", "0"]);
    assert_eq!(world.podrt(&["get", "po", "-o", "name"]).ok(), "pod/web\n");
    let wide = world.podrt(&["get", "pods", "-o", "wide"]).ok();
    assert!(wide.contains("NOMINATED NODE"), "{wide}");
    let yaml = world.podrt(&["get", "pod/web", "-o", "yaml"]).ok();
    assert!(yaml.starts_with("apiVersion: v1\nkind: Pod\n"), "{yaml}");
    let list: serde_json::Value =
        serde_json::from_str(&world.podrt(&["get", "pods", "-A", "-o", "json"]).ok())
            .expect("JSON");
    assert_eq!(list["kind"], "List");
    assert_eq!(list["items"][0]["status"]["containerStatuses"][0]["ready"], true);
    let described = world.podrt(&["describe", "pod", "web"]).ok();
    for text in ["Name:             web", "State:          Running", "Container started"] {
        assert!(described.contains(text), "{text:?} is not in\n{described}");
    }
    world.podrt(&["delete", "pod", "web", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn exec_runs_beside_the_container_and_passes_code_and_streams() {
    let world = World::with_fixture();
    world.run_pod(&shell_pod("box", "Always", "touch /here; echo up; sleep 1000"), &["-d"]).ok();
    wait_for_log(&world, "box", "up\n");
    let ran = world.podrt(&["exec", "box", "--", "sh", "-c", "ls /here; echo no >&2; exit 5"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (5, "/here\n", "no\n"));
    let missing = world.podrt(&["exec", "box", "--", "/no/such"]);
    assert_ne!(missing.code, 0);
    assert!(missing.stderr.contains("no such file or directory"), "{missing:?}");
    let gone = world.podrt(&["exec", "gone", "--", "true"]);
    assert_eq!(gone.error(1), "podrt: pods \"gone\" not found");
    world.podrt(&["delete", "pod", "box", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn exec_with_input_reads_it_to_its_end() {
    use std::io::Write as _;
    use std::process::Stdio;
    let world = World::with_fixture();
    world.run_pod(&shell_pod("cat", "Always", "sleep 1000"), &["-d"]).ok();
    let mut command = world.command(&["exec", "-i", "cat", "--", "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("spawn");
    child.stdin.take().expect("stdin").write_all(b"through\n").expect("write");
    let output = child.wait_with_output().expect("wait");
    assert_eq!(output.stdout, b"through\n");
    assert_eq!(output.status.code(), Some(0));
    world.podrt(&["delete", "pod", "cat", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn logs_has_tail_previous_and_timestamps() {
    let world = World::with_fixture();
    let script = "echo one; echo two; echo three; exit 1";
    world.run_pod(&shell_pod("log", "OnFailure", script), &["-d"]).ok();
    world.wait_pod("log", 10, |pod| {
        let status = &pod["status"]["containerStatuses"][0];
        status["restartCount"] == 1 && status["state"]["waiting"].is_object()
    });
    assert_eq!(world.podrt(&["logs", "log", "--tail=1"]).ok(), "three\n");
    assert_eq!(world.podrt(&["logs", "log", "-p"]).ok(), "one\ntwo\nthree\n");
    let stamped = world.podrt(&["logs", "log", "--timestamps", "--tail=1"]).ok();
    assert!(stamped.ends_with("Z three\n") && stamped.starts_with("20"), "{stamped}");
    assert_eq!(
        world.podrt(&["logs", "log", "-c", "nope"]).error(1),
        "podrt: container nope is not valid for pod log"
    );
    world.podrt(&["delete", "pod", "log", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_wrong_manifest_gets_every_field_error_with_its_place_and_makes_nothing() {
    let world = World::new();
    let manifest = "apiVersion: v1
kind: Pod
metadata:
  name: Bad_Name
spec:
  restartPolicy: Sometimes
  containers:
    - name: a
      ports:
        - containerPort: 70000
";
    let ran = world.run_pod(manifest, &[]);
    assert_ne!(ran.code, 0);
    for text in [
        "The Pod \"Bad_Name\" is invalid",
        "metadata.name: Invalid value: \"Bad_Name\"",
        "spec.containers[0].image: Required value",
        "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        "pod.yaml:6:18",
    ] {
        assert!(ran.stderr.contains(text), "{text:?} is not in\n{}", ran.stderr);
    }
    assert!(!world.root().join("pods").exists());
    world.assert_clean();
}

#[test]
fn a_field_nobody_knows_is_an_error_with_its_place() {
    let world = World::new();
    let manifest =
        shell_pod("x", "Never", "true").replace("spec:", "spec:\n  restartPolice: Never");
    let ran = world.run_pod(&manifest, &[]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("unknown field \"spec.restartPolice\""), "{ran:?}");
    world.assert_clean();
}

#[test]
fn an_image_that_is_not_there_is_named_before_anything_is_made() {
    let world = World::new();
    let manifest = shell_pod("x", "Never", "true").replace("fixture:latest", "missing:v1");
    let ran = world.run_pod(&manifest, &[]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.starts_with(
            "podrt: container \"main\": image \"podrt.local/missing:v1\" not found\nhint: "
        ),
        "{ran:?}"
    );
    world.podrt(&["get", "pod", "x"]).error(1);
    world.assert_clean();
}

#[test]
fn unknown_verbs_flags_and_files_get_one_line() {
    let world = World::new();
    assert!(world.podrt(&["frobnicate"]).error(2).contains("\"frobnicate\""));
    assert!(world.podrt(&["--frob", "get"]).error(2).contains("--frob"));
    assert_eq!(
        world.podrt(&["run", "/no/such.yaml"]).error(1),
        "podrt: /no/such.yaml: no such file or directory"
    );
    assert!(world.podrt(&["get", "gizmos"]).error(1).contains("gizmos"));
}

#[test]
fn a_user_who_is_not_root_is_told_so() {
    use std::os::unix::process::CommandExt as _;
    let world = World::new();
    let path = world.file("pod.yaml", &shell_pod("x", "Never", "true"));
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(world.path(), readable).expect("chmod");
    let copy = world.path().join("podrt");
    std::fs::copy(crate::support::podrt_path(), &copy).expect("copy");
    let mut command = std::process::Command::new(&copy);
    command
        .args(["run", &path.to_string_lossy()])
        .uid(65534)
        .gid(65534)
        .env("PODRT_ROOT", world.root());
    let ran = crate::support::run(&mut command);
    assert!(ran.error(1).contains("must be root"));
}
