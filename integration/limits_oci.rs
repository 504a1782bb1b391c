//! Limits of OCI containers, proven by what they do to the processes inside.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Bundle, Ran, World, has_controllers, has_v2_controllers, skip};

const MIB: u64 = 1 << 20;

/// A bundle that runs a shell script, with the payload in its file system.
fn script(world: &World, script: &str) -> Bundle {
    Bundle::new(world, "b", &["sh", "-c", script]).with_payload()
}

/// Runs the bundle to its end under the resources.
#[track_caller]
fn run_limited(world: &World, bundle: &mut Bundle, resources: &Value) -> Ran {
    let all = bundle.config["linux"]["resources"].as_object_mut().expect("resources");
    all.extend(resources.as_object().expect("an object").clone());
    let path = bundle.write();
    world.podrt(&["run", "-b", &path, &world.name("c")])
}

#[test]
fn a_process_beyond_the_memory_limit_is_killed_and_one_within_it_is_not() {
    let name = "a_process_beyond_the_memory_limit_is_killed_and_one_within_it_is_not";
    if !has_controllers(name, &["memory"]) {
        return;
    }
    let world = World::new();
    let limit = json!({ "memory": { "limit": 32 * MIB, "swap": 32 * MIB } });
    for (mebibytes, code) in [(8, 0), (64, 137)] {
        let words = ["payload", "memhog", &(mebibytes * MIB).to_string()];
        let mut bundle = Bundle::new(&world, "b", &words).with_payload();
        let ran = run_limited(&world, &mut bundle, &limit);
        assert_eq!(ran.code, code, "{mebibytes} MiB: {ran:?}");
    }
    world.assert_clean();
}

#[test]
fn the_oom_killer_takes_one_process_or_with_oom_group_all() {
    let name = "the_oom_killer_takes_one_process_or_with_oom_group_all";
    if !has_v2_controllers(name, &["memory"]) {
        return;
    }
    let world = World::new();
    for (group, code, output) in [("0", 0, "survived 137\n"), ("1", 137, "")] {
        let mut bundle = script(&world, "payload memhog 67108864; echo survived $?");
        let limits = json!({
            "memory": { "limit": 32 * MIB, "swap": 32 * MIB },
            "unified": { "memory.oom.group": group },
        });
        let ran = run_limited(&world, &mut bundle, &limits);
        assert_eq!((ran.code, ran.stdout.as_str()), (code, output), "{group}: {ran:?}");
    }
    world.assert_clean();
}

#[test]
fn swap_takes_what_memory_does_not_up_to_its_own_limit() {
    let name = "swap_takes_what_memory_does_not_up_to_its_own_limit";
    if !has_v2_controllers(name, &["memory"]) {
        return;
    }
    if fs::read_to_string("/proc/swaps").expect("swaps").lines().count() < 2 {
        return skip(name, "no swap on this machine");
    }
    let world = World::new();
    for (both, code) in [(128, 0), (40, 137)] {
        let mut bundle =
            Bundle::new(&world, "b", &["payload", "memhog", "67108864"]).with_payload();
        let limit = json!({ "memory": { "limit": 32 * MIB, "swap": both * MIB } });
        assert_eq!(run_limited(&world, &mut bundle, &limit).code, code, "{both} MiB");
    }
    world.assert_clean();
}

#[test]
fn no_more_processes_are_made_than_the_limit_allows() {
    let name = "no_more_processes_are_made_than_the_limit_allows";
    if !has_controllers(name, &["pids"]) {
        return;
    }
    let world = World::new();
    let mut bundle = Bundle::new(&world, "b", &["payload", "forkbomb", "50"]).with_payload();
    let ran = run_limited(&world, &mut bundle, &json!({ "pids": { "limit": 12 } }));
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.stdout, "11 children\n", "and their parent");
    assert!(ran.stderr.contains("Resource temporarily unavailable"), "{ran:?}");
    world.assert_clean();
}

