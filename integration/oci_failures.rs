//! What goes wrong leaves nothing behind and says what callers search for.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::{Bundle, World};

/// Shapes a bundle's config into one that must fail.
type Change = fn(&mut Value);

#[test]
fn a_create_that_fails_names_its_stage_and_leaves_nothing() {
    let world = World::new();
    let cases: [(&str, Change); 12] = [
        ("executable file not found in $PATH", |c| c["process"]["args"] = json!(["nope"])),
        ("no such file or directory", |c| c["process"]["args"] = json!(["/nope"])),
        ("is a directory", |c| c["process"]["args"] = json!(["/tmp"])),
        ("permission denied", |c| c["process"]["args"] = json!(["/etc/passwd"])),
        ("chdir to cwd", |c| c["process"]["cwd"] = json!("/etc/passwd")),
        ("no such file or directory", |c| {
            c["mounts"].as_array_mut().unwrap().push(json!(
                {"destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"]}));
        }),
        ("rlimits", |c| {
            c["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 10_000_000_000_u64, "hard": 10_000_000_000_u64}]);
        }),
        ("write sysctls", |c| {
            c["linux"]["sysctl"] = json!({"net.no.such.thing": "1"});
        }),
        ("not in a separate kernel namespace", |c| {
            c["linux"]["sysctl"] = json!({"kernel.panic": "1"});
        }),
        ("root", |c| c["root"]["path"] = json!("no-such-rootfs")),
        ("namespace", |c| {
            c["linux"]["namespaces"].as_array_mut().unwrap()[1]["path"] = json!("/no/such/ns");
        }),
        ("createContainer hook", |c| {
            c["hooks"] = json!({"createContainer": [{"path": "/bin/false"}]});
        }),
    ];
    for (at, (phrase, change)) in cases.into_iter().enumerate() {
        let id = world.name(&format!("c{at}"));
        let mut bundle = Bundle::new(&world, "b", &["true"]);
        change(&mut bundle.config);
        let path = bundle.write();
        let pid_file = world.path().join("pid");
        let error = world
            .podrt(&["create", "-b", &path, "--pid-file", pid_file.to_str().unwrap(), &id])
            .error(1);
        assert!(error.contains(phrase), "{at}: {error}");
        assert!(!pid_file.exists());
        world.assert_clean();
    }
}

