//! A containerd of the test's own, whose shim for runc is told to call podrt.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use super::support::{Place, installed, on_terminal, ran, too_much, wait_until, works_with_runc};
use crate::support::{FIXTURE_IMAGE, Ran, has_controllers, podrt_path};

struct Containerd {
    place: Place,
    daemon: Child,
}

impl Containerd {
    /// A daemon that has the fixture image. `None` where containerd cannot be
    /// tested, which is noted for `test`.
    fn new(test: &str) -> Option<Self> {
        let programs = ["containerd", "ctr", "containerd-shim-runc-v2"];
        if !installed(test, &programs) {
            return None;
        }
        let place = Place::new();
        let log = fs::File::create(place.path("containerd.log")).expect("log");
        let mut command = Command::new("containerd");
        command.arg("--config").arg(configure(&place));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("descriptor")).stderr(log);
        let containerd = Self { daemon: command.spawn().expect("containerd starts"), place };
        wait_until("containerd answers", || containerd.ctr(&["version"]).code == 0);
        let archive = containerd.place.archive();
        containerd.ctr(&["images", "import", archive.to_str().expect("UTF-8")]).ok();
        containerd.works(test).then_some(containerd)
    }

    fn works(&self, test: &str) -> bool {
        static TRIED: OnceLock<Option<Ran>> = OnceLock::new();
        let tried = TRIED.get_or_init(|| {
            installed("", &["runc"])
                .then(|| ran(&mut self.run_with("runc", "tried", &["--rm"], &["true"])))
        });
        tried.as_ref().is_none_or(|tried| works_with_runc(test, tried))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.place.path("c.sock")).args(args);
        command
    }

    #[track_caller]
    fn ctr(&self, args: &[&str]) -> Ran {
        ran(&mut self.command(args))
    }

    /// `ctr run FLAGS IMAGE ID ARGS` with that runtime.
    fn run_with(&self, runtime: &str, id: &str, flags: &[&str], args: &[&str]) -> Command {
        let mut command = self.command(&["run", "--runc-binary", runtime]);
        command.arg("--runc-root").arg(self.place.path("runtime"));
        command.arg("--fifo-dir").arg(self.place.path("fifos"));
        command.arg("--cgroup").arg(format!("/{}/{id}", self.place.cgroup));
        command.args(flags).args([FIXTURE_IMAGE, id]).args(args);
        command
    }

    fn run_command(&self, id: &str, flags: &[&str], args: &[&str]) -> Command {
        self.run_with(podrt_path().to_str().expect("UTF-8"), id, flags, args)
    }

    #[track_caller]
    fn run(&self, id: &str, flags: &[&str], args: &[&str]) -> Ran {
        ran(&mut self.run_command(id, flags, args))
    }

    fn exec_command(&self, id: &str, name: &str, flags: &[&str], args: &[&str]) -> Command {
        let mut command = self.command(&["task", "exec", "--exec-id", name]);
        command.arg("--fifo-dir").arg(self.place.path("fifos")).args(flags).arg(id).args(args);
        command
    }

    /// What containerd says of the task `id`.
    #[track_caller]
    fn status(&self, id: &str) -> String {
        let list = self.ctr(&["task", "ls"]).ok();
        let mut lines = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let line = lines.find(|line| line.first() == Some(&id));
        line.map_or_else(String::new, |line| line[2].to_owned())
    }

    #[track_caller]
    fn wait_status(&self, id: &str, status: &str) {
        wait_until(&format!("task {id} is {status}"), || self.status(id) == status);
    }

    /// Deletes a stopped task, whose exit code ctr tells.
    #[track_caller]
    fn delete_task(&self, id: &str, code: i32) {
        let ran = self.ctr(&["task", "delete", id]);
        assert!(ran.stderr.contains(&format!("exit code {code}\"")), "{ran:?}");
    }

    /// Looks for what is left when the daemon has ended.
    #[track_caller]
    fn assert_clean(mut self) {
        assert_eq!(self.ctr(&["container", "ls", "-q"]).ok(), "");
        self.end();
        let left = fs::read_dir(self.place.path("runtime/default")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "podrt's state");
        self.place.assert_clean();
    }

    fn end(&mut self) {
        let pid = i32::try_from(self.daemon.id()).expect("a pid");
        let term = nix::sys::signal::Signal::SIGTERM;
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), term);
        let _ = self.daemon.wait();
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if matches!(self.daemon.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

/// Everything below the test's folder; nothing that needs a network or modules.
fn configure(place: &Place) -> String {
    let folder = place.world.path().display();
    let conf = format!(
        "version = 2\n\
         root = \"{folder}/root\"\n\
         state = \"{folder}/state\"\n\
         disabled_plugins = [\n\
         \"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\",\n\
         \"io.containerd.snapshotter.v1.devmapper\", \"io.containerd.snapshotter.v1.btrfs\",\n\
         \"io.containerd.snapshotter.v1.zfs\", \"io.containerd.snapshotter.v1.aufs\"]\n\
         [grpc]\n\
         address = \"{folder}/c.sock\"\n\
         [ttrpc]\n\
         address = \"{folder}/t.sock\"\n"
    );
    let path = place.world.file("containerd.toml", &conf);
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn containerd_runs_a_container_in_the_foreground() {
    let Some(containerd) = Containerd::new("containerd_runs_a_container_in_the_foreground") else {
        return;
    };
    let script = "echo out; echo err >&2; echo $A; pwd; exit 7";
    let flags = ["--rm", "--cwd", "/tmp", "--env", "A=b"];
    let ran = containerd.run("a", &flags, &["sh", "-c", script]);
    assert_eq!((ran.code, ran.stdout.as_str()), (7, "out\nb\n/tmp\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("err\n"), "{}", ran.stderr);
    for (args, phrase) in [
        (["nope"], "exec: \"nope\": executable file not found in $PATH"),
        (["/nope"], "no such file or directory"),
        (["/etc/passwd"], "permission denied"),
    ] {
        let ran = containerd.run("b", &["--rm"], &args);
        assert_eq!(ran.code, 1, "{args:?}: {}", ran.stderr);
        // The shim's words, then those of podrt's log.
        let told = "OCI runtime create failed: create container \"b\": ";
        assert!(ran.stderr.contains(told) && ran.stderr.contains(phrase), "{}", ran.stderr);
    }
    for (flags, script, want) in [
        (&["--read-only"][..], "! touch /x 2>/dev/null && echo ro", "ro"),
        (&["--privileged"], "mkdir /m && mount -t tmpfs t /m && echo mounted", "mounted"),
        (&["--seccomp"], "grep Seccomp: /proc/self/status", "Seccomp:\t2"),
        (&["--cap-drop", "CAP_CHOWN"], "touch /x; chown 1 /x 2>/dev/null || echo none", "none"),
        (&["--device", "/dev/null"], "stat -c %t:%T /dev/null", "1:3"),
        (
            &["--mount", "type=tmpfs,dst=/t,options=size=1m"],
            "df -k /t | tail -n 1 | awk '{ print $2 }'",
            "1024",
        ),
    ] {
        let all: Vec<&str> = ["--rm"].iter().chain(flags).copied().collect();
        let ran = containerd.run("c", &all, &["sh", "-c", script]);
        assert_eq!((ran.code, ran.stdout.trim_end()), (0, want), "{flags:?}: {}", ran.stderr);
    }
    containerd.assert_clean();
}

#[test]
fn containerd_leads_a_task_through_its_life() {
    let Some(containerd) = Containerd::new("containerd_leads_a_task_through_its_life") else {
        return;
    };
    let events = fs::File::create(containerd.place.path("events")).expect("file");
    let mut listener = containerd.command(&["events"]);
    let mut listener = listener.stdout(events).stderr(Stdio::null()).spawn().expect("ctr events");
    // It listens when it has seen something.
    let heard = || fs::read_to_string(containerd.place.path("events")).unwrap_or_default();
    let mut count = 0;
    wait_until("events are heard", || {
        count += 1;
        let name = format!("podrt.local/heard:{count}");
        containerd.ctr(&["images", "tag", FIXTURE_IMAGE, &name]).ok();
        heard().contains("/images/create")
    });
    containerd.run("a", &["-d"], &["payload", "trap-term", "--exit", "3"]).ok();
    containerd.wait_status("a", "RUNNING");
    let exec = |name: &str, args: &[&str]| ran(&mut containerd.exec_command("a", name, &[], args));
    let ran = exec("one", &["sh", "-c", "echo in; exit 5"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (5, "in\n"), "{}", ran.stderr);
    let ran = exec("two", &["nope"]);
    assert!(ran.stderr.contains("OCI runtime exec failed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("executable file not found in $PATH"), "{}", ran.stderr);
    let listed = containerd.ctr(&["task", "ps", "a"]).ok();
    assert_eq!(listed.lines().count(), 2, "a headline and the one process: {listed}");
    containerd.ctr(&["task", "pause", "a"]).ok();
    assert_eq!(containerd.status("a"), "PAUSED");
    containerd.ctr(&["task", "resume", "a"]).ok();
    assert_eq!(containerd.status("a"), "RUNNING");
    let metrics = containerd.ctr(&["task", "metrics", "a"]).ok();
    assert!(metrics.lines().any(|line| line.starts_with("pids.current")), "{metrics}");
    // Not before the process minds the signal.
    wait_until("the signal is minded", || {
        // It may have ended meanwhile.
        let _ = containerd.ctr(&["task", "kill", "--signal", "TERM", "a"]);
        containerd.status("a") == "STOPPED"
    });
    containerd.delete_task("a", 3);
    containerd.ctr(&["container", "rm", "a"]).ok();
    containerd.run("b", &["-d"], &["payload", "sleep"]).ok();
    containerd.ctr(&["task", "kill", "--all", "--signal", "KILL", "b"]).ok();
    containerd.wait_status("b", "STOPPED");
    containerd.delete_task("b", 137);
    containerd.ctr(&["container", "rm", "b"]).ok();
    for topic in
        ["create", "start", "exec-added", "exec-started", "exit", "paused", "resumed", "delete"]
    {
        wait_until(topic, || heard().contains(&format!("/tasks/{topic}")));
    }
    assert!(heard().contains("\"exit_status\":5"), "{}", heard());
    let _ = listener.kill();
    let _ = listener.wait();
    containerd.assert_clean();
}

#[test]
fn containerd_gives_containers_and_execs_a_terminal() {
    let Some(containerd) = Containerd::new("containerd_gives_containers_and_execs_a_terminal")
    else {
        return;
    };
    let script = "tty; until [ \"$(stty size 2>/dev/null)\" = '12 34' ]; do sleep 0.05; done; \
                  echo ready; read line; echo \"got $line\"";
    let mut command = containerd.run_command("a", &["-t", "--rm"], &["sh", "-c", script]);
    let (code, text) = on_terminal(&mut command, (12, 34), "ready", "hello\n");
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("/dev/pts/0\nready\n") && text.contains("\ngot hello\n"), "{text}");
    containerd.run("b", &["-d"], &["payload", "sleep"]).ok();
    let mut command = containerd.exec_command("b", "one", &["-t"], &["sh", "-c", script]);
    let (code, text) = on_terminal(&mut command, (12, 34), "ready", "hello\n");
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("/dev/pts/0\nready\n") && text.contains("\ngot hello\n"), "{text}");
    containerd.ctr(&["task", "rm", "--force", "b"]);
    containerd.ctr(&["container", "rm", "b"]).ok();
    containerd.assert_clean();
}

#[test]
fn containerd_hears_that_a_container_ran_out_of_memory() {
    let test = "containerd_hears_that_a_container_ran_out_of_memory";
    if !has_controllers(test, &["memory"]) {
        return;
    }
    let Some(containerd) = Containerd::new(test) else { return };
    let events = fs::File::create(containerd.place.path("events")).expect("file");
    let mut listener = containerd.command(&["events"]);
    let mut listener = listener.stdout(events).stderr(Stdio::null()).spawn().expect("ctr events");
    let heard = || fs::read_to_string(containerd.place.path("events")).unwrap_or_default();
    // As often as it takes until the listener listens.
    wait_until("the lack of memory is told", || {
        let flags = ["--rm", "--memory-limit", "33554432"];
        let ran = containerd.run("a", &flags, &["payload", "memhog", &too_much()]);
        assert_eq!(ran.code, 137, "{}", ran.stderr);
        heard().contains("/tasks/oom {\"container_id\":\"a\"}")
    });
    let _ = listener.kill();
    let _ = listener.wait();
    containerd.assert_clean();
}
