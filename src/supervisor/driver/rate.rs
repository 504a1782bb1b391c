//! How many probes a second one driver carries out, and what one costs, next
//! to `crun exec` of the same command: `make figures`. Needs root and the
//! fixture image; a machine with cgroups of version 1 is measured in a view of
//! its own that has version 2 alone.

use std::collections::VecDeque;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Streams};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde_json::{Value, json};

use super::run::{Parent, Process, Run, Stage};
use super::{Context, Driver};
use crate::container::{self, Config, Console, CreateOptions, Gate, RootSource, Stdio};
use crate::container::{CgroupDriver, Commands, Target};
use crate::lifecycle::event::{ContainerKind, ContainerRef, Instance, ProbeKind, ProbeResult};
use crate::lifecycle::{Action, Event};
use crate::model::ContainerId;
use crate::model::plan::{ContainerPlan, Handler, HttpGet, PodPlan, PortRef, ProbePlan};
use crate::store::{PodRecord, PodStore};
use crate::supervisor::log::journal::Journal;
use crate::supervisor::testing;
use crate::supervisor::token::Token;
use crate::sys::clock;
use crate::sys::event::Epoll;
use crate::sys::keeper::Link;
use crate::sys::testing::alone;

/// A probe of a kind runs once at a time in a container: so many can at once.
const CONTAINERS: usize = 20;
const PORT: u16 = 18_080;
/// As short as a static program can be.
const COMMAND: [&str; 3] = ["/bin/payload", "exit", "0"];

/// One container, as so many of a pod, and what a shim has.
struct Bench {
    dir: tempfile::TempDir,
    plan: PodPlan,
    record: PodRecord,
    keeper: Link,
    epoll: Epoll<Token>,
    driver: Driver,
    events: VecDeque<Event>,
    /// Which of its containers no probe of either kind runs in.
    idle: [VecDeque<usize>; 2],
    failed: u64,
    init: Arc<OwnedFd>,
}

fn id() -> ContainerId {
    ContainerId::new(format!("podrt-rate-{}", std::process::id())).expect("id")
}

fn rootfs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fixtures/rootfs")
}

/// The example's, with the machine's network and the fixture's server.
fn spec() -> Value {
    let mut spec = container::spec::example(None);
    let server = ["/bin/payload".to_owned(), "http-serve".to_owned(), PORT.to_string()];
    spec["process"]["args"] = json!(server);
    spec["process"]["terminal"] = json!(false);
    spec["root"]["path"] = json!(rootfs());
    spec["linux"]["namespaces"] =
        ["pid", "ipc", "uts", "mount", "cgroup"].iter().map(|kind| json!({"type": kind})).collect();
    spec["linux"]["cgroupsPath"] = json!(format!("/{}", id()));
    spec["linux"]["resources"] = json!({});
    spec
}

fn probe(handler: Handler) -> Option<ProbePlan> {
    Some(ProbePlan {
        handler,
        initial_delay_seconds: 0,
        period_seconds: 1,
        timeout_seconds: 30,
        success_threshold: 1,
        failure_threshold: 3,
        termination_grace_seconds: None,
    })
}

fn probed(number: usize) -> ContainerPlan {
    let get = HttpGet {
        https: false,
        host: Some("127.0.0.1".to_owned()),
        port: PortRef::Number(PORT),
        path: "/".to_owned(),
        headers: Vec::new(),
    };
    ContainerPlan {
        name: format!("c{number}"),
        readiness_probe: probe(Handler::Exec { command: COMMAND.map(str::to_owned).into() }),
        liveness_probe: probe(Handler::HttpGet(get)),
        ..testing::container()
    }
}

