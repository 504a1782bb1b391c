//! podman, with its own store and cgroup, and podrt as `--runtime`.
//!
//! podrt's state is where podman expects it, below the default root: its
//! clean-up calls pass no other.

use std::process::Command;
use std::sync::OnceLock;

use super::support::{Place, installed, on_terminal, ran, too_much, wait_until, works_with_runc};
use crate::support::{FIXTURE_IMAGE, Ran, has_controllers, podrt_path};

struct Podman {
    place: Place,
}

impl Podman {
    /// `None` where podman cannot be tested, which is noted for `test`.
    fn new(test: &str) -> Option<Self> {
        if !installed(test, &["podman", "conmon"]) {
            return None;
        }
        let podman = Self { place: Place::new() };
        podman.configure();
        let archive = podman.place.archive();
        podman.ran(&["load", "-q", "-i", archive.to_str().expect("UTF-8")]).ok();
        podman.works(test).then_some(podman)
    }

    /// Whether podman runs containers here with runc, where that is installed.
    fn works(&self, test: &str) -> bool {
        static TRIED: OnceLock<Option<Ran>> = OnceLock::new();
        let tried = TRIED.get_or_init(|| {
            installed("", &["runc"]).then(|| {
                self.ran(&[
                    "--runtime",
                    "runc",
                    "run",
                    "--rm",
                    "--network",
                    "none",
                    FIXTURE_IMAGE,
                    "true",
                ])
            })
        });
        tried.as_ref().is_none_or(|tried| works_with_runc(test, tried))
    }

    /// No limits that need CAP_SYS_RESOURCE, no systemd, locks of its own.
    fn configure(&self) {
        let conf = format!(
            "[containers]\n\
             default_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\n\
             [engine]\n\
             cgroup_manager = \"cgroupfs\"\n\
             events_logger = \"none\"\n\
             lock_type = \"file\"\n\
             runtime = \"podrt\"\n\
             runtime_supports_json = [\"podrt\"]\n\
             runtime_supports_nocgroup = [\"podrt\"]\n\
             [engine.runtimes]\n\
             podrt = [{:?}]\n",
            podrt_path()
        );
        self.place.world.file("containers.conf", &conf);
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("podman");
        // conmon leaves a file there when memory ran out.
        command.current_dir(self.place.world.path());
        command.env("CONTAINERS_CONF", self.place.path("containers.conf"));
        for (flag, folder) in [("--root", "store"), ("--runroot", "runroot"), ("--tmpdir", "tmp")] {
            command.arg(flag).arg(self.place.path(folder));
        }
        command.args(["--storage-driver", "vfs"]).args(args);
        command
    }

    #[track_caller]
    fn ran(&self, args: &[&str]) -> Ran {
        ran(&mut self.command(args))
    }

    /// `podman run FLAGS IMAGE ARGS` without a network.
    fn run_command(&self, flags: &[&str], args: &[&str]) -> Command {
        let mut command = self.command(&["run", "--network", "none"]);
        command.arg("--cgroup-parent").arg(format!("/{}", self.place.cgroup));
        command.args(flags).arg(FIXTURE_IMAGE).args(args);
        command
    }

    #[track_caller]
    fn run(&self, flags: &[&str], args: &[&str]) -> Ran {
        ran(&mut self.run_command(flags, args))
    }

    /// A container `c` that waits for TERM and then ends with 3.
    #[track_caller]
    fn waiting(&self, flags: &[&str]) {
        let all: Vec<&str> = ["-d", "--name", "c"].iter().chain(flags).copied().collect();
        self.run(&all, &["payload", "trap-term", "--exit", "3"]).ok();
    }

    #[track_caller]
    fn inspect(&self, field: &str) -> String {
        self.ran(&["inspect", "c", "--format", field]).ok().trim().to_owned()
    }

