//! Containers that are written to files and go on from there, by means of criu.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::oci_lifecycle::wait_status;
use crate::support::{Bundle, World, run, skip};

/// Whether criu works on this machine; notes that `test` is skipped where not.
fn criu_works(test: &str) -> bool {
    match Command::new("criu").arg("check").output() {
        Err(_) => skip(test, "criu is not installed"),
        Ok(output) if !output.status.success() => {
            let text = String::from_utf8_lossy(&output.stderr);
            let cause = text.lines().find(|line| line.contains("Error")).unwrap_or_default();
            skip(test, &format!("criu check fails on this kernel: {cause}"));
        }
        Ok(_) => return true,
    }
    false
}

/// A container that counts into a file of the host's, which it keeps open.
struct Counter<'a> {
    world: &'a World,
    id: String,
    bundle: String,
    images: PathBuf,
    log: PathBuf,
}

impl<'a> Counter<'a> {
    fn start(world: &'a World, first: &str, change: impl FnOnce(&mut Value)) -> Self {
        let volume = world.path().join("volume");
        fs::create_dir(&volume).expect("volume");
        let script = format!(
            "{first} i=0; exec 3>>/data/log; \
             while :; do i=$((i+1)); echo $i >&3; sleep 0.05; done"
        );
        let mut bundle = Bundle::new(world, "b", &["sh", "-c", &script]);
        let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
        mounts.push(json!({"destination": "/data", "type": "bind", "source": volume,
            "options": ["rbind", "nosuid"]}));
        change(&mut bundle.config);
        let counter = Self {
            world,
            id: world.name("c"),
            bundle: bundle.write(),
            images: world.path().join("images"),
            log: volume.join("log"),
        };
        world.podrt(&["run", "-d", "-b", &counter.bundle, &counter.id]).ok();
        counter.wait_beyond(2);
        counter
    }

    /// How far it has counted: every number once, in order.
    #[track_caller]
    fn count(&self) -> usize {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        for (line, number) in whole.lines().zip(1_usize..) {
            assert_eq!(line, number.to_string(), "{whole}");
        }
        whole.lines().count()
    }

