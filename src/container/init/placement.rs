//! On which CPUs a process runs, and from which nodes it takes its memory.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use oci_spec::runtime::{
    ExecCPUAffinity, LinuxMemoryPolicy, MemoryPolicyFlagType, MemoryPolicyModeType,
};

use super::super::error::{Error, Result};
use crate::sys::SyscallError;
use crate::sys::numa::MemoryPolicy;

/// `process.execCPUAffinity`: where an exec runs before and after it has
/// entered the container's cgroup.
#[derive(Debug, Default)]
pub(in super::super) struct CpuAffinity {
    /// For the one who makes the process, until it is made.
    pub(in super::super) initial: Option<CpuSet>,
    /// For the process, from its first instruction in the cgroup on.
    pub(in super::super) last: Option<CpuSet>,
}

impl CpuAffinity {
    pub(in super::super) fn new(wish: Option<&ExecCPUAffinity>) -> Result<Self> {
        let Some(wish) = wish else { return Ok(Self::default()) };
        let set = |text: &Option<String>| match text.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => cpu_set(text).map(Some),
        };
        let initial = set(wish.initial())?;
        let last = match set(wish.cpu_affinity_final())? {
            // Else the first set would stay.
            None if initial.is_some() => Some(every_cpu()?),
            last => last,
        };
        Ok(Self { initial, last })
    }
}

fn cpu_set(text: &str) -> Result<CpuSet> {
    let bad = || spec(format!("process.execCPUAffinity {text:?} is no list of CPUs"));
    let mut set = CpuSet::new();
    for cpu in numbers(text, CpuSet::count()).ok_or_else(bad)? {
        set.set(cpu).map_err(|_| bad())?;
    }
    Ok(set)
}

/// The kernel takes those of the cpuset out of it.
fn every_cpu() -> Result<CpuSet> {
    let mut set = CpuSet::new();
    for cpu in 0..CpuSet::count() {
        set.set(cpu).map_err(|errno| spec(format!("CPU {cpu}: {errno}")))?;
    }
    Ok(set)
}

/// Runs this process on these CPUs only.
pub(in super::super) fn run_on(cpus: &CpuSet) -> std::result::Result<(), SyscallError> {
    sched_setaffinity(Pid::from_raw(0), cpus)
        .map_err(|errno| SyscallError::new("sched_setaffinity", "", errno))
}

/// `linux.memoryPolicy` in the numbers of linux/mempolicy.h.
pub(super) fn memory_policy(wish: &LinuxMemoryPolicy) -> Result<MemoryPolicy> {
    use MemoryPolicyModeType as Mode;
    let mode = match wish.mode() {
        Mode::MpolDefault => 0,
        Mode::MpolPreferred => 1,
        Mode::MpolBind => 2,
        Mode::MpolInterleave => 3,
        Mode::MpolLocal => 4,
        Mode::MpolPreferredMany => 5,
        Mode::MpolWeightedInterleave => 6,
    };
    let flag = |flag: &MemoryPolicyFlagType| match flag {
        MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
        MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
        MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
    };
    let mode = wish.flags().iter().flatten().map(flag).fold(mode, |all: u32, one| all | one);
    let text = wish.nodes().as_deref().unwrap_or_default();
    let nodes = numbers(text, MOST_NODES)
        .ok_or_else(|| spec(format!("linux.memoryPolicy.nodes {text:?} is no list of nodes")))?;
    Ok(MemoryPolicy { mode, nodes: bits(&nodes) })
}

/// `MAX_NUMNODES` of the largest kernels.
const MOST_NODES: usize = 1024;

fn bits(numbers: &[usize]) -> Vec<u64> {
    let words = numbers.iter().max().map_or(0, |most| most / 64 + 1);
    let mut bits = vec![0; words];
    for number in numbers {
        bits[number / 64] |= 1 << (number % 64);
    }
    bits
}

/// A list like `0-3,7` of numbers below `limit`; none for an empty text.
fn numbers(text: &str, limit: usize) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim).filter(|_| !text.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= limit {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

fn spec(problem: String) -> Error {
    Error::Spec { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_the_kernel_writes_them() {
        assert_eq!(numbers("0-2,7", 8), Some(vec![0, 1, 2, 7]));
        assert_eq!(numbers("", 8), Some(vec![]));
        for bad in ["8", "2-1", "a", "1,", "-1", "1-"] {
            assert_eq!(numbers(bad, 8), None, "{bad}");
        }
        assert_eq!(bits(&[0, 1, 65]), [3, 2]);
    }

    #[test]
    fn a_first_set_alone_does_not_stay() {
        let wish: ExecCPUAffinity = serde_json::from_str(r#"{"initial": "0"}"#).unwrap();
        let affinity = CpuAffinity::new(Some(&wish)).unwrap();
        assert!(affinity.initial.is_some_and(|set| set.is_set(0).unwrap()));
        assert!(affinity.last.is_some_and(|set| set.is_set(1).unwrap()));
    }

    #[test]
    fn a_memory_policy_has_its_mode_flags_and_nodes() {
        let wish: LinuxMemoryPolicy = serde_json::from_str(
            r#"{"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}"#,
        )
        .unwrap();
        let policy = memory_policy(&wish).unwrap();
        assert_eq!(policy, MemoryPolicy { mode: 2 | 1 << 15, nodes: vec![1] });
    }
}