fn instance(number: usize) -> Instance {
    let container = ContainerRef { kind: ContainerKind::App, index: number };
    Instance { container, attempt: 0 }
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let (pidfd, pid, start_time) = start(dir.path());
        let mut plan = testing::pod();
        plan.roots.root = dir.path().join("run");
        plan.containers = (0..CONTAINERS).map(probed).collect();
        let journal = Journal::new().expect("journal");
        let mut driver = Driver::new(&plan, journal).expect("driver");
        let init = Arc::new(pidfd);
        for number in 0..CONTAINERS {
            let target = Target::load(dir.path(), &id()).expect("a container");
            let run_id = driver.next_run_id();
            let process =
                Process { pid, pidfd: Arc::clone(&init), start_time, parent: Parent::Shim };
            let run = Run {
                instance: instance(number),
                id: id(),
                name: format!("c{number}"),
                stage: Stage::Running { process },
                from: None,
                log: None,
                input: None,
                terminal: None,
                viewers: Vec::new(),
                commands: Some(Box::new(Commands::new(target).expect("commands"))),
            };
            driver.runs.insert(run_id, run);
        }
        let record = PodStore::new(&plan.roots.root).claim(&plan).expect("record");
        let everyone = || (0..CONTAINERS).collect();
        Self {
            dir,
            plan,
            record,
            keeper: Link::to_nobody(),
            epoll: Epoll::new().expect("epoll"),
            driver,
            events: VecDeque::new(),
            idle: [everyone(), everyone()],
            failed: 0,
            init,
        }
    }

    fn with(&mut self, work: impl FnOnce(&mut Driver, &mut Context<'_>)) {
        let mut context = Context {
            plan: &self.plan,
            record: &self.record,
            epoll: &self.epoll,
            keeper: &mut self.keeper,
            events: &mut self.events,
            releases: &mut Vec::new(),
            now: clock::now(),
        };
        work(&mut self.driver, &mut context);
    }

    /// Orders a probe as soon as it is due and one can run; returns how many of
    /// each kind ended in `time`. Of a kind of which none is wanted, none is due.
    fn run(&mut self, each_second: [u64; 2], time: Duration) -> [u64; 2] {
        let (begin, mut begun, mut ended) = (Instant::now(), [0; 2], [0; 2]);
        let mut ready = Vec::new();
        while begin.elapsed() < time {
            let now_us = u64::try_from(begin.elapsed().as_micros()).expect("a minute");
            for (kind, per_second) in each_second.into_iter().enumerate() {
                while begun[kind] < now_us * per_second / 1_000_000
                    && let Some(number) = self.idle[kind].pop_front()
                {
                    begun[kind] += 1;
                    let probe = [ProbeKind::Readiness, ProbeKind::Liveness][kind];
                    let order = Action::RunProbe { instance: instance(number), probe };
                    self.with(|driver, cx| driver.carry_out(order, cx));
                }
            }
            self.epoll.wait(&mut ready, Some(Duration::from_millis(1))).expect("wait");
            for ready in &ready {
                match ready.token {
                    Token::TaskProcess(id) => self.with(|driver, cx| driver.process_ready(id, cx)),
                    Token::TaskData(id) | Token::TaskError(id) => {
                        self.with(|driver, cx| driver.data_ready(id, cx));
                    }
                    other => panic!("{other:?}"),
                }
            }
            while let Some(event) = self.events.pop_front() {
                let Event::ProbeFinished { instance, probe, result } = event else { continue };
                let kind = usize::from(probe == ProbeKind::Liveness);
                ended[kind] += 1;
                self.idle[kind].push_back(instance.container.index);
                self.failed += u64::from(result != ProbeResult::Success);
            }
        }
        ended
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        container::delete(self.dir.path(), &id(), true).expect("delete");
        assert!(crate::sys::process::pidfd_has_exited(self.init.as_fd()).expect("poll"));
    }
}

fn start(state_root: &Path) -> (OwnedFd, i32, u64) {
    let null =
        || OwnedFd::from(fs::File::options().read(true).write(true).open("/dev/null").unwrap());
    let options = CreateOptions {
        id: id(),
        state_root: state_root.into(),
        bundle: rootfs(),
        spec: serde_json::from_value(spec()).expect("a spec"),
        keep: Box::new(Config),
        root: RootSource::Path(rootfs()),
        sources: std::collections::BTreeMap::new(),
        namespaces: container::NamespaceFds::new(),
        stdio: Stdio::Fds([null(), null(), null()]),
        console: Console::None,
        pid_file: None,
        preserve_fds: 0,
        no_pivot: false,
        no_new_keyring: false,
        gate: Gate::Fifo,
        cgroup_driver: CgroupDriver::Cgroupfs,
        owner: None,
        view_mounts: crate::sys::exec_view::ViewMounts::default(),
    };
    let created = container::create(options).expect("create");
    container::start(state_root, &id()).expect("start");
    (created.pidfd, created.pid.as_raw(), created.start_time)
}

