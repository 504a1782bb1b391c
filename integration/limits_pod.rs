//! Limits of pods, proven by what they do to the containers.

use serde_json::Value;

use crate::limits_oci::{BURN, burnt};
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
