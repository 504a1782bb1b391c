//! Requests and limits → what goes on cgroups.

use std::collections::BTreeMap;

use super::qos;
use crate::manifest::types::{Container, PodSpec, ResourceRequirements};
use crate::manifest::validate::{aggregate_requests, hugepage_size};
use crate::model::Quantity;
use crate::model::plan::{QosClass, Resources};

/// `cpuCFSQuotaPeriod` of a kubelet, microseconds.
const PERIOD_US: u64 = 100_000;
const MIN_QUOTA_US: i64 = 1000;
const MIN_SHARES: u64 = 2;
const MAX_SHARES: u64 = 262_144;

/// cgroup v1 shares of an amount of CPU.
fn shares(milli: i64) -> u64 {
    if milli <= 0 {
        return MIN_SHARES;
    }
    let milli = u64::try_from(milli).unwrap_or(0);
    (milli.saturating_mul(1024) / 1000).clamp(MIN_SHARES, MAX_SHARES)
}

/// Microseconds in each period; none for no limit.
fn quota_us(milli: i64) -> Option<i64> {
    let period = i64::try_from(PERIOD_US).unwrap_or(i64::MAX);
    (milli > 0).then(|| (milli.saturating_mul(period) / 1000).max(MIN_QUOTA_US))
}

fn amount<'a>(list: &'a BTreeMap<String, Quantity>, name: &str) -> Option<&'a Quantity> {
    list.get(name)
}

fn set_cpu_limit(resources: &mut Resources, milli: i64) {
    resources.cpu_quota_us = quota_us(milli);
    resources.cpu_period_us = resources.cpu_quota_us.map(|_| PERIOD_US);
}

/// What goes on one container's cgroup; a missing limit is the pod's.
pub(super) fn container(spec: &PodSpec, container: &Container) -> Resources {
    let ResourceRequirements { requests, limits, .. } = &container.resources;
    let pod_limit = |name: &str| spec.resources.as_ref().and_then(|r| amount(&r.limits, name));
    let cpu = amount(requests, "cpu").or_else(|| amount(limits, "cpu"));
    let mut resources = Resources {
        cpu_shares: Some(shares(cpu.map_or(0, Quantity::milli))),
        memory_oom_group: true,
        no_swap: true,
        hugepage_limits: hugepages(limits.iter().map(|(name, q)| (name.as_str(), q.value()))),
        ..Resources::default()
    };
    let cpu_limit = amount(limits, "cpu").or_else(|| pod_limit("cpu"));
    set_cpu_limit(&mut resources, cpu_limit.map_or(0, Quantity::milli));
    let memory = amount(limits, "memory").or_else(|| pod_limit("memory"));
    resources.memory_limit_bytes = memory.map(Quantity::value).filter(|bytes| *bytes > 0);
    // Memory and swap together: equal to the memory limit means no swap.
    resources.memory_swap_limit_bytes = resources.memory_limit_bytes;
    resources
}

/// `hugepages-2Mi` → `2MB`, the kernel's name for the size.
fn hugepages<'a>(amounts: impl Iterator<Item = (&'a str, i64)>) -> BTreeMap<String, u64> {
    let named = |(name, bytes): (&str, i64)| {
        let size = hugepage_size(name)?;
        let (number, unit) = match size {
            size if size >= 1 << 30 => (size >> 30, "GB"),
            size if size >= 1 << 20 => (size >> 20, "MB"),
            size => (size >> 10, "KB"),
        };
        Some((format!("{number}{unit}"), u64::try_from(bytes).ok()?))
    };
    amounts.filter_map(named).collect()
}

/// What the whole pod requests, thousandths: pod-level where given, else the
/// containers together; and the sandbox's overhead.
pub(super) fn pod_requests(spec: &PodSpec) -> BTreeMap<String, i128> {
    let mut sums = aggregate_requests(spec);
    if let Some(resources) = &spec.resources {
        for (name, quantity) in &resources.requests {
            sums.insert(name.clone(), quantity.exact_milli());
        }
    }
    for (name, quantity) in &spec.overhead {
        *sums.entry(name.clone()).or_default() += quantity.exact_milli();
    }
    sums
}

