//! What a cgroup has used.

use serde::Serialize;
use std::collections::BTreeMap;

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
