//! Pods on machines that lack something, and commands that give up waiting.

use std::process::Command;

use crate::pod_life::shell_pod;
use crate::support::{Ran, World, run, skip};

/// Runs `podrt ARGS` where cgroup v2 is alone and has only the controllers
/// that no v1 hierarchy of this machine took.
fn on_pure_v2(world: &World, args: &[&str]) -> Ran {
    let podrt = world.command(args);
    let view = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", view, "sh"]).arg(podrt.get_program()).args(args);
    let given = podrt.get_envs().filter_map(|(name, value)| Some((name, value?)));
    run(command.envs(given))
}

/// The controllers that a pure v2 view of this machine has.
fn v2_controllers() -> String {
    let view = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && \
                cat /sys/fs/cgroup/cgroup.controllers";
    run(Command::new("unshare").args(["-m", "sh", "-c", view])).ok()
}

#[test]
fn a_pod_without_limits_needs_no_controller() {
    let world = World::with_fixture();
    let path = world.file("pod.yaml", &shell_pod("bare", "Never", "sleep 1000"));
    on_pure_v2(&world, &["run", "-d", &path.to_string_lossy()]).ok();
    assert_eq!(world.pod("bare")["status"]["phase"], "Running");
    on_pure_v2(&world, &["delete", "pod", "bare", "--force"]).ok();
    world.assert_clean();
}

#[test]
fn a_limit_without_its_controller_ends_the_wait_and_is_named() {
    if v2_controllers().contains("memory") {
        return skip("pod_machine::a_limit", "this machine's cgroup v2 has a memory controller");
    }
    let world = World::with_fixture();
    let limit = "      resources: {limits: {memory: 64Mi}}\n";
    let manifest = shell_pod("big", "Never", "sleep 1000") + limit;
    let path = world.file("pod.yaml", &manifest);
    let ran = on_pure_v2(&world, &["run", "-d", &path.to_string_lossy()]);
    let error = ran.error(1);
    assert!(error.contains("run pod \"big\": FailedCreatePodSandBox: "), "{error}");
    assert!(error.contains("controller \"memory\" is not available"), "{error}");
    world.assert_clean();
    world.podrt(&["get", "pod", "big"]).error(1);
}

#[test]
fn an_interrupted_wait_leaves_no_pod() {
    let world = World::with_fixture();
    let probe = "      readinessProbe: {exec: {command: [\"false\"]}}\n";
    let manifest = shell_pod("slow", "Never", "sleep 1000") + probe;
    let path = world.file("pod.yaml", &manifest);
    let mut child = world
        .command(&["run", "-d", "--wait", "ready", &path.to_string_lossy()])
        .spawn()
        .expect("spawn");
    world.wait_pod_if_any("slow", 10, |pod| pod["status"]["phase"] == "Running");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("kill");
    assert_eq!(child.wait().expect("wait").code(), Some(143));
    world.podrt(&["get", "pod", "slow"]).error(1);
    world.assert_clean();
}
