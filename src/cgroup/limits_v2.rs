//! Limits in the words of cgroup v2 (the kernel's `cgroup-v2` document).

use std::path::Path;

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

use super::error::Error;
use super::file;
use super::limits::{Group, MIN_SHARES, Write, weight_of_shares};

/// Every controller a limit can need, by its v1 name, in the order of writing.
pub(super) const CONTROLLERS: [&str; 7] =
    ["cpuset", "cpu", "memory", "pids", "blkio", "hugetlb", "rdma"];

/// What `resources` asks of one controller.
pub(super) fn groups(controller: &str, resources: &LinuxResources) -> Result<Vec<Group>, Error> {
    let (name, groups) = match controller {
        "cpuset" => ("cpuset", resources.cpu().as_ref().map(cpuset).unwrap_or_default()),
        "cpu" => ("cpu", resources.cpu().as_ref().map(cpu).transpose()?.unwrap_or_default()),
        "memory" => {
            ("memory", resources.memory().as_ref().map(memory).transpose()?.unwrap_or_default())
        }
        "pids" => ("pids", vec![pids(resources)]),
        "blkio" => {
            ("io", vec![resources.block_io().as_ref().map(io).transpose()?.unwrap_or_default()])
        }
        "hugetlb" => ("hugetlb", vec![hugetlb(resources)]),
        _ => ("rdma", vec![rdma(resources)]),
    };
    Ok(groups
        .into_iter()
        .filter(|writes| !writes.is_empty())
        .map(|writes| Group { controller: name, writes })
        .collect())
}

type Writes = Vec<Write>;

fn cpuset(cpu: &LinuxCpu) -> Vec<Writes> {
    let given = |value: &Option<String>| value.clone().filter(|list| !list.is_empty());
    vec![
        given(cpu.cpus())
            .map(|list| Write::new("cpuset.cpus", list, "cpu.cpus"))
            .into_iter()
            .chain(given(cpu.mems()).map(|list| Write::new("cpuset.mems", list, "cpu.mems")))
            .collect(),
    ]
}

fn cpu(cpu: &LinuxCpu) -> Result<Vec<Writes>, Error> {
    let realtime = [
        ("cpu.realtimeRuntime", cpu.realtime_runtime().unwrap_or(0) != 0),
        ("cpu.realtimePeriod", cpu.realtime_period().unwrap_or(0) != 0),
    ];
    only_on_v1("cpu", &realtime)?;
    let mut writes = Writes::new();
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        let write = Write::new("cpu.weight", weight_of_shares(shares), "cpu.shares");
        // The least there is asks for nothing: every container of a pod without
        // CPU requests has it, also where no controller shares the CPU out.
        writes.push(if shares <= MIN_SHARES { write.or_skip() } else { write });
    }
    if let Some(idle) = cpu.idle() {
        writes.push(Write::new("cpu.idle", idle, "cpu.idle"));
    }
    let mut bandwidth = Writes::new();
    if let Some(burst) = cpu.burst() {
        bandwidth.push(Write::new("cpu.max.burst", burst, "cpu.burst"));
    }
    bandwidth.extend(cpu_max(cpu));
    Ok(vec![writes, bandwidth])
}

/// Refuses the first setting that is given: v2 has no word for it.
fn only_on_v1(controller: &str, settings: &[(&str, bool)]) -> Result<(), Error> {
    match settings.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((setting, _)) => Err(Error::MissingController {
            controller: format!("{controller} (cgroup v1 only)"),
            setting: (*setting).to_owned(),
        }),
    }
}

/// `cpu.max` is `quota period`; a quota alone keeps the period. A period alone
/// goes with the quota that was there, see [`complete`].
fn cpu_max(cpu: &LinuxCpu) -> Option<Write> {
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    let quota = quota.map(|quota| if quota > 0 { quota.to_string() } else { "max".to_owned() });
    let (value, setting) = match (quota, period) {
        (None, None) => return None,
        (Some(quota), None) => (quota, "cpu.quota"),
        (Some(quota), Some(period)) => (format!("{quota} {period}"), "cpu.quota"),
        (None, Some(period)) => (format!("{KEEP} {period}"), "cpu.period"),
    };
    Some(Write::new("cpu.max", value, setting))
}

