//! kill -9 of a pod's own processes at every step it puts on record: the pod
//! ends as if nothing had happened.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::pod_probes::{pod_of, status};
use crate::support::{FIXTURE_IMAGE, World};

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Nobody,
    Shim,
    Keeper,
}

/// What is the same however often somebody was killed.
#[derive(Debug, PartialEq, Eq)]
struct End {
    code: Option<i32>,
    phase: String,
    /// Container → exit code, restarts, the exit code before.
    containers: BTreeMap<String, (i64, i64, Option<i64>)>,
    /// Log file → its lines without times.
    logs: BTreeMap<String, Vec<String>>,
}

/// Watches a pod's folder for records that are put in place.
struct Steps {
    inotify: Inotify,
    seen: usize,
}

impl Steps {
    fn of(dir: &Path) -> Self {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).expect("inotify");
        inotify.add_watch(dir, AddWatchFlags::IN_MOVED_TO).expect("watch");
        Self { inotify, seen: 0 }
    }

    /// Waits until `count` records were written; false when none comes any
    /// more.
    fn wait_for(&mut self, count: usize, timeout_ms: u16) -> bool {
        while self.seen < count {
            if !readable(&self.inotify, timeout_ms) {
                return false;
            }
            let events = self.inotify.read_events().expect("read");
            let records = ["machine.json", "status.json"];
            let is_record = |name: &std::ffi::OsStr| records.iter().any(|r| *r == name);
            self.seen +=
                events.iter().filter(|event| event.name.as_deref().is_some_and(is_record)).count();
        }
        true
    }
}

fn readable(inotify: &Inotify, timeout_ms: u16) -> bool {
    let mut polled = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::from(timeout_ms)).expect("poll") > 0
}

/// The folder of the only pod of a world, as soon as it is there.
fn wait_for_folder(world: &World) -> PathBuf {
    let pods = world.root().join("pods");
    fs::create_dir_all(&pods).expect("folder");
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC).expect("inotify");
    let appears = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CREATE;
    inotify.add_watch(&pods, appears).expect("watch");
    loop {
        let found = fs::read_dir(&pods).expect("read").flatten().map(|entry| entry.path());
        let is_uid = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 36);
        if let Some(path) = found.into_iter().find(is_uid) {
            return path;
        }
        assert!(readable(&inotify, 60_000), "no pod appears");
        let _ = inotify.read_events();
    }
}

/// The process of that pod whose first argument is `name`. Its children bear
/// its name until they execute a program of their own: they are not meant.
pub fn process_of(name: &str, uid: &str) -> Option<Pid> {
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    let named = entries.into_iter().filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let mut words = line.split(|&byte| byte == 0);
        let found = words.next() == Some(name.as_bytes()) && words.any(|w| w == uid.as_bytes());
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent: i32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        found.then_some((pid, parent))
    });
    let named: Vec<(i32, i32)> = named.collect();
    let is_child = |parent| named.iter().any(|(pid, _)| *pid == parent);
    named.iter().find(|(_, parent)| !is_child(*parent)).map(|(pid, _)| Pid::from_raw(*pid))
}

fn kill_of(victim: Victim, uid: &str) -> bool {
    let name = match victim {
        Victim::Nobody => return true,
        Victim::Shim => "podrt-shim",
        Victim::Keeper => "podrt-keeper",
    };
    process_of(name, uid).is_some_and(|pid| kill(pid, Signal::SIGKILL).is_ok())
}

/// A pod with a bit of everything: an init container, a volume that outlives
/// an instance, a failure and its restart, output the whole time.
fn manifest() -> String {
    let script = "n=$(cat /v/n 2>/dev/null || echo 0); echo $((n+1)) > /v/n; echo run $n; \
                  i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); usleep 2000; done; \
                  [ $n -ge 1 ] || exit 7";
    let script = serde_json::to_string(script).expect("text");
    let volume = "volumeMounts: [ { name: v, mountPath: /v } ]";
    let worker = format!("name: worker, IMAGE, {volume}, command: [sh, -c, {script}]");
    let other = "name: other, IMAGE, command: [sh, -c, 'echo here; sleep 0.2; echo gone >&2']";
    let init = format!(
        "  volumes: [ {{ name: v, emptyDir: {{}} }} ]
  initContainers:
    - {{ name: init, image: {FIXTURE_IMAGE}, command: [sh, -c, 'echo first'] }}
  containers:"
    );
    pod_of("crash", "OnFailure", 1, &[&worker, other]).replace("  containers:", &init)
}