#[test]
fn a_quota_of_a_fifth_gives_a_fifth_of_a_processor() {
    let name = "a_quota_of_a_fifth_gives_a_fifth_of_a_processor";
    if !has_v2_controllers(name, &["cpu"]) {
        return;
    }
    let world = World::new();
    let mut bundle = script(&world, BURN);
    let limit = json!({ "cpu": { "quota": 20_000, "period": 100_000 } });
    let stat = run_limited(&world, &mut bundle, &limit).ok();
    let (share, throttled) = burnt(&stat);
    // A machine that stood still for a moment may have charged it for that.
    assert!((0.1..0.35).contains(&share), "{share} of a processor: {stat}");
    assert!(throttled >= 10, "{stat}");
    world.assert_clean();
}

/// Burns a processor for four seconds, between two looks at the usage.
pub const BURN: &str = "cd /sys/fs/cgroup; cat cpu.stat; payload cpu-burn 4; cat cpu.stat";

/// Of the output of [`BURN`]: the share of a processor that was used, and how
/// many periods were cut short.
pub fn burnt(output: &str) -> (f64, u32) {
    let numbers = |key: &str| -> Vec<u32> {
        let values = output.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        values.map(|value| value.parse().expect("a number")).collect()
    };
    let (used, throttled) = (numbers("usage_usec"), numbers("nr_throttled"));
    (f64::from(used[1] - used[0]) / 4e6, throttled[1] - throttled[0])
}

#[test]
fn a_container_sees_and_uses_only_the_processors_of_its_cpuset() {
    let name = "a_container_sees_and_uses_only_the_processors_of_its_cpuset";
    if !has_controllers(name, &["cpuset"]) {
        return;
    }
    if std::thread::available_parallelism().is_ok_and(|count| count.get() < 2) {
        return skip(name, "one processor only");
    }
    let world = World::new();
    let mut bundle = script(&world, "nproc; grep Cpus_allowed_list /proc/self/status");
    let limit = json!({ "cpu": { "cpus": "1", "mems": "0" } });
    let seen = run_limited(&world, &mut bundle, &limit).ok();
    assert_eq!(seen, "1\nCpus_allowed_list:\t1\n");
    world.assert_clean();
}

#[test]
fn writing_is_held_to_the_rate_of_io_max() {
    let name = "writing_is_held_to_the_rate_of_io_max";
    if !has_v2_controllers(name, &["io", "memory"]) {
        return;
    }
    let world = World::new();
    let device = fs::metadata(world.path()).expect("folder").dev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    if !PathBuf::from(format!("/sys/dev/block/{major}:{minor}/queue")).is_dir() {
        return skip(name, "temporary files are not on a whole disk");
    }
    let mut took = Vec::new();
    for rate in [0, MIB] {
        let mut bundle =
            script(&world, &timed("dd if=/dev/zero of=/big bs=1M count=10 oflag=direct"));
        let io = json!({ "blockIO": {
            "throttleWriteBpsDevice": [{ "major": major, "minor": minor, "rate": rate }]
        } });
        took.push(seconds(&run_limited(&world, &mut bundle, &io).ok()));
    }
    assert!(took[1] > 7.0, "10 MiB at 1 MiB/s: {took:?}");
    assert!(took[0] + 3.0 < took[1], "without a limit, and with: {took:?}");
    world.assert_clean();
}

/// A script that tells when the command begins and ends.
fn timed(command: &str) -> String {
    format!("cat /proc/uptime && {command} && cat /proc/uptime")
}

/// Of the output of [`timed`]: how long it took, without making the container.
fn seconds(output: &str) -> f64 {
    let uptime = |line: &str| line.split(' ').next().and_then(|word| word.parse::<f64>().ok());
    let times: Vec<f64> = output.lines().filter_map(uptime).collect();
    times[1] - times[0]
}

