//! Limits of pods, proven by what they do to the containers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::limits_oci::{BURN, burnt};
use crate::pod_crash::pids_in_cgroup;
use crate::pod_life::shell_pod;
use crate::support::{FIXTURE_IMAGE, World, has_controllers, has_v2_controllers, skip};

fn limited(name: &str, policy: &str, script: &str, limits: &str) -> String {
    shell_pod(name, policy, script) + &format!("      resources: {{ limits: {{ {limits} }} }}\n")
}

fn ended(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]["state"]["terminated"]
}

#[test]
fn one_process_out_of_memory_ends_its_whole_container() {
    let name = "one_process_out_of_memory_ends_its_whole_container";
    if !has_v2_controllers(name, &["memory"]) {
        return;
    }
    let world = World::with_fixture();
    let script = "payload memhog 67108864; echo survived";
    let ran = world.run_pod(&limited("group", "Never", script, "memory: 32Mi"), &[]);
    assert_eq!(ran.code, 137, "{ran:?}");
    assert!(!ran.stdout.contains("survived"), "{ran:?}");
    assert_eq!(ended(&world.pod("group"))["reason"], "OOMKilled");
    world.podrt(&["delete", "pod", "group"]).ok();
    world.assert_clean();
}

#[test]
fn a_container_out_of_memory_is_started_again_and_its_last_state_says_why() {
    let name = "a_container_out_of_memory_is_started_again_and_its_last_state_says_why";
    if !has_controllers(name, &["memory"]) {
        return;
    }
    let world = World::with_fixture();
    let script = "payload fail-until 1 /v/n || payload memhog 67108864";
    let manifest = limited("again", "OnFailure", script, "memory: 32Mi")
        + "      volumeMounts: [ { name: v, mountPath: /v } ]\n  volumes: [ { name: v, emptyDir: {} } ]\n";
    world.run_pod(&manifest, &[]).ok();
    let pod = world.pod("again");
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(status["restartCount"], 1, "{status:#}");
    assert_eq!(status["lastState"]["terminated"]["reason"], "OOMKilled");
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 137);
    assert_eq!(status["state"]["terminated"]["reason"], "Completed");
    world.podrt(&["delete", "pod", "again"]).ok();
    world.assert_clean();
}

#[test]
fn a_pods_memory_limit_is_not_stretched_by_swap() {
    let name = "a_pods_memory_limit_is_not_stretched_by_swap";
    if !has_v2_controllers(name, &["memory"]) {
        return;
    }
    if std::fs::read_to_string("/proc/swaps").expect("swaps").lines().count() < 2 {
        return skip(name, "no swap on this machine");
    }
    let world = World::with_fixture();
    let script = "exec payload memhog 50331648";
    assert_eq!(world.run_pod(&limited("swap", "Never", script, "memory: 32Mi"), &[]).code, 137);
    assert_eq!(ended(&world.pod("swap"))["reason"], "OOMKilled");
    world.podrt(&["delete", "pod", "swap"]).ok();
    world.assert_clean();
}

#[test]
fn files_of_a_memory_volume_count_against_the_containers_limit() {
    let name = "files_of_a_memory_volume_count_against_the_containers_limit";
    if !has_controllers(name, &["memory"]) {
        return;
    }
    let world = World::with_fixture();
    let script = "exec dd if=/dev/zero of=/v/big bs=1M count=64";
    let manifest = limited("shm", "Never", script, "memory: 32Mi")
        + "      volumeMounts: [ { name: v, mountPath: /v } ]\n  volumes: [ { name: v, emptyDir: { medium: Memory, sizeLimit: 128Mi } } ]\n";
    assert_eq!(world.run_pod(&manifest, &[]).code, 137);
    assert_eq!(ended(&world.pod("shm"))["reason"], "OOMKilled");
    world.podrt(&["delete", "pod", "shm"]).ok();
    world.assert_clean();
}

#[test]
fn a_limit_of_200m_gives_a_fifth_of_a_processor() {
    let name = "a_limit_of_200m_gives_a_fifth_of_a_processor";
    if !has_v2_controllers(name, &["cpu"]) {
        return;
    }
    let world = World::with_fixture();
    world.run_pod(&limited("slow", "Never", BURN, "cpu: 200m"), &[]).ok();
    let (share, _) = burnt(&world.podrt(&["logs", "slow"]).ok());
    assert!((0.1..0.35).contains(&share), "{share} of a processor");
    world.podrt(&["delete", "pod", "slow"]).ok();
    world.assert_clean();
}