    #[track_caller]
    fn wait_beyond(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.count() <= count {
            assert!(Instant::now() < deadline, "it does not count beyond {count}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn state(&self) -> Value {
        serde_json::from_str(&self.world.podrt(&["state", &self.id]).ok()).expect("JSON")
    }

    fn images(&self) -> &str {
        self.images.to_str().expect("UTF-8")
    }

    fn checkpoint<'b>(&'b self, flags: &[&'b str]) -> Vec<&'b str> {
        let mut args = vec!["checkpoint", "--image-path", self.images()];
        args.extend_from_slice(flags);
        args.push(&self.id);
        args
    }

    fn restore<'b>(&'b self, flags: &[&'b str]) -> Vec<&'b str> {
        let mut args = vec!["restore", "-d", "--image-path", self.images(), "-b", &self.bundle];
        args.extend_from_slice(flags);
        args.push(&self.id);
        args
    }

    fn end(&self) {
        self.world.podrt(&["kill", &self.id, "KILL"]).ok();
        wait_status(self.world, &self.id, "stopped");
        self.world.podrt(&["delete", &self.id]).ok();
        self.world.assert_clean();
    }
}

fn file(world: &World, name: &str) -> String {
    world.path().join(name).to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_restored_container_goes_on_where_its_checkpoint_was_made() {
    let name = "a_restored_container_goes_on_where_its_checkpoint_was_made";
    if !criu_works(name) {
        return;
    }
    let world = World::new();
    let (hook, pid_file) = (file(&world, "hook"), file(&world, "pid"));
    let counter = Counter::start(&world, "", |config| {
        config["linux"]["resources"]["pids"] = json!({"limit": 77});
        let script = format!("cat >>{hook}; echo >>{hook}");
        config["hooks"] =
            json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]});
    });
    world.podrt(&counter.checkpoint(&[])).ok();
    let gone = world.podrt(&["state", &counter.id]).error(1);
    assert!(gone.contains("does not exist"), "{gone}");
    let before = counter.count();

    world.podrt(&counter.restore(&["--pid-file", &pid_file])).ok();
    counter.wait_beyond(before);
    let state = counter.state();
    assert_eq!(state["status"], "running");
    assert_eq!(fs::read_to_string(&pid_file).expect("pid file"), state["pid"].to_string());
    let hooks = fs::read_to_string(&hook).expect("the hook's file");
    let states: Vec<Value> =
        hooks.lines().map(|line| serde_json::from_str(line).expect("a state")).collect();
    assert_eq!(states.len(), 2, "at the creation and at the restore: {hooks}");
    assert_eq!(states[1]["pid"], state["pid"]);

    let look = "hostname; cat /proc/self/cgroup | cut -d: -f3 | sort -u; \
                cat /sys/fs/cgroup/pids.max; cat /proc/kcore | wc -c; grep -c ' /data ' /proc/mounts";
    let seen = world.podrt(&["exec", &counter.id, "sh", "-c", look]).ok();
    assert_eq!(seen, "bundle\n/\n77\n0\n1\n");
    let ps: Vec<i32> =
        serde_json::from_str(&world.podrt(&["ps", "-f", "json", &counter.id]).ok()).expect("pids");
    assert!(ps.iter().any(|pid| state["pid"] == *pid), "{ps:?}");
    world.podrt(&["pause", &counter.id]).ok();
    assert_eq!(counter.state()["status"], "paused");
    world.podrt(&["resume", &counter.id]).ok();
    counter.end();
}

#[test]
fn a_container_runs_on_beside_its_checkpoint_if_asked_to() {
    let name = "a_container_runs_on_beside_its_checkpoint_if_asked_to";
    if !criu_works(name) {
        return;
    }
    let world = World::new();
    let work = file(&world, "work");
    let counter = Counter::start(&world, "", |_| ());
    let pid = counter.state()["pid"].clone();
    world.podrt(&counter.checkpoint(&["--leave-running", "--work-path", &work])).ok();
    assert!(Path::new(&work).join("dump.log").exists(), "logs are not among the images");
    assert_eq!(counter.state()["pid"], pid);
    counter.wait_beyond(counter.count());
    let error = world.podrt(&counter.restore(&[])).error(1);
    assert!(error.contains("already exists"), "{error}");
    counter.wait_beyond(counter.count());
    counter.end();
}

#[test]
fn a_checkpoint_takes_the_rest_from_an_earlier_pre_dump() {
    let name = "a_checkpoint_takes_the_rest_from_an_earlier_pre_dump";
    if !criu_works(name) {
        return;
    }
    let world = World::new();
    let counter = Counter::start(&world, "", |_| ());
    let earlier = file(&world, "earlier");
    let ran = world.podrt(&["checkpoint", "--pre-dump", "--image-path", &earlier, &counter.id]);
    if ran.stderr.contains("does not track writes") {
        world.podrt(&["delete", "-f", &counter.id]).ok();
        return skip(name, ran.stderr.trim());
    }
    ran.ok();
    counter.wait_beyond(counter.count());
    world.podrt(&counter.checkpoint(&["--parent-path", "../earlier"])).ok();
    assert!(counter.images.join("parent").is_symlink(), "criu's link to the earlier images");
    let before = counter.count();
    world.podrt(&counter.restore(&[])).ok();
    counter.wait_beyond(before);
    counter.end();
}

#[test]
fn a_dump_that_fails_leaves_the_container_running_and_says_where_the_log_is() {
    let name = "a_dump_that_fails_leaves_the_container_running_and_says_where_the_log_is";
    if !criu_works(name) {
        return;
    }
    let world = World::new();
    // criu writes the contents of deleted files only up to a size.
    let deleted = "dd if=/dev/zero of=/big bs=1M count=4 2>/dev/null; exec 4</big; rm /big;";
    let counter = Counter::start(&world, deleted, |_| ());
    let pid = counter.state()["pid"].clone();
    let error = world.podrt(&counter.checkpoint(&[])).error(1);
    let log = counter.images.join("dump.log");
    assert!(error.contains("criu: ") && error.contains(log.to_str().expect("UTF-8")), "{error}");
    assert!(log.exists());
    assert_eq!((&counter.state()["pid"], &counter.state()["status"]), (&pid, &json!("running")));
    counter.wait_beyond(counter.count());

    let error = world
        .podrt(&[
            "restore",
            "--image-path",
            counter.images(),
            "-b",
            &counter.bundle,
            &world.name("other"),
        ])
        .error(1);
    assert!(error.contains("restore.log"), "a folder without a whole checkpoint: {error}");
    let none = world.podrt(&["state", &world.name("other")]).error(1);
    assert!(none.contains("does not exist"), "{none}");
    counter.end();
}

#[test]
fn a_restored_terminal_goes_to_the_console_socket() {
    let name = "a_restored_terminal_goes_to_the_console_socket";
    if !criu_works(name) {
        return;
    }
    let world = World::new();
    let socket = file(&world, "tty.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let terminal = || {
        let (stream, _) = listener.accept().expect("a connection");
        let got = podrt::sys::fd::receive_with_fds(stream.as_fd(), &mut [0; 64]);
        fs::File::from(got.expect("a message").1.into_iter().next().expect("a terminal"))
    };
    let mut bundle =
        Bundle::new(&world, "b", &["sh", "-c", "while read -r line; do echo got $line; done"]);
    bundle.config["process"]["terminal"] = json!(true);
    let (path, id, images) = (bundle.write(), world.name("c"), file(&world, "images"));
    world.podrt(&["run", "-d", "-b", &path, "--console-socket", &socket, &id]).ok();
    let mut before = terminal();
    converse(&mut before, "one");
    world.podrt(&["checkpoint", "--image-path", &images, &id]).ok();
    world
        .podrt(&[
            "restore",
            "-d",
            "--image-path",
            &images,
            "-b",
            &path,
            "--console-socket",
            &socket,
            &id,
        ])
        .ok();
    drop(before);
    let mut after = terminal();
    converse(&mut after, "two");
    world.podrt(&["delete", "-f", &id]).ok();
    world.assert_clean();
}

/// Says a line and waits for its answer.
#[track_caller]
fn converse(terminal: &mut fs::File, word: &str) {
    writeln!(terminal, "{word}").expect("write to the terminal");
    let (mut heard, mut chunk) = (String::new(), [0; 256]);
    while !heard.contains(&format!("got {word}")) {
        let length = terminal.read(&mut chunk).expect("an answer");
        heard += &String::from_utf8_lossy(&chunk[..length]);
    }
}

/// A folder with a criu that says `words` and fails.
fn broken_criu(world: &World, words: &str) -> PathBuf {
    let folder = world.path().join("bin");
    fs::create_dir(&folder).expect("folder");
    let program = folder.join("criu");
    fs::write(&program, format!("#!/bin/sh\necho '{words}' >&2\nexit 1\n")).expect("criu");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("mode");
    folder
}

#[test]
fn callers_that_ask_by_help_are_told_whether_criu_is_installed() {
    let world = World::new();
    for args in [&["checkpoint", "x"][..], &["checkpoint", "--help"], &["restore", "x"]] {
        let error = run(world.command(args).env("PATH", world.path())).error(1);
        assert!(error.contains("not supported") && error.contains("\"criu\""), "{error}");
    }
    let features = |path: &Path| -> Value {
        let ran = run(world.command(&["features"]).env("PATH", path));
        serde_json::from_str(&ran.ok()).expect("JSON")
    };
    let enabled = "org.opencontainers.runc.checkpoint.enabled";
    assert_eq!(features(world.path())["annotations"][enabled], "false");
    let there = broken_criu(&world, "");
    assert_eq!(features(&there)["annotations"][enabled], "true");
    let help = run(world.command(&["checkpoint", "--help"]).env("PATH", &there)).ok();
    assert!(help.contains("--leave-running"), "{help}");
}

#[test]
fn a_criu_that_does_not_work_here_is_told_in_its_own_words() {
    let world = World::new();
    let path = broken_criu(&world, "(0.1) Error (criu/vdso.c:381): vdso: unexpected bounds");
    let counter = Counter::start(&world, "", |_| ());
    let with_path = |args: &[&str]| run(world.command(args).env("PATH", &path));
    let error = with_path(&counter.checkpoint(&[])).error(1);
    assert!(error.ends_with("criu: vdso: unexpected bounds"), "{error}");
    assert_eq!(counter.state()["status"], "running");
    fs::create_dir(&counter.images).expect("folder");
    let other = world.name("other");
    let restore =
        ["restore", "--image-path", counter.images(), "-b", &counter.bundle, other.as_str()];
    let error = with_path(&restore).error(1);
    assert!(error.ends_with("criu: vdso: unexpected bounds"), "{error}");
    counter.end();
}

#[test]
fn what_cannot_be_checkpointed_or_restored_is_refused() {
    let world = World::new();
    let path = broken_criu(&world, "");
    let with_path = |args: &[&str]| run(world.command(args).env("PATH", &path)).error(1);
    let id = world.name("c");
    let error = with_path(&["checkpoint", &id]);
    assert!(error.contains("does not exist"), "{error}");
    let bundle = Bundle::new(&world, "b", &["true"]).write();
    world.podrt(&["create", "-b", &bundle, &id]).ok();
    let error = with_path(&["checkpoint", &id]);
    assert!(error.contains("cannot checkpoint a container that is created"), "{error}");
    for (flags, phrase) in [
        (["--parent-path", "/abs"], "must be relative"),
        (["--empty-ns", "pid"], "\"pid\""),
        (["--manage-cgroups-mode", "none"], "Invalid manage-cgroups-mode"),
        (["--page-server", "nowhere"], "ADDRESS:PORT"),
        (["--nope", ""], "flag provided but not defined"),
    ] {
        let error = with_path(&["checkpoint", flags[0], flags[1], &id]);
        assert!(error.contains(phrase), "{flags:?}: {error}");
    }
    world.podrt(&["delete", &id]).ok();
    world.assert_clean();
}
