//! `attach`, `exec -t` and `run -it` on a terminal.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::pod_life::shell_pod;
use crate::support::{FIXTURE_IMAGE, World, run};

/// A command on a terminal of its own.
struct Typist {
    master: File,
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
        Self { master: File::from(pty.master), child, seen: String::new() }
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
