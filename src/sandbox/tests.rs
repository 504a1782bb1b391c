//! Sandboxes on the real kernel. Need root. Each test has a cgroup, a bridge
//! and an address pool of its own.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::*;
use crate::cgroup::Cgroup;
use crate::container::{Namespace, NamespaceFds};
use crate::model::plan::{NetworkMode, Resources};
use crate::model::spec::{SandboxPid, SandboxSpec, UserSpec};
use crate::model::{ContainerId, ExitStatus, PodUid, Signal};
use crate::network::{Network, Owner, Settings, Subnet};
use crate::sys::process::{
    Clone, CloneFlags, Wait, exit_now, fork_with_pidfd, pidfd_send_signal, pidfd_wait_exit, setns,
    wait_pidfd,
};
use crate::sys::testing::alone;

/// A sandbox on a bridge, in a cgroup of this process's tests.
pub(super) fn spec(name: &str) -> SandboxSpec {
    SandboxSpec {
        id: ContainerId::new(format!("{name}-sandbox")).expect("id"),
        hostname: name.into(),
        network: NetworkMode::Bridge,
        host_ipc: false,
        pid: SandboxPid::PerContainer,
        sysctls: BTreeMap::new(),
        cgroup: format!("/podrt-test-sandbox-{}/{name}", std::process::id()),
        resources: Resources::default(),
        shm_size_bytes: 64 << 20,
        user: UserSpec::default(),
    }
}

struct Bench {
    spec: SandboxSpec,
    owner: Owner,
    network: Network,
    bridge: String,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let dir = tempfile::tempdir().expect("dir");
        // Apart from those of the network room's tests by the first bits.
        let bits = 0x6460_0000 | ((pid + number) % 8192) << 8;
        let bridge = format!("ps{pid:x}n{number}");
        let network = Network::new(Settings {
            machine_dir: dir.path().into(),
            bridge: bridge.clone(),
            subnets: vec![Subnet::new(bits.into(), 24).expect("subnet")],
            linger: Duration::from_millis(20),
        });
        let uid = PodUid::new(format!("{name}-uid")).expect("uid");
        let owner = Owner { root: dir.path().into(), uid };
        Self { spec: spec(name), owner, network, bridge, _dir: dir }
    }

    fn create(&self) -> Result<Sandbox> {
        let Self { spec, owner, network, .. } = self;
        Sandbox::create(&SandboxOptions { spec, owner, network })
    }

    fn has_bridge(&self) -> bool {
        Path::new("/sys/class/net").join(&self.bridge).exists()
    }

    fn cgroup_exists(&self, path: &str) -> bool {
        Cgroup::open(path).is_ok()
    }

    /// Removes the sandbox and checks that nothing is left.
    fn remove(&self, sandbox: Sandbox) {
        let interface = sandbox.attachment().host_interface.clone();
        let pid = sandbox.record().pid;
        sandbox.remove(&self.network).expect("remove");
        assert!(!self.cgroup_exists(&self.spec.cgroup));
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "pause is reaped");
        wait_until("the bridge goes", || !self.has_bridge());
        if let Some(name) = interface {
            let link = Path::new("/sys/class/net").join(name);
            wait_until("the interface goes", || !link.exists());
        }
        assert_eq!(self.network.entries().expect("entries"), []);
    }
}