#[test]
fn a_device_opens_only_as_the_rules_say_though_its_node_can_be_made() {
    let world = World::new();
    let deny = json!({ "allow": false, "access": "rwm" });
    let read = json!({ "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" });
    let make = "mknod /dev/log-of-kernel c 1 11 && echo made; ";
    let open = "dd if=/dev/log-of-kernel of=/dev/null bs=8192 count=1 2>&1 && echo read; \
                : 2>&1 >/dev/log-of-kernel && echo written; true";
    for (rules, may_read) in [(json!([deny]), false), (json!([deny, read]), true)] {
        let mut bundle = script(&world, &format!("{make}{open}"));
        // Without CAP_SYS_ADMIN and CAP_SYSLOG the node itself would refuse.
        for set in ["bounding", "effective", "permitted"] {
            bundle.config["process"]["capabilities"][set] =
                json!(["CAP_MKNOD", "CAP_SYSLOG", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
        }
        let ran = run_limited(&world, &mut bundle, &json!({ "devices": rules }));
        assert!(ran.stdout.starts_with("made\n"), "{ran:?}");
        assert_eq!(ran.stdout.contains("\nread\n"), may_read, "{ran:?}");
        assert!(ran.stdout.contains("create /dev/log-of-kernel: Operation not"), "{ran:?}");
        assert!(!ran.stdout.contains("written"), "{ran:?}");
    }
    world.assert_clean();
}

#[test]
fn huge_pages_are_given_up_to_the_limit() {
    let name = "huge_pages_are_given_up_to_the_limit";
    if !has_v2_controllers(name, &["hugetlb"]) {
        return;
    }
    let meminfo = fs::read_to_string("/proc/meminfo").expect("meminfo");
    let free = meminfo.lines().find_map(|line| line.strip_prefix("HugePages_Free:"));
    if free.is_none_or(|free| free.trim().parse::<u32>().is_ok_and(|free| free < 4)) {
        return skip(name, "fewer than 4 free huge pages");
    }
    let world = World::new();
    for (pages, code) in [(1, 0), (4, 1)] {
        let bytes = (pages * 2 * MIB).to_string();
        let mut bundle = Bundle::new(&world, "b", &["payload", "hugepages", &bytes]).with_payload();
        let limit = json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4 * MIB }] });
        let ran = run_limited(&world, &mut bundle, &limit);
        // Refused when mapped where reservations are counted, else SIGBUS.
        assert_eq!(ran.code.min(1), code, "{pages} pages: {ran:?}");
    }
    world.assert_clean();
}

#[test]
fn a_paused_container_does_nothing_until_it_is_resumed() {
    let world = World::new();
    let id = world.name("c");
    let bundle = script(&world, "while :; do echo >>/count; sleep 0.01; done");
    let path = bundle.write();
    world.podrt(&["run", "-d", "-b", &path, &id]).ok();
    let length = || fs::metadata(bundle.rootfs().join("count")).map_or(0, |file| file.len());
    let changes = || {
        let before = length();
        std::thread::sleep(Duration::from_millis(500));
        before != length()
    };
    let await_changes = |what: &str| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !changes() {
            assert!(Instant::now() < deadline, "{what}");
        }
    };
    await_changes("the counter does not count");
    world.podrt(&["pause", &id]).ok();
    assert!(!changes(), "it counts while paused");
    world.podrt(&["resume", &id]).ok();
    await_changes("it does not count any more");
    world.podrt(&["delete", "--force", &id]).ok();
    world.assert_clean();
}

#[test]
fn processes_that_fork_all_the_time_do_not_escape_from_the_kill() {
    let world = World::new();
    let id = world.name("c");
    // Each round leaves its parent behind: no walk over the process list would
    // meet them all.
    let storm = "storm() { while :; do (sleep 0.02; exit) & sleep 0.01; done; }; storm & storm";
    let mut bundle = Bundle::new(&world, "b", &["sh", "-c", storm]);
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().expect("list");
    namespaces.retain(|namespace| namespace["type"] != "pid");
    let path = bundle.write();
    world.podrt(&["run", "-d", "-b", &path, &id]).ok();
    std::thread::sleep(Duration::from_millis(200));
    world.podrt(&["delete", "--force", &id]).ok();
    world.assert_clean();
}

