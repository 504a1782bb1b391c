//! Which CPUs and memory nodes a cgroup has.

use std::path::Path;

use super::error::Error;
use super::file;
use super::hierarchy::{Layout, Place};

/// The cpuset controller's view of one cgroup; the switches are v1's, and zero
/// elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpusetStats {
    pub cpus: Vec<u16>,
    pub mems: Vec<u16>,
    pub cpu_exclusive: u64,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

impl CpusetStats {
    pub(super) fn read(here: &Layout) -> Result<Self, Error> {
        match here.place("cpuset") {
            None => Ok(Self::default()),
            Some(Place::V1(folder)) => v1(folder),
            Some(Place::V2(folder)) => Ok(Self {
                cpus: list(folder, "cpuset.cpus.effective")?,
                mems: list(folder, "cpuset.mems.effective")?,
                ..Self::default()
            }),
        }
    }
}

fn v1(folder: &Path) -> Result<CpusetStats, Error> {
    let text = |name: &str| file::read_if_there(&folder.join(format!("cpuset.{name}")));
    let number = |name: &str| -> Result<u64, Error> {
        Ok(text(name)?.and_then(|text| text.trim().parse().ok()).unwrap_or(0))
    };
    let level = text("sched_relax_domain_level")?;
    Ok(CpusetStats {
        cpus: list(folder, "cpuset.cpus")?,
        mems: list(folder, "cpuset.mems")?,
        cpu_exclusive: number("cpu_exclusive")?,
        mem_hardwall: number("mem_hardwall")?,
        mem_exclusive: number("mem_exclusive")?,
        memory_migrate: number("memory_migrate")?,
        memory_spread_page: number("memory_spread_page")?,
        memory_spread_slab: number("memory_spread_slab")?,
        memory_pressure: number("memory_pressure")?,
        sched_load_balance: number("sched_load_balance")?,
        sched_relax_domain_level: level.and_then(|text| text.trim().parse().ok()).unwrap_or(0),
    })
}

fn list(folder: &Path, name: &str) -> Result<Vec<u16>, Error> {
    let text = file::read_if_there(&folder.join(name))?.unwrap_or_default();
    Ok(numbers(text.trim()))
}

/// `0-2,5`, as the kernel writes it.
fn numbers(text: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel_become_numbers() {
        assert_eq!(numbers("0-2,5"), [0, 1, 2, 5]);
        assert!(numbers("").is_empty());
    }
}