/// A failure at each stage of a creation that a config or a command line can
/// bring about, besides those of the test above.
#[test]
fn a_failure_at_any_stage_leaves_nothing_behind() {
    let world = World::new();
    let cases: [(&str, Change); 17] = [
        ("set devices: bad value", |c| {
            c["linux"]["resources"]["devices"] = json!([{"allow": true, "access": "x"}]);
        }),
        ("set unified: bad value", |c| {
            c["linux"]["resources"]["unified"] = json!({"../x.y": "1"});
        }),
        ("map users", |c| {
            add_namespace(c, "user");
            let twice = json!([{"containerID": 0, "hostID": 0, "size": 10},
                               {"containerID": 5, "hostID": 100, "size": 10}]);
            c["linux"]["uidMappings"] = twice.clone();
            c["linux"]["gidMappings"] = twice;
        }),
        ("join namespaces", |c| {
            // Another kind of namespace than the one that is asked for.
            c["linux"]["namespaces"][1]["path"] = json!("/proc/self/ns/ipc");
        }),
        ("set time offsets", |c| {
            add_namespace(c, "time");
            c["linux"]["timeOffsets"] = json!({"boottime": {"secs": -1_000_000_000_i64}});
        }),
        ("prestart hook", |c| c["hooks"] = json!({"prestart": [{"path": "/bin/false"}]})),
        ("createRuntime hook", |c| c["hooks"] = json!({"createRuntime": [{"path": "/bin/false"}]})),
        ("set the hostname", |c| c["hostname"] = json!("x".repeat(65))),
        ("set the hostname", |c| c["domainname"] = json!("x".repeat(65))),
        ("set up the root file system", |c| {
            c["mounts"][0]["type"] = json!("no-such-file-system");
        }),
        ("set up the root file system", |c| {
            c["linux"]["devices"] = json!([{"path": "/proc", "type": "c", "major": 1, "minor": 3}]);
        }),
        ("set up the root file system: set up console", |c| {
            c["process"]["terminal"] = json!(true);
            let mounts = c["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| mount["destination"] != "/dev/pts");
        }),
        ("set the scheduling", |c| {
            c["process"]["scheduler"] = json!({"policy": "SCHED_OTHER", "nice": 0, "priority": 9});
        }),
        ("become the user", |c| {
            add_namespace(c, "user");
            let few = json!([{"containerID": 0, "hostID": 0, "size": 10}]);
            c["linux"]["uidMappings"] = few.clone();
            c["linux"]["gidMappings"] = few;
            c["process"]["user"] = json!({"uid": 77, "gid": 0});
            let mounts = c["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| {
                mount["destination"] != "/dev/pts" || mount["options"][5] != "gid=5"
            });
        }),
        ("seccomp", |c| {
            c["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_NOTIFY"});
        }),
        ("send the seccomp listener", |c| {
            c["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/no/such/socket",
                "syscalls": [{"names": ["chroot"], "action": "SCMP_ACT_NOTIFY"}],
            });
        }),
        ("is given twice", |c| {
            let limit = json!({"type": "RLIMIT_CORE", "soft": 1, "hard": 1});
            c["process"]["rlimits"] = json!([limit, limit]);
        }),
    ];
    let mut wrong = Vec::new();
    for (at, (phrase, change)) in cases.into_iter().enumerate() {
        let id = world.name(&format!("c{at}"));
        let mut bundle = Bundle::new(&world, "b", &["true"]);
        change(&mut bundle.config);
        let terminal = bundle.config["process"]["terminal"] == json!(true);
        let path = bundle.write();
        // A terminal needs somebody who takes it: `run` does.
        let verb = if terminal { "run" } else { "create" };
        let ran = world.podrt(&[verb, "-b", &path, &id]);
        let error = if ran.code == 1 { ran.stderr } else { format!("{ran:?}") };
        if !error.contains(phrase) {
            wrong.push(format!("{at}: wanted {phrase:?} in {error}"));
        }
        world.assert_clean();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn add_namespace(config: &mut Value, kind: &str) {
    config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": kind}));
}

#[test]
fn what_cannot_be_delivered_undoes_the_container() {
    let world = World::new();
    let path = Bundle::new(&world, "b", &["true"]).write();
    for args in [
        &["--pid-file", "/no/such/folder/pid"][..],
        &["--pidfd-socket", "/no/such/socket"],
        &["--console-socket", "/no/such/socket"],
    ] {
        let id = world.name("c");
        let all = [&["create", "-b", &path][..], args, &[&id]].concat();
        world.podrt(&all).error(1);
        world.assert_clean();
    }
}

#[test]
fn a_program_that_cannot_be_executed_is_told_by_start() {
    let world = World::new();
    let id = world.name("c");
    let bundle = Bundle::new(&world, "b", &["/bin/script"]);
    let script = bundle.rootfs().join("bin/script");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let path = bundle.write();
    world.podrt(&["create", "-b", &path, &id]).ok();
    let error = world.podrt(&["start", &id]).error(1);
    assert!(error.contains("no such file or directory"), "{error}");
    world.podrt(&["delete", "-f", &id]).ok();
    world.assert_clean();
}

#[test]
fn a_config_that_is_missing_or_none_is_told() {
    let world = World::new();
    let folder = world.path().to_str().unwrap().to_owned();
    let error = world.podrt(&["create", "-b", &folder, "x"]).error(1);
    assert!(error.contains("config.json not found"), "{error}");
    world.file("config.json", "{\"ociVersion\": 3}");
    let error = world.podrt(&["create", "-b", &folder, "x"]).error(1);
    assert!(error.contains("parse"), "{error}");
    world.assert_clean();
}

#[test]
fn hooks_run_in_their_order_with_the_state_of_their_moment() {
    let world = World::new();
    let id = world.name("c");
    let mut bundle = Bundle::new(&world, "b", &["true"]);
    let log = world.path().join("hooks");
    let hook = |name: &str| {
        let script = format!(
            "printf '{name} ' >>{0}; sed 's/.*\"status\":\"\\([a-z]*\\)\".*/\\1/' >>{0}; echo >>{0}",
            log.display()
        );
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}])
    };
    let inside = json!([{"path": "/bin/sh", "args": ["sh", "-c", "cat >/started"],
                         "env": ["PATH=/bin"]}]);
    bundle.config["hooks"] = json!({
        "prestart": hook("prestart"),
        "createRuntime": hook("createRuntime"),
        "createContainer": hook("createContainer"),
        "startContainer": inside,
        "poststart": hook("poststart"),
        "poststop": hook("poststop"),
    });
    let path = bundle.write();
    world.podrt(&["create", "-b", &path, &id]).ok();
    assert!(!bundle.rootfs().join("started").exists());
    world.podrt(&["start", &id]).ok();
    world.podrt(&["delete", "-f", &id]).ok();
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(
        lines,
        [
            "prestart creating",
            "createRuntime creating",
            "createContainer creating",
            "poststart running",
            "poststop stopped"
        ]
    );
    let started = fs::read_to_string(bundle.rootfs().join("started")).unwrap();
    let state: Value = serde_json::from_str(&started).unwrap();
    assert_eq!(state["id"], id.as_str());
    world.assert_clean();
}

#[test]
fn a_filter_answers_with_its_errno_in_the_container_and_in_an_exec() {
    let world = World::new();
    let id = world.name("c");
    for no_new_privileges in [true, false] {
        let mut bundle = Bundle::new(&world, "b", &["sleep", "1000"]);
        bundle.config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        bundle.config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}],
        });
        let path = bundle.write();
        world.podrt(&["run", "-d", "-b", &path, &id]).ok();
        let ran = world.podrt(&["exec", &id, "mkdir", "/tmp/x"]);
        assert!(ran.stderr.contains("No space left"), "{ran:?}");
        world.podrt(&["delete", "-f", &id]).ok();
    }
    world.assert_clean();
}

#[test]
fn a_create_that_is_killed_leaves_a_stopped_container_that_can_be_deleted() {
    let world = World::new();
    let id = world.name("c");
    let mut bundle = Bundle::new(&world, "b", &["sleep", "1000"]);
    // The container's process waits for its hooks; this one for its end.
    let gate = world.path().join("gate");
    let script = format!("while ! test -e {}; do sleep 0.05; done", gate.display());
    bundle.config["hooks"] =
        json!({"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]});
    let path = bundle.write();
    let mut create = world.command(&["create", "-b", &path, &id]).spawn().unwrap();
    let status = |wanted: &str| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !world.podrt(&["state", &id]).stdout.contains(wanted) {
            assert!(std::time::Instant::now() < deadline, "never {wanted}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    status("\"creating\"");
    create.kill().unwrap();
    create.wait().unwrap();
    status("\"stopped\"");
    assert!(world.podrt(&["start", &id]).error(1).contains("cannot start a container"));
    fs::write(&gate, "").unwrap();
    world.podrt(&["delete", &id]).ok();
    world.assert_clean();
}