    /// Removes every container and looks for what is left, podrt's state too.
    #[track_caller]
    fn assert_clean(self) {
        let ids = self.ran(&["ps", "-a", "-q", "--no-trunc"]).ok();
        self.ran(&["rm", "-a", "-f", "-t", "0"]).ok();
        for id in ids.lines() {
            let state = std::path::Path::new("/run/podrt").join(id);
            assert!(!state.exists(), "{state:?}");
        }
        self.place.assert_clean();
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.command(&["rm", "-a", "-f", "-t", "0"]).output();
    }
}

#[test]
fn podman_runs_a_container_in_the_foreground() {
    let Some(podman) = Podman::new("podman_runs_a_container_in_the_foreground") else { return };
    let script = "echo out; echo err >&2; id -u; pwd; echo $A; exit 7";
    let ran = podman.run(
        &["--user", "1000:2000", "-w", "/tmp", "-e", "A=b", "--name", "c"],
        &["sh", "-c", script],
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (7, "out\n1000\n/tmp\nb\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("err\n"), "{}", ran.stderr);
    let logs = podman.ran(&["logs", "c"]);
    assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("out\n1000\n/tmp\nb\n", "err\n"));
    assert_eq!(podman.inspect("{{.State.ExitCode}} {{.State.Status}}"), "7 exited");
    for (args, code, phrase) in [
        (["nope"], 127, "executable file not found in $PATH"),
        (["/nope"], 127, "no such file or directory"),
        (["/etc/passwd"], 126, "permission denied"),
    ] {
        let ran = podman.run(&["--rm"], &args);
        assert_eq!(ran.code, code, "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(phrase), "{args:?}: {}", ran.stderr);
        // Read from the log file that podman names, so podrt's own words.
        assert!(ran.stderr.contains("create container"), "{args:?}: {}", ran.stderr);
    }
    podman.assert_clean();
}

#[test]
fn podman_starts_stops_and_kills_a_container() {
    let Some(podman) = Podman::new("podman_starts_stops_and_kills_a_container") else { return };
    podman.waiting(&[]);
    assert_eq!(podman.inspect("{{.State.Status}}"), "running");
    podman.ran(&["stop", "-t", "100", "c"]).ok();
    assert_eq!(podman.inspect("{{.State.Status}} {{.State.ExitCode}}"), "exited 3");
    podman.ran(&["start", "c"]).ok();
    podman.ran(&["kill", "--signal", "KILL", "c"]).ok();
    assert_eq!(podman.ran(&["wait", "c"]).ok(), "137\n");
    podman.ran(&["restart", "c"]).ok();
    // Ended by the runtime alone.
    podman.ran(&["rm", "-f", "-t", "0", "c"]).ok();
    podman.assert_clean();
}

#[test]
fn podman_executes_in_a_container_and_looks_into_it() {
    let Some(podman) = Podman::new("podman_executes_in_a_container_and_looks_into_it") else {
        return;
    };
    podman.waiting(&["--health-cmd", "test -e /tmp/well"]);
    let ran =
        podman.ran(&["exec", "-u", "1000", "-e", "A=b", "c", "sh", "-c", "id -u; echo $A; exit 5"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (5, "1000\nb\n"), "{}", ran.stderr);
    for (args, code) in [(["nope"], 127), (["/nope"], 127), (["/etc/passwd"], 126)] {
        let mut all = vec!["exec", "c"];
        all.extend(args);
        assert_eq!(podman.ran(&all).code, code, "{args:?}");
    }
    podman.ran(&["exec", "-d", "c", "payload", "write-file", "/tmp/detached", "x"]).ok();
    wait_until("a detached exec", || {
        podman.ran(&["exec", "c", "test", "-e", "/tmp/detached"]).code == 0
    });
    assert_eq!(podman.ran(&["healthcheck", "run", "c"]).code, 1);
    podman.ran(&["exec", "c", "touch", "/tmp/well"]).ok();
    assert_eq!(podman.ran(&["healthcheck", "run", "c"]).code, 0);
    let top = podman.ran(&["top", "c", "pid", "comm"]).ok();
    assert!(top.lines().any(|line| line.split_whitespace().eq(["1", "payload"])), "{top}");
    podman.assert_clean();
}

#[test]
fn podman_pauses_a_container_and_lets_it_go_on() {
    let Some(podman) = Podman::new("podman_pauses_a_container_and_lets_it_go_on") else { return };
    podman
        .run(
            &["-d", "--name", "c"],
            &["sh", "-c", "while :; do echo x >>/tmp/beats; sleep 0.02; done"],
        )
        .ok();
    let file = podman.ran(&["mount", "c"]).ok().trim().to_owned() + "/tmp/beats";
    let beats = || std::fs::metadata(&file).map_or(0, |meta| meta.len());
    wait_until("the container beats", || beats() > 0);
    podman.ran(&["pause", "c"]).ok();
    assert_eq!(podman.inspect("{{.State.Status}}"), "paused");
    let before = beats();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(beats(), before, "nothing runs in a paused container");
    podman.ran(&["unpause", "c"]).ok();
    assert_eq!(podman.inspect("{{.State.Status}}"), "running");
    wait_until("it beats again", || beats() > before);
    // A paused one can be removed, too.
    podman.ran(&["pause", "c"]).ok();
    podman.assert_clean();
}

#[test]
fn podman_gives_containers_and_execs_a_terminal() {
    let Some(podman) = Podman::new("podman_gives_containers_and_execs_a_terminal") else { return };
    // The size is set some time after the program runs.
    let script = "tty; until [ \"$(stty size 2>/dev/null)\" = '12 34' ]; do sleep 0.05; done; \
                  echo ready; read line; echo \"got $line\"";
    let mut command = podman.run_command(&["-it", "--name", "c"], &["sh", "-c", script]);
    let (code, text) = on_terminal(&mut command, (12, 34), "ready", "hello\n");
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("/dev/pts/0\nready\n") && text.contains("\ngot hello\n"), "{text}");
    podman.ran(&["rm", "c"]).ok();
    podman.waiting(&["-t"]);
    let mut command = podman.command(&["exec", "-it", "c", "sh", "-c", script]);
    let (code, text) = on_terminal(&mut command, (12, 34), "ready", "hello\n");
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("/dev/pts/1\nready\n") && text.contains("\ngot hello\n"), "{text}");
    podman.assert_clean();
}

#[test]
fn podman_puts_an_init_of_its_own_in_front() {
    let test = "podman_puts_an_init_of_its_own_in_front";
    let Some(podman) = Podman::new(test) else { return };
    if !std::path::Path::new("/usr/libexec/podman/catatonit").exists()
        && !installed(test, &["catatonit"])
    {
        return;
    }
    let ran = podman.run(&["--rm", "--init"], &["sh", "-c", "cat /proc/1/comm; echo $$"]);
    let text = ran.ok();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0] != "sh" && lines[1] != "1", "{text}");
    podman.assert_clean();
}

