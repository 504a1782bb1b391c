//! Who the process becomes: user, groups, capabilities.

use std::os::fd::AsFd;
use std::str::FromStr;

use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid};
use oci_spec::runtime::{Capabilities, LinuxCapabilities, User};

use super::super::stage::{Stage, StepError};
use crate::sys::SyscallError;
use crate::sys::prctl::{self, CapabilitySets};

/// The five sets as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in super::super) struct CapabilityPlan {
    bounding: u64,
    sets: CapabilitySets,
    ambient: u64,
}

impl CapabilityPlan {
    /// From the spec; without any, the process gets none at all.
    pub(in super::super) fn new(caps: Option<&LinuxCapabilities>) -> Self {
        let Some(caps) = caps else { return Self::default() };
        let sets = CapabilitySets {
            effective: bits(caps.effective().as_ref()),
            permitted: bits(caps.permitted().as_ref()),
            inheritable: bits(caps.inheritable().as_ref()),
        };
        // The kernel refuses an ambient capability that is not both of these;
        // runc leaves it out.
        let ambient = bits(caps.ambient().as_ref()) & sets.permitted & sets.inheritable;
        Self { bounding: bits(caps.bounding().as_ref()), sets, ambient }
    }
}

fn bits(set: Option<&Capabilities>) -> u64 {
    let numbers = set
        .into_iter()
        .flatten()
        .filter_map(|capability| caps::Capability::from_str(&format!("CAP_{capability}")).ok());
    numbers.fold(0, |bits, capability| bits | capability.bitmask())
}

/// The user of the spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Identity {
    pub(in super::super) uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    umask: Mode,
}

impl Identity {
    pub(in super::super) fn new(user: &User) -> Self {
        let groups = user.additional_gids().iter().flatten();
        Self {
            uid: Uid::from_raw(user.uid()),
            gid: Gid::from_raw(user.gid()),
            groups: groups.map(|gid| Gid::from_raw(*gid)).collect(),
            umask: Mode::from_bits_truncate(user.umask().unwrap_or(0o022)),
        }
    }

    /// Becomes the user with these capabilities, in the one order in which
    /// each step is still allowed.
    pub(super) fn assume(&self, capabilities: &CapabilityPlan) -> Result<(), StepError> {
        let caps = |error: SyscallError| StepError::call(Stage::Capabilities, &error);
        prctl::limit_bounding(capabilities.bounding).map_err(caps)?;
        prctl::set_keep_capabilities(true).map_err(caps)?;
        prctl::become_user(self.uid, self.gid, &self.groups)
            .map_err(|error| StepError::call(Stage::User, &error))?;
        // setresuid(2) to another user makes the process dumpable by the
        // system's default again.
        prctl::set_dumpable(false).map_err(caps)?;
        prctl::set_keep_capabilities(false).map_err(caps)?;
        prctl::set_capabilities(capabilities.sets).map_err(caps)?;
        prctl::set_ambient(capabilities.ambient).map_err(caps)?;
        nix::sys::stat::umask(self.umask);
        Ok(())
    }

    /// Gives the standard streams to the user, who could otherwise not open
    /// `/dev/stdout` anew. What cannot be given (the host's device nodes, files
    /// of another user namespace) stays.
    pub(super) fn own_stdio(&self) {
        let null = nix::sys::stat::stat("/dev/null").map(|stat| stat.st_rdev);
        for stream in
            [std::io::stdin().as_fd(), std::io::stdout().as_fd(), std::io::stderr().as_fd()]
        {
            let Ok(stat) = nix::sys::stat::fstat(stream) else { continue };
            let is_null = stat.st_rdev != 0 && null == Ok(stat.st_rdev);
            if stat.st_uid != self.uid.as_raw() && !is_null {
                let _ = nix::unistd::fchown(stream, Some(self.uid), None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_become_the_bits_of_the_kernel() {
        let caps: LinuxCapabilities = serde_json::from_str(
            r#"{"bounding":["CAP_CHOWN","CAP_CHECKPOINT_RESTORE"],"effective":["CAP_KILL"]}"#,
        )
        .unwrap();
        let plan = CapabilityPlan::new(Some(&caps));
        assert_eq!(plan.bounding, 1 | 1 << 40);
        assert_eq!(plan.sets.effective, 1 << 5);
        assert_eq!(plan.sets.permitted, 0);
        assert_eq!(CapabilityPlan::new(None), CapabilityPlan::default());
    }
}