/// Stands for the quota that is set already.
const KEEP: &str = "(keep)";

/// Puts the cgroup's own quota where only a period was given.
pub(super) fn complete(folder: &Path, write: &Write) -> Result<String, Error> {
    let Some(period) = write.value.strip_prefix(KEEP) else { return Ok(write.value.clone()) };
    let now = file::read(&folder.join(&write.file))?;
    let quota = now.split_ascii_whitespace().next().unwrap_or("max");
    Ok(format!("{quota}{period}"))
}

fn memory(memory: &LinuxMemory) -> Result<Vec<Writes>, Error> {
    refuse_kernel_memory(memory)?;
    only_on_v1(
        "memory",
        &[
            ("memory.kernelTCP", memory.kernel_tcp().is_some_and(|bytes| bytes > 0)),
            ("memory.swappiness", memory.swappiness().is_some()),
            ("memory.disableOOMKiller", memory.disable_oom_killer() == Some(true)),
            // v2 always counts a parent for its children.
            ("memory.useHierarchy", memory.use_hierarchy() == Some(false)),
        ],
    )?;
    let mut writes = Writes::new();
    let limit = memory.limit().filter(|limit| *limit != 0);
    if let Some(limit) = limit {
        writes.push(Write::new("memory.max", bytes(limit), "memory.limit"));
    }
    if let Some(swap) = swap_only(limit, memory.swap())? {
        // Without swap accounting nothing swaps on this cgroup's behalf.
        let write = Write::new("memory.swap.max", bytes(swap), "memory.swap");
        writes.push(if swap <= 0 { write.or_skip() } else { write });
    }
    if let Some(reservation) = memory.reservation().filter(|bytes| *bytes != 0) {
        writes.push(Write::new("memory.low", bytes(reservation), "memory.reservation"));
    }
    Ok(vec![writes])
}

/// No kernel keeps a limit on its own memory any more (5.16).
pub(super) fn refuse_kernel_memory(memory: &LinuxMemory) -> Result<(), Error> {
    match memory.kernel().filter(|bytes| *bytes > 0) {
        None => Ok(()),
        Some(bytes) => Err(Error::Value { setting: "memory.kernel", value: bytes.to_string() }),
    }
}

/// The specification limits memory and swap together, v2 swap alone.
fn swap_only(limit: Option<i64>, both: Option<i64>) -> Result<Option<i64>, Error> {
    let Some(both) = both.filter(|both| *both != 0) else {
        // Memory without a limit makes one on swap pointless.
        return Ok(limit.filter(|limit| *limit < 0));
    };
    match limit.filter(|limit| *limit > 0) {
        _ if both < 0 => Ok(Some(-1)),
        Some(limit) if both >= limit => Ok(Some(both - limit)),
        _ => Err(Error::Value { setting: "memory.swap", value: both.to_string() }),
    }
}

fn bytes(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

fn pids(resources: &LinuxResources) -> Writes {
    let limit = resources.pids().as_ref().map(oci_spec::runtime::LinuxPids::limit);
    limit
        .filter(|limit| *limit != 0)
        .map(|limit| Write::new("pids.max", bytes(limit), "pids.limit"))
        .into_iter()
        .collect()
}

fn io(io: &LinuxBlockIo) -> Result<Writes, Error> {
    let mut devices = io.weight_device().iter().flatten();
    let leaf = devices.any(|device| device.leaf_weight().is_some_and(|weight| weight != 0));
    only_on_v1(
        "io",
        &[
            ("blockIO.leafWeight", io.leaf_weight().is_some_and(|weight| weight != 0)),
            ("blockIO.weightDevice.leafWeight", leaf),
        ],
    )?;
    let mut writes = Writes::new();
    if let Some(weight) = io.weight().filter(|weight| *weight != 0) {
        let value = format!("default {}", io_weight(weight));
        writes.push(Write::new("io.weight", value, "blockIO.weight"));
    }
    for device in io.weight_device().iter().flatten() {
        if let Some(weight) = device.weight().filter(|weight| *weight != 0) {
            let value = format!("{}:{} {}", device.major(), device.minor(), io_weight(weight));
            writes.push(Write::new("io.weight", value, "blockIO.weightDevice"));
        }
    }
    for (list, key, setting) in throttles(io) {
        for device in list.iter().flatten() {
            let rate =
                if device.rate() == 0 { "max".to_owned() } else { device.rate().to_string() };
            let value = format!("{}:{} {key}={rate}", device.major(), device.minor());
            writes.push(Write::new("io.max", value, setting));
        }
    }
    Ok(writes)
}

type Throttle<'a> = (&'a Option<Vec<LinuxThrottleDevice>>, &'static str, &'static str);