#[test]
fn podman_places_a_container_in_a_cgroup_or_in_none() {
    let Some(podman) = Podman::new("podman_places_a_container_in_a_cgroup_or_in_none") else {
        return;
    };
    for mode in ["enabled", "no-conmon"] {
        let ran = podman
            .run(&["--rm", "--cgroupns", "host", "--cgroups", mode], &["cat", "/proc/self/cgroup"]);
        let text = ran.ok();
        let parent = format!(":/{}/libpod-", podman.place.cgroup);
        assert!(text.lines().all(|line| line.contains(&parent)), "{mode}: {text}");
    }
    let mut command = podman.command(&["run", "--network", "none", "--cgroups", "disabled"]);
    command.args(["--cgroupns", "host", "--name", "c", "-d", FIXTURE_IMAGE, "payload", "sleep"]);
    ran(&mut command).ok();
    let own = std::fs::read_to_string("/proc/self/cgroup").expect("own cgroups");
    assert_eq!(podman.ran(&["exec", "c", "cat", "/proc/1/cgroup"]).ok(), own);
    podman.ran(&["kill", "c"]).ok();
    assert_eq!(podman.ran(&["wait", "c"]).ok(), "137\n");
    podman.assert_clean();
}

#[test]
fn podman_limits_a_container_that_ends_when_it_runs_out_of_memory() {
    let test = "podman_limits_a_container_that_ends_when_it_runs_out_of_memory";
    if !has_controllers(test, &["memory", "pids", "cpu"]) {
        return;
    }
    let Some(podman) = Podman::new(test) else { return };
    let flags = ["--memory", "32m", "--pids-limit", "9", "--cpu-shares", "512", "--name", "c"];
    let ran = podman.run(&flags, &["payload", "memhog", &too_much()]);
    assert_eq!(ran.code, 137, "{}", ran.stderr);
    // Not .State.OOMKilled: Debian's conmon leaves its note of that in the
    // folder that podman was started in, where podman does not look.
    assert_eq!(podman.inspect("{{.State.ExitCode}}"), "137");
    let args = ["sh", "-c", "for i in $(seq 20); do sleep 100 & done; wait"];
    let ran = podman.run(&["--rm", "--pids-limit", "9"], &args);
    assert!(ran.stderr.contains("can't fork"), "{ran:?}");
    podman.ran(&["rm", "c"]).ok();
    podman.waiting(&[]);
    podman.ran(&["update", "--memory", "48m", "c"]).ok();
    let limit = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes";
    assert_eq!(podman.ran(&["exec", "c", "sh", "-c", limit]).stdout, "50331648\n");
    podman.assert_clean();
}