#[test]
fn a_busy_neighbour_with_more_shares_gets_more_of_the_processor() {
    let name = "a_busy_neighbour_with_more_shares_gets_more_of_the_processor";
    if !has_v2_controllers(name, &["cpu", "cpuset"]) {
        return;
    }
    let world = World::with_fixture();
    let container = |name: &str, cpu: &str| {
        format!(
            "    - {{ name: {name}, image: {FIXTURE_IMAGE}, resources: {{ requests: {{ cpu: {cpu} }} }}, \
             command: [sh, -c, 'touch /v/{name}; while [ ! -e /v/a -o ! -e /v/b -o ! -e /v/c -o ! -e /v/d ]; do :; done; \
             payload cpu-burn 6; grep usage_usec /sys/fs/cgroup/cpu.stat'], \
             volumeMounts: [ {{ name: v, mountPath: /v }} ] }}\n"
        )
    };
    // Four burners, so that two processors do not suffice whatever else they do.
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{ name: share }}\nspec:\n  restartPolicy: Never\n  volumes: [ {{ name: v, emptyDir: {{}} }} ]\n  containers:\n{}{}{}{}",
        container("a", "800m"),
        container("b", "800m"),
        container("c", "100m"),
        container("d", "100m"),
    );
    if std::thread::available_parallelism().is_ok_and(|count| count.get() > 2) {
        return skip(name, "more than two processors");
    }
    world.run_pod(&manifest, &[]).ok();
    let used = |container: &str| -> f64 {
        let log = world.podrt(&["logs", "share", "-c", container]).ok();
        log.trim().rsplit(' ').next().and_then(|n| n.parse().ok()).expect(&log)
    };
    let ratio = (used("a") + used("b")) / (used("c") + used("d"));
    assert!(ratio > 2.0, "8 times the shares, {ratio} times the processor");
    world.podrt(&["delete", "pod", "share"]).ok();
    world.assert_clean();
}

#[test]
fn huge_pages_of_a_pod_are_held_to_its_limit() {
    let name = "huge_pages_of_a_pod_are_held_to_its_limit";
    if !has_v2_controllers(name, &["hugetlb", "memory"]) {
        return;
    }
    let meminfo = std::fs::read_to_string("/proc/meminfo").expect("meminfo");
    let free = meminfo.lines().find_map(|line| line.strip_prefix("HugePages_Free:"));
    if free.is_none_or(|free| free.trim().parse::<u32>().is_ok_and(|free| free < 4)) {
        return skip(name, "fewer than 4 free huge pages");
    }
    let world = World::with_fixture();
    let script = "payload hugepages 2097152; payload hugepages 8388608 || echo refused";
    let limits = "memory: 32Mi, cpu: 500m, hugepages-2Mi: 4Mi";
    world.run_pod(&limited("huge", "Never", script, limits), &[]).ok();
    let log = world.podrt(&["logs", "huge"]).ok();
    assert!(log.starts_with("touched 2097152\n") && log.contains("refused"), "{log}");
    assert!(!log.contains("touched 8388608"), "{log}");
    world.podrt(&["delete", "pod", "huge"]).ok();
    world.assert_clean();
}

/// A file of a cgroup, without its line's end.
fn value(folder: &Path, name: &str) -> String {
    let text = fs::read_to_string(folder.join(name));
    text.unwrap_or_else(|e| panic!("{}: {name}: {e}", folder.display())).trim().to_owned()
}

/// The cgroups of a pod and of its container `c`, by where that says it is.
fn cgroups(world: &World, pod: &str, container: &str) -> [PathBuf; 2] {
    let uid = world.pod(pod)["metadata"]["uid"].as_str().expect("uid").to_owned();
    let inside = pids_in_cgroup(&format!("{uid}.{container}."));
    let pid = inside.first().expect("a process");
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("cgroup");
    let path = text.trim().strip_prefix("0::/").expect("version 2");
    let own = Path::new("/sys/fs/cgroup").join(path);
    [own.parent().expect("the pod's").to_owned(), own]
}

/// Two containers with these resources; empty text for none.
fn pod_with(name: &str, resources: [&str; 2]) -> String {
    let [a, b] = resources.map(|text| format!("resources: {{ {text} }}"));
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{ name: {name} }}\nspec:\n  \
         terminationGracePeriodSeconds: 1\n  containers:\n    \
         - {{ name: a, image: {FIXTURE_IMAGE}, command: [sleep, '1000'], {a} }}\n    \
         - {{ name: b, image: {FIXTURE_IMAGE}, command: [sleep, '1000'], {b} }}\n"
    )
}

