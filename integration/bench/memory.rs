//! The memory of what podrt keeps alive for a pod: PSS of keeper, shim and
//! pause, of a lone pod and of each of thirty.

use std::fs;
use std::path::Path;

use super::Place;
use super::pods::{Podrt, manifest};
use super::timing::time;

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
    println!();
    time(&mut podrt.command(&["delete", "pods", "--all"]));
}

/// Sums over the pods below `root`: a keeper or shim names its pod's folder in
/// its arguments or environment, a pause is its child.
fn usage(root: &Path) -> Usage {
    let mut usage = Usage::default();
    let root = root.to_string_lossy().into_owned();
    let processes: Vec<(String, String, String)> = fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
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
        .collect();
    let shims: Vec<&String> = processes
        .iter()
        .filter(|(_, _, text)| text.starts_with("podrt-shim") && text.contains(&root))
        .map(|(pid, ..)| pid)
        .collect();
    for (pid, parent, text) in &processes {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let kib = |field: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(field));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        if shims.contains(&pid) {
            usage.shim += kib("Pss:");
            usage.shim_private_dirty += kib("Private_Dirty:");
        } else if processes.iter().any(|(shim, keeper, _)| shims.contains(&shim) && keeper == pid) {
            usage.keeper += kib("Pss:");
        } else if shims.contains(&parent) && text.contains("pause") {
            usage.pause += kib("Pss:");
        }
    }
    usage
}
