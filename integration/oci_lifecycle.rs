//! A container's life by the OCI verbs, with runc's exit codes and the phrases
//! that callers search for.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Bundle, World};

fn state(world: &World, id: &str) -> Value {
    serde_json::from_str(&world.podrt(&["state", id]).ok()).expect("state prints JSON")
}

/// Waits until the container has `status`.
#[track_caller]
pub fn wait_status(world: &World, id: &str, status: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let now = state(world, id);
        if now["status"] == status {
            return;
        }
        assert!(Instant::now() < deadline, "not {status} but {now}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_container_is_created_started_stopped_and_deleted() {
    let world = World::new();
    let id = world.name("c");
    let bundle = Bundle::new(&world, "b", &["sh", "-c", "echo ran >/out; exec sleep 1000"]);
    let pid_file = world.path().join("pid");
    let path = bundle.write();
    world.podrt(&["create", "--bundle", &path, "--pid-file", pid_file.to_str().unwrap(), &id]).ok();

    let created = state(&world, &id);
    assert_eq!(created["status"], "created");
    assert_eq!(created["ociVersion"], "1.2.0");
    assert_eq!(created["bundle"], path);
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), created["pid"].to_string(), "no newline");
    assert!(!bundle.rootfs().join("out").exists(), "the program waits");

    world.podrt(&["start", &id]).ok();
    wait_status(&world, &id, "running");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !bundle.rootfs().join("out").exists() {
        assert!(Instant::now() < deadline, "the program did not run");
        std::thread::sleep(Duration::from_millis(5));
    }
    let again = world.podrt(&["start", &id]).error(1);
    assert!(again.contains("cannot start a container that is running"), "{again}");
    let running = world.podrt(&["delete", &id]).error(1);
    assert!(
        running.ends_with(&format!("cannot delete container {id} that is not stopped: running")),
        "{running}"
    );

    for signal in ["0", "USR1", "SIGUSR1", "12"] {
        world.podrt(&["kill", &id, signal]).ok();
    }
    world.podrt(&["kill", &id, "KILL"]).ok();
    wait_status(&world, &id, "stopped");
    assert_eq!(state(&world, &id)["pid"], 0);
    assert!(world.podrt(&["kill", &id, "TERM"]).error(1).ends_with("container not running"));
    world.podrt(&["kill", "--all", &id, "KILL"]).ok();
    assert_eq!(world.podrt(&["ps", "--format", "json", &id]).ok(), "null\n");
    world.podrt(&["delete", &id]).ok();
    world.assert_clean();
}

#[test]
fn a_missing_container_does_not_exist_for_any_verb() {
    let world = World::new();
    for verb in ["state", "start", "kill", "delete", "pause", "resume", "ps"] {
        let error = world.podrt(&[verb, "nope"]).error(1);
        assert!(error.contains("does not exist"), "{verb}: {error}");
    }
    assert!(world.podrt(&["exec", "nope", "true"]).error(255).contains("does not exist"));
    world.podrt(&["delete", "--force", "nope"]).ok();
    world.assert_clean();
}

#[test]
fn an_id_is_taken_once_and_a_bad_one_never() {
    let world = World::new();
    let id = world.name("c");
    let path = Bundle::new(&world, "b", &["sleep", "1000"]).write();
    world.podrt(&["create", "-b", &path, &id]).ok();
    let taken = world.podrt(&["create", "-b", &path, &id]).error(1);
    assert!(taken.contains("already exists"), "{taken}");
    assert_eq!(state(&world, &id)["status"], "created", "the first is untouched");
    for bad in ["a/b", "..", "pods", "a b"] {
        world.podrt(&["create", "-b", &path, bad]).error(1);
    }
    // A created one needs no force.
    world.podrt(&["delete", &id]).ok();
    world.assert_clean();
}

