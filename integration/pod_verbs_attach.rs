//! `attach`, `exec -t` and `run -it` on a terminal.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::pod_crash::replace;
use crate::pod_life::shell_pod;
use crate::support::{FIXTURE_IMAGE, World, run};

/// A command on a terminal of its own.
struct Typist {
    master: File,
    /// The terminal's other end.
    slave: PathBuf,
    child: Child,
    seen: String,
}

impl Typist {
    fn new(world: &World, args: &[&str]) -> Self {
        let size = nix::pty::Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = nix::pty::openpty(&size, None).expect("openpty");
        let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("descriptor"));
        let mut command = world.command(args);
        command.stdin(end(&pty.slave)).stdout(end(&pty.slave)).stderr(end(&pty.slave));
        let child = command.spawn().expect("spawn");
        let slave = fs::read_link(format!("/proc/self/fd/{}", pty.slave.as_raw_fd()));
        let slave = slave.expect("a terminal");
        Self { slave, master: File::from(pty.master), child, seen: String::new() }
    }

    /// The terminal's window gets another size, and the command is told.
    fn resizes(&self, rows: u16, columns: u16) {
        let (rows, columns) = (rows.to_string(), columns.to_string());
        let device = self.slave.to_string_lossy();
        let size = ["-F", &device, "rows", &rows, "cols", &columns];
        run(Command::new("stty").args(size)).ok();
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("pid"));
        kill(pid, Signal::SIGWINCH).expect("tell");
    }

    fn types(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("type");
    }

    /// Waits until `text` was printed since the last call.
    #[track_caller]
    fn sees(&mut self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.seen.contains(text) {
            assert!(Instant::now() < deadline, "{text:?} is not in {:?}", self.seen);
            let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(&self.master), PollFlags::POLLIN)];
            if poll(&mut fds, PollTimeout::from(100_u16)).expect("poll") == 0 {
                continue;
            }
            let mut chunk = [0; 4096];
            let length = self.master.read(&mut chunk).unwrap_or(0);
            self.seen.push_str(&String::from_utf8_lossy(&chunk[..length]));
        }
        let at = self.seen.find(text).expect("seen") + text.len();
        self.seen.drain(..at);
    }

    #[track_caller]
    fn ends_with(mut self, code: i32) {
        let status = self.child.wait().expect("wait");
        assert_eq!(status.code(), Some(code), "{:?}", self.seen);
    }
}

#[test]
fn a_terminal_run_has_the_users_size_and_ends_with_the_shells_code() {
    let world = World::with_fixture();
    let image = format!("--image={FIXTURE_IMAGE}");
    let mut typist =
        Typist::new(&world, &["run", "sh", &image, "-it", "--rm", "--restart=Never", "--", "sh"]);
    typist.types("stty size; echo mar''ker\n");
    typist.sees("33 77");
    typist.sees("marker");
    typist.types("exit 7\n");
    typist.sees("pod \"sh\" deleted from default namespace");
    typist.ends_with(7);
    world.assert_clean();
}

