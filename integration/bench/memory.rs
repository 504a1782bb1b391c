//! The memory of what podrt keeps alive for a pod: PSS of keeper, shim and
//! pause, of a lone pod and of each of thirty, and what podman keeps alive.

use std::fs;
use std::path::Path;

use super::Place;
use super::podman::Podman;
use super::pods::{Podrt, manifest};
use super::timing::{is_installed, time};

/// PSS in KiB by program, and the shims' private dirty pages.
#[derive(Debug, Default)]
struct Usage {
    keeper: u64,
    shim: u64,
    pause: u64,
    shim_private_dirty: u64,
}

pub fn measure(place: &Place) {
    let podrt = Podrt::new(place, "memory");
    println!("### memory of keeper, shim and pause, KiB of PSS per pod\n");
    println!("| pods | keeper | shim | pause | sum | shim's Private_Dirty |");
    println!("|---|---|---|---|---|---|");
    let mut up = 0;
    for count in [1, 30] {
        while up < count {
            let name = format!("mem{up}");
            let file = manifest(place.work.path(), &name, 1);
            time(podrt.command(&["run", "-d", "--network=none"]).arg(file));
            up += 1;
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
        let usage = usage(&podrt.root());
        let each = |sum: u64| sum / count;
        println!(
            "| {count} | {} | {} | {} | {} | {} |",
            each(usage.keeper),
            each(usage.shim),
            each(usage.pause),
            each(usage.keeper + usage.shim + usage.pause),
            each(usage.shim_private_dirty)
        );
    }
    time(&mut podrt.command(&["delete", "pods", "--all"]));
    match is_installed("podman").then(|| podman_kib(place)) {
        Some(sum) => println!("| 1 of podman (conmon, catatonit) | | | | {sum} | |"),
        None => println!("| 1 of podman | | | | not measured: not installed | |"),
    }
    println!("| 1 of containerd | | | | not measured: needs a CRI client | |\n");
}

/// One process: its id, its parent's, and its name, arguments and environment.
type Process = (String, String, String);

fn all_processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let numbers = entries
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()));
    numbers
        .map(|entry| {
            let read = |file: &str| {
                String::from_utf8_lossy(&fs::read(entry.path().join(file)).unwrap_or_default())
                    .into_owned()
            };
            let stat = read("stat");
            let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
            (
                entry.file_name().to_string_lossy().into_owned(),
                parent.unwrap_or_default().to_owned(),
                format!("{} {} {}", read("comm").trim(), read("cmdline"), read("environ")),
            )
        })
        .collect()
}

/// What a process of podrt's is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Keeper,
    Shim,
    Pause,
}

/// The processes of the pods below `root`: a shim names its pod's folder in its
/// arguments, a keeper is its parent and a pause its child.
fn roles(root: &Path) -> Vec<(String, Role)> {
    let root = root.to_string_lossy().into_owned();
    let processes = all_processes();
    let is_shim = |text: &str| text.starts_with("podrt-shim") && text.contains(&root);
    let shims: Vec<&Process> = processes.iter().filter(|(_, _, text)| is_shim(text)).collect();
    let role = |(pid, parent, text): &Process| match () {
        () if is_shim(text) => Some(Role::Shim),
        () if shims.iter().any(|(_, keeper, _)| keeper == pid) => Some(Role::Keeper),
        () if text.contains("pause") && shims.iter().any(|(shim, ..)| shim == parent) => {
            Some(Role::Pause)
        }
        () => None,
    };
    processes.iter().filter_map(|process| Some((process.0.clone(), role(process)?))).collect()
}

/// The ids of all keepers, shims and pauses of the pods below `root`.
pub fn ours(root: &Path) -> Vec<String> {
    roles(root).into_iter().map(|(pid, _)| pid).collect()
}

/// Sums over the pods below `root`.
fn usage(root: &Path) -> Usage {
    let mut usage = Usage::default();
    for (pid, role) in roles(root) {
        match role {
            Role::Keeper => usage.keeper += kib(&pid, "Pss:"),
            Role::Pause => usage.pause += kib(&pid, "Pss:"),
            Role::Shim => {
                usage.shim += kib(&pid, "Pss:");
                usage.shim_private_dirty += kib(&pid, "Private_Dirty:");
            }
        }
    }
    usage
}

fn kib(pid: &str, field: &str) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
}

/// What podman keeps alive for one pod of one container, in KiB of PSS: the
/// monitors of its two containers and the process that holds its namespaces.
fn podman_kib(place: &Place) -> u64 {
    let podman = Podman::new(place, "memory-podman");
    let file = manifest(place.work.path(), "mem-podman", 1);
    time(podman.command(&["kube", "play", "--network", "none"]).arg(file));
    std::thread::sleep(std::time::Duration::from_millis(500));
    let folder = podman.folder().to_string_lossy().into_owned();
    let processes = all_processes();
    let monitors: Vec<&Process> = processes
        .iter()
        .filter(|(_, _, text)| text.starts_with("conmon") && text.contains(&folder))
        .collect();
    let is_infra = |(_, parent, text): &&Process| {
        text.starts_with("catatonit") && monitors.iter().any(|(monitor, ..)| monitor == parent)
    };
    let infra = processes.iter().filter(is_infra);
    let sum = monitors.iter().copied().chain(infra).map(|(pid, ..)| kib(pid, "Pss:")).sum();
    time(&mut podman.command(&["pod", "rm", "-f", "-t", "10", "mem-podman"]));
    sum
}