fn throttles(io: &LinuxBlockIo) -> [Throttle<'_>; 4] {
    [
        (io.throttle_read_bps_device(), "rbps", "blockIO.throttleReadBpsDevice"),
        (io.throttle_write_bps_device(), "wbps", "blockIO.throttleWriteBpsDevice"),
        (io.throttle_read_iops_device(), "riops", "blockIO.throttleReadIOPSDevice"),
        (io.throttle_write_iops_device(), "wiops", "blockIO.throttleWriteIOPSDevice"),
    ]
}

/// blkio's 10–1000 on the scale 1–10000.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight).clamp(10, 1000) - 10) * 9999 / 990
}

fn hugetlb(resources: &LinuxResources) -> Writes {
    let limits = resources.hugepage_limits().iter().flatten();
    limits
        .flat_map(|limit| {
            let file = |part: &str| format!("hugetlb.{}{part}", limit.page_size());
            let value = bytes(limit.limit());
            [
                Write::new(file(".max"), &value, "hugepageLimits"),
                // Reservations count when they are made, not when used (5.7).
                Write::new(file(".rsvd.max"), &value, "hugepageLimits").or_skip(),
            ]
        })
        .collect()
}

fn rdma(resources: &LinuxResources) -> Writes {
    let mut writes: Writes = resources
        .rdma()
        .iter()
        .flatten()
        .map(|(device, limits)| {
            let mut value = device.clone();
            for (key, limit) in
                [("hca_handle", limits.hca_handles()), ("hca_object", limits.hca_objects())]
            {
                let text = limit.map_or_else(|| "max".to_owned(), |limit| limit.to_string());
                value += &format!(" {key}={text}");
            }
            Write::new("rdma.max", value, "rdma")
        })
        .collect();
    writes.sort_by(|a, b| a.value.cmp(&b.value));
    writes
}

