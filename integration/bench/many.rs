//! Many pods on one machine: whether each costs as much to start as the first,
//! and what all of podrt's processes do while nothing happens.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::Place;
use super::pods::{Podrt, manifest};
use super::timing::{Series, time};

const PODS: usize = 200;
const IDLE: Duration = Duration::from_secs(20);

pub fn measure(place: &Place) {
    let podrt = Podrt::new(place, "many");
    let start = |number: usize, probed: bool| {
        let name = format!("many{number}");
        let file = manifest(place.work.path(), &name, 1);
        if probed {
            let text = fs::read_to_string(&file).expect("manifest");
            let probe =
                "livenessProbe: { exec: { command: [/bin/true] }, periodSeconds: 10 }, command";
            fs::write(&file, text.replace("command", probe)).expect("manifest");
        }
        time(podrt.command(&["run", "-d", "--network=none"]).arg(file))
    };
    let times: Vec<Duration> = (0..PODS).map(|number| start(number, false)).collect();
    println!("### {PODS} pods on one machine\n");
    println!("| | |\n|---|---|");
    for (name, part) in [("first 20", &times[..20]), ("last 20", &times[PODS - 20..])] {
        let mut series = Series::default();
        part.iter().for_each(|time| series.push(*time));
        println!(
            "| up, {name}, min / median ms | {:.2} / {:.2} |",
            series.min_ms(),
            series.median_ms()
        );
    }
    std::thread::sleep(Duration::from_secs(2));
    let (switches, _) = spent(&podrt.root());
    println!("| context switches in {IDLE:?}, all idle | {switches} |");
    for number in (0..PODS).step_by(10) {
        time(&mut podrt.command(&["delete", "pod", &format!("many{number}")]));
        start(number, true);
    }
    std::thread::sleep(Duration::from_secs(2));
    let (_, share) = spent(&podrt.root());
    println!(
        "| of one core, with an exec probe each 10 s in every tenth pod | {:.2} % |\n",
        share * 100.0
    );
    time(&mut podrt.command(&["delete", "pods", "--all"]));
}

/// Over [`IDLE`]: voluntary context switches of keepers, shims and pauses, and
/// what their cgroup took of one core, short-lived children included.
fn spent(root: &Path) -> (u64, f64) {
    let pids = super::memory::ours(root);
    assert!(pids.len() >= 3 * PODS, "only {} processes for {PODS} pods", pids.len());
    let before = (switches(&pids), usage_us(&pids));
    std::thread::sleep(IDLE);
    let after = (switches(&pids), usage_us(&pids));
    (after.0 - before.0, (after.1 - before.1) as f64 / 1e6 / IDLE.as_secs_f64())
}

fn switches(pids: &[String]) -> u64 {
    let of = |pid: &String| -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse().ok()
    };
    pids.iter().map(|pid| of(pid).expect("a process that stays")).sum()
}

/// The processor time of all their cgroups in the one hierarchy, in
/// microseconds: cgroup v2 counts it whether it has the cpu controller or not.
fn usage_us(pids: &[String]) -> u64 {
    let cgroups: BTreeSet<String> = pids
        .iter()
        .filter_map(|pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
            text.lines().find_map(|line| line.strip_prefix("0::").map(str::to_owned))
        })
        .collect();
    let of = |cgroup: &String| -> u64 {
        let text =
            fs::read_to_string(format!("/sys/fs/cgroup{cgroup}/cpu.stat")).expect("cpu.stat");
        let line = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
        line.and_then(|number| number.parse().ok()).expect("usage_usec")
    };
    cgroups.iter().map(of).sum()
}