impl Drop for Bench {
    /// After a failed test too, nothing is left on the machine.
    fn drop(&mut self) {
        for path in [&self.spec.cgroup, &format!("/podrt-test-sandbox-{}", std::process::id())] {
            if let Ok(group) = Cgroup::open(path)
                && (path == &self.spec.cgroup || group.pids().is_ok_and(|pids| pids.is_empty()))
            {
                let _ = group.kill();
                let _ = group.remove_up_to(path);
            }
        }
        let _ = self.network.release_all(&self.owner);
        let _ = self.network.keep_house();
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs `work` in a thread that joined the namespaces.
fn inside<T: Send>(namespaces: &NamespaceFds, work: impl FnOnce() -> T + Send) -> T {
    let enter = || {
        for (kind, fd) in namespaces {
            if *kind != Namespace::Pid {
                setns(fd.as_fd(), kind.flag()).expect("setns");
            }
        }
        work()
    };
    std::thread::scope(|scope| scope.spawn(enter).join().expect("thread"))
}

fn read_sysctl(namespaces: &NamespaceFds, path: &str) -> String {
    inside(namespaces, || fs::read_to_string(Path::new("/proc/sys").join(path)).expect(path))
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

fn status_field(pid: i32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find(|line| line.starts_with(name)).expect("field");
    line.split_once(':').expect("colon").1.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_sandbox_has_a_name_a_network_and_pause_and_leaves_nothing() {
    alone(|| {
        let bench = Bench::new("whole");
        let mut sandbox = bench.create().expect("create");
        assert!(sandbox.is_alive());
        let namespaces = sandbox.namespaces(true).expect("namespaces");
        let kinds: Vec<_> = namespaces.keys().copied().collect();
        assert_eq!(kinds, [Namespace::Ipc, Namespace::Uts, Namespace::Network]);
        let hostname = inside(&namespaces, || nix::unistd::gethostname().expect("hostname"));
        assert_eq!(hostname, "whole");
        let listener = inside(&namespaces, || TcpListener::bind("0.0.0.0:0").expect("bind"));
        let port = listener.local_addr().expect("address").port();
        TcpStream::connect((sandbox.attachment().addresses[0], port)).expect("reach the pod");
        assert!(bench.cgroup_exists(&sandbox.record().pause_cgroup()));
        drop((namespaces, listener));

        let record = sandbox.record().clone();
        sandbox.stop(&bench.network).expect("stop");
        assert!(!sandbox.is_alive());
        assert!(!bench.cgroup_exists(&record.pause_cgroup()));
        assert!(bench.cgroup_exists(&bench.spec.cgroup), "for the next sandbox");
        sandbox.stop(&bench.network).expect("stop again");
        bench.remove(sandbox);
    });
}

#[test]
fn pause_has_no_privilege_no_files_and_no_wake_ups() {
    alone(|| {
        let mut bench = Bench::new("pause");
        bench.spec.user = UserSpec { uid: 1234, gid: 56, additional_gids: vec![78, 90] };
        let sandbox = bench.create().expect("create");
        let pid = sandbox.record().pid;
        wait_until("pause has its name", || status_field(pid, "Name") == "pause");
        for (field, want) in [
            ("Uid", "1234 1234 1234 1234"),
            ("Gid", "56 56 56 56"),
            ("Groups", "78 90"),
            ("CapEff", "0000000000000000"),
            ("CapPrm", "0000000000000000"),
            ("CapBnd", "0000000000000000"),
            ("NoNewPrivs", "1"),
        ] {
            assert_eq!(status_field(pid, field), want, "{field}");
        }
        let root = fs::read_dir(format!("/proc/{pid}/root")).expect("root");
        assert_eq!(root.count(), 0);
        let error = fs::write(format!("/proc/{pid}/root/x"), "").expect_err("read-only");
        assert_eq!(error.raw_os_error(), Some(Errno::EROFS as i32));
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("mounts");
        assert_eq!(mounts.lines().count(), 1, "{mounts}");
        let mut fds: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
            .expect("fds")
            .map(|fd| fs::read_link(fd.expect("fd").path()).expect("link"))
            .collect();
        fds.dedup();
        assert_eq!(fds, [PathBuf::from("/dev/null")]);
        let switches = || status_field(pid, "voluntary_ctxt_switches");
        wait_until("pause sleeps", || status_field(pid, "State").starts_with('S'));
        let before = switches();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(switches(), before);
        bench.remove(sandbox);
    });
}

#[test]
fn pause_reaps_what_its_pid_namespace_orphans_and_ends_on_term() {
    alone(|| {
        for signal in [Signal::TERM, Signal::INT] {
            let mut bench = Bench::new("reap");
            bench.spec.pid = SandboxPid::Shared;
            let sandbox = bench.create().expect("create");
            let namespaces = sandbox.namespaces(false).expect("namespaces");
            let pid_namespace = namespaces.get(&Namespace::Pid).expect("shared");
            // A process whose parent ends first becomes a child of process 1.
            match fork_with_pidfd().expect("fork") {
                Clone::Child => {
                    let _ = setns(pid_namespace.as_fd(), CloneFlags::NEWPID);
                    match fork_with_pidfd() {
                        Ok(Clone::Child) => match fork_with_pidfd() {
                            Ok(Clone::Child) => {
                                std::thread::sleep(Duration::from_millis(50));
                                exit_now(0)
                            }
                            _ => exit_now(0),
                        },
                        Ok(Clone::Parent { pidfd, .. }) => {
                            let _ = wait_pidfd(pidfd.as_fd(), Wait::Block);
                            exit_now(0)
                        }
                        Err(_) => exit_now(1),
                    }
                }
                Clone::Parent { pidfd, .. } => {
                    let status = wait_pidfd(pidfd.as_fd(), Wait::Block).expect("wait");
                    assert_eq!(status, Some(ExitStatus::Exited(0)));
                }
            }
            let pid = sandbox.record().pid;
            let children = || fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            wait_until("the orphan is reaped", || children().is_ok_and(|text| text.is_empty()));
            drop(namespaces);
            pidfd_send_signal(sandbox.pidfd(), signal).expect("signal");
            let ended = pidfd_wait_exit(sandbox.pidfd(), Some(Duration::from_secs(10)));
            assert!(ended.expect("poll"), "{signal}");
            let status = wait_pidfd(sandbox.pidfd(), Wait::Block).expect("wait");
            assert_eq!(status, Some(ExitStatus::Exited(0)), "{signal}");
            bench.remove(sandbox);
        }
    });
}

#[test]
fn a_sandbox_is_found_again_by_its_record() {
    alone(|| {
        let bench = Bench::new("again");
        let sandbox = bench.create().expect("create");
        let text = serde_json::to_string(sandbox.record()).expect("record");
        let shm = sandbox.shm_fd().map(|fd| fd.try_clone_to_owned().expect("dup"));
        let tree = sandbox.shm_tree().expect("tree").expect("own");
        fs::write(format!("/proc/self/fd/{}/f", tree.as_raw_fd()), "kept").expect("write");
        drop((tree, sandbox));

        let record: SandboxRecord = serde_json::from_str(&text).expect("record");
        let again = Sandbox::from_record(record.clone(), shm).expect("found").expect("alive");
        let hostname = inside(&again.namespaces(true).expect("namespaces"), || {
            nix::unistd::gethostname().expect("hostname")
        });
        assert_eq!(hostname, "again");
        let tree = again.shm_tree().expect("tree").expect("own");
        let file = format!("/proc/self/fd/{}/f", tree.as_raw_fd());
        assert_eq!(fs::read(file).expect("read"), b"kept");
        drop(tree);

        let other = SandboxRecord { start_time: record.start_time + 1, ..record.clone() };
        assert!(Sandbox::from_record(other, None).expect("looked").is_none(), "a reused pid");
        pidfd_send_signal(again.pidfd(), Signal::KILL).expect("kill");
        assert!(pidfd_wait_exit(again.pidfd(), None).expect("poll"));
        assert!(Sandbox::from_record(record.clone(), None).expect("looked").is_none());
        Sandbox::clear(&record, &bench.network).expect("clear");
        assert_eq!(bench.network.entries().expect("entries"), []);
        bench.remove(again);
    });
}

#[test]
fn what_a_killed_maker_left_is_cleared_away_by_the_next_attempt() {
    alone(|| {
        let bench = Bench::new("left");
        let first = bench.create().expect("create");
        // Its maker noted nothing; only the cgroup tells.
        let second = bench.create().expect("create again");
        assert!(pidfd_wait_exit(first.pidfd(), Some(Duration::from_secs(10))).expect("poll"));
        wait_pidfd(first.pidfd(), Wait::Block).expect("reap");
        let entries = bench.network.entries().expect("entries");
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert_eq!(IpAddr::V4(entries[0].0), second.attachment().addresses[0]);
        drop(first);
        bench.remove(second);
    });
}

#[test]
fn sysctls_are_set_inside_also_those_of_the_interface() {
    alone(|| {
        let mut bench = Bench::new("sysctl");
        bench.spec.sysctls = [
            ("net.core.somaxconn", "777"),
            ("kernel.shm_rmid_forced", "1"),
            ("net.ipv4.conf.eth0.log_martians", "1"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let sandbox = bench.create().expect("create");
        let namespaces = sandbox.namespaces(true).expect("namespaces");
        for (path, want) in [
            ("net/core/somaxconn", "777"),
            ("kernel/shm_rmid_forced", "1"),
            ("net/ipv4/conf/eth0/log_martians", "1"),
            ("net/ipv4/ip_unprivileged_port_start", "0"),
            ("net/ipv4/ping_group_range", "0 2147483647"),
        ] {
            assert_eq!(read_sysctl(&namespaces, path), want, "{path}");
        }
        assert_ne!(fs::read_to_string("/proc/sys/net/core/somaxconn").expect("read").trim(), "777");
        drop(namespaces);
        bench.remove(sandbox);
    });
}

#[test]
fn containers_share_one_dev_shm_that_no_mount_table_shows() {
    alone(|| {
        let mut bench = Bench::new("shm");
        bench.spec.network = NetworkMode::None;
        let before = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let sandbox = bench.create().expect("create");
        let trees = [(); 2].map(|()| sandbox.shm_tree().expect("tree").expect("own"));
        let path = |tree: &std::os::fd::OwnedFd| {
            PathBuf::from(format!("/proc/self/fd/{}/f", tree.as_raw_fd()))
        };
        fs::write(path(&trees[0]), "shared").expect("write");
        assert_eq!(fs::read(path(&trees[1])).expect("read"), b"shared");
        let stat = nix::sys::statvfs::fstatvfs(&trees[0]).expect("statvfs");
        assert_eq!(stat.blocks() * stat.fragment_size(), 64 << 20);
        let flags = nix::sys::statvfs::FsFlags::ST_NOSUID
            | nix::sys::statvfs::FsFlags::ST_NODEV
            | nix::sys::statvfs::FsFlags::ST_NOEXEC;
        assert!(stat.flags().contains(flags));
        let mode = nix::sys::stat::fstat(&trees[0]).expect("stat").st_mode;
        assert_eq!(mode & 0o7777, 0o1777);
        assert_eq!(fs::read_to_string("/proc/self/mountinfo").expect("mounts"), before);
        drop(trees);
        bench.remove(sandbox);
    });
}

#[test]
fn a_sandbox_of_the_machines_own_namespaces_has_none_of_them() {
    alone(|| {
        let mut bench = Bench::new("host");
        bench.spec.network = NetworkMode::Host;
        bench.spec.host_ipc = true;
        bench.spec.pid = SandboxPid::Host;
        let sandbox = bench.create().expect("create");
        assert_eq!(sandbox.namespaces(false).expect("namespaces").len(), 0);
        assert_eq!(sandbox.attachment().addresses, crate::network::host_addresses());
        assert!(sandbox.shm_tree().expect("tree").is_none());
        let own = |kind: &str| fs::read_link(format!("/proc/{}/ns/{kind}", sandbox.record().pid));
        for kind in ["net", "ipc", "uts", "pid"] {
            let machine = fs::read_link(format!("/proc/self/ns/{kind}")).expect("own");
            assert_eq!(own(kind).expect("pause"), machine);
        }
        bench.remove(sandbox);
    });
}

#[test]
fn a_step_that_fails_inside_is_named_and_nothing_is_left() {
    alone(|| {
        let mut bench = Bench::new("fails");
        bench.spec.hostname = "h".repeat(65);
        let error = bench.create().expect_err("too long");
        let Error::Inside { step, errno, .. } = &error else { panic!("{error}") };
        assert_eq!((*step, *errno), (Step::Hostname, Errno::EINVAL));
        assert!(error.to_string().starts_with("set the hostname: sethostname("), "{error}");
        assert!(!bench.cgroup_exists(&format!("{}/{}", bench.spec.cgroup, bench.spec.id)));
        assert_eq!(bench.network.entries().expect("entries"), []);
        wait_until("the bridge goes", || !bench.has_bridge());

        bench.spec.hostname = "fine".into();
        bench.spec.sysctls = [("net.core.nope".into(), "1".into())].into();
        let error = bench.create().expect_err("no such sysctl");
        assert!(error.to_string().starts_with("set sysctls: openat2("), "{error}");
        bench.spec.sysctls = [("kernel.panic".into(), "1".into())].into();
        let error = bench.create().expect_err("the machine's");
        assert!(matches!(error, Error::ForeignSysctl { .. }), "{error}");
    });
}

/// Not an assertion on speed: prints what pause and a sandbox cost.
#[test]
fn pause_stays_small() {
    alone(|| {
        let mut bench = Bench::new("small");
        bench.spec.network = NetworkMode::None;
        let sandbox = bench.create().expect("create");
        let pid = Pid::from_raw(sandbox.record().pid);
        wait_until("pause sleeps", || status_field(pid.as_raw(), "State").starts_with('S'));
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("smaps");
        let line = text.lines().find(|line| line.starts_with("Pss:")).expect("Pss");
        let kib: u32 = line.split_whitespace().nth(1).expect("number").parse().expect("number");
        // Not println: the harness may hold its lock in the copied memory.
        let _ = nix::unistd::write(std::io::stderr(), format!("pause: {kib} KiB\n").as_bytes());
        assert!(kib <= 20, "{text}");
        bench.remove(sandbox);
    });
}
