//! The keeper against a shim that does what the test tells it. That shim is
//! this test program itself, told by a variable which test to be.

use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal as NixSignal, kill};
use nix::sys::socket::{MsgFlags, recv, send};

use super::*;
use crate::model::{ExitStatus, Signal};
use crate::sys::exit_log::{Exit, ExitLog};
use crate::sys::process::{Wait, fork_with_pidfd, pidfd_open, pidfd_wait_exit, wait_pidfd};
use crate::sys::testing::alone;

const ROLE: &str = "PODRT_TEST_FAKE_SHIM";
const TELEPHONE: &str = "telephone";

/// The shim: announces itself, obeys, becomes the keeper when that dies.
#[test]
fn fake_shim() {
    let Ok(role) = std::env::var(ROLE) else { return };
    if role == "dies" {
        exit_now(3);
    }
    let mut link = Link::adopt().expect("adopt");
    let telephone = Arc::clone(link.held(TELEPHONE).expect("telephone"));
    let say = |text: String| {
        let _ = send(telephone.as_raw_fd(), text.as_bytes(), MsgFlags::MSG_NOSIGNAL);
    };
    let keys: Vec<&str> = link.iter().map(|(key, _)| key).collect();
    say(format!("up {} {}", std::process::id(), keys.join(" ")));
    loop {
        let mut ready =
            [link.control(), telephone.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        poll(&mut ready, PollTimeout::NONE).expect("poll");
        let [from_keeper, from_test] = ready.map(|fd| fd.any().unwrap_or(false));
        if from_keeper {
            match link.receive().expect("receive") {
                Some(Notice::Gone) => {
                    panic!("{}", link.become_keeper(&shim_args(), &shim_env("obeys")))
                }
                Some(notice) => say(format!("{notice:?}")),
                None => {}
            }
        }
        if from_test {
            let mut buffer = [0; 200];
            let len = recv(telephone.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap_or(0);
            if len == 0 {
                // The test is gone, and takes shim and keeper along.
                exit_now(FINISHED);
            }
            let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
            say(obey(&mut link, &text, &telephone));
        }
    }
}

fn obey(link: &mut Link, order: &str, telephone: &OwnedFd) -> String {
    match order.split_once(' ').unwrap_or((order, "")) {
        ("hold", key) => {
            let (reader, writer) = fd::pipe().expect("pipe");
            nix::unistd::write(&writer, key.as_bytes()).expect("write");
            link.hold(key, Arc::new(reader)).map_or_else(|e| e.to_string(), |()| "held".into())
        }
        ("read", key) => {
            let mut buffer = [0; 200];
            let pipe = link.held(key).expect("held");
            let len = nix::unistd::read(pipe.as_fd(), &mut buffer).expect("read");
            String::from_utf8_lossy(&buffer[..len]).into_owned()
        }
        ("release", key) => {
            link.release(key).map_or_else(|e| e.to_string(), |()| "released".into())
        }
        ("alive", _) => link.alive().map_or_else(|e| e.to_string(), |()| "alive".into()),
        ("child", _) => match fork_with_pidfd().expect("fork") {
            Clone::Parent { pid, .. } => pid.to_string(),
            Clone::Child => {
                // Until it is killed, or the test is.
                let mut hung_up = [PollFd::new(telephone.as_fd(), PollFlags::empty())];
                let _ = poll(&mut hung_up, PollTimeout::NONE);
                exit_now(0)
            }
        },
        ("parent", _) => nix::unistd::getppid().to_string(),
        ("end", code) => exit_now(code.parse().expect("code")),
        _ => "what?".into(),
    }
}

fn shim_args() -> Vec<String> {
    ["fake-shim", "--exact", "sys::keeper::tests::fake_shim", "--nocapture"]
        .map(String::from)
        .into()
}

fn shim_env(role: &str) -> Vec<String> {
    vec![format!("{ROLE}={role}")]
}

/// A keeper with a fake shim, and the telephone to it.
struct Bench {
    dir: tempfile::TempDir,
    keeper: Spawned,
    telephone: OwnedFd,
}

impl Bench {
    fn start(role: &str) -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let log = File::create(dir.path().join("log")).expect("log");
        let executable = File::open("/proc/self/exe").expect("exe");
        let (telephone, theirs) = fd::seqpacket_pair().expect("pair");
        let keeper = spawn(&SpawnArgs {
            run_dir: dir.path(),
            shim: executable.as_fd(),
            args: &shim_args(),
            env: &shim_env(role),
            log: log.as_fd(),
            held: &[(TELEPHONE, theirs.as_fd())],
            clone_into: None,
            join: &[],
            oom_score_adj: 0,
        })
        .expect("spawn");
        Self { dir, keeper, telephone }
    }

    fn hear(&self) -> String {
        let mut ready = [PollFd::new(self.telephone.as_fd(), PollFlags::POLLIN)];
        let count = poll(&mut ready, PollTimeout::from(20_000_u16)).expect("poll");
        assert_eq!(count, 1, "silence; log: {}", self.log());
        let mut buffer = [0; 400];
        let len = recv(self.telephone.as_raw_fd(), &mut buffer, MsgFlags::empty()).expect("recv");
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    }

    /// The pid and the keys of a shim that comes up now.
    fn up(&self) -> (Pid, Vec<String>) {
        let text = self.hear();
        let mut words = text.split(' ');
        assert_eq!(words.next(), Some("up"), "{text}");
        let pid = words.next().expect("pid").parse().expect("number");
        (Pid::from_raw(pid), words.map(str::to_owned).collect())
    }

    fn ask(&self, order: &str) -> String {
        self.tell(order);
        self.hear()
    }

    fn tell(&self, order: &str) {
        send(self.telephone.as_raw_fd(), order.as_bytes(), MsgFlags::empty()).expect("send");
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).expect("log")
    }

    fn keeper_status(&self) -> Option<ExitStatus> {
        let timeout = Some(Duration::from_secs(20));
        assert!(
            pidfd_wait_exit(self.keeper.pidfd.as_fd(), timeout).expect("poll"),
            "{}",
            self.log()
        );
        wait_pidfd(self.keeper.pidfd.as_fd(), Wait::Block).expect("wait")
    }

    fn exits(&self) -> Vec<Exit> {
        ExitLog::open(self.dir.path()).expect("open").read_new().expect("read")
    }
}

