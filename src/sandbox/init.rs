//! What pause does before it is pause: the steps of the cloned child, from
//! everything prepared by its parent to the exec.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::MsFlags;
use nix::unistd::{Gid, Uid};

use super::sysctl::Sysctl;
use crate::model::spec::UserSpec;
use crate::sys::SyscallError;
use crate::sys::exec::{ExecVector, execveat};
use crate::sys::fault::{self, Point};
use crate::sys::fd::{close_range_cloexec, install_stdio};
use crate::sys::keeper::set_oom_score_adj;
use crate::sys::mount::detach_current_directory;
use crate::sys::path::Procfs;
use crate::sys::prctl;

/// A step of the child. The numbers travel to the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    JoinCgroup = 1,
    OomScore,
    Hostname,
    AwaitNetwork,
    Sysctls,
    Root,
    Privileges,
    Descriptors,
    Exec,
}

impl Step {
    const ALL: [Self; 9] = [
        Self::JoinCgroup,
        Self::OomScore,
        Self::Hostname,
        Self::AwaitNetwork,
        Self::Sysctls,
        Self::Root,
        Self::Privileges,
        Self::Descriptors,
        Self::Exec,
    ];

    fn take(self, step: impl FnOnce() -> Result<(), SyscallError>) -> Result<(), Failure> {
        fault::at(self.point()).and_then(|()| step()).map_err(Failure::new(self))
    }

    /// Where a test may fail this step or end the process.
    fn point(self) -> Point {
        Point::ALL[Point::PauseJoinCgroup as usize + self as usize - Self::JoinCgroup as usize]
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step as u8 == number)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JoinCgroup => "join the pod's cgroup",
            Self::OomScore => "set the oom score",
            Self::Hostname => "set the hostname",
            Self::AwaitNetwork => "wait for the network",
            Self::Sysctls => "set sysctls",
            Self::Root => "enter an empty root",
            Self::Privileges => "drop privileges",
            Self::Descriptors => "close descriptors",
            Self::Exec => "start pause",
        })
    }
}

/// A failed step, as it comes through the pipe: number, errno, text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) errno: Errno,
    pub(super) detail: String,
}

impl Failure {
    fn new(step: Step) -> impl FnOnce(SyscallError) -> Self {
        move |error| Self { step, errno: error.errno, detail: error.to_string() }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.step as u8];
        bytes.extend_from_slice(&(self.errno as i32).to_ne_bytes());
        bytes.extend_from_slice(self.detail.as_bytes());
        bytes
    }

    /// `None` for bytes of another form.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (step, rest) = bytes.split_first()?;
        let (errno, detail) = rest.split_first_chunk::<4>()?;
        Some(Self {
            step: Step::from_number(*step)?,
            errno: Errno::from_raw(i32::from_ne_bytes(*errno)),
            detail: String::from_utf8_lossy(detail).into_owned(),
        })
    }
}

/// Everything the child needs, opened and computed before the clone.
#[derive(Debug)]
pub(super) struct Init {
    /// `cgroup.procs` of v1 hierarchies.
    pub(super) join: Vec<OwnedFd>,
    /// `None`: the namespace is the machine's.
    pub(super) hostname: Option<String>,
    pub(super) sysctls: Vec<Sysctl>,
    /// Readable once the network is there; for sysctls of an interface.
    pub(super) network_ready: Option<OwnedFd>,
    pub(super) procfs: Procfs,
    /// A detached, empty mount.
    pub(super) root: OwnedFd,
    pub(super) user: UserSpec,
    pub(super) null: OwnedFd,
    pub(super) program: OwnedFd,
    pub(super) args: ExecVector,
    pub(super) env: ExecVector,
    /// Where a failure is written; closed by the exec.
    pub(super) report: OwnedFd,
}

/// The kernel kills what it must before a sandbox (the kubelet's number).
const OOM_SCORE_ADJ: i32 = -998;

impl Init {
    /// Becomes pause. Returns only on failure, which the parent has been told.
    pub(super) fn run(&self) {
        let failure = match self.prepare() {
            Ok(()) => {
                let error = execveat(self.program.as_fd(), &self.args, &self.env);
                Failure::new(Step::Exec)(error)
            }
            Err(failure) => failure,
        };
        let _ = nix::unistd::write(&self.report, &failure.encode());
    }

