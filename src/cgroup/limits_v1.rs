//! Limits in the words of cgroup v1.

use std::path::Path;

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};

use super::error::Error;
use super::file;
use super::hierarchy::Layout;
use super::limits::{Group, Write, of_setting};
use super::limits_v2;

type Writes = Vec<Write>;

/// What `resources` asks of one controller whose v1 folder is `folder`.
pub(super) fn groups(
    controller: &str,
    resources: &LinuxResources,
    folder: &Path,
) -> Result<Vec<Group>, Error> {
    let (name, groups) = match controller {
        "cpu" => ("cpu", resources.cpu().as_ref().map(cpu).unwrap_or_default()),
        "memory" => {
            ("memory", resources.memory().as_ref().map(memory).transpose()?.unwrap_or_default())
        }
        "blkio" => {
            let io = resources.block_io().as_ref();
            ("blkio", vec![io.map(|io| blkio(io, folder)).unwrap_or_default()])
        }
        "hugetlb" => ("hugetlb", vec![hugetlb(resources)]),
        // cpuset, pids and rdma have the same files in both versions.
        _ => return limits_v2::groups(controller, resources),
    };
    Ok(groups
        .into_iter()
        .filter(|writes| !writes.is_empty())
        .map(|writes| Group { controller: name, writes })
        .collect())
}

fn cpu(cpu: &LinuxCpu) -> Vec<Writes> {
    let mut shares = Writes::new();
    if let Some(value) = cpu.shares().filter(|shares| *shares != 0) {
        shares.push(Write::new("cpu.shares", value, "cpu.shares"));
    }
    if let Some(idle) = cpu.idle() {
        shares.push(Write::new("cpu.idle", idle, "cpu.idle"));
    }
    let mut bandwidth = Writes::new();
    if let Some(period) = cpu.period().filter(|period| *period != 0) {
        bandwidth.push(Write::new("cpu.cfs_period_us", period, "cpu.period"));
    }
    if let Some(burst) = cpu.burst() {
        bandwidth.push(Write::new("cpu.cfs_burst_us", burst, "cpu.burst"));
    }
    if let Some(quota) = cpu.quota().filter(|quota| *quota != 0) {
        bandwidth.push(Write::new("cpu.cfs_quota_us", quota.max(-1), "cpu.quota"));
    }
    let mut realtime = Writes::new();
    if let Some(period) = cpu.realtime_period().filter(|period| *period != 0) {
        realtime.push(Write::new("cpu.rt_period_us", period, "cpu.realtimePeriod"));
    }
    if let Some(runtime) = cpu.realtime_runtime().filter(|runtime| *runtime != 0) {
        realtime.push(Write::new("cpu.rt_runtime_us", runtime, "cpu.realtimeRuntime"));
    }
    vec![shares, bandwidth, realtime]
}

fn memory(memory: &LinuxMemory) -> Result<Vec<Writes>, Error> {
    limits_v2::refuse_kernel_memory(memory)?;
    let mut limits = Writes::new();
    let limit = memory.limit().filter(|limit| *limit != 0);
    if let Some(limit) = limit {
        limits.push(Write::new("memory.limit_in_bytes", limit.max(-1), "memory.limit"));
    }
    let swap = memory.swap().filter(|swap| *swap != 0);
    if let (Some(limit @ 1..), Some(swap @ 1..)) = (limit, swap)
        && swap < limit
    {
        return Err(Error::Value { setting: "memory.swap", value: swap.to_string() });
    }
    // Memory without a limit cannot be below that of memory and swap.
    if let Some(swap) = swap.or(limit.filter(|limit| *limit < 0)) {
        let write = Write::new("memory.memsw.limit_in_bytes", swap.max(-1), "memory.swap");
        limits.push(if swap < 0 { write.or_skip() } else { write });
    }
    let mut rest = Writes::new();
    if let Some(soft) = memory.reservation().filter(|bytes| *bytes != 0) {
        rest.push(Write::new("memory.soft_limit_in_bytes", soft.max(-1), "memory.reservation"));
    }
    if let Some(swappiness) = memory.swappiness() {
        if swappiness > 100 {
            let value = swappiness.to_string();
            return Err(Error::Value { setting: "memory.swappiness", value });
        }
        rest.push(Write::new("memory.swappiness", swappiness, "memory.swappiness"));
    }
    if let Some(disable) = memory.disable_oom_killer() {
        let write = Write::new("memory.oom_control", u8::from(disable), "memory.disableOOMKiller");
        rest.push(if disable { write } else { write.or_skip() });
    }
    if let Some(tcp) = memory.kernel_tcp().filter(|bytes| *bytes != 0) {
        rest.push(Write::new("memory.kmem.tcp.limit_in_bytes", tcp, "memory.kernelTCP"));
    }
    if let Some(hierarchy) = memory.use_hierarchy() {
        let write = Write::new("memory.use_hierarchy", u8::from(hierarchy), "memory.useHierarchy");
        rest.push(if hierarchy { write.or_skip() } else { write });
    }
    Ok(vec![limits, rest])
}

