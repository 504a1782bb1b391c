//! What a cgroup has used.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::error::Error;
use super::file::{self, keyed};
use super::hierarchy::{Layout, Place};

/// Usage of one cgroup; zero where the machine lacks the controller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    pub cpu: CpuStats,
    pub memory: MemoryStats,
    pub pids: PidsStats,
    /// Page size (`2MB`) → usage.
    pub hugetlb: BTreeMap<String, HugetlbStats>,
    pub blkio: Vec<BlkioStats>,
}

/// Nanoseconds; counts for periods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CpuStats {
    pub usage_ns: u64,
    pub user_ns: u64,
    pub kernel_ns: u64,
    pub per_cpu_ns: Vec<u64>,
    pub periods: u64,
    pub throttled_periods: u64,
    pub throttled_ns: u64,
}

/// Bytes; `None` where there is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryStats {
    pub usage: u64,
    pub peak: u64,
    pub limit: Option<u64>,
    pub failures: u64,
    /// Memory and swap together.
    pub swap_usage: u64,
    pub swap_limit: Option<u64>,
    pub kernel_usage: u64,
    pub cache: u64,
    /// Usage less inactive file pages: what the kubelet calls working set.
    pub working_set: u64,
    /// `memory.stat` as it is.
    pub raw: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PidsStats {
    pub current: u64,
    pub limit: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HugetlbStats {
    pub usage: u64,
    pub peak: u64,
    pub failures: u64,
}

/// One device and operation (`Read`, `Write`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlkioStats {
    pub major: u64,
    pub minor: u64,
    pub operation: String,
    pub bytes: u64,
    pub operations: u64,
}

/// A v1 limit at or above this is none: the most pages that fit an `i64`.
const V1_UNLIMITED: u64 = i64::MAX.unsigned_abs() / 4096 * 4096 / 2;

const NS_PER_US: u64 = 1000;

impl Stats {
    /// Reads what the controllers of this cgroup have.
    pub(super) fn read(here: &Layout) -> Result<Self, Error> {
        Ok(Self {
            cpu: cpu(here)?,
            memory: match here.place("memory") {
                Some(Place::V1(folder)) => memory_v1(folder)?,
                Some(Place::V2(folder)) => memory_v2(folder)?,
                None => MemoryStats::default(),
            },
            pids: match here.place("pids") {
                Some(Place::V1(folder) | Place::V2(folder)) => PidsStats {
                    current: number(&folder.join("pids.current"))?.unwrap_or(0),
                    limit: number(&folder.join("pids.max"))?,
                },
                None => PidsStats::default(),
            },
            hugetlb: match here.place("hugetlb") {
                Some(Place::V1(folder)) => hugetlb(folder, V1_HUGETLB)?,
                Some(Place::V2(folder)) => hugetlb(folder, V2_HUGETLB)?,
                None => BTreeMap::new(),
            },
            blkio: match here.place("blkio") {
                Some(Place::V1(folder)) => blkio_v1(folder)?,
                Some(Place::V2(folder)) => io_v2(folder)?,
                None => Vec::new(),
            },
        })
    }
}

/// `cpu.stat` exists on v2 even without the controller (but then has no
/// throttling); v1 keeps usage and throttling in two controllers.
fn cpu(here: &Layout) -> Result<CpuStats, Error> {
    let mut stats = CpuStats::default();
    if let Some(folder) = here.v1_of("cpuacct") {
        stats.usage_ns = number(&folder.join("cpuacct.usage"))?.unwrap_or(0);
        stats.user_ns = number(&folder.join("cpuacct.usage_user"))?.unwrap_or(0);
        stats.kernel_ns = number(&folder.join("cpuacct.usage_sys"))?.unwrap_or(0);
        let per_cpu = text(&folder.join("cpuacct.usage_percpu"))?;
        stats.per_cpu_ns =
            per_cpu.split_ascii_whitespace().filter_map(|field| field.parse().ok()).collect();
    } else if let Some(folder) = &here.v2 {
        let usage = text(&folder.join("cpu.stat"))?;
        let time = |key| keyed(&usage, key).unwrap_or(0) * NS_PER_US;
        stats.usage_ns = time("usage_usec");
        stats.user_ns = time("user_usec");
        stats.kernel_ns = time("system_usec");
    }
    match here.place("cpu") {
        Some(Place::V1(folder)) => throttling(&mut stats, folder, "throttled_time", 1)?,
        Some(Place::V2(folder)) => throttling(&mut stats, folder, "throttled_usec", NS_PER_US)?,
        None => {}
    }
    Ok(stats)
}

