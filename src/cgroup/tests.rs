//! Real cgroups of the machine, each test below a name of its own. Limits are
//! checked by their effect where the machine has the controller.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use oci_spec::runtime::LinuxResources;
use serde_json::{Value, json};

use super::hierarchy::Layout;
use super::*;

/// A name that no other test has; removed with everything below at the end.
struct Top(String);

impl Top {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(format!("/podrt-test-{}-{number}", std::process::id()))
    }

    fn path(&self, below: &str) -> String {
        format!("{}/{below}", self.0)
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        if let Ok(group) = Cgroup::open(&self.0) {
            let _ = group.thaw();
            let _ = group.kill();
            let _ = group.remove();
        }
    }
}

fn resources(value: Value) -> LinuxResources {
    serde_json::from_value(value).unwrap()
}

fn none() -> LinuxResources {
    resources(json!({}))
}

/// A shell that enters the cgroup before it runs `script`.
fn run_in(group: &Cgroup, script: &str) -> Child {
    let mut child = Command::new("sh")
        .args(["-c", &format!("read go; {script}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    enter(group, child.id());
    child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    child
}

fn enter(group: &Cgroup, pid: u32) {
    for folder in Layout::detect().unwrap().join(group.path()).directories() {
        file::write(&folder.join("cgroup.procs"), &pid.to_string()).unwrap();
    }
}

fn finish(mut child: Child) -> (ExitStatus, String) {
    let mut output = String::new();
    child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    (child.wait().unwrap(), output)
}

fn exists_anywhere(path: &str) -> bool {
    Cgroup::open(path).is_ok()
}

fn lacks(controller: &str) -> bool {
    let layout = Layout::detect().unwrap();
    let lacks = layout.place(controller).is_none();
    if lacks {
        eprintln!("skipped: this machine has no {controller} controller");
    }
    lacks
}

#[test]
fn a_cgroup_is_made_in_every_hierarchy_and_removed_from_all() {
    let top = Top::new();
    let path = top.path("a/b");
    let group = Cgroup::create(&path, &none()).unwrap();
    let layout = Layout::detect().unwrap().join(&path);
    assert!(layout.directories().all(std::path::Path::is_dir));
    group.remove().unwrap();
    assert!(!layout.directories().any(std::path::Path::exists));
    group.remove().unwrap();
    assert_eq!(Cgroup::open(&path).unwrap_err(), Error::Missing(path.clone()));
    assert_eq!(group.pids().unwrap(), [0; 0]);
    group.kill().unwrap();
}

#[test]
fn removal_goes_up_to_a_parent_but_not_past_one_in_use() {
    let top = Top::new();
    let first = Cgroup::create(&top.path("pod/one"), &none()).unwrap();
    let second = Cgroup::create(&top.path("pod/two"), &none()).unwrap();
    first.remove_up_to(&top.0).unwrap();
    assert!(!exists_anywhere(&top.path("pod/one")) && exists_anywhere(&top.path("pod")));
    second.remove_up_to(&top.0).unwrap();
    assert!(!exists_anywhere(&top.0));
}

#[test]
fn what_was_never_made_whole_goes_with_its_empty_parents() {
    let top = Top::new();
    Cgroup::create_parent(&top.path("qos"), &none()).unwrap();
    let failed = Cgroup::at(&top.path("qos/pod")).unwrap();
    failed.kill().unwrap();
    failed.remove_up_to(&top.0).unwrap();
    assert!(!exists_anywhere(&top.0));
}

#[test]
fn a_cgroup_with_processes_is_not_taken_over_but_an_empty_one_is() {
    let top = Top::new();
    let path = top.path("c");
    let group = Cgroup::create(&path, &none()).unwrap();
    Cgroup::create(&top.path("c/left-over"), &none()).unwrap();
    Cgroup::create(&path, &none()).unwrap();
    assert!(!exists_anywhere(&top.path("c/left-over")), "made anew");
    let mut child = run_in(&group, "sleep 100");
    assert_eq!(Cgroup::create(&path, &none()).unwrap_err(), Error::InUse(path.clone()));
    assert!(Cgroup::create_parent(&path, &none()).is_ok());
    group.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn killing_takes_all_below_even_frozen_and_the_kernel_tells_when_it_is_empty() {
    let top = Top::new();
    let group = Cgroup::create(&top.path("k"), &none()).unwrap();
    // By hand: a cgroup that hands controllers down takes no process itself.
    for folder in Layout::detect().unwrap().join(&top.path("k/below")).directories() {
        std::fs::create_dir(folder).unwrap();
    }
    let below = Cgroup::open(&top.path("k/below")).unwrap();
    let set = resources(json!({"cpu": {"cpus": "0", "mems": "0"}}));
    if !lacks("cpuset") && group.hierarchy() != Hierarchy::Unified {
        below.apply(&set).unwrap();
    }
    let mut children = [run_in(&group, "sleep 100 & sleep 100"), run_in(&below, "sleep 100")];
    wait_until(|| group.pids().unwrap().len() == 5);
    group.freeze().unwrap();
    assert!(group.is_frozen().unwrap());
    group.kill().unwrap();
    if let Some(events) = group.populated_events().unwrap() {
        for child in &mut children {
            assert!(!child.wait().unwrap().success());
        }
        let mut text = String::new();
        std::fs::File::from(events.try_clone().unwrap()).read_to_string(&mut text).unwrap();
        if file::keyed(&text, "populated") != Some(0) {
            let mut wanted = [PollFd::new(events.as_fd(), PollFlags::POLLPRI)];
            assert_eq!(poll(&mut wanted, PollTimeout::from(5000_u16)).unwrap(), 1);
        }
    }
    group.remove().unwrap();
    assert!(!exists_anywhere(&top.path("k")));
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it never happened");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn removal_waits_for_processes_that_are_dying() {
    let top = Top::new();
    let group = Cgroup::create(&top.path("d"), &none()).unwrap();
    for _ in 0..20 {
        let mut child = run_in(&group, "sleep 100");
        group.kill().unwrap();
        // Not waited for: it may still be on its way out.
        group.remove().unwrap();
        child.wait().unwrap();
        create::folders(&Layout::detect().unwrap(), group.path()).unwrap();
    }
}

#[test]
fn a_cgroup_stands_still_with_the_one_above_it() {
    let top = Top::new();
    let above = Cgroup::create_parent(&top.path("above"), &none()).unwrap();
    let below = Cgroup::create(&top.path("above/below"), &none()).unwrap();
    let mut child = run_in(&below, "sleep 100");
    let freezer = below.freezer().unwrap();
    assert!(!freezer.is_frozen().unwrap());
    above.freeze().unwrap();
    assert!(freezer.is_frozen().unwrap() && !below.is_frozen().unwrap());
    above.thaw().unwrap();
    wait_until(|| !freezer.is_frozen().unwrap());
    below.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_frozen_cgroup_stands_still_until_it_is_thawed() {
    let top = Top::new();
    let group = Cgroup::create(&top.path("f"), &none()).unwrap();
    let child = run_in(&group, "while :; do :; done");
    assert!(!group.is_frozen().unwrap());
    group.freeze().unwrap();
    let used = |group: &Cgroup| group.stats().unwrap().cpu.usage_ns;
    let before = used(&group);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(used(&group), before);
    group.thaw().unwrap();
    wait_until(|| used(&group) > before);
    group.kill().unwrap();
    finish(child);
}

#[test]
fn no_limits_need_no_controller_and_a_missing_one_is_named() {
    let top = Top::new();
    let empty = json!({"memory": {}, "cpu": {}, "blockIO": {}, "devices": [],
        "hugepageLimits": [], "network": {}, "rdma": {}, "unified": {}});
    Cgroup::create(&top.path("e"), &resources(empty)).unwrap().remove().unwrap();
    let wanted = resources(json!({"rdma": {"mlx5": {"hcaHandles": 1}}}));
    if Layout::detect().unwrap().place("rdma").is_none() {
        let error = Cgroup::create(&top.path("e"), &wanted).unwrap_err();
        assert_eq!(error.to_string(), "set rdma: controller \"rdma\" is not available");
        assert!(!exists_anywhere(&top.path("e")), "what was made is removed again");
    }
    let wanted = resources(json!({"unified": {"nonsense.max": "1"}}));
    let error = Cgroup::create(&top.path("e"), &wanted).unwrap_err();
    assert_eq!(
        error.to_string(),
        "set unified \"nonsense.max\": controller \"nonsense\" is not available"
    );
}

#[test]
fn a_memory_limit_kills_and_the_kill_is_counted() {
    if lacks("memory") {
        return;
    }
    let top = Top::new();
    let limit = resources(json!({"memory": {"limit": 33_554_432, "swap": 33_554_432}}));
    let group = Cgroup::create(&top.path("m"), &limit).unwrap();
    assert_eq!(group.stats().unwrap().memory.limit, Some(33_554_432));
    assert_eq!(group.oom_kills().unwrap(), 0);
    // tail keeps a line without end in memory.
    let (status, _) = finish(run_in(&group, "exec tail /dev/zero"));
    assert!(!status.success());
    assert_eq!(group.oom_kills().unwrap(), 1);
    let more = resources(json!({"memory": {"limit": 67_108_864, "swap": 134_217_728}}));
    group.apply(&more).unwrap();
    assert_eq!(group.stats().unwrap().memory.limit, Some(67_108_864));
    group.apply(&limit).unwrap();
    assert_eq!(group.stats().unwrap().memory.swap_limit, Some(33_554_432));
    group.apply(&resources(json!({"memory": {"limit": -1}}))).unwrap();
    assert_eq!(group.stats().unwrap().memory.limit, None);
}

#[test]
fn a_limit_below_the_usage_is_refused_when_asked_to_check() {
    if lacks("memory") {
        return;
    }
    let top = Top::new();
    let group = Cgroup::create(&top.path("u"), &none()).unwrap();
    let child = run_in(&group, "x=$(head -c 8000000 /dev/zero | tr '\\0' x); echo; sleep 100");
    wait_until(|| group.stats().unwrap().memory.usage > 8_000_000);
    let checked = json!({"memory": {"limit": 4_194_304, "checkBeforeUpdate": true}});
    let error = group.apply(&resources(checked)).unwrap_err();
    assert!(error.to_string().contains("below the current usage"), "{error}");
    group.kill().unwrap();
    finish(child);
}

#[test]
fn a_limit_of_processes_holds() {
    if lacks("pids") {
        return;
    }
    let top = Top::new();
    let group = Cgroup::create(&top.path("p"), &resources(json!({"pids": {"limit": 3}}))).unwrap();
    let script = "for i in 1 2 3 4 5 6; do sleep 100 & done; wait";
    let mut child = run_in(&group, script);
    child.wait().unwrap();
    let stats = group.stats().unwrap().pids;
    assert_eq!((stats.current, stats.limit), (2, Some(3)));
    group.kill().unwrap();
}

#[test]
fn a_cpu_quota_throttles() {
    if lacks("cpu") {
        return;
    }
    let top = Top::new();
    let quota = json!({"cpu": {"quota": 10_000, "period": 100_000, "shares": 512}});
    let group = Cgroup::create(&top.path("q"), &resources(quota)).unwrap();
    let child = run_in(&group, "while :; do :; done");
    wait_until(|| group.stats().unwrap().cpu.throttled_periods > 2);
    group.apply(&resources(json!({"cpu": {"period": 50_000}}))).unwrap();
    group.apply(&resources(json!({"cpu": {"quota": -1}}))).unwrap();
    group.kill().unwrap();
    finish(child);
    if let Some(hierarchy::Place::V2(folder)) =
        Layout::detect().unwrap().join(group.path()).place("cpu")
    {
        assert_eq!(file::read(&folder.join("cpu.weight")).unwrap().trim(), "59");
        assert_eq!(file::read(&folder.join("cpu.max")).unwrap().trim(), "max 50000");
    }
}

#[test]
fn a_cpuset_is_kept_to() {
    if lacks("cpuset") {
        return;
    }
    let top = Top::new();
    let set = json!({"cpu": {"cpus": "0", "mems": "0"}});
    let group = Cgroup::create(&top.path("s"), &resources(set)).unwrap();
    let (_, output) = finish(run_in(&group, "grep Cpus_allowed_list /proc/self/status"));
    assert_eq!(output, "Cpus_allowed_list:\t0\n");
}

#[test]
fn hugepage_limits_are_written_where_the_controller_is() {
    if lacks("hugetlb") {
        return;
    }
    let top = Top::new();
    let limit = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}]});
    let group = Cgroup::create(&top.path("h"), &resources(limit)).unwrap();
    assert!(group.stats().unwrap().hugetlb.contains_key("2MB"));
    let bad = json!({"hugepageLimits": [{"pageSize": "3MB", "limit": 4_194_304}]});
    let error = group.apply(&resources(bad)).unwrap_err();
    assert!(error.to_string().contains("hugetlb.3MB"), "{error}");
}

const OPENS_FUSE: &str = "if true </dev/fuse; then echo yes; else echo no; fi";
const OPENS_NULL: &str = "if true >/dev/null; then echo yes; else echo no; fi";

#[test]
fn devices_are_only_what_the_rules_and_the_defaults_allow() {
    if !std::path::Path::new("/dev/fuse").exists() {
        eprintln!("skipped: this machine has no /dev/fuse");
        return;
    }
    let top = Top::new();
    let closed = json!({"devices": [{"allow": false, "access": "rwm"}]});
    let open = json!({"devices": [{"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}]});
    let group = Cgroup::create(&top.path("v"), &resources(closed.clone())).unwrap();
    let answer = |script: &str| finish(run_in(&group, script)).1;
    assert_eq!(answer(OPENS_FUSE), "no\n");
    assert_eq!(answer(OPENS_NULL), "yes\n");
    group.apply(&resources(open)).unwrap();
    assert_eq!(answer(OPENS_FUSE), "yes\n");
    group.apply(&resources(closed)).unwrap();
    assert_eq!(answer(OPENS_FUSE), "no\n");
    group.apply(&resources(json!({"pids": {"limit": 100}}))).unwrap();
    assert_eq!(answer(OPENS_FUSE), "no\n", "an update without rules leaves them");
}

#[test]
fn a_device_program_is_exchanged_and_never_piled_up() {
    let Some(mount) = Layout::detect().unwrap().v2 else {
        eprintln!("skipped: this machine has no cgroup2 hierarchy");
        return;
    };
    let top = Top::new();
    let group = Cgroup::create(&top.path("x"), &none()).unwrap();
    let folder = mount.join(group.path().trim_start_matches('/'));
    let only_v2 = Layout { v2: Some(folder.clone()), v1: Vec::new() };
    let cgroup = file::open_directory(&folder).unwrap();
    let attached = || crate::sys::bpf::device_programs(cgroup.as_fd()).unwrap();
    assert_eq!(attached(), [0; 0]);
    let answer = |script: &str| finish(run_in(&group, script)).1;
    let closed = resources(json!({"devices": [{"allow": false, "access": "rwm"}]}));
    let open = resources(json!({"devices": [{"allow": true, "access": "rwm"}]}));
    let mut seen = Vec::new();
    for (rules, expected) in [(&closed, "no\n"), (&open, "yes\n"), (&closed, "no\n")] {
        let rules = rules.devices().as_deref().unwrap();
        devices::apply(group.path(), &only_v2, rules).unwrap();
        let now = attached();
        assert_eq!(now.len(), 1);
        assert!(!seen.contains(&now[0]));
        seen.extend(now);
        assert_eq!(answer(OPENS_NULL), "yes\n");
        if std::path::Path::new("/dev/fuse").exists() {
            assert_eq!(answer(OPENS_FUSE), expected);
        }
    }
}

#[test]
fn making_and_removing_siblings_at_once_never_fails() {
    let top = Top::new();
    std::thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let top = &top;
            scope.spawn(move || {
                for _ in 0..30 {
                    let group = Cgroup::create(&top.path(&format!("pod/{name}")), &none()).unwrap();
                    group.remove_up_to(&top.0).unwrap();
                }
            });
        }
    });
    assert!(!exists_anywhere(&top.0));
}

#[test]
fn a_process_enters_by_the_descriptors_alone() {
    let top = Top::new();
    let group = Cgroup::create(&top.path("n"), &none()).unwrap();
    let entry = group.entry().unwrap();
    let layout = Layout::detect().unwrap();
    assert_eq!(entry.clone_into.is_some(), layout.v2.is_some());
    assert_eq!(entry.join.len(), layout.v1.len());
    let mut child = Command::new("sleep").arg("100").spawn().unwrap();
    for join in entry.join {
        std::fs::File::from(join).write_all(child.id().to_string().as_bytes()).unwrap();
    }
    if layout.v2.is_none() {
        assert_eq!(group.pids().unwrap(), [i32::try_from(child.id()).unwrap()]);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
