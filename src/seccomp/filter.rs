//! A compiled profile.

use std::os::fd::OwnedFd;

use oci_spec::runtime::LinuxSeccomp;

use super::Result;

/// A BPF program and the flags it is installed with.
#[derive(Debug, Clone)]
pub struct Filter {
    notifies: bool,
}

impl Filter {
    /// Compiles a profile. Everything that can be wrong with it shows here, in
    /// the parent.
    ///
    /// # Errors
    /// Combinations the kernel cannot carry out.
    pub fn compile(profile: &LinuxSeccomp) -> Result<Self> {
        todo!("{profile:?}")
    }

    /// True when the profile has `SCMP_ACT_NOTIFY`: [`Filter::install`] then
    /// gives a listener.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.notifies
    }

    /// Installs the filter on the calling thread for good. Allocates nothing,
    /// fit for a child after fork. The caller has `CAP_SYS_ADMIN` in its user
    /// namespace or has set `no_new_privs`.
    ///
    /// # Errors
    /// seccomp(2)'s.
    pub fn install(&self) -> Result<Option<OwnedFd>> {
        todo!("{self:?}")
    }
}
