//! How the kernel schedules this process, and where it may run: one
//! `key value` a line.

use crate::Outcome;
use crate::sys;

/// Policy with all its parameters, I/O priority, personality, memory policy
/// and CPUs.
pub fn scheduling(_: &[String]) -> Outcome {
    let sched = sys::scheduler()?;
    println!("policy {}", sched.policy);
    println!("flags {:#x}", sched.flags);
    println!("nice {}", sched.nice);
    println!("priority {}", sched.priority);
    println!("runtime {}", sched.runtime);
    println!("deadline {}", sched.deadline);
    println!("period {}", sched.period);
    let io = sys::io_priority()?;
    println!("io-class {}", io >> 13);
    println!("io-level {}", io & 0x1fff);
    println!("personality {:#x}", sys::personality()?);
    let (mode, nodes) = sys::memory_policy()?;
    println!("memory-policy {}", mode & 0xff);
    println!("memory-flags {:#x}", mode & !0xff);
    println!("memory-nodes {nodes:#x}");
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let cpus = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    println!("cpus {}", cpus.unwrap_or_default().trim());
    Ok(0)
}

/// Asks for the process id as a 32-bit program does.
pub fn getpid32(_: &[String]) -> Outcome {
    println!("{}", sys::getpid32()?);
    Ok(0)
}