fn throttling(stats: &mut CpuStats, folder: &Path, time: &str, unit_ns: u64) -> Result<(), Error> {
    let text = text(&folder.join("cpu.stat"))?;
    stats.periods = keyed(&text, "nr_periods").unwrap_or(0);
    stats.throttled_periods = keyed(&text, "nr_throttled").unwrap_or(0);
    stats.throttled_ns = keyed(&text, time).unwrap_or(0) * unit_ns;
    Ok(())
}

fn memory_v2(folder: &Path) -> Result<MemoryStats, Error> {
    let raw = table(&folder.join("memory.stat"))?;
    let stat = |key: &str| raw.get(key).copied().unwrap_or(0);
    let usage = number(&folder.join("memory.current"))?.unwrap_or(0);
    let limit = number(&folder.join("memory.max"))?;
    let swap = number(&folder.join("memory.swap.current"))?.unwrap_or(0);
    let swap_limit = number(&folder.join("memory.swap.max"))?;
    Ok(MemoryStats {
        usage,
        peak: number(&folder.join("memory.peak"))?.unwrap_or(0),
        limit,
        failures: keyed(&text(&folder.join("memory.events"))?, "max").unwrap_or(0),
        swap_usage: usage + swap,
        swap_limit: limit.zip(swap_limit).map(|(limit, swap)| limit.saturating_add(swap)),
        kernel_usage: stat("kernel"),
        cache: stat("file"),
        working_set: usage.saturating_sub(stat("inactive_file")),
        raw,
    })
}

fn memory_v1(folder: &Path) -> Result<MemoryStats, Error> {
    let raw = table(&folder.join("memory.stat"))?;
    let stat = |key: &str| raw.get(key).copied().unwrap_or(0);
    let value = |name: &str| number(&folder.join(name));
    let limited = |limit: Option<u64>| limit.filter(|limit| *limit < V1_UNLIMITED);
    let usage = value("memory.usage_in_bytes")?.unwrap_or(0);
    Ok(MemoryStats {
        usage,
        peak: value("memory.max_usage_in_bytes")?.unwrap_or(0),
        limit: limited(value("memory.limit_in_bytes")?),
        failures: value("memory.failcnt")?.unwrap_or(0),
        swap_usage: value("memory.memsw.usage_in_bytes")?.unwrap_or(usage),
        swap_limit: limited(value("memory.memsw.limit_in_bytes")?),
        kernel_usage: value("memory.kmem.usage_in_bytes")?.unwrap_or(0),
        cache: stat("total_cache"),
        working_set: usage.saturating_sub(stat("total_inactive_file")),
        raw,
    })
}

/// File names after `hugetlb.<size>`: usage, peak, failures.
type HugetlbNames = [&'static str; 3];
const V1_HUGETLB: HugetlbNames = [".usage_in_bytes", ".max_usage_in_bytes", ".failcnt"];
const V2_HUGETLB: HugetlbNames = [".current", "", ".events"];

fn hugetlb(
    folder: &Path,
    [usage, peak, failures]: HugetlbNames,
) -> Result<BTreeMap<String, HugetlbStats>, Error> {
    let mut stats = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|e| file::failed("read", folder, "", &e))? {
        let name = entry.map_err(|e| file::failed("read", folder, "", &e))?.file_name();
        let name = name.to_string_lossy();
        let Some(size) = name.strip_prefix("hugetlb.").and_then(|rest| rest.strip_suffix(usage))
        else {
            continue;
        };
        if size.contains('.') {
            continue;
        }
        let path = |part: &str| folder.join(format!("hugetlb.{size}{part}"));
        let failed = text(&path(failures))?;
        let one = HugetlbStats {
            usage: number(&path(usage))?.unwrap_or(0),
            peak: if peak.is_empty() { 0 } else { number(&path(peak))?.unwrap_or(0) },
            failures: failed.trim().parse().ok().or_else(|| keyed(&failed, "max")).unwrap_or(0),
        };
        stats.insert(size.to_owned(), one);
    }
    Ok(stats)
}