fn blkio(io: &LinuxBlockIo, folder: &Path) -> Writes {
    let mut writes = Writes::new();
    // Only one of the two schedulers' files exists, if any.
    let bfq = folder.join("blkio.bfq.weight").exists();
    let (weight, weight_device) = if bfq {
        ("blkio.bfq.weight", "blkio.bfq.weight_device")
    } else {
        ("blkio.weight", "blkio.weight_device")
    };
    if let Some(value) = io.weight().filter(|weight| *weight != 0) {
        writes.push(Write::new(weight, value, "blockIO.weight"));
    }
    if let Some(value) = io.leaf_weight().filter(|weight| *weight != 0) {
        writes.push(Write::new("blkio.leaf_weight", value, "blockIO.leafWeight"));
    }
    for device in io.weight_device().iter().flatten() {
        let number = format!("{}:{}", device.major(), device.minor());
        if let Some(value) = device.weight().filter(|weight| *weight != 0) {
            let value = format!("{number} {value}");
            writes.push(Write::new(weight_device, value, "blockIO.weightDevice"));
        }
        if let Some(value) = device.leaf_weight().filter(|weight| *weight != 0) {
            let value = format!("{number} {value}");
            writes.push(Write::new("blkio.leaf_weight_device", value, "blockIO.weightDevice"));
        }
    }
    for (list, file, setting) in [
        (io.throttle_read_bps_device(), "read_bps", "blockIO.throttleReadBpsDevice"),
        (io.throttle_write_bps_device(), "write_bps", "blockIO.throttleWriteBpsDevice"),
        (io.throttle_read_iops_device(), "read_iops", "blockIO.throttleReadIOPSDevice"),
        (io.throttle_write_iops_device(), "write_iops", "blockIO.throttleWriteIOPSDevice"),
    ] {
        for device in list.iter().flatten() {
            let value = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            writes.push(Write::new(format!("blkio.throttle.{file}_device"), value, setting));
        }
    }
    writes
}

fn hugetlb(resources: &LinuxResources) -> Writes {
    let limits = resources.hugepage_limits().iter().flatten();
    limits
        .flat_map(|limit| {
            let file = |part: &str| format!("hugetlb.{}{part}", limit.page_size());
            [
                Write::new(file(".limit_in_bytes"), limit.limit(), "hugepageLimits"),
                Write::new(file(".rsvd.limit_in_bytes"), limit.limit(), "hugepageLimits").or_skip(),
            ]
        })
        .collect()
}

/// Controllers that only v1 has.
fn only_v1(resources: &LinuxResources) -> Vec<Group> {
    let Some(network) = resources.network() else { return Vec::new() };
    let mut groups = Vec::new();
    if let Some(class) = network.class_id() {
        let writes = vec![Write::new("net_cls.classid", class, "network.classID")];
        groups.push(Group { controller: "net_cls", writes });
    }
    let priorities = network.priorities().iter().flatten();
    let writes: Writes = priorities
        .map(|one| {
            let value = format!("{} {}", one.name(), one.priority());
            Write::new("net_prio.ifpriomap", value, "network.priorities")
        })
        .collect();
    if !writes.is_empty() {
        groups.push(Group { controller: "net_prio", writes });
    }
    groups
}

/// Refuses network classes and priorities where no v1 hierarchy has them.
pub(super) fn check_only_v1(here: &Layout, resources: &LinuxResources) -> Result<(), Error> {
    for group in only_v1(resources) {
        if here.v1_of(group.controller).is_none() {
            return Err(Error::MissingController {
                controller: group.controller.to_owned(),
                setting: group.writes[0].setting.to_owned(),
            });
        }
    }
    Ok(())
}

/// Writes network classes and priorities.
pub(super) fn apply_only_v1(here: &Layout, resources: &LinuxResources) -> Result<(), Error> {
    for group in only_v1(resources) {
        if let Some(folder) = here.v1_of(group.controller) {
            for write in &group.writes {
                file::write(&folder.join(&write.file), &write.value)
                    .map_err(|error| of_setting(write.setting, error))?;
            }
        }
    }
    Ok(())
}