#[test]
fn run_waits_and_returns_the_programs_exit_code() {
    let world = World::new();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)] {
        let id = world.name("c");
        // A process 1 is immune to signals of its own: let a child die.
        let script = if code == 137 { "sh -c 'kill -9 $$'; exit $?" } else { script };
        let path = Bundle::new(&world, "b", &["sh", "-c", script]).write();
        let ran = world.podrt(&["run", "--bundle", &path, &id]);
        assert_eq!(ran.code, code, "{}", ran.stderr);
        world.podrt(&["state", &id]).error(1);
    }
    world.assert_clean();
}

#[test]
fn pause_freezes_and_resume_goes_on() {
    let world = World::new();
    let id = world.name("c");
    let path = Bundle::new(&world, "b", &["sleep", "1000"]).write();
    world.podrt(&["run", "-d", "-b", &path, &id]).ok();
    world.podrt(&["resume", &id]).error(1);
    world.podrt(&["pause", &id]).ok();
    assert_eq!(state(&world, &id)["status"], "paused");
    world.podrt(&["pause", &id]).error(1);
    assert!(world.podrt(&["exec", &id, "true"]).error(255).contains("paused"));
    world.podrt(&["resume", &id]).ok();
    wait_status(&world, &id, "running");
    world.podrt(&["pause", &id]).ok();
    world.podrt(&["delete", "--force", &id]).ok();
    world.assert_clean();
}

#[test]
fn a_created_container_can_be_paused_and_starts_only_when_it_is_resumed() {
    let world = World::new();
    let id = world.name("c");
    let path = Bundle::new(&world, "b", &["sleep", "1000"]).write();
    world.podrt(&["create", "-b", &path, &id]).ok();
    world.podrt(&["pause", &id]).ok();
    assert_eq!(state(&world, &id)["status"], "paused");
    let error = world.podrt(&["start", &id]).error(1);
    assert!(error.contains("cannot start a container that is paused"), "{error}");
    let error = world.podrt(&["delete", &id]).error(1);
    assert!(error.contains("that is not stopped: paused"), "{error}");
    world.podrt(&["resume", &id]).ok();
    assert_eq!(state(&world, &id)["status"], "created");
    world.podrt(&["start", &id]).ok();
    wait_status(&world, &id, "running");
    world.podrt(&["delete", "--force", &id]).ok();
    world.assert_clean();
}

#[test]
fn list_and_ps_show_what_runs() {
    let world = World::new();
    let (id, other) = (world.name("a"), world.name("b"));
    let path = Bundle::new(&world, "b", &["sleep", "1000"]).write();
    assert_eq!(world.podrt(&["list", "--format", "json"]).ok(), "null\n");
    world.podrt(&["run", "-d", "-b", &path, &id]).ok();
    world.podrt(&["create", "-b", &path, &other]).ok();
    assert_eq!(world.podrt(&["list", "-q"]).ok(), format!("{id}\n{other}\n"));
    let list: Value =
        serde_json::from_str(&world.podrt(&["list", "--format=json"]).ok()).expect("JSON");
    assert_eq!(list[0]["status"], "running");
    assert_eq!(list[1]["status"], "created");
    assert_eq!(list[0]["owner"], "root");
    let pids: Value =
        serde_json::from_str(&world.podrt(&["ps", "--format", "json", &id]).ok()).expect("JSON");
    assert_eq!(pids, json!([state(&world, &id)["pid"]]));
    assert!(world.podrt(&["list"]).ok().starts_with("ID "));
    for id in [&id, &other] {
        world.podrt(&["delete", "-f", id]).ok();
    }
    world.assert_clean();
}

