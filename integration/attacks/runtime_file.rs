//! Overwriting the runtime's own file from inside (CVE-2019-5736), and leaving
//! the container by a folder that the runtime has open (CVE-2024-21626).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::super::support::{Bundle, Killed, World, podrt_path, run};

/// All that root can have, and the means to look at every process.
pub fn unconfined(config: &mut Value) {
    let all: Vec<String> =
        caps::all().iter().filter(|cap| held(**cap)).map(ToString::to_string).collect();
    config["process"]["capabilities"] =
        json!({"bounding": all, "effective": all, "permitted": all});
    config["process"]["noNewPrivileges"] = json!(false);
    config["linux"]["maskedPaths"] = json!([]);
    config["linux"]["readonlyPaths"] = json!([]);
}

fn held(capability: caps::Capability) -> bool {
    caps::has_cap(None, caps::CapSet::Bounding, capability).unwrap_or(false)
}

/// A podrt of this test's own, which may be lost.
fn copy_of_podrt(world: &World) -> PathBuf {
    let copy = world.path().join("podrt");
    fs::copy(podrt_path(), &copy).expect("copy podrt");
    copy
}

fn command(world: &World, program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg("--root").arg(world.root()).args(args).stdin(Stdio::null());
    command
}

/// Keeps the executable of process `$PID` open until that has ended (a running
/// file cannot be written), and writes.
const OVERWRITE: &str = "exec 7</proc/$PID/exe || exit; echo open; \
                         while [ -e /proc/$PID/exe ]; do sleep 0.05; done; \
                         (echo overwritten >/proc/self/fd/7) 2>&1 && echo written";

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !done() {
        assert!(begin.elapsed().as_secs() < 120, "never {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A bundle whose processes see and may touch all of the machine's.
fn among_all(world: &World, name: &str, args: &[&str]) -> Bundle {
    let mut bundle = Bundle::new(world, name, args);
    unconfined(&mut bundle.config);
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().expect("list");
    namespaces.retain(|namespace| namespace["type"] != "pid");
    bundle
}

/// A container whose program is `program`, which reads its input; and another
/// that overwrites that program's file. What the second one says.
fn attack(world: &World, podrt: &Path, program: &str) -> String {
    let (victim, attacker) = (world.name("victim"), world.name("attacker"));
    let bundle = among_all(world, "victim", &[program, "run", "-"]);
    if program != "/proc/self/exe" {
        let copy = bundle.rootfs().join(program.trim_start_matches('/'));
        if !copy.exists() {
            fs::copy(podrt, &copy).expect("a program");
        }
    }
    let mut command_of_victim = command(world, podrt, &["run", "-b", &bundle.write(), &victim]);
    command_of_victim.stdin(Stdio::piped()).stderr(Stdio::null());
    let _victim = Killed::spawn(command_of_victim);
    let mut pid = String::new();
    wait_until("reads its input", || {
        let state = run(&mut command(world, podrt, &["state", &victim])).stdout;
        let state: Value = serde_json::from_str(&state).unwrap_or_default();
        pid = state["pid"].to_string();
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line == [program.as_bytes(), b"run", b"-", b""].join(&0)
    });
    let mut bundle = among_all(world, "attacker", &["sh", "-c", OVERWRITE]);
    bundle.config["process"]["env"] = json!(["PATH=/bin", format!("PID={pid}")]);
    let said = fs::File::create(world.path().join("said")).expect("a file");
    let heard = || fs::read_to_string(world.path().join("said")).expect("a file");
    let mut attacking = command(world, podrt, &["run", "-b", &bundle.write(), &attacker])
        .stdout(said)
        .spawn()
        .expect("the attacker");
    wait_until("opens the file", || heard().starts_with("open\n"));
    run(&mut command(world, podrt, &["kill", &victim, "KILL"])).ok();
    assert!(attacking.wait().expect("wait").code().is_some());
    heard()
}

#[test]
fn a_container_cannot_overwrite_the_runtime_by_proc_self_exe() {
    let world = World::new();
    let podrt = copy_of_podrt(&world);
    let before = fs::read(&podrt).expect("podrt");
    // What nothing defends is overwritten.
    assert_eq!(attack(&world, &podrt, "/bin/victim"), "open\nwritten\n");
    let victim = world.path().join("bundle-victim/rootfs/bin/victim");
    assert_eq!(fs::read(victim).expect("victim"), b"overwritten\n");
    let said = attack(&world, &podrt, "/proc/self/exe");
    assert!(said.contains("Read-only file system") && !said.contains("written\n"), "{said}");
    assert!(fs::read(&podrt).expect("podrt") == before, "podrt was overwritten");
    world.assert_clean();
}

/// The caller leaks a folder of the host as descriptor 3, and means to.
fn leaking(world: &World, args: &str) -> crate::support::Ran {
    let script = format!(
        "exec 3<{}; exec {} --root {} {args}",
        world.path().display(),
        podrt_path().display(),
        world.root().display()
    );
    run(Command::new("sh").arg("-c").arg(script).stdin(Stdio::null()))
}

#[test]
fn no_working_directory_is_entered_by_a_descriptor_of_the_host() {
    let world = World::new();
    let id = world.name("c");
    let mut bundle = Bundle::new(&world, "b", &["sh", "-c", "pwd; ls"]);
    // A folder of the image that is the descriptor in disguise.
    std::os::unix::fs::symlink("/proc/self/fd/3", bundle.rootfs().join("work")).expect("link");
    fs::write(world.path().join("secret"), "").expect("a file of the host");
    for cwd in ["/proc/self/fd/3", "/work", "/proc/self/fd/3/.."] {
        bundle.config["process"]["cwd"] = json!(cwd);
        let path = bundle.write();
        let ran = leaking(&world, &format!("run --preserve-fds 1 -b {path} {id}"));
        assert_ne!(ran.code, 0, "{cwd}: {ran:?}");
        assert!(ran.stderr.contains("is outside of the container"), "{cwd}: {ran:?}");
    }
    bundle.config["process"]["cwd"] = json!("/");
    bundle.config["process"]["args"] = json!(["sleep", "1000"]);
    let path = bundle.write();
    world.podrt(&["run", "-d", "-b", &path, &id]).ok();
    for cwd in ["/proc/self/fd/3", "/work", "/proc/self/fd/3/.."] {
        let ran = leaking(&world, &format!("exec --preserve-fds 1 --cwd {cwd} {id} ls"));
        assert_eq!(ran.code, 255, "{cwd}: {ran:?}");
        // A process that is not in the pid namespace yet has no /proc/self.
        assert!(ran.stderr.contains("enter the working directory: "), "{cwd}: {ran:?}");
    }
    // One that was not asked for does not get there.
    let ran = leaking(&world, &format!("exec {id} ls /proc/self/fd"));
    assert_eq!(ran.ok(), "0\n1\n2\n3\n", "3 is what ls itself reads");
    for fd in 3..20 {
        let cwd = format!("/proc/self/fd/{fd}");
        let ran = world.podrt(&["exec", "--cwd", &cwd, &id, "ls", "-d", "bin/busybox"]);
        assert!(ran.code == 255 || ran.stdout == "bin/busybox\n", "{cwd}: {ran:?}");
    }
    world.podrt(&["delete", "-f", &id]).ok();
    world.assert_clean();
}