impl Drop for Bench {
    /// A failed test leaves no process behind.
    fn drop(&mut self) {
        let _ = kill(self.keeper.pid, NixSignal::SIGKILL);
    }
}

fn kill_hard(pid: Pid) {
    kill(pid, NixSignal::SIGKILL).expect("kill");
}

fn end(pid: Pid) {
    let pidfd = pidfd_open(pid).expect("pidfd");
    kill_hard(pid);
    assert!(pidfd_wait_exit(pidfd.as_fd(), Some(Duration::from_secs(20))).expect("poll"));
}

fn parse_pid(text: &str) -> Pid {
    Pid::from_raw(text.parse().expect("pid"))
}

#[test]
fn a_killed_shim_is_started_again_and_finds_what_was_held() {
    alone(|| {
        let bench = Bench::start("obeys");
        let (first, keys) = bench.up();
        assert_eq!(keys, [TELEPHONE]);
        assert_eq!(bench.ask("alive"), "alive");
        assert_eq!(bench.ask("hold log/web"), "held");
        assert_eq!(bench.ask("hold gone"), "held");
        assert_eq!(bench.ask("hold log/db"), "held");
        assert_eq!(bench.ask("release gone"), "released");
        kill_hard(first);
        let (second, keys) = bench.up();
        assert_ne!(first, second);
        assert_eq!(keys, ["log/db", "log/web", TELEPHONE]);
        assert_eq!(bench.ask("read log/web"), "log/web");
        bench.tell("end 42");
        assert_eq!(bench.keeper_status(), Some(ExitStatus::Exited(0)));
    });
}