fn start(world: &World, manifest: &str) -> Child {
    let path = world.file("pod.yaml", manifest);
    let mut command = world.command(&["run", &path.to_string_lossy()]);
    let errors = fs::File::create(world.path().join("errors")).expect("file");
    command.stdout(Stdio::null()).stderr(errors).spawn().expect("spawn")
}

/// Runs the pod to its end and kills the victim when `step` records were
/// written; the number of records with nobody killed.
fn live(world: &World, victim: Victim, step: usize) -> (End, usize) {
    let mut child = start(world, &manifest());
    let dir = wait_for_folder(world);
    let uid = dir.file_name().expect("uid").to_string_lossy().into_owned();
    let mut steps = Steps::of(&dir);
    if steps.wait_for(step, 4000) {
        kill_of(victim, &uid);
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    let code = loop {
        if let Some(status) = child.try_wait().expect("wait") {
            break status.code();
        }
        if Instant::now() > deadline {
            let log = fs::read_to_string(dir.join("shim.log")).unwrap_or_default();
            let _ = child.kill();
            panic!("{victim:?} at {step}: no end; {:#}\n{log}", world.pod("crash"));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let _ = steps.wait_for(usize::MAX, 0);
    (end_of(world, code), steps.seen)
}

fn end_of(world: &World, code: Option<i32>) -> End {
    let pod = world.pod("crash");
    let status = &pod["status"];
    let lists = ["initContainerStatuses", "containerStatuses"];
    let all = lists.into_iter().filter_map(|list| status[list].as_array()).flatten();
    let containers = all.map(|status| {
        let name = status["name"].as_str().expect("name").to_owned();
        let code = |state: &Value| state["terminated"]["exitCode"].as_i64();
        let ended = code(&status["state"]).unwrap_or(-1);
        let restarts = status["restartCount"].as_i64().unwrap_or(-1);
        (name, (ended, restarts, code(&status["lastState"])))
    });
    let containers = containers.collect();
    End { code, phase: status["phase"].to_string(), containers, logs: logs(&world.log_root()) }
}

fn logs(dir: &Path) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("logs").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            let below = logs(&path);
            // The pod's folder has its uid in it.
            let name = name.split('_').take(2).collect::<Vec<_>>().join("_");
            found.extend(below.into_iter().map(|(file, lines)| (format!("{name}/{file}"), lines)));
        } else {
            let text = fs::read_to_string(&path).expect("log");
            let lines = text.lines().map(|l| l.split_once(' ').expect("time").1.to_owned());
            found.insert(name, lines.collect());
        }
    }
    found
}

/// Every `stride`-th step from `first` on, each with a pod of its own.
fn kill_at_steps(victim: Victim, first: usize, stride: usize) {
    let world = World::with_fixture();
    let (want, steps) = live(&world, Victim::Nobody, 0);
    assert_eq!(want.phase, "\"Succeeded\"");
    world.podrt(&["delete", "pod", "crash"]).ok();
    let _ = fs::remove_dir_all(world.log_root());
    for step in (first..=steps).step_by(stride) {
        let (end, _) = live(&world, victim, step);
        if end != want {
            let folder = world.root().join("pods").join(uid_of(&world, "crash"));
            let log = fs::read_to_string(folder.join("shim.log")).unwrap_or_default();
            let pod = world.podrt(&["describe", "pod", "crash"]).stdout;
            panic!("{victim:?} killed at step {step} of {steps}: {end:#?}\n{pod}\n{log}");
        }
        world.podrt(&["delete", "pod", "crash"]).ok();
        let _ = fs::remove_dir_all(world.log_root());
    }
    world.assert_clean();
}