/// Version 2 alone, in a mount namespace of this process.
fn enter_pure_v2() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return Ok(());
    }
    while umount2("/sys/fs/cgroup/unified", MntFlags::MNT_DETACH).is_ok() {}
    umount2("/sys/fs/cgroup", MntFlags::MNT_DETACH)?;
    mount(Some("none"), "/sys/fs/cgroup", Some("cgroup2"), MsFlags::empty(), None::<&str>)
}

/// Milliseconds of this process, and of its ended children.
fn cpu_ms() -> [f64; 2] {
    [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN].map(|who| {
        let usage = getrusage(who).expect("getrusage");
        let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        us as f64 / 1000.0
    })
}

fn threads_descriptors_pss() -> [u64; 3] {
    let count = |dir: &str| fs::read_dir(dir).expect("proc").count() as u64;
    let smaps = fs::read_to_string("/proc/self/smaps_rollup").expect("smaps");
    let pss = smaps.lines().find_map(|line| line.strip_prefix("Pss:")).expect("pss");
    let pss = pss.trim().trim_end_matches(" kB").parse().expect("a number");
    [count("/proc/self/task"), count("/proc/self/fd"), pss]
}

/// `crun exec` of the same command in the same container, one after another.
fn crun(bundle: &Path) {
    let crun = || {
        let mut command = Command::new("crun");
        command.arg("--root").arg(bundle).stdin(Streams::null()).stdout(Streams::null());
        command
    };
    let mut peer = spec();
    let name = format!("{}-crun", id());
    peer["linux"]["cgroupsPath"] = json!(format!("/{name}"));
    // The newest that Debian 12's crun knows.
    peer["ociVersion"] = json!("1.0.2");
    peer["process"]["args"][2] = json!((PORT + 1).to_string());
    fs::write(bundle.join("config.json"), peer.to_string()).expect("write");
    let started = crun().args(["run", "-d", "-b"]).arg(bundle).arg(&name).status();
    if !started.is_ok_and(|status| status.success()) {
        println!("| crun exec, one after another | not measured | | | | | |");
        return;
    }
    let (begin, before, mut count) = (Instant::now(), cpu_ms(), 0);
    while begin.elapsed() < Duration::from_secs(10) {
        assert!(crun().arg("exec").arg(&name).args(COMMAND).status().expect("crun").success());
        count += 1;
    }
    let (spent, rate) = (cpu_ms()[1] - before[1], f64::from(count) / begin.elapsed().as_secs_f64());
    let each = spent * 1000.0 / f64::from(count);
    println!("| crun exec, one after another | {rate:.0} | | | | | {each:.0} |");
    crun().args(["delete", "-f", &name]).status().expect("crun");
}

#[test]
#[ignore = "prints figures: `make figures`"]
fn a_minute_of_a_thousand_exec_and_a_thousand_http_probes_a_second() {
    alone(|| {
        enter_pure_v2().expect("a view of cgroup v2");
        let seconds = std::env::var("PODRT_RATE_SECONDS").ok().and_then(|text| text.parse().ok());
        let time = Duration::from_secs(seconds.unwrap_or(60));
        println!(
            "| wanted each second | reached | threads | descriptors | PSS, KiB | CPU of the shim per 1,000, ms | with what it started |"
        );
        println!("|---|---|---|---|---|---|---|");
        let mut bench = Bench::new();
        bench.run([100, 100], Duration::from_secs(2));
        for each_second in [[1000, 0], [0, 1000], [1000, 1000], [100_000, 0], [0, 100_000]] {
            let ([threads, fds, pss], before) = (threads_descriptors_pss(), cpu_ms());
            let ended = bench.run(each_second, time);
            let after = cpu_ms();
            // What is under way is brought to its end.
            bench.run([0, 0], Duration::from_secs(1));
            let [threads_after, fds_after, pss_after] = threads_descriptors_pss();
            let all = (ended[0] + ended[1]) as f64;
            let [own, children] = [0, 1].map(|n| (after[n] - before[n]) * 1000.0 / all);
            let [exec, http] = ended.map(|count| count as f64 / time.as_secs_f64());
            println!(
                "| {} exec, {} http | {exec:.0}, {http:.0} | {threads} → {threads_after} | {fds} → {fds_after} | {pss} → {pss_after} | {own:.0} | {:.0} |",
                each_second[0],
                each_second[1],
                own + children
            );
            assert_eq!(bench.failed, 0);
            assert_eq!((threads, fds), (threads_after, fds_after));
        }
        let bundle = tempfile::tempdir().expect("dir");
        crun(bundle.path());
    });
}
