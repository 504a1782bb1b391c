//! Which memory nodes a process takes its memory from.

use super::SyscallError;
use super::error::cerr;

/// A mode of set_mempolicy(2) with its flags and nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// `MPOL_*` with the `MPOL_F_*` flags in the upper bits.
    pub mode: u32,
    /// One bit for each node, node 0 the lowest of the first word.
    pub nodes: Vec<u64>,
}

/// Sets the policy of this process, which its children and the program it
/// executes inherit.
///
/// # Errors
/// EINVAL for a node that the cpuset or the machine lacks, or a mode that the
/// kernel does not know; ENOSYS on a kernel without NUMA.
pub fn set_memory_policy(policy: &MemoryPolicy) -> Result<(), SyscallError> {
    let (pointer, bits) = if policy.nodes.is_empty() {
        (std::ptr::null(), 0)
    } else {
        // The kernel reads one bit less than it is told.
        (policy.nodes.as_ptr(), policy.nodes.len() * 64 + 1)
    };
    // SAFETY: `nodes` outlives the call; rounded up to whole words, the kernel
    // reads `bits` - 1 bits, which is all of `nodes` and nothing behind it.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, policy.mode, pointer, bits) };
    cerr(result, "set_mempolicy", || format!("{:#x}, {:x?}", policy.mode, policy.nodes)).map(drop)
}