#[test]
fn a_pod_whose_shim_is_killed_at_any_step_ends_the_same() {
    kill_at_steps(Victim::Shim, 1, 1);
}

#[test]
fn a_pod_whose_keeper_is_killed_at_any_step_ends_the_same() {
    kill_at_steps(Victim::Keeper, 1, 1);
}

/// The processes whose cgroup's path contains `part`, oldest first.
pub fn pids_in_cgroup(part: &str) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let inside = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(part))
    };
    let mut pids: Vec<i32> = pids.filter(inside).collect();
    pids.sort_unstable();
    pids.into_iter().map(Pid::from_raw).collect()
}

fn uid_of(world: &World, name: &str) -> String {
    world.pod(name)["metadata"]["uid"].as_str().expect("uid").to_owned()
}

/// Kills the shim of a pod and waits until the next one answers.
fn replace_shim(world: &World, name: &str) {
    replace(world, name, "podrt-shim");
}

/// Kills the keeper of a pod and waits until its shim has become one, and
/// another shim answers.
fn replace_keeper(world: &World, name: &str) {
    replace(world, name, "podrt-keeper");
}

/// Kills a pod's shim or keeper and waits until both are there again and
/// answer: a command that comes in between may be lost with the one that ends.
pub fn replace(world: &World, name: &str, process: &str) {
    let uid = uid_of(world, name);
    let both = || ["podrt-keeper", "podrt-shim"].map(|name| process_of(name, &uid));
    let old = process_of(process, &uid).expect("a process");
    kill(old, Signal::SIGKILL).expect("kill");
    let deadline = Instant::now() + Duration::from_secs(60);
    while both().iter().any(|pid| pid.is_none_or(|pid| pid == old)) {
        assert!(Instant::now() < deadline, "no new {process}");
        std::thread::sleep(Duration::from_millis(5));
    }
    world.podrt(&["exec", name, "--", "true"]).ok();
}