fn io_v2(folder: &Path) -> Result<Vec<BlkioStats>, Error> {
    Ok(text(&folder.join("io.stat"))?.lines().flat_map(io_line).collect())
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`
fn io_line(line: &str) -> Vec<BlkioStats> {
    let mut fields = line.split_ascii_whitespace();
    let Some((major, minor)) = fields.next().and_then(device) else { return Vec::new() };
    let values: BTreeMap<&str, u64> = fields
        .filter_map(|field| field.split_once('='))
        .filter_map(|(key, value)| Some((key, value.parse().ok()?)))
        .collect();
    let value = |key| values.get(key).copied().unwrap_or(0);
    [("Read", "rbytes", "rios"), ("Write", "wbytes", "wios"), ("Discard", "dbytes", "dios")]
        .into_iter()
        .map(|(operation, bytes, operations)| BlkioStats {
            major,
            minor,
            operation: operation.to_owned(),
            bytes: value(bytes),
            operations: value(operations),
        })
        .collect()
}

/// Lines `8:0 Read 4096`, bytes in one file and operations in another.
fn blkio_v1(folder: &Path) -> Result<Vec<BlkioStats>, Error> {
    let mut found: BTreeMap<(u64, u64, String), (u64, u64)> = BTreeMap::new();
    let bytes = text(&folder.join("blkio.throttle.io_service_bytes_recursive"))?;
    for (key, value) in bytes.lines().filter_map(blkio_line) {
        found.entry(key).or_default().0 = value;
    }
    let operations = text(&folder.join("blkio.throttle.io_serviced_recursive"))?;
    for (key, value) in operations.lines().filter_map(blkio_line) {
        found.entry(key).or_default().1 = value;
    }
    Ok(found
        .into_iter()
        .map(|((major, minor, operation), (bytes, operations))| BlkioStats {
            major,
            minor,
            operation,
            bytes,
            operations,
        })
        .collect())
}

fn blkio_line(line: &str) -> Option<((u64, u64, String), u64)> {
    let mut fields = line.split_ascii_whitespace();
    let (major, minor) = device(fields.next()?)?;
    let operation = fields.next()?;
    Some(((major, minor, operation.to_owned()), fields.next()?.parse().ok()?))
}

fn device(field: &str) -> Option<(u64, u64)> {
    let (major, minor) = field.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A file's text; empty when the kernel does not have the file.
fn text(path: &Path) -> Result<String, Error> {
    Ok(file::read_if_there(path)?.unwrap_or_default())
}

/// A file with one number; `None` for `max` and for a file that is not there.
fn number(path: &Path) -> Result<Option<u64>, Error> {
    Ok(file::read_if_there(path)?.and_then(|text| text.trim().parse().ok()))
}

fn table(path: &Path) -> Result<BTreeMap<String, u64>, Error> {
    Ok(text(path)?
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(key, value)| Some((key.to_owned(), value.trim().parse().ok()?)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_counted_by_operation() {
        let lines = io_line("8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6");
        let read = BlkioStats {
            major: 8,
            minor: 16,
            operation: "Read".to_owned(),
            bytes: 1,
            operations: 3,
        };
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], read);
        assert_eq!(io_line("nonsense"), []);
        assert_eq!(blkio_line("8:0 Write 7"), Some(((8, 0, "Write".to_owned()), 7)));
        assert_eq!(blkio_line("Total 7"), None);
    }
}
