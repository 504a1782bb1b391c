//! Figures that `make figures` prints: what probes cost, how soon a container
//! is started again, what idle pods cost. Of release executables; the machine's
//! other work is in them, so its load is printed too.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::unistd::Pid;

use crate::pod_crash::process_of;
use crate::pod_life::shell_pod;
use crate::pod_probes::pod_of;
use crate::support::World;

const CONTAINERS: usize = 20;
const MINUTE: Duration = Duration::from_secs(60);

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").expect("loadavg");
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// What the kernel tells of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    threads: usize,
    descriptors: usize,
    pss_kib: u64,
    /// Own and of reaped children, in clock ticks.
    ticks: u64,
    child_ticks: u64,
    switches: u64,
}

impl Seen {
    fn of(pid: Pid) -> Self {
        let dir = PathBuf::from(format!("/proc/{pid}"));
        let count = |name: &str| fs::read_dir(dir.join(name)).map(Iterator::count).unwrap_or(0);
        let stat = fs::read_to_string(dir.join("stat")).expect("stat");
        let fields: Vec<u64> = stat
            .rsplit(')')
            .next()
            .expect("fields")
            .split_whitespace()
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        Self {
            threads: count("task"),
            descriptors: count("fd"),
            pss_kib: field(&dir.join("smaps_rollup"), "Pss:"),
            ticks: fields[11] + fields[12],
            child_ticks: fields[13] + fields[14],
            switches: field(&dir.join("status"), "voluntary_ctxt_switches:")
                + field(&dir.join("status"), "nonvoluntary_ctxt_switches:"),
        }
    }
}

/// The number behind a word at the head of a line.
fn field(path: &Path, word: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(word));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn uid_of(world: &World, name: &str) -> String {
    world.pod(name)["metadata"]["uid"].as_str().expect("uid").to_owned()
}

/// Clock ticks are hundredths of a second on every Linux that podrt runs on.
fn milliseconds(ticks: u64) -> f64 {
    ticks as f64 * 10.0
}

#[test]
#[ignore = "prints figures of release executables: `make figures`"]
fn a_minute_of_probes() {
    let world = World::with_fixture();
    println!(
        "| probes | load | threads | descriptors | PSS, KiB | CPU of the shim per 1,000, ms | with what it started |"
    );
    println!("|---|---|---|---|---|---|---|");
    for kind in ["exec", "httpGet"] {
        let probe = |port: usize| match kind {
            "exec" => "exec: { command: ['true'] }".to_owned(),
            _ => format!("httpGet: {{ port: {port} }}"),
        };
        let containers: Vec<String> = (0..CONTAINERS)
            .map(|n| {
                let port = 8000 + n;
                format!(
                    "name: c{n}, IMAGE, command: [payload, http-serve, '{port}'],
                     readinessProbe: {{ {probe}, periodSeconds: 1, timeoutSeconds: 30 }},
                     livenessProbe: {{ {probe}, periodSeconds: 1, timeoutSeconds: 30 }}",
                    probe = probe(port)
                )
            })
            .collect();
        let containers: Vec<&str> = containers.iter().map(String::as_str).collect();
        world
            .run_pod(
                &pod_of("probed", "Always", 1, &containers),
                &["-d", "--wait=ready", "--timeout=120s"],
            )
            .ok();
        let shim = process_of("podrt-shim", &uid_of(&world, "probed")).expect("a shim");
        // What starting took is given back by now.
        std::thread::sleep(Duration::from_secs(5));
        let before = Seen::of(shim);
        std::thread::sleep(MINUTE);
        let after = Seen::of(shim);
        let probes = 2.0 * CONTAINERS as f64 * MINUTE.as_secs_f64();
        let each = |ticks: u64| milliseconds(ticks) * 1000.0 / probes;
        let own = each(after.ticks - before.ticks);
        let all = own + each(after.child_ticks - before.child_ticks);
        println!(
            "| {} {kind} a second, a minute | {} | {} → {} | {} → {} | {} → {} | {own:.0} | {all:.0} |",
            2 * CONTAINERS,
            load(),
            before.threads,
            after.threads,
            before.descriptors,
            after.descriptors,
            before.pss_kib,
            after.pss_kib,
        );
        assert_eq!((before.threads, after.threads), (1, 1));
        world.podrt(&["delete", "pod", "probed", "--force"]).ok();
    }
    world.assert_clean();
}

fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos()
}