#[test]
fn a_killed_container_is_one_that_ended_with_137() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [sleep, '1000']";
    world.run_pod(&pod_of("shot", "OnFailure", 1, &[main]), &["-d"]).ok();
    let uid = uid_of(&world, "shot");
    let main = pids_in_cgroup(&format!("{uid}.main.0"))[0];
    kill(main, Signal::SIGKILL).expect("kill");
    let pod = world.wait_pod("shot", 5, |pod| status(pod, "main")["restartCount"] == 1);
    let last = &status(&pod, "main")["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"]), (&137.into(), &"Error".into()));
    world.podrt(&["delete", "pod", "shot", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_killed_pause_process_gets_the_pod_a_new_sandbox() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [sleep, '1000']";
    let init = format!(
        "  initContainers: [ {{ name: init, image: {FIXTURE_IMAGE}, command: ['true'] }} ]
  containers:"
    );
    let manifest = pod_of("pause", "Always", 1, &[main]).replace("  containers:", &init);
    world.run_pod(&manifest, &["-d"]).ok();
    let uid = uid_of(&world, "pause");
    let is_pause = |pid: &Pid| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"/pause"))
    };
    let pause = pids_in_cgroup(&format!("pod{uid}")).into_iter().find(is_pause).expect("pause");
    kill(pause, Signal::SIGKILL).expect("kill");
    let text = "SandboxChanged Pod sandbox changed, it will be killed and re-created.";
    world.wait_event("pause", 5, text);
    let pod = world.wait_pod("pause", 8, |pod| {
        let main = status(pod, "main");
        main["restartCount"] == 1 && main["ready"] == true
    });
    assert_eq!(status(&pod, "init")["restartCount"], 1, "init containers run again");
    world.podrt(&["exec", "pause", "--", "true"]).ok();
    world.podrt(&["delete", "pod", "pause", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_containers_state_that_was_half_removed_goes_with_its_pod() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [sleep, '1000']";
    world.run_pod(&pod_of("half", "Always", 1, &[main]), &["-d"]).ok();
    // As a shim leaves it that is killed while it removes an instance.
    let state = world.root().join(format!("{}.main.7", uid_of(&world, "half")));
    fs::create_dir(&state).expect("mkdir");
    world.podrt(&["delete", "pod", "half", "--now"]).ok();
    assert!(!state.exists());
    world.assert_clean();
}

#[test]
fn a_pod_outlives_the_command_that_shows_it() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [sleep, '1000']";
    let mut child = start(&world, &pod_of("crash", "Always", 1, &[main]));
    world.wait_pod_if_any("crash", 10, |pod| status(pod, "main")["ready"] == true);
    child.kill().expect("kill");
    child.wait().expect("wait");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(status(&world.pod("crash"), "main")["restartCount"], 0);
    world.podrt(&["exec", "crash", "--", "true"]).ok();
    world.podrt(&["delete", "pod", "crash", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_run_that_is_killed_half_way_leaves_a_pod_or_none() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [sleep, '1000']";
    for delay_ms in 0..20 {
        let mut child = start(&world, &pod_of("crash", "Always", 1, &[main]));
        std::thread::sleep(Duration::from_millis(delay_ms));
        child.kill().expect("kill");
        child.wait().expect("wait");
        world.podrt(&["delete", "pod", "crash", "--force", "--ignore-not-found"]).ok();
    }
    world.run_pod(&pod_of("crash", "Always", 1, &[main]), &["-d"]).ok();
    world.podrt(&["delete", "pod", "crash", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn a_pod_whose_processes_do_not_answer_is_taken_down_by_force() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [sleep, '1000']";
    for stuck in [vec!["podrt-shim"], vec!["podrt-keeper", "podrt-shim"]] {
        world.run_pod(&pod_of("stuck", "Always", 1, &[main]), &["-d"]).ok();
        let uid = uid_of(&world, "stuck");
        for name in &stuck {
            let process = process_of(name, &uid).expect("a process");
            kill(process, Signal::SIGSTOP).expect("stop");
        }
        let late = world.podrt(&["delete", "pod", "stuck", "--timeout=1s"]);
        let want = "podrt: timed out waiting for the condition on pods/stuck";
        assert_eq!(late.error(1), want);
        let deleted = world.podrt(&["delete", "pod", "stuck", "--force", "--timeout=1s"]).ok();
        assert_eq!(deleted, "pod \"stuck\" force deleted from default namespace\n");
        world.assert_clean();
    }
}

#[test]
fn a_pod_whose_keeper_and_shim_were_killed_is_deleted_with_its_containers() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [sleep, '1000']";
    world.run_pod(&pod_of("orphan", "Always", 1, &[main]), &["-d"]).ok();
    let uid = uid_of(&world, "orphan");
    // Stopped first, so that neither starts the other again.
    let both = ["podrt-shim", "podrt-keeper"].map(|name| process_of(name, &uid).expect(name));
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        both.iter().for_each(|pid| kill(*pid, signal).expect("kill"));
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while ["podrt-shim", "podrt-keeper"].iter().any(|name| process_of(name, &uid).is_some()) {
        assert!(Instant::now() < deadline, "killed, and still there");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!pids_in_cgroup(&uid).is_empty(), "the container goes on");
    world.podrt(&["delete", "pod", "orphan"]).ok();
    world.assert_clean();
}

#[test]
fn a_pod_whose_memory_is_damaged_is_ended_and_says_so() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [sleep, '1000']";
    for length in [0, 100] {
        world.run_pod(&pod_of("torn", "Always", 1, &[main]), &["-d"]).ok();
        let uid = uid_of(&world, "torn");
        let path = world.root().join("pods").join(&uid).join("machine.json");
        let text = fs::read(&path).expect("read");
        fs::write(&path, &text[..length]).expect("write");
        assert!(kill_of(Victim::Shim, &uid));
        let pod = world.wait_pod("torn", 5, |pod| pod["status"]["phase"] == "Failed");
        assert_eq!(pod["status"]["reason"], "StateLost");
        world.assert_clean();
        world.podrt(&["delete", "pod", "torn"]).ok();
    }
}

#[test]
fn a_terminal_and_probes_outlive_shim_and_keeper() {
    let world = World::with_fixture();
    let script = "test -t 1 && echo terminal; while true; do date +%s%N > /beat; sleep 0.05; done";
    let main = format!(
        "name: main, IMAGE, tty: true, stdin: true, command: [sh, -c, '{script}'],
        livenessProbe: {{ exec: {{ command: [sh, -c, 'echo x >> /alive'] }}, periodSeconds: 1 }},
        readinessProbe: {{ exec: {{ command: ['true'] }}, periodSeconds: 1 }}"
    );
    world.run_pod(&pod_of("tty", "Always", 1, &[&main]), &["-d", "--wait=ready"]).ok();
    replace_shim(&world, "tty");
    replace_keeper(&world, "tty");
    replace_shim(&world, "tty");
    let probes = |world: &World| {
        let text = world.podrt(&["exec", "tty", "--", "cat", "/alive"]).ok();
        text.lines().count()
    };
    let before = probes(&world);
    let deadline = Instant::now() + Duration::from_secs(60);
    while probes(&world) < before + 2 {
        assert!(Instant::now() < deadline, "the liveness probe does not go on");
        std::thread::sleep(Duration::from_millis(100));
    }
    let pod = world.pod("tty");
    assert_eq!(status(&pod, "main")["restartCount"], 0);
    assert_eq!(status(&pod, "main")["ready"], true);
    let said = world.podrt(&["exec", "tty", "--", "sh", "-c", "echo still > /proc/1/fd/1"]);
    said.ok();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let log = world.podrt(&["logs", "tty"]).ok().replace('\r', "");
        if log == "terminal\nstill\n" {
            break;
        }
        assert!(log == "terminal\n" && Instant::now() < deadline, "{log:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    world.podrt(&["delete", "pod", "tty", "--now"]).ok();
    world.assert_clean();
}

#[test]
fn no_line_of_a_flood_is_lost_or_doubled_by_kills() {
    let world = World::with_fixture();
    let main = "name: main, IMAGE, command: [sh, -c, 'i=0; while [ $i -lt 150000 ]; do echo line $i; i=$((i+1)); done']";
    let mut child = start(&world, &pod_of("crash", "Never", 1, &[main]));
    world.wait_pod_if_any("crash", 120, |pod| status(pod, "main")["state"]["running"].is_object());
    let uid = uid_of(&world, "crash");
    for round in 0..6 {
        std::thread::sleep(Duration::from_millis(50 + 17 * round));
        let shim = process_of("podrt-shim", &uid);
        kill_of(if round == 3 { Victim::Keeper } else { Victim::Shim }, &uid);
        // Whole again before the next kill, unless the pod has ended.
        let deadline = Instant::now() + Duration::from_secs(120);
        while child.try_wait().expect("wait").is_none()
            && (process_of("podrt-shim", &uid) == shim
                || world.podrt(&["exec", "crash", "--", "true"]).code != 0)
        {
            assert!(Instant::now() < deadline, "no new shim in round {round}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let code = child.wait().expect("wait").code();
    let errors = fs::read_to_string(world.path().join("errors")).expect("errors");
    let pod = world.pod("crash");
    if code == Some(137) && !podrt::sys::pidfd_info::tells_exits() {
        // Keeper and shim were killed in turn: where the kernel does not tell
        // how a process ended that was reaped elsewhere, nobody knows.
        let ended = &status(&pod, "main")["state"]["terminated"];
        assert_eq!(ended["reason"], "ContainerStatusUnknown");
    } else {
        assert_eq!(code, Some(0), "{errors}\n{:#}\n{:#?}", pod["status"], world.events("crash"));
    }
    let logs = logs(&world.log_root());
    let lines = &logs["default_crash/main/0.log"];
    assert_eq!(lines.len(), 150_000);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("stdout F line {number}"));
    }
    world.podrt(&["delete", "pod", "crash"]).ok();
    world.assert_clean();
}