/// `checkBeforeUpdate`: a memory limit below the usage is refused, where the
/// kernel would reclaim and then kill.
pub(super) fn check_before_update(
    folder: &Path,
    resources: &LinuxResources,
    groups: &[Group],
) -> Result<(), Error> {
    let Some(memory) = resources.memory() else { return Ok(()) };
    let asked = memory.check_before_update().unwrap_or(false);
    let limit = memory.limit().filter(|limit| *limit > 0).and_then(|l| u64::try_from(l).ok());
    let (true, Some(limit)) = (asked && groups.iter().any(|g| g.controller == "memory"), limit)
    else {
        return Ok(());
    };
    for name in ["memory.current", "memory.usage_in_bytes"] {
        let text = file::read_if_there(&folder.join(name))?.unwrap_or_default();
        if text.trim().parse::<u64>().is_ok_and(|usage| usage > limit) {
            let value = format!("{limit}, below the current usage of {}", text.trim());
            return Err(Error::Value { setting: "memory.limit", value });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn written(controller: &str, resources: Value) -> Vec<(String, String)> {
        let resources: LinuxResources = serde_json::from_value(resources).unwrap();
        groups(controller, &resources)
            .unwrap()
            .into_iter()
            .flat_map(|group| group.writes)
            .map(|write| (write.file, write.value))
            .collect()
    }

    #[test]
    fn every_limit_has_its_file() {
        let memory = |m: Value| json!({ "memory": m });
        let cpu = |c: Value| json!({ "cpu": c });
        for (controller, resources, expected) in [
            ("memory", json!({}), vec![]),
            ("memory", memory(json!({"limit": 0, "swap": 0, "reservation": 0})), vec![]),
            ("memory", memory(json!({"limit": 10})), vec![("memory.max", "10")]),
            (
                "memory",
                memory(json!({"limit": -1})),
                vec![("memory.max", "max"), ("memory.swap.max", "max")],
            ),
            (
                "memory",
                memory(json!({"limit": 10, "swap": 10})),
                vec![("memory.max", "10"), ("memory.swap.max", "0")],
            ),
            (
                "memory",
                memory(json!({"limit": 10, "swap": 15, "reservation": 5})),
                vec![("memory.max", "10"), ("memory.swap.max", "5"), ("memory.low", "5")],
            ),
            ("memory", memory(json!({"swap": -1})), vec![("memory.swap.max", "max")]),
            ("cpu", cpu(json!({"shares": 1024})), vec![("cpu.weight", "100")]),
            ("cpu", cpu(json!({"shares": 0, "quota": 0, "period": 0})), vec![]),
            (
                "cpu",
                cpu(json!({"quota": 50000, "period": 100_000, "burst": 1000})),
                vec![("cpu.max.burst", "1000"), ("cpu.max", "50000 100000")],
            ),
            ("cpu", cpu(json!({"quota": -1, "period": 50000})), vec![("cpu.max", "max 50000")]),
            (
                "cpu",
                cpu(json!({"quota": 5000, "idle": 1})),
                vec![("cpu.idle", "1"), ("cpu.max", "5000")],
            ),
            (
                "cpuset",
                cpu(json!({"cpus": "0-1", "mems": "0"})),
                vec![("cpuset.cpus", "0-1"), ("cpuset.mems", "0")],
            ),
            ("cpuset", cpu(json!({"cpus": "", "shares": 5})), vec![]),
            ("pids", json!({"pids": {"limit": 12}}), vec![("pids.max", "12")]),
            ("pids", json!({"pids": {"limit": -1}}), vec![("pids.max", "max")]),
            ("pids", json!({"pids": {"limit": 0}}), vec![]),
            ("blkio", json!({"blockIO": {"weight": 10}}), vec![("io.weight", "default 1")]),
            (
                "blkio",
                json!({"blockIO": {"weight": 1000,
                "weightDevice": [{"major": 8, "minor": 0, "weight": 500}],
                "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 100}],
                "throttleWriteIOPSDevice": [{"major": 8, "minor": 1, "rate": 0}]}}),
                vec![
                    ("io.weight", "default 10000"),
                    ("io.weight", "8:0 4950"),
                    ("io.max", "8:0 rbps=100"),
                    ("io.max", "8:1 wiops=max"),
                ],
            ),
            (
                "hugetlb",
                json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}]}),
                vec![("hugetlb.2MB.max", "4194304"), ("hugetlb.2MB.rsvd.max", "4194304")],
            ),
            (
                "rdma",
                json!({"rdma": {"mlx5_0": {"hcaHandles": 3}}}),
                vec![("rdma.max", "mlx5_0 hca_handle=3 hca_object=max")],
            ),
        ] {
            let expected: Vec<(String, String)> = expected
                .iter()
                .map(|(file, value)| ((*file).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(written(controller, resources.clone()), expected, "{resources}");
        }
    }

    #[test]
    fn a_swap_limit_below_the_memory_limit_or_without_one_is_refused() {
        for swap in [json!({"limit": 10, "swap": 5}), json!({"swap": 5})] {
            let resources = serde_json::from_value(json!({ "memory": swap })).unwrap();
            assert!(matches!(groups("memory", &resources), Err(Error::Value { .. })), "{swap}");
        }
    }
}