#[test]
fn what_a_shim_sent_right_before_its_death_is_held() {
    alone(|| {
        let bench = Bench::start("obeys");
        bench.up();
        bench.tell("hold late");
        bench.tell("end 0");
        assert_eq!(bench.hear(), "held");
        let (_, keys) = bench.up();
        assert!(keys.contains(&"late".to_owned()), "{keys:?}");
        bench.tell("end 42");
        assert_eq!(bench.keeper_status(), Some(ExitStatus::Exited(0)));
    });
}

#[test]
fn children_of_a_dead_shim_are_reaped_and_their_exits_noted() {
    alone(|| {
        let bench = Bench::start("obeys");
        let (shim, _) = bench.up();
        let (early, late) = (parse_pid(&bench.ask("child")), parse_pid(&bench.ask("child")));
        let start_time = crate::sys::process::process_start_time(late).expect("stat");
        kill_hard(shim);
        bench.up();
        kill_hard(late);
        assert_eq!(bench.hear(), "Exits");
        let exits = bench.exits();
        assert_eq!(exits.len(), 1);
        assert_eq!((exits[0].pid, exits[0].start_time), (late, start_time));
        assert_eq!(exits[0].status, ExitStatus::Signaled(Signal::KILL));
        assert!(exits[0].cgroup.as_deref().is_some_and(|path| path.starts_with('/')), "{exits:?}");
        let since = crate::sys::clock::now().wall.since(exits[0].wall);
        assert!(since < Duration::from_secs(60), "{since:?}");
        kill(early, NixSignal::SIGTERM).expect("kill");
        assert_eq!(bench.hear(), "Exits");
        assert_eq!(bench.exits()[1].status, ExitStatus::Signaled(Signal::TERM));
        bench.tell("end 42");
        assert_eq!(bench.keeper_status(), Some(ExitStatus::Exited(0)));
    });
}

#[test]
fn a_shim_whose_keeper_is_killed_becomes_the_keeper_and_loses_nothing() {
    alone(|| {
        let bench = Bench::start("obeys");
        let (shim, _) = bench.up();
        assert_eq!(bench.ask("hold log/web"), "held");
        let child = parse_pid(&bench.ask("child"));
        let ended_before = parse_pid(&bench.ask("child"));
        end(ended_before);
        end(bench.keeper.pid);
        assert_eq!(bench.keeper_status(), Some(ExitStatus::Signaled(Signal::KILL)));
        let (next, keys) = bench.up();
        assert_eq!(keys, ["log/web", TELEPHONE]);
        assert_eq!(bench.ask("parent"), shim.to_string());
        assert_eq!(bench.ask("read log/web"), "log/web");
        // The containers of the first shim are the new keeper's children, also
        // one that had ended already.
        assert_eq!(bench.exits()[0].pid, ended_before);
        kill_hard(child);
        assert_eq!(bench.hear(), "Exits");
        assert_eq!(bench.exits()[1].pid, child);
        // And the new keeper keeps.
        kill_hard(next);
        let (_, keys) = bench.up();
        assert_eq!(keys, ["log/web", TELEPHONE]);
        let keeper = pidfd_open(shim).expect("pidfd");
        bench.tell("end 42");
        assert!(pidfd_wait_exit(keeper.as_fd(), Some(Duration::from_secs(20))).expect("poll"));
    });
}

#[test]
fn a_shim_that_never_comes_up_is_given_up() {
    alone(|| {
        let bench = Bench::start("dies");
        assert_eq!(bench.keeper_status(), Some(ExitStatus::Exited(1)));
        let log = bench.log();
        assert_eq!(log.matches("the shim ended with wait status 768").count(), 6, "{log}");
        assert!(log.ends_with("podrt-keeper: giving up: the shim never came up\n"), "{log}");
    });
}