#[test]
fn a_pid_that_belongs_to_somebody_else_now_is_not_the_container() {
    let world = World::new();
    let id = world.name("c");
    let path = Bundle::new(&world, "b", &["sleep", "1000"]).write();
    world.podrt(&["create", "-b", &path, &id]).ok();
    let record = world.root().join(&id).join("state.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    let real = json["startTime"].clone();
    json["startTime"] = json!(real.as_u64().unwrap() - 1);
    fs::write(&record, json.to_string()).unwrap();
    assert_eq!(state(&world, &id)["status"], "stopped");
    assert!(world.podrt(&["kill", &id, "KILL"]).error(1).contains("container not running"));
    json["startTime"] = real;
    fs::write(&record, json.to_string()).unwrap();
    world.podrt(&["delete", &id]).ok();
    world.assert_clean();
}

#[test]
fn all_processes_end_with_a_container_that_shares_the_hosts_pid_namespace() {
    let world = World::new();
    let id = world.name("c");
    let mut bundle = Bundle::new(&world, "b", &["sh", "-c", "sleep 1000 & exec sleep 1001"]);
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    let path = bundle.write();
    world.podrt(&["run", "-d", "-b", &path, &id]).ok();
    let deadline = Instant::now() + Duration::from_secs(60);
    let count = || {
        let text = world.podrt(&["ps", "-f", "json", &id]).ok();
        serde_json::from_str::<Value>(&text).unwrap().as_array().map_or(0, Vec::len)
    };
    while count() < 2 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    world.podrt(&["kill", &id, "KILL"]).ok();
    wait_status(&world, &id, "stopped");
    let deadline = Instant::now() + Duration::from_secs(60);
    while count() > 0 {
        assert!(Instant::now() < deadline, "a process outlived SIGKILL");
        std::thread::sleep(Duration::from_millis(5));
    }
    world.podrt(&["delete", &id]).ok();
    world.assert_clean();
}

#[test]
fn errors_go_to_the_log_file_in_the_form_callers_read() {
    let world = World::new();
    let log = world.path().join("log.json");
    let path = log.to_str().unwrap();
    let ran = world.podrt(&["--log", path, "--log-format", "json", "state", "nope"]);
    let error = ran.error(1);
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text.lines().count(), 1, "podman reads the file as one object");
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["level"], "error");
    assert_eq!(format!("podrt: {}", line["msg"].as_str().unwrap()), error);
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
    world.podrt(&["--log", path, "--log-format", "json", "state", "nope"]).error(1);
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 2, "appended");
}

#[test]
fn spec_and_features_print_what_tools_expect() {
    let world = World::new();
    let folder = world.path().to_str().unwrap().to_owned();
    world.podrt(&["spec", "--bundle", &folder]).ok();
    let spec: Value =
        serde_json::from_slice(&fs::read(world.path().join("config.json")).unwrap()).unwrap();
    assert_eq!(spec["process"]["terminal"], true);
    assert!(world.podrt(&["spec", "-b", &folder]).error(1).contains("exists"));
    let features: Value = serde_json::from_str(&world.podrt(&["features"]).ok()).unwrap();
    assert!(features["mountOptions"].as_array().unwrap().iter().any(|option| option == "rro"));
    let version = world.podrt(&["--version"]).ok();
    let lines: Vec<&str> = version.lines().collect();
    assert!(lines[0].starts_with("podrt version "));
    assert!(lines[1].starts_with("commit: ") && lines[2].starts_with("spec: "));
}

#[test]
fn a_shell_completes_verbs_flags_and_ids() {
    let world = World::new();
    let id = world.name("c");
    let path = Bundle::new(&world, "b", &["true"]).write();
    world.podrt(&["create", "-b", &path, &id]).ok();
    let script = world.podrt(&["completion", "bash"]).ok();
    let completed = |words: &[&str]| {
        let line = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let podrt = crate::support::podrt_path();
        let asked = format!(
            "podrt() {{ '{}' \"$@\"; }}\n{script}\nCOMP_WORDS=(podrt {line})\n\
             COMP_CWORD={}\n_podrt\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            podrt.display(),
            words.len()
        );
        let mut command = std::process::Command::new("bash");
        let ran = crate::support::run(command.args(["-c", &asked]).env("PODRT_ROOT", world.root()));
        ran.ok().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(completed(&["upd"]), ["update"]);
    assert_eq!(completed(&["--root", "/x", "feat"]), ["features"]);
    assert_eq!(completed(&["exec", "--ignore"]), ["--ignore-paused"]);
    assert_eq!(completed(&["start", &id[..id.len() - 1]]), [id.as_str()]);
    world.podrt(&["delete", &id]).ok();
    world.assert_clean();
}
