//! The steps of making a container, named once: tests fail each of them, and
//! the user reads where it went wrong.

use std::fmt;

use nix::errno::Errno;

use crate::sys::SyscallError;
use crate::sys::error::describe;
use crate::sys::fault::{self, Point};

/// One step, in the order in which a container's first process takes them.
/// The numbers travel from the child to the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Stage {
    JoinCgroup = 1,
    JoinNamespaces,
    UserMappings,
    UnshareNamespaces,
    UnshareCgroup,
    TimeOffsets,
    Network,
    Hostname,
    Keyring,
    CreateContainerHooks,
    Rootfs,
    Console,
    Sysctls,
    Rlimits,
    OomScore,
    Scheduler,
    Labels,
    Capabilities,
    User,
    NoNewPrivileges,
    WorkingDirectory,
    Executable,
    Seccomp,
    JoinPidNamespace,
    Session,
    Descriptors,
    Gate,
    StartContainerHooks,
    Exec,
}

impl Stage {
    pub const ALL: [Self; 29] = [
        Self::JoinCgroup,
        Self::JoinNamespaces,
        Self::UserMappings,
        Self::UnshareNamespaces,
        Self::UnshareCgroup,
        Self::TimeOffsets,
        Self::Network,
        Self::Hostname,
        Self::Keyring,
        Self::CreateContainerHooks,
        Self::Rootfs,
        Self::Console,
        Self::Sysctls,
        Self::Rlimits,
        Self::OomScore,
        Self::Scheduler,
        Self::Labels,
        Self::Capabilities,
        Self::User,
        Self::NoNewPrivileges,
        Self::WorkingDirectory,
        Self::Executable,
        Self::Seccomp,
        Self::JoinPidNamespace,
        Self::Session,
        Self::Descriptors,
        Self::Gate,
        Self::StartContainerHooks,
        Self::Exec,
    ];

    /// The stage with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| *stage as u8 == number)
    }

    /// Where a test may fail this step or end the process.
    pub(super) fn reach(self) -> Result<(), StepError> {
        fault::at(self.point()).map_err(|error| StepError::call(self, &error))
    }

    fn point(self) -> Point {
        Point::ALL[Point::JoinCgroup as usize + self as usize - Self::JoinCgroup as usize]
    }

    /// What the step does, completing "failed to …".
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Self::JoinCgroup => "join the cgroup",
            Self::JoinNamespaces => "join namespaces",
            Self::UserMappings => "map users",
            Self::UnshareNamespaces => "make namespaces",
            Self::UnshareCgroup => "make the cgroup namespace",
            Self::TimeOffsets => "set time offsets",
            Self::Network => "set up network devices",
            Self::Hostname => "set the hostname",
            Self::Keyring => "join a session keyring",
            Self::CreateContainerHooks => "run createContainer hooks",
            Self::Rootfs => "set up the root file system",
            Self::Console => "set up the console",
            Self::Sysctls => "write sysctls",
            Self::Rlimits => "set rlimits",
            Self::OomScore => "set the oom score",
            Self::Scheduler => "set the scheduling",
            Self::Labels => "set the security label",
            Self::Capabilities => "set capabilities",
            Self::User => "become the user",
            Self::NoNewPrivileges => "set no_new_privs",
            Self::WorkingDirectory => "enter the working directory",
            Self::Executable => "find the executable",
            Self::Seccomp => "install the seccomp filter",
            Self::JoinPidNamespace => "join the pid namespace",
            Self::Session => "start a session",
            Self::Descriptors => "close descriptors",
            Self::Gate => "wait for start",
            Self::StartContainerHooks => "run startContainer hooks",
            Self::Exec => "exec",
        }
    }
}

/// A step that failed inside the new process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError {
    pub stage: Stage,
    /// What the step failed with; EINVAL where no call did.
    pub errno: Errno,
    /// The cause in full, one line without the stage.
    pub detail: String,
}

impl StepError {
    /// A failed call.
    #[must_use]
    pub fn call(stage: Stage, error: &SyscallError) -> Self {
        Self { stage, errno: error.errno, detail: error.to_string() }
    }

    /// A cause in words that the caller formats whole.
    #[must_use]
    pub fn new(stage: Stage, errno: Errno, detail: impl Into<String>) -> Self {
        Self { stage, errno, detail: detail.into() }
    }

    /// `subject: cause`.
    #[must_use]
    pub fn about(stage: Stage, subject: &str, errno: Errno) -> Self {
        Self { stage, errno, detail: format!("{subject}: {}", describe(errno)) }
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Callers search for these two in runc's very words.
        match self.stage {
            Stage::Executable | Stage::Exec => f.write_str(&self.detail),
            stage => write!(f, "{}: {}", stage.verb(), self.detail),
        }
    }
}

impl std::error::Error for StepError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_can_be_failed_by_its_name() {
        for stage in Stage::ALL {
            assert_eq!(format!("{stage:?}"), format!("{:?}", stage.point()));
        }
    }

    #[test]
    fn every_stage_survives_the_trip_by_number() {
        for stage in Stage::ALL {
            assert_eq!(Stage::from_number(stage as u8), Some(stage));
        }
        assert_eq!(Stage::from_number(0), None);
        assert_eq!(Stage::from_number(200), None);
    }
}