/// An option of `podman run`, and what the container then prints.
const OPTIONS: &[(&[&str], &str, &str)] = &[
    (&["--user", "1000:2000", "--group-add", "77"], "id -G", "2000 77"),
    (&["--read-only", "--tmpfs", "/t"], "touch /t/x && ! touch /x && echo ro", "ro"),
    (
        &["--hostname", "there", "--add-host", "a:1.2.3.4"],
        "hostname; grep -c 1.2.3.4 /etc/hosts",
        "there\n1",
    ),
    (
        &["--cap-drop", "all", "--cap-add", "chown"],
        "grep CapEff /proc/self/status",
        "CapEff:\t0000000000000001",
    ),
    (
        &["--security-opt", "no-new-privileges"],
        "grep NoNewPrivs /proc/self/status",
        "NoNewPrivs:\t1",
    ),
    (&[], "grep Seccomp: /proc/self/status", "Seccomp:\t2"),
    (&["--security-opt", "seccomp=unconfined"], "grep Seccomp: /proc/self/status", "Seccomp:\t0"),
    (
        &["--sysctl", "net.ipv4.ip_unprivileged_port_start=7"],
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
        "7",
    ),
    (&["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj", "500"),
    (
        &["--uidmap", "0:100000:2000", "--gidmap", "0:200000:2000"],
        "touch /x && stat -c %u:%g /x; cut -c11-21 /proc/self/uid_map",
        "0:0\n     100000",
    ),
    (&["--pid", "host"], "test $$ != 1 && echo host", "host"),
    (
        &["--privileged"],
        "mount -t tmpfs t /mnt 2>/dev/null || mkdir /mnt && mount -t tmpfs t /mnt && echo mounted",
        "mounted",
    ),
    (&["--device", "/dev/zero:/dev/other"], "stat -c %t:%T /dev/other", "1:5"),
    (&["--shm-size", "1m"], "df -k /dev/shm | tail -n 1 | awk '{ print $2 }'", "1024"),
    (&["--umask", "0077"], "umask", "0077"),
];

#[test]
fn podmans_options_take_effect() {
    let Some(podman) = Podman::new("podmans_options_take_effect") else { return };
    for (flags, script, want) in OPTIONS {
        let all: Vec<&str> = ["--rm"].iter().chain(*flags).copied().collect();
        let ran = podman.run(&all, &["sh", "-c", script]);
        assert_eq!((ran.code, ran.stdout.trim_end()), (0, *want), "{flags:?}: {}", ran.stderr);
    }
    podman.assert_clean();
}