    fn prepare(&self) -> Result<(), Failure> {
        Step::JoinCgroup.take(|| self.join_cgroup())?;
        Step::OomScore.take(|| set_oom_score_adj(OOM_SCORE_ADJ))?;
        Step::Hostname.take(|| self.set_hostname())?;
        Step::AwaitNetwork.take(|| self.await_network())?;
        Step::Sysctls.take(|| self.set_sysctls())?;
        Step::Root.take(|| self.enter_root())?;
        Step::Privileges.take(|| self.drop_privileges())?;
        Step::Descriptors.take(|| self.close_descriptors())?;
        Step::Exec.take(|| Ok(()))
    }

    fn join_cgroup(&self) -> Result<(), SyscallError> {
        for procs in &self.join {
            nix::unistd::write(procs, b"0")
                .map_err(|errno| SyscallError::new("write", "cgroup.procs", errno))?;
        }
        nix::unistd::setsid().map_err(|errno| SyscallError::new("setsid", "", errno))?;
        Ok(())
    }

    fn set_hostname(&self) -> Result<(), SyscallError> {
        let Some(hostname) = &self.hostname else { return Ok(()) };
        nix::unistd::sethostname(hostname)
            .map_err(|errno| SyscallError::new("sethostname", format!("{hostname:?}"), errno))
    }

    fn await_network(&self) -> Result<(), SyscallError> {
        let Some(ready) = &self.network_ready else { return Ok(()) };
        match nix::unistd::read(ready, &mut [0]) {
            Ok(1) => Ok(()),
            // The parent gave up, and has its own error to tell.
            Ok(_) => Err(SyscallError::new("read", "", Errno::EPIPE)),
            Err(errno) => Err(SyscallError::new("read", "", errno)),
        }
    }

    /// What lies below `/proc/sys` depends on the namespaces of who opens it.
    fn set_sysctls(&self) -> Result<(), SyscallError> {
        for Sysctl { path, value } in &self.sysctls {
            let file = self.procfs.open_file(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC)?;
            nix::unistd::write(&file, value.as_bytes()).map_err(|errno| {
                SyscallError::new("write", format!("{path:?}, {value:?}"), errno)
            })?;
        }
        Ok(())
    }

    /// Leaves nothing of the machine's files to whoever shares the pid
    /// namespace and looks at `/proc/1/root`.
    fn enter_root(&self) -> Result<(), SyscallError> {
        let failed = |call, errno| SyscallError::new(call, "\"/\"", errno);
        let none = None::<&str>;
        // Nothing done here shall spread to the machine.
        nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .map_err(|errno| failed("mount", errno))?;
        let old = nix::fcntl::open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, empty_mode())
            .map_err(|errno| failed("open", errno))?;
        crate::sys::mount::move_mount(self.root.as_fd(), old.as_fd())?;
        nix::unistd::fchdir(&self.root).map_err(|errno| failed("fchdir", errno))?;
        nix::unistd::pivot_root(".", ".").map_err(|errno| failed("pivot_root", errno))?;
        detach_current_directory()
    }

    fn drop_privileges(&self) -> Result<(), SyscallError> {
        prctl::limit_bounding(0)?;
        prctl::set_ambient(0)?;
        let groups: Vec<Gid> =
            self.user.additional_gids.iter().copied().map(Gid::from_raw).collect();
        prctl::become_user(Uid::from_raw(self.user.uid), Gid::from_raw(self.user.gid), &groups)?;
        prctl::set_capabilities(prctl::CapabilitySets::default())?;
        prctl::set_no_new_privs()
    }

    fn close_descriptors(&self) -> Result<(), SyscallError> {
        prctl::reset_signals();
        install_stdio([self.null.as_fd(), self.null.as_fd(), self.null.as_fd()])?;
        close_range_cloexec(3)
    }
}

fn empty_mode() -> nix::sys::stat::Mode {
    nix::sys::stat::Mode::empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_can_be_failed_by_its_name() {
        for step in Step::ALL {
            assert_eq!(format!("Pause{step:?}"), format!("{:?}", step.point()));
        }
    }

    #[test]
    fn a_failure_survives_the_pipe() {
        for step in Step::ALL {
            let failure = Failure { step, errno: Errno::EPERM, detail: "write(x): no".into() };
            assert_eq!(Failure::decode(&failure.encode()), Some(failure));
        }
        assert_eq!(Failure::decode(&[]), None);
        assert_eq!(Failure::decode(&[1, 0, 0]), None);
        assert_eq!(Failure::decode(&[99, 0, 0, 0, 0]), None);
    }
}