#[test]
fn requests_and_limits_become_the_values_that_a_kubelet_and_its_runtime_set() {
    let name = "requests_and_limits_become_the_values_that_a_kubelet_and_its_runtime_set";
    if !has_v2_controllers(name, &["cpu", "memory"]) {
        return;
    }
    let world = World::with_fixture();
    // For each pod: its level, then weight, cpu.max and memory.max of the pod
    // and of its containers.
    let half = "limits: { cpu: 500m, memory: 64Mi }";
    let table = [
        (
            "guaranteed",
            [half, half],
            "podrt",
            ["39", "100000 100000", "134217728"],
            [["59", "50000 100000", "67108864"], ["59", "50000 100000", "67108864"]],
        ),
        (
            "burstable",
            ["requests: { cpu: 500m, memory: 64Mi }, limits: { cpu: 1, memory: 128Mi }", half],
            "burstable",
            ["39", "150000 100000", "201326592"],
            [["59", "100000 100000", "134217728"], ["59", "50000 100000", "67108864"]],
        ),
        (
            "partly",
            ["requests: { cpu: 100m }, limits: { cpu: 1500m }", "requests: { cpu: 10m }"],
            "burstable",
            ["5", "max 100000", "max"],
            [["17", "150000 100000", "max"], ["4", "max 100000", "max"]],
        ),
        (
            "least",
            ["limits: { cpu: 1m, memory: 32Mi }", "limits: { cpu: 1, memory: 32Mi }"],
            "podrt",
            ["40", "100100 100000", "67108864"],
            [["1", "1000 100000", "33554432"], ["100", "100000 100000", "33554432"]],
        ),
        (
            "besteffort",
            ["", ""],
            "besteffort",
            ["1", "max 100000", "max"],
            [["1", "max 100000", "max"], ["1", "max 100000", "max"]],
        ),
    ];
    let names = ["cpu.weight", "cpu.max", "memory.max"];
    for (name, resources, level, of_pod, of_containers) in table {
        world.run_pod(&pod_with(name, resources), &["-d", "--network=none"]).ok();
        for (container, wanted) in ["a", "b"].into_iter().zip(of_containers) {
            let [pod, own] = cgroups(&world, name, container);
            let level_of_pod = pod.parent().and_then(Path::file_name).expect("a level");
            assert_eq!(level_of_pod, level, "{name}");
            assert_eq!(names.map(|file| value(&pod, file)), of_pod, "{name}");
            assert_eq!(names.map(|file| value(&own, file)), wanted, "{name}: {container}");
            assert_eq!(value(&own, "memory.oom.group"), "1");
            if own.join("memory.swap.max").exists() {
                assert_eq!(value(&own, "memory.swap.max"), "0");
            }
        }
        let uid = world.pod(name)["metadata"]["uid"].as_str().expect("uid").to_owned();
        let [pod, _] = cgroups(&world, name, "a");
        let entries = fs::read_dir(&pod).expect("the pod's").flatten();
        let pause = entries.map(|entry| entry.path()).find(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.strip_prefix(&uid).is_some_and(|rest| rest.matches('.').count() == 1)
        });
        assert_eq!(value(&pause.expect("the sandbox's"), "cpu.weight"), "1");
    }
    assert_eq!(value(Path::new("/sys/fs/cgroup/podrt/besteffort"), "cpu.weight"), "1");
    let burstable = Path::new("/sys/fs/cgroup/podrt/burstable");
    wait_for_sum(burstable, "cpu.weight");
    world.podrt(&["delete", "pod", "partly", "--now"]).ok();
    wait_for_sum(burstable, "cpu.weight");
    world.podrt(&["delete", "pods", "--all", "--now"]).ok();
    world.assert_clean();
}

/// Other tests' pods come and go there too.
fn wait_for_sum(level: &Path, file: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let pods = fs::read_dir(level).expect("pods").flatten().map(|entry| entry.path());
        let weight =
            |pod: PathBuf| fs::read_to_string(pod.join(file)).ok()?.trim().parse::<u64>().ok();
        let sum: u64 = pods.filter_map(weight).sum();
        if value(level, file) == sum.to_string() {
            return;
        }
        assert!(Instant::now() < deadline, "{sum} is not {}", value(level, file));
        std::thread::sleep(Duration::from_millis(50));
    }
}