/// The same for limits, and whether every container has one.
fn pod_limit(spec: &PodSpec, name: &str) -> (i128, bool) {
    let overhead = spec.overhead.get(name).map_or(0, Quantity::exact_milli);
    let pod_level = spec.resources.as_ref().and_then(|resources| resources.limits.get(name));
    if let Some(limit) = pod_level {
        return (limit.exact_milli() + overhead, true);
    }
    let limits_as_requests = PodSpec {
        containers: spec.containers.iter().map(limits_as_requests).collect(),
        init_containers: spec.init_containers.iter().map(limits_as_requests).collect(),
        ..PodSpec::default()
    };
    let sum = aggregate_requests(&limits_as_requests).get(name).copied().unwrap_or(0);
    let is_limited = |container: &Container| {
        container.resources.limits.get(name).is_some_and(|limit| limit.exact_milli() > 0)
    };
    let everywhere = spec.containers.iter().chain(&spec.init_containers).all(is_limited);
    (sum + overhead, everywhere)
}

fn limits_as_requests(container: &Container) -> Container {
    let requests = container.resources.limits.clone();
    Container {
        resources: ResourceRequirements { requests, ..ResourceRequirements::default() },
        restart_policy: container.restart_policy.clone(),
        ..Container::default()
    }
}

fn clamp(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// Thousandths of a byte, rounded up.
fn bytes(milli: i128) -> i64 {
    clamp(milli.div_euclid(1000) + i128::from(milli.rem_euclid(1000) != 0))
}

/// What goes on the pod's cgroup (kubelet/cm ResourceConfigForPod).
pub(super) fn pod(spec: &PodSpec) -> Resources {
    let class = qos::class(spec);
    let requests = pod_requests(spec);
    let milli = requests.get("cpu").copied().unwrap_or(0);
    let pages = requests.iter().map(|(name, milli)| (name.as_str(), bytes(*milli)));
    let mut resources = Resources {
        cpu_shares: Some(match class {
            QosClass::BestEffort => MIN_SHARES,
            _ => shares(clamp(milli)),
        }),
        hugepage_limits: hugepages(pages),
        ..Resources::default()
    };
    if class == QosClass::BestEffort {
        return resources;
    }
    let (cpu, is_cpu_limited) = pod_limit(spec, "cpu");
    if is_cpu_limited {
        set_cpu_limit(&mut resources, clamp(cpu));
    }
    let (memory, is_memory_limited) = pod_limit(spec, "memory");
    if is_memory_limited && memory > 0 {
        resources.memory_limit_bytes = Some(bytes(memory));
    }
    resources
}

/// The memory limit of the whole pod, where it has one: every container's, or
/// the pod's own.
pub(super) fn memory_limit_bytes(spec: &PodSpec) -> Option<i64> {
    match pod_limit(spec, "memory") {
        (memory, true) if memory > 0 => Some(bytes(memory)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_quota_follow_the_kubelet() {
        let table = [(0, 2), (1, 2), (2, 2), (10, 10), (50, 51), (100, 102), (250, 256)];
        for (milli, want) in table {
            assert_eq!(shares(milli), want, "{milli}m");
        }
        assert_eq!(shares(4000), 4096);
        assert_eq!(shares(256_000), 262_144);
        assert_eq!(shares(i64::MAX), 262_144);
        let table = [(0, None), (1, Some(1000)), (10, Some(1000)), (500, Some(50_000))];
        for (milli, want) in table {
            assert_eq!(quota_us(milli), want, "{milli}m");
        }
        assert_eq!(quota_us(1500), Some(150_000));
    }

    #[test]
    fn hugepage_sizes_have_the_kernels_names() {
        let names = ["hugepages-2Mi", "hugepages-1Gi", "hugepages-64Ki", "memory"];
        let pages = hugepages(names.into_iter().map(|name| (name, 4 << 20)));
        assert_eq!(pages.into_keys().collect::<Vec<_>>(), ["1GB", "2MB", "64KB"]);
    }
}
