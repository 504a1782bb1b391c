//! Typing into the caller's terminal from inside (TIOCSTI).

use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};

use nix::pty::{OpenptyResult, openpty};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

use super::super::support::{Bundle, Ran, World, fixture_rootfs, podrt_path, skip};

/// The command in a session of its own whose terminal is `pty`, and its output.
fn on_terminal(pty: &OpenptyResult, command: &mut Command) -> Ran {
    let mut inner = Command::new("setsid");
    inner.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
    inner.stdin(Stdio::from(pty.slave.try_clone().expect("descriptor")));
    crate::support::run(&mut inner)
}

/// What waits to be read from the terminal.
fn typed(pty: &OpenptyResult) -> String {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(pty.slave.as_fd(), PollFlags::POLLIN)];
    if poll(&mut fds, PollTimeout::ZERO).expect("poll") == 0 {
        return String::new();
    }
    let mut bytes = [0; 64];
    let length = nix::unistd::read(&pty.slave, &mut bytes).expect("read");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// A terminal whose input is read at once, not line by line.
fn terminal() -> OpenptyResult {
    let pty = openpty(None, None).expect("a terminal");
    let mut settings = tcgetattr(&pty.slave).expect("settings");
    settings.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
    tcsetattr(&pty.slave, SetArg::TCSANOW, &settings).expect("settings");
    pty
}

#[test]
fn nothing_inside_types_into_the_terminal_of_the_caller() {
    let test = "nothing_inside_types_into_the_terminal_of_the_caller";
    let world = World::new();
    let pty = terminal();
    let payload = fixture_rootfs().join("bin/payload");
    let ran = on_terminal(&pty, Command::new(&payload).args(["inject", "attack"]));
    let possible = ran.code == 0;
    if possible {
        assert_eq!(typed(&pty), "attack", "what nothing defends is typed into");
    } else {
        skip(test, &format!("this kernel refuses everybody: {}", ran.stderr.trim()));
    }
    let script = "test -t 0 && echo terminal; cut -d' ' -f7 /proc/self/stat; payload inject attack 2>&1; true";
    let id = world.name("c");
    let path = Bundle::new(&world, "b", &["sh", "-c", script]).with_payload().write();
    let podrt = |args: &[&str]| {
        let mut command = Command::new(podrt_path());
        command.arg("--root").arg(world.root()).args(args);
        on_terminal(&pty, &mut command).ok()
    };
    let check = |said: &str| {
        // Its input is the caller's terminal, but none that controls it.
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[..2], ["terminal", "0"], "{said}");
        assert!(lines[2].contains("TIOCSTI"), "{said}");
        assert_eq!(typed(&pty), "", "{said}");
    };
    check(&podrt(&["run", "-b", &path, &id]));
    let mut bundle = Bundle::new(&world, "b", &["sleep", "1000"]).with_payload();
    bundle.config["process"]["env"] = serde_json::json!(["PATH=/bin"]);
    let path = bundle.write();
    world.podrt(&["run", "-d", "-b", &path, &id]).ok();
    check(&podrt(&["exec", &id, "sh", "-c", script]));
    world.podrt(&["delete", "-f", &id]).ok();
    world.assert_clean();
}