#[test]
fn a_container_may_make_cgroups_and_cgroup_namespaces_below_its_own() {
    let name = "a_container_may_make_cgroups_and_cgroup_namespaces_below_its_own";
    if !has_v2_controllers(name, &["memory"]) {
        return;
    }
    let world = World::new();
    let id = world.name("c");
    let mut bundle = script(
        &world,
        "cd /sys/fs/cgroup; mkdir a; echo 0 >a/cgroup.procs; cat /proc/self/cgroup; \
         newns -C cat /proc/self/cgroup; ls -d ../cgroup/a",
    );
    let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
    mounts.last_mut().expect("cgroup")["options"] = json!(["nosuid", "noexec", "nodev"]);
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set] = json!(["CAP_SYS_ADMIN"]);
    }
    fs::copy("/usr/bin/unshare", bundle.rootfs().join("bin/newns")).expect("util-linux");
    for library in libraries("/usr/bin/unshare") {
        let target = bundle.rootfs().join(library.trim_start_matches('/'));
        fs::create_dir_all(target.parent().expect("folder")).expect("folder");
        fs::copy(library, target).expect("library");
    }
    let path = bundle.write();
    let seen = world.podrt(&["run", "-b", &path, &id]).ok();
    assert_eq!(seen, "0::/a\n0::/\n../cgroup/a\n");
    world.assert_clean();
}

/// The shared objects that a program of the host's is loaded with.
fn libraries(program: &str) -> Vec<String> {
    let list = crate::support::run(std::process::Command::new("ldd").arg(program)).ok();
    let words = list.split_ascii_whitespace().filter(|word| word.starts_with('/'));
    words.map(str::to_owned).collect()
}

#[test]
fn an_idmapped_mount_shows_the_hosts_owner_as_the_containers_own() {
    let name = "an_idmapped_mount_shows_the_hosts_owner_as_the_containers_own";
    let world = World::new();
    let kind = crate::support::run(
        std::process::Command::new("stat").args(["-f", "-c", "%T"]).arg(world.path()),
    );
    let kind = kind.ok();
    if !["ext2/ext3", "xfs", "btrfs"].contains(&kind.trim()) {
        return skip(name, &format!("temporary files are on {}", kind.trim()));
    }
    let data = world.path().join("data");
    fs::create_dir(&data).expect("folder");
    fs::write(data.join("old"), "").expect("file");
    let mut bundle = script(&world, "stat -c %u:%g /data/old; touch /data/new");
    let maps = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    let linux = bundle.config["linux"].as_object_mut().expect("linux");
    linux["namespaces"].as_array_mut().expect("list").push(json!({ "type": "user" }));
    linux.insert("uidMappings".to_owned(), maps.clone());
    linux.insert("gidMappings".to_owned(), maps.clone());
    bundle.config["mounts"].as_array_mut().expect("mounts").push(json!({
        "destination": "/data", "type": "bind", "source": data, "options": ["bind", "rw"],
        "uidMappings": maps, "gidMappings": maps,
    }));
    // The root file system itself is not mapped: its folders must be writable
    // for the mapped root, who is nobody on the host.
    for folder in ["", "data", "dev", "proc", "sys"] {
        let path = bundle.rootfs().join(folder);
        fs::create_dir_all(&path).expect("folder");
        std::os::unix::fs::chown(&path, Some(100_000), Some(100_000)).expect("chown");
    }
    let path = bundle.write();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(world.path(), mode).expect("chmod");
    let seen = world.podrt(&["run", "-b", &path, &world.name("c")]).ok();
    assert_eq!(seen, "0:0\n");
    let new = fs::metadata(data.join("new")).expect("made inside");
    assert_eq!((new.uid(), new.gid()), (0, 0), "the container's root owns it on the host");
    world.assert_clean();
}
