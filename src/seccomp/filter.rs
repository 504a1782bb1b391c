//! A compiled profile.

use std::os::fd::OwnedFd;

use libc::sock_filter;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompFilterFlag as FilterFlag};

use super::{Error, Result, policy, program};
use crate::sys::seccomp::{flag, set_filter};

/// A BPF program and the flags it is installed with.
#[derive(Debug, Clone)]
pub struct Filter {
    program: Vec<sock_filter>,
    flags: u32,
}

impl Filter {
    /// Compiles a profile. Everything that can be wrong with it shows here, in
    /// the parent. Names of system calls that no kernel known has are ignored.
    ///
    /// # Errors
    /// Combinations the kernel cannot carry out, see [`Error`].
    pub fn compile(profile: &LinuxSeccomp) -> Result<Self> {
        let program = program::assemble(&policy::policies(profile)?)?;
        Ok(Self { program, flags: flags(profile) })
    }

    /// True when the profile has `SCMP_ACT_NOTIFY`: [`Filter::install`] then
    /// gives a listener.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.flags & flag::NEW_LISTENER != 0
    }

    /// How many instructions the kernel will check and translate.
    #[must_use]
    pub fn instructions(&self) -> usize {
        self.program.len()
    }

    /// Installs the filter on the calling thread for good. Allocates nothing
    /// unless it fails, fit for a child after fork. The caller has
    /// `CAP_SYS_ADMIN` in its user namespace or has set `no_new_privs`.
    ///
    /// # Errors
    /// [`Error::Install`].
    pub fn install(&self) -> Result<Option<OwnedFd>> {
        set_filter(&self.program, self.flags).map_err(Error::Install)
    }

    #[cfg(test)]
    pub(super) fn program(&self) -> &[sock_filter] {
        &self.program
    }
}

/// Where a profile has no list of flags, as opposed to an empty one, runc's
/// default is to leave the mitigation of Speculative Store Bypass off.
fn flags(profile: &LinuxSeccomp) -> u32 {
    let mut bits = match profile.flags() {
        None => flag::SPEC_ALLOW,
        Some(flags) => flags.iter().fold(0, |bits, one| bits | bit(*one)),
    };
    if policy::notifies(profile) {
        bits |= flag::NEW_LISTENER;
    } else {
        // Without a listener nobody waits, and the kernel refuses the flag.
        bits &= !flag::WAIT_KILLABLE_RECV;
    }
    bits
}

fn bit(one: FilterFlag) -> u32 {
    match one {
        FilterFlag::SeccompFilterFlagLog => flag::LOG,
        FilterFlag::SeccompFilterFlagTsync => flag::TSYNC,
        FilterFlag::SeccompFilterFlagSpecAllow => flag::SPEC_ALLOW,
        FilterFlag::SeccompFilterFlagWaitKillableRecv => flag::WAIT_KILLABLE_RECV,
    }
}