#[test]
fn detaching_leaves_the_container_and_a_second_attach_finds_it() {
    let world = World::with_fixture();
    let manifest = shell_pod("tty", "Always", "sh")
        .replace("      image:", "      stdin: true\n      tty: true\n      image:");
    world.run_pod(&manifest, &["-d"]).ok();
    let mut first = Typist::new(&world, &["attach", "tty", "-it"]);
    first.sees("If you don't see a command prompt, try pressing enter.");
    first.types("x=kept; echo on''e\n");
    first.sees("one");
    first.types("\x10\x11");
    first.ends_with(0);
    let mut second = Typist::new(&world, &["attach", "tty", "-it", "--detach-keys=ctrl-a,d"]);
    second.sees("pressing enter.");
    second.types("echo is-$x\n");
    second.sees("is-kept");
    second.types("\x01d");
    second.ends_with(0);
    assert_eq!(world.pod("tty")["status"]["containerStatuses"][0]["restartCount"], 0);
    let mut exec = Typist::new(&world, &["exec", "-it", "tty", "--", "sh"]);
    exec.types("stty size; exit 3\n");
    exec.sees("33 77");
    exec.ends_with(3);
    world.podrt(&["delete", "pod", "tty", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn attach_shows_output_and_refuses_what_does_not_run() {
    let world = World::with_fixture();
    let script = "until [ -e /go ]; do echo tick; sleep 0.05; done; echo out; echo err >&2";
    world.run_pod(&shell_pod("plain", "Never", script), &["-d"]).ok();
    let mut attached = world
        .command(&["attach", "plain"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spawn");
    let mut shown = BufReader::new(attached.stdout.take().expect("stdout"));
    let mut text = String::new();
    shown.read_line(&mut text).expect("read");
    world.podrt(&["exec", "plain", "--", "touch", "/go"]).ok();
    shown.read_to_string(&mut text).expect("read");
    let output = attached.wait_with_output().expect("wait");
    assert_eq!(text.trim_start_matches("tick\n"), "out\n");
    assert_eq!(output.stderr, b"err\n");
    world.wait_pod("plain", 10, |pod| pod["status"]["phase"] == "Succeeded");
    assert_eq!(
        world.podrt(&["attach", "plain"]).error(1),
        "podrt: cannot attach a container in a completed pod; current phase is Succeeded"
    );
    assert_eq!(
        run(&mut world.command(&["attach", "gone"])).error(1),
        "podrt: pods \"gone\" not found"
    );
    world.podrt(&["delete", "pod", "plain"]).ok();
    world.assert_clean();
}

#[test]
fn a_terminal_follows_the_size_of_the_users_window() {
    let world = World::with_fixture();
    let manifest = shell_pod("size", "Always", "sh")
        .replace("      image:", "      stdin: true\n      tty: true\n      image:");
    world.run_pod(&manifest, &["-d"]).ok();
    let wait = "until stty size | grep -q '40 100'; do sleep 0.05; done; echo resi''zed\n";
    for command in [&["exec", "-it", "size", "--", "sh"][..], &["attach", "size", "-it"]] {
        let mut typist = Typist::new(&world, command);
        typist.types("stty size\n");
        typist.sees("33 77");
        typist.resizes(40, 100);
        typist.types(wait);
        typist.sees("resized");
        if command[0] == "exec" {
            typist.types("exit\n");
        } else {
            typist.types("\x10\x11");
        }
        typist.ends_with(0);
    }
    world.podrt(&["delete", "pod", "size", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_command_left_by_the_keys_goes_on_and_its_terminal_outlives_shim_and_keeper() {
    let world = World::with_fixture();
    world.run_pod(&shell_pod("left", "Always", "sleep 1000"), &["-d"]).ok();
    let args = ["exec", "-it", "left", "--detach-keys=ctrl-p,ctrl-q", "--", "sh"];
    let mut typist = Typist::new(&world, &args);
    typist.types("trap 'touch /hup' HUP; echo on''e\n");
    typist.sees("one");
    // Many times what a terminal holds: somebody must read it.
    typist.types(
        "until [ -e /go ]; do sleep 0.05; done; i=0; \
         while [ $i -lt 5000 ]; do echo $i of many lines that nobody will see; i=$((i+1)); done; \
         touch /done\n",
    );
    typist.types("\x10\x11");
    typist.ends_with(0);
    for victim in ["podrt-shim", "podrt-keeper", "podrt-shim"] {
        replace(&world, "left", victim);
    }
    let wait = "touch /go; for i in $(seq 1200); do [ -e /done ] && break; sleep 0.05; done; \
                [ -e /done ] && ! [ -e /hup ]";
    world.podrt(&["exec", "left", "--", "sh", "-c", wait]).ok();
    world.podrt(&["delete", "pod", "left", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_command_whose_client_dies_is_hung_up() {
    let world = World::with_fixture();
    world.run_pod(&shell_pod("lost", "Always", "sleep 1000"), &["-d"]).ok();
    let script = "trap 'touch /hup; exit' HUP; echo one; while :; do sleep 0.05; done";
    let mut typist = Typist::new(&world, &["exec", "-it", "lost", "--", "sh", "-c", script]);
    typist.sees("one");
    typist.child.kill().expect("kill");
    typist.child.wait().expect("wait");
    let wait = "for i in $(seq 1200); do [ -e /hup ] && exit; sleep 0.05; done; exit 1";
    world.podrt(&["exec", "lost", "--", "sh", "-c", wait]).ok();
    world.podrt(&["delete", "pod", "lost", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn run_and_debug_are_left_by_the_keys_too() {
    let world = World::with_fixture();
    let image = format!("--image={FIXTURE_IMAGE}");
    let run = ["run", "sh", &image, "-it", "--rm", "--restart=Never", "--", "sh"];
    let mut typist = Typist::new(&world, &run);
    typist.types("x=kept; echo on''e\n");
    typist.sees("one");
    typist.types("\x10\x11");
    typist.sees("resume using 'podrt attach sh -c sh -i -t'");
    typist.ends_with(0);
    let debug = ["debug", "sh", &image, "-it", "-c", "dbg", "--detach-keys=ctrl-a,d", "--", "sh"];
    let mut typist = Typist::new(&world, &debug);
    typist.types("y=too; echo on''e\n");
    typist.sees("one");
    typist.types("\x01d");
    typist.ends_with(0);
    for (container, text) in [("sh", "is-kept-"), ("dbg", "is--too")] {
        let mut typist = Typist::new(&world, &["attach", "sh", "-it", "-c", container]);
        typist.types("echo is-$x-$y\n");
        typist.sees(text);
        typist.types("\x10\x11");
        typist.ends_with(0);
    }
    world.podrt(&["delete", "pod", "sh", "--now"]).ok();
    world.assert_clean();
}

/// Starts `attach NAME -i` with pipes.
fn attach(world: &World, name: &str) -> Child {
    let mut command = world.command(&["attach", name, "-i"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("spawn")
}

fn says(child: &mut Child, text: &str) {
    child.stdin.as_mut().expect("stdin").write_all(text.as_bytes()).expect("write");
}

fn hears(child: &mut Child, want: &str) {
    let mut bytes = vec![0; want.len()];
    child.stdout.as_mut().expect("stdout").read_exact(&mut bytes).expect("read");
    assert_eq!(String::from_utf8_lossy(&bytes), want);
}

#[test]
fn input_that_is_taken_once_ends_with_the_first_who_gave_it() {
    let world = World::with_fixture();
    let manifest = shell_pod("once", "Never", "cat; echo over")
        .replace("      image:", "      stdin: true\n      stdinOnce: true\n      image:");
    world.run_pod(&manifest, &["-d"]).ok();
    let mut first = attach(&world, "once");
    says(&mut first, "typed\n");
    hears(&mut first, "typed\n");
    drop(first.stdin.take());
    let output = first.wait_with_output().expect("wait");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"over\n"[..]));
    world.wait_pod("once", 60, |pod| pod["status"]["phase"] == "Succeeded");

    // Also when that one is killed.
    world.run_pod(&manifest, &["-d", "--replace"]).ok();
    let mut first = attach(&world, "once");
    says(&mut first, "typed\n");
    hears(&mut first, "typed\n");
    first.kill().expect("kill");
    first.wait().expect("wait");
    world.wait_pod("once", 60, |pod| pod["status"]["phase"] == "Succeeded");
    world.podrt(&["delete", "pod", "once"]).ok();
    world.assert_clean();
}

#[test]
fn other_input_stays_open_for_the_next_one() {
    let world = World::with_fixture();
    let manifest = shell_pod("open", "Never", "cat")
        .replace("      image:", "      stdin: true\n      image:");
    world.run_pod(&manifest, &["-d"]).ok();
    for text in ["one\n", "two\n"] {
        let mut attached = attach(&world, "open");
        says(&mut attached, text);
        hears(&mut attached, text);
        drop(attached.stdin.take());
        attached.kill().expect("kill");
        attached.wait().expect("wait");
    }
    assert_eq!(world.pod("open")["status"]["phase"], "Running");
    assert_eq!(world.podrt(&["logs", "open"]).ok(), "one\ntwo\n");
    world.podrt(&["delete", "pod", "open", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn input_outlives_shim_and_keeper() {
    let world = World::with_fixture();
    let manifest = shell_pod("kept", "Never", "cat")
        .replace("      image:", "      stdin: true\n      image:");
    world.run_pod(&manifest, &["-d"]).ok();
    for (victim, text) in [("podrt-shim", "one\n"), ("podrt-keeper", "two\n")] {
        replace(&world, "kept", victim);
        let mut attached = attach(&world, "kept");
        says(&mut attached, text);
        hears(&mut attached, text);
        attached.kill().expect("kill");
        attached.wait().expect("wait");
    }
    assert_eq!(world.pod("kept")["status"]["containerStatuses"][0]["restartCount"], 0);
    world.podrt(&["delete", "pod", "kept", "--now"]).ok();
    world.assert_clean();
}
