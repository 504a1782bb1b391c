//! Processes run in a container.

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use crate::support::{Bundle, World};

/// A running container.
fn running(world: &World, change: impl FnOnce(&mut Value)) -> String {
    let id = world.name("c");
    let mut bundle = Bundle::new(world, "b", &["sleep", "1000"]);
    change(&mut bundle.config);
    let path = bundle.write();
    world.podrt(&["run", "-d", "-b", &path, &id]).ok();
    id
}

#[test]
fn an_exec_runs_where_and_as_what_the_container_runs() {
    let world = World::new();
    let id = running(&world, |config| config["process"]["user"] = json!({"uid": 1000, "gid": 5}));
    let script = "id -u; id -g; pwd; hostname; grep -E 'CapBnd|NoNew' /proc/self/status | cut -f2; \
                  cat /proc/self/cgroup | cut -d: -f3 | sort -u; ps -o comm | grep -c ^sleep";
    let out = world.podrt(&["exec", &id, "sh", "-c", script]).ok();
    assert_eq!(out, "1000\n5\n/\nbundle\n0000000020000420\n1\n/\n1\n");
    let out = world
        .podrt(&[
            "exec",
            "-u",
            "7:8",
            "-g",
            "9",
            "--cwd",
            "/tmp",
            "-e",
            "X=y",
            "-c",
            "CAP_CHOWN",
            &id,
            "sh",
            "-c",
            "id -u; id -g; id -G; pwd; echo $X; grep CapBnd /proc/self/status | cut -f2",
        ])
        .ok();
    assert_eq!(out, "7\n8\n8 9\n/tmp\ny\n0000000020000421\n");
    world.podrt(&["delete", "-f", &id]).ok();
    world.assert_clean();
}

#[test]
fn exit_codes_are_the_programs_and_255_where_none_ran() {
    let world = World::new();
    let id = running(&world, |_| ());
    assert_eq!(world.podrt(&["exec", &id, "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(world.podrt(&["exec", &id, "sh", "-c", "kill -9 $$"]).code, 137);
    for (args, phrase) in [
        (&["nope"][..], "executable file not found in $PATH"),
        (&["/nope"], "no such file or directory"),
        (&["/tmp"], "is a directory"),
        (&["/etc/passwd"], "permission denied"),
    ] {
        let mut all = vec!["exec", id.as_str()];
        all.extend(args);
        let error = world.podrt(&all).error(255);
        assert!(error.contains(phrase), "{args:?}: {error}");
    }
    world.podrt(&["exec", "--cwd", "/nope", &id, "true"]).error(255);
    world.podrt(&["kill", &id, "KILL"]).ok();
    crate::oci_lifecycle::wait_status(&world, &id, "stopped");
    assert!(world.podrt(&["exec", &id, "true"]).error(255).contains("container not running"));
    world.podrt(&["delete", &id]).ok();
    world.assert_clean();
}

#[test]
fn an_exec_works_in_a_created_container_and_by_a_process_file() {
    let world = World::new();
    let id = world.name("c");
    let path = Bundle::new(&world, "b", &["sleep", "1000"]).write();
    world.podrt(&["create", "-b", &path, &id]).ok();
    assert_eq!(world.podrt(&["exec", &id, "echo", "hi"]).ok(), "hi\n");
    let process = json!({
        "args": ["sh", "-c", "echo $A; sleep 1000"], "cwd": "/", "env": ["A=b", "PATH=/bin"],
        "user": {"uid": 0, "gid": 0},
    });
    let file = world.file("process.json", &process.to_string());
    let pid_file = world.path().join("exec.pid");
    world
        .podrt(&[
            "exec",
            "--process",
            file.to_str().unwrap(),
            "--detach",
            "--pid-file",
            pid_file.to_str().unwrap(),
            &id,
        ])
        .ok();
    let pid = fs::read_to_string(&pid_file).unwrap();
    let listed = world.podrt(&["ps", "--format", "json", &id]).ok();
    assert!(listed.contains(&pid), "{listed} {pid}");
    world.podrt(&["delete", "-f", &id]).ok();
    world.assert_clean();
}

/// Receives one terminal at `listener` and reads what comes out of it.
fn read_terminal(listener: &UnixListener) -> String {
    let (stream, _) = listener.accept().expect("a connection");
    let (_, fds) =
        podrt::sys::fd::receive_with_fds(stream.as_fd(), &mut [0; 64]).expect("a terminal");
    let mut file = fs::File::from(fds.into_iter().next().expect("one descriptor"));
    let mut text = Vec::new();
    let mut chunk = [0; 1024];
    // The end of a terminal reads as EIO.
    while let Ok(length @ 1..) = file.read(&mut chunk) {
        text.extend(&chunk[..length]);
    }
    assert!(file.as_raw_fd() > 0);
    String::from_utf8_lossy(&text).replace('\r', "")
}

#[test]
fn a_terminal_goes_to_the_console_socket() {
    let world = World::new();
    let socket = world.path().join("tty.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let id = world.name("c");
    let script = "tty; test -t 0 && test -t 2 && echo terminal; stty size; \
                  ls -l /dev/console | cut -c1; echo again >/dev/tty";
    let mut bundle = Bundle::new(&world, "b", &["sh", "-c", script]);
    bundle.config["process"]["terminal"] = json!(true);
    bundle.config["process"]["consoleSize"] = json!({"height": 12, "width": 34});
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    let path = bundle.write();
    assert!(world.podrt(&["create", "-b", &path, &id]).code != 0, "nobody takes the terminal");
    world.podrt(&["create", "-b", &path, "--console-socket", socket.to_str().unwrap(), &id]).ok();
    let reader = std::thread::spawn({
        let listener = listener.try_clone().unwrap();
        move || read_terminal(&listener)
    });
    world.podrt(&["start", &id]).ok();
    let text = reader.join().unwrap();
    assert_eq!(text, "/dev/pts/0\nterminal\n12 34\nc\nagain\n");
    world.podrt(&["delete", "-f", &id]).ok();

    let id = running(&world, |_| ());
    let process = json!({
        "args": ["sh", "-c", "tty; echo hello >/dev/tty"], "cwd": "/", "env": ["PATH=/bin"],
        "terminal": true, "user": {"uid": 1000, "gid": 1000},
    });
    let file = world.file("process.json", &process.to_string());
    let reader = std::thread::spawn(move || read_terminal(&listener));
    world
        .podrt(&[
            "exec",
            "-d",
            "-p",
            file.to_str().unwrap(),
            "--console-socket",
            socket.to_str().unwrap(),
            &id,
        ])
        .ok();
    assert_eq!(reader.join().unwrap(), "/dev/pts/0\nhello\n");
    world.podrt(&["delete", "-f", &id]).ok();
    world.assert_clean();
}