/// When status files were put in place in that folder, until all is over and
/// quiet.
fn status_writes(dir: &Path, work: impl FnOnce(), is_over: impl Fn() -> bool) -> Vec<u128> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC).expect("inotify");
    inotify.add_watch(dir, AddWatchFlags::IN_MOVED_TO).expect("watch");
    work();
    let mut written = Vec::new();
    loop {
        let mut fds = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::from(1000_u16)).expect("poll") == 0 {
            if is_over() {
                return written;
            }
            continue;
        }
        let now = now_ns();
        let events = inotify.read_events().expect("read");
        let is_status = |event: &nix::sys::inotify::InotifyEvent| {
            event.name.as_deref().is_some_and(|name| name == "status.json")
        };
        if events.iter().any(is_status) {
            written.push(now);
        }
    }
}

#[test]
#[ignore = "prints figures of release executables: `make figures`"]
fn from_an_exit_to_the_restart_and_to_the_status_on_disk() {
    let world = World::with_fixture();
    let script = "if [ -e /v/go ]; then touch /v/start; sleep 1000; fi; \
                  until [ -e /v/go ]; do sleep 0.01; done; touch /v/exit; exit 1";
    let (mut restarts, mut statuses) = (Vec::new(), Vec::new());
    for round in 0..15 {
        let folder = world.path().join(format!("v{round}"));
        fs::create_dir_all(&folder).expect("folder");
        let manifest = shell_pod("exits", "Always", script)
            + "      volumeMounts: [ { name: v, mountPath: /v } ]\n"
            + &format!(
                "  volumes: [ {{ name: v, hostPath: {{ path: {} }} }} ]\n",
                folder.display()
            );
        world.run_pod(&manifest, &["-d", "--network=none"]).ok();
        let dir = world.root().join("pods").join(uid_of(&world, "exits"));
        let go = || fs::write(folder.join("go"), "").expect("write");
        let written = status_writes(&dir, go, || folder.join("start").exists());
        let noted = |name: &str| {
            let file = fs::metadata(folder.join(name)).and_then(|file| file.modified());
            file.expect("a time").duration_since(UNIX_EPOCH).expect("a clock").as_nanos()
        };
        let exit = noted("exit");
        restarts.push(noted("start") - exit);
        statuses.extend(written.iter().find(|at| **at > exit).map(|at| at - exit));
        world.podrt(&["delete", "pod", "exits", "--force"]).ok();
    }
    for (what, mut times) in
        [("the next instance runs", restarts), ("the status is on disk", statuses)]
    {
        times.sort_unstable();
        let ms = |at: usize| times[at] as f64 / 1e6;
        println!(
            "from a container's last command until {what}: {:.1} ms at best, {:.1} ms median of {} (load {})",
            ms(0),
            ms(times.len() / 2),
            times.len(),
            load()
        );
    }
    world.assert_clean();
}

#[test]
#[ignore = "prints figures of release executables: `make figures`"]
fn what_two_hundred_idle_pods_cost() {
    let world = World::with_fixture();
    let count = 200;
    let file = world.file("pod.yaml", "");
    let begin = std::time::Instant::now();
    for n in 0..count {
        fs::write(&file, shell_pod(&format!("idle{n}"), "Always", "exec sleep 100000"))
            .expect("write");
        world.podrt(&["run", "-d", "--network=none", &file.to_string_lossy()]).ok();
    }
    let up = begin.elapsed();
    std::thread::sleep(Duration::from_secs(5));
    let entries = fs::read_dir(world.root().join("pods")).expect("pods").flatten();
    let uids: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.len() == 36)
        .collect();
    let pids: Vec<Pid> = uids
        .iter()
        .flat_map(|uid| {
            ["podrt-keeper", "podrt-shim"].map(|name| process_of(name, uid).expect(name))
        })
        .collect();
    let sum = || {
        let all: Vec<Seen> = pids.iter().map(|pid| Seen::of(*pid)).collect();
        let total = |part: fn(&Seen) -> u64| all.iter().map(part).sum::<u64>();
        (total(|seen| seen.switches), total(|seen| seen.ticks), total(|seen| seen.pss_kib))
    };
    let (switches, ticks, pss) = sum();
    std::thread::sleep(MINUTE);
    let (later_switches, later_ticks, _) = sum();
    println!(
        "{count} idle pods: {:.0} ms each to start, {} KiB of PSS each for keeper and shim, \
         {} context switches and {:.0} ms of CPU of all in a minute (load {})",
        up.as_secs_f64() * 1000.0 / f64::from(count),
        pss / uids.len() as u64,
        later_switches - switches,
        milliseconds(later_ticks - ticks),
        load()
    );
    world.podrt(&["delete", "pods", "--all", "--force"]).ok();
    world.assert_clean();
}
