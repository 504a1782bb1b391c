//! Bounds of the release executables: size, relocated data, time from start to
//! exit, an idle shim's own memory, and that they hold no fault points.
//!
//! `make sizes` runs these; a debug build says nothing about them. Each bound
//! is what was reached and a little more, so that growth is seen; where the aim
//! is lower it is printed beside.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::pod_life::shell_pod;
use crate::support::{World, podrt_path, run};

/// Fails when a figure is beyond its bound; prints it, and the aim it missed.
#[track_caller]
fn hold(what: &str, measured: f64, bound: f64, aim: f64) {
    let missed = if measured > aim { format!(", aim {aim}") } else { String::new() };
    println!("{what}: {measured:.2}, bound {bound}{missed}");
    assert!(measured <= bound, "{what}: {measured} is more than {bound}");
}

fn executables() -> [PathBuf; 3] {
    ["podrt", "podrt-shim", "podrt-net"].map(|name| podrt_path().with_file_name(name))
}

fn name(path: &std::path::Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

#[test]
#[ignore = "of release executables: `make sizes`"]
fn the_executables_are_small() {
    let bounds =
        [(9_800_000.0, 9_800_000.0), (4_300_000.0, 1_000_000.0), (1_800_000.0, 1_800_000.0)];
    for (path, (bound, aim)) in executables().iter().zip(bounds) {
        let size = fs::metadata(path).expect("make build").len();
        hold(&format!("bytes of {}", name(path)), size as f64, bound, aim);
    }
}

/// Of a static executable without relocations the kernel maps one copy for all
/// its processes; what stands in `.data.rel.ro` would be each one's own.
#[test]
#[ignore = "of release executables: `make sizes`"]
fn the_executables_have_next_to_nothing_to_relocate() {
    for path in executables() {
        let sections = run(Command::new("readelf").arg("-SW").arg(&path)).ok();
        let size = section_size(&sections, ".data.rel.ro").expect("a section .data.rel.ro");
        hold(&format!("bytes of {}'s .data.rel.ro", name(&path)), size as f64, 1024.0, 1024.0);
        assert_eq!(section_size(&sections, ".interp"), None, "{path:?} is linked statically");
        if cfg!(target_env = "musl") {
            let relocations = run(Command::new("readelf").arg("-rW").arg(&path)).ok();
            assert!(relocations.contains("There are no relocations in this file"), "{relocations}");
        }
    }
}

/// Of `readelf -SW`: `[ 3] .text PROGBITS 0000000000401040 001040 6b3d63 …`.
fn section_size(sections: &str, name: &str) -> Option<u64> {
    let line = sections.lines().find_map(|line| line.split_once(&format!("] {name} ")))?.1;
    u64::from_str_radix(line.split_whitespace().nth(3)?, 16).ok()
}

#[test]
#[ignore = "of release executables: `make sizes`"]
fn the_executables_hold_no_fault_points() {
    let variable = podrt::sys::fault::VARIABLE.as_bytes();
    for path in executables() {
        let bytes = fs::read(&path).expect("make build");
        let found = bytes.windows(variable.len()).any(|window| window == variable);
        assert!(!found, "{path:?} was built with debug assertions");
    }
}

/// The shortest of many: what other work on the machine adds is left out.
fn shortest(commands: &mut [Command], rounds: usize) -> Vec<Duration> {
    let mut shortest = vec![Duration::MAX; commands.len()];
    for _ in 0..rounds {
        for (command, shortest) in commands.iter_mut().zip(&mut shortest) {
            let begin = Instant::now();
            let status = command.status().expect("start");
            *shortest = begin.elapsed().min(*shortest);
            assert!(status.success(), "{command:?}: {status}");
        }
    }
    shortest
}

#[test]
#[ignore = "of release executables: `make sizes`"]
fn a_command_takes_no_longer_than_a_static_true() {
    let world = World::new();
    let mut commands = vec![Command::new("/bin/busybox")];
    commands[0].arg("true");
    let verbs: [&[&str]; 2] = [&["--version"], &["list"]];
    commands.extend(verbs.iter().map(|words| world.command(words)));
    for command in &mut commands {
        command.stdin(Stdio::null()).stdout(Stdio::null());
    }
    let times = shortest(&mut commands, 400);
    for (words, time) in verbs.iter().zip(&times[1..]) {
        let ratio = time.as_secs_f64() / times[0].as_secs_f64();
        println!("busybox true: {:?}, podrt {}: {time:?}", times[0], words.join(" "));
        hold(&format!("podrt {} to true", words.join(" ")), ratio, 0.9, 0.9);
    }
}

#[test]
#[ignore = "of release executables: `make sizes`"]
fn an_idle_shim_has_little_memory_of_its_own() {
    let world = World::with_fixture();
    let file = world.file("pod.yaml", &shell_pod("idle", "Always", "exec sleep 100000"));
    world.podrt(&["run", "-d", "--network=none", &file.to_string_lossy()]).ok();
    let kib = private_dirty_kib(shim_of(&world));
    hold("KiB of Private_Dirty of an idle shim", kib as f64, 176.0, 128.0);
    world.podrt(&["delete", "pod", "idle", "--force"]).ok();
    world.assert_clean();
}

/// The process whose command line is `podrt-shim ROOT UID`.
fn shim_of(world: &World) -> u32 {
    let root = world.root().to_string_lossy().into_owned();
    let numbers = fs::read_dir("/proc").expect("/proc").flatten();
    let mut pids = numbers.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
    let is_shim = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.starts_with("podrt-shim ") && line.contains(&root)
    };
    pids.find(is_shim).expect("a shim of this world")
}

fn private_dirty_kib(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("smaps");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).expect("a figure")
}