#[test]
fn a_proven_shim_that_keeps_dying_is_started_ever_slower() {
    alone(|| {
        let bench = Bench::start("obeys");
        let (mut shim, _) = bench.up();
        assert_eq!(bench.ask("alive"), "alive");
        let begin = Instant::now();
        for _ in 0..7 {
            kill_hard(shim);
            (shim, _) = bench.up();
        }
        // Five at once, then 100 and 200 ms.
        assert!(begin.elapsed() >= Duration::from_millis(300), "{:?}", begin.elapsed());
        bench.tell("end 42");
        assert_eq!(bench.keeper_status(), Some(ExitStatus::Exited(0)));
    });
}

#[test]
fn a_keeper_refuses_keys_that_are_its_own() {
    alone(|| {
        let bench = Bench::start("obeys");
        bench.up();
        assert!(bench.ask("hold @shim").contains("invalid argument"));
        assert!(bench.ask(&format!("hold {}", "k".repeat(121))).contains("name too long"));
        bench.tell("end 42");
        assert_eq!(bench.keeper_status(), Some(ExitStatus::Exited(0)));
    });
}

#[test]
fn a_program_that_no_keeper_started_adopts_nothing() {
    alone(|| {
        // In a fresh process, because a process adopts once.
        match fork_with_pidfd().expect("fork") {
            Clone::Child => {
                let refused = hand_over::adopt().is_err_and(|error| error.errno == Errno::EBADMSG);
                exit_now(if refused { 0 } else { 1 })
            }
            Clone::Parent { pidfd, .. } => {
                let status = wait_pidfd(pidfd.as_fd(), Wait::Block).expect("wait");
                assert_eq!(status, Some(ExitStatus::Exited(0)));
            }
        }
    });
}

#[test]
fn a_shim_that_cannot_be_executed_is_an_error_of_the_keeper_only() {
    alone(|| {
        let dir = tempfile::tempdir().expect("dir");
        let log = File::create(dir.path().join("log")).expect("log");
        let not_a_program = File::open("/etc/passwd").expect("file");
        let keeper = spawn(&SpawnArgs {
            run_dir: dir.path(),
            shim: not_a_program.as_fd(),
            args: &shim_args(),
            env: &[],
            log: log.as_fd(),
            held: &[],
            clone_into: None,
            join: &[],
            oom_score_adj: 0,
        })
        .expect("spawn");
        let status = wait_pidfd(keeper.pidfd.as_fd(), Wait::Block).expect("wait");
        assert_eq!(status, Some(ExitStatus::Exited(1)));
        let text = std::fs::read_to_string(dir.path().join("log")).expect("log");
        assert!(text.contains("cannot execute the shim: errno 13"), "{text}");
    });
}

#[test]
fn a_keeper_stays_small_and_sleeps() {
    alone(|| {
        let bench = Bench::start("obeys");
        bench.up();
        assert_eq!(bench.ask("hold log/web"), "held");
        assert_eq!(bench.ask("alive"), "alive");
        let read = |file: &str| {
            std::fs::read_to_string(format!("/proc/{}/{file}", bench.keeper.pid)).expect("read")
        };
        let memory = read("smaps_rollup");
        let line = memory.lines().find(|line| line.starts_with("Pss:")).expect("Pss");
        let kib: u32 = line.split_whitespace().nth(1).expect("number").parse().expect("number");
        assert!(kib <= 28, "{memory}");
        let _ = nix::unistd::write(std::io::stderr(), format!("keeper: {kib} KiB\n").as_bytes());
        let switches = || {
            let status = read("status");
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt"));
            line.expect("field").to_owned()
        };
        let sleeps = || {
            let before = switches();
            std::thread::sleep(Duration::from_millis(300));
            switches() == before
        };
        // It may still be busy with the last message the first time.
        assert!(sleeps() || sleeps());
        bench.tell("end 42");
        assert_eq!(bench.keeper_status(), Some(ExitStatus::Exited(0)));
    });
}
