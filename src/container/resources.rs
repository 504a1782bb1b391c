//! A pod's or container's resources in the runtime specification's words.

use std::collections::HashMap;

use oci_spec::runtime::{
    LinuxCpu, LinuxDeviceCgroup, LinuxHugepageLimit, LinuxMemory, LinuxPids, LinuxResources,
};

use crate::cgroup;
use crate::model::plan::Resources;

/// The limits of `resources`. Devices: all for a privileged container, else
/// only those that every container has.
#[must_use]
pub fn oci(resources: &Resources, privileged: bool) -> LinuxResources {
    let mut device = LinuxDeviceCgroup::default();
    device.set_allow(privileged).set_access(Some("rwm".to_owned()));
    let mut limits = limits(resources);
    limits.set_devices(Some(vec![device]));
    limits
}

/// The limits alone: what a pod's cgroup gets.
#[must_use]
pub fn limits(resources: &Resources) -> LinuxResources {
    let mut limits = LinuxResources::default();
    limits
        .set_devices(None)
        .set_cpu(cpu(resources))
        .set_memory(memory(resources))
        .set_pids(resources.pids_limit.map(|limit| {
            let mut pids = LinuxPids::default();
            pids.set_limit(limit);
            pids
        }))
        .set_hugepage_limits(hugepages(resources))
        .set_unified(unified(resources));
    limits
}

fn cpu(resources: &Resources) -> Option<LinuxCpu> {
    let Resources { cpu_shares, cpu_quota_us, cpu_period_us, .. } = resources;
    if cpu_shares.is_none() && cpu_quota_us.is_none() && cpu_period_us.is_none() {
        return None;
    }
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(*cpu_shares).set_quota(*cpu_quota_us).set_period(*cpu_period_us);
    Some(cpu)
}

fn memory(resources: &Resources) -> Option<LinuxMemory> {
    let (limit, swap) = (resources.memory_limit_bytes, resources.memory_swap_limit_bytes);
    if limit.is_none() && swap.is_none() {
        return None;
    }
    let mut memory = LinuxMemory::default();
    memory.set_limit(limit).set_swap(swap);
    Some(memory)
}

fn hugepages(resources: &Resources) -> Option<Vec<LinuxHugepageLimit>> {
    let limit = |(size, bytes): (&String, &u64)| {
        let mut limit = LinuxHugepageLimit::default();
        limit.set_page_size(size.clone()).set_limit(i64::try_from(*bytes).unwrap_or(i64::MAX));
        limit
    };
    let all: Vec<_> = resources.hugepage_limits.iter().map(limit).collect();
    (!all.is_empty()).then_some(all)
}

/// Raw files, which cgroup v2 alone has. The kubelet's own settings are made
/// where the memory controller is, as there is nothing to set elsewhere.
fn unified(resources: &Resources) -> Option<HashMap<String, String>> {
    let mut files: HashMap<String, String> = resources.unified.clone().into_iter().collect();
    let wants_memory = resources.memory_oom_group || resources.no_swap;
    if wants_memory && cgroup::is_on_v2("memory") {
        if resources.memory_oom_group {
            files.insert("memory.oom.group".to_owned(), "1".to_owned());
        }
        if resources.no_swap {
            files.insert("memory.swap.max".to_owned(), "0".to_owned());
        }
    }
    (!files.is_empty()).then_some(files)
}
