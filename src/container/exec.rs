//! Running a process in a container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use oci_spec::runtime::{LinuxMemoryPolicy, LinuxPersonality, LinuxSeccomp, Process, Spec};

use super::console;
use super::error::{Error, Result};
use super::init::channel;
use super::init::child::{ExecPlan, run_exec};
use super::init::placement::{self, CpuAffinity};
use super::init::process::{ProcessPlan, Surroundings};
use super::kept;
use super::machine::{Ends, Machine, Order};
use super::namespace::Namespace;
use super::newborn::{Newborn, write_pid_file};
use super::options::{Console, Exec, ExecOptions, Stdio};
use super::plan::invalid;
use super::record::{Record, StateDir, cgroup_error};
use super::refuse;
use super::state::Status;
use crate::cgroup::{Cgroup, Entry, Freezer};
use crate::model::ContainerId;
use crate::sys::exec_view::ViewMounts;
use crate::sys::process::{self, Clone, CloneArgs, CloneFlags};
use crate::sys::{SyscallError, prctl};

/// The session keyring of a container, which its exec'd processes share.
pub(super) fn keyring_name(id: &ContainerId) -> String {
    format!("_ses.{id}")
}

/// A container that processes are run in: loaded once, used for many.
#[derive(Debug)]
pub struct Target {
    /// The container's own process, to copy what an exec inherits.
    pub process: Process,
    record: Record,
    dir: StateDir,
    seccomp: Option<LinuxSeccomp>,
    personality: Option<LinuxPersonality>,
    memory_policy: Option<LinuxMemoryPolicy>,
    /// The container's first process and its namespaces that are not ours.
    init: OwnedFd,
    kinds: CloneFlags,
}

/// An exec under way. Dropping it before the end kills the process.
#[derive(Debug)]
pub struct Executing {
    newborn: Newborn,
    pid: Pid,
    console: Console,
    master: Option<OwnedFd>,
    pid_file: Option<PathBuf>,
    view_mounts: ViewMounts,
}

/// How a process gets into the container, resolved.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) process: ProcessPlan,
    pub(super) affinity: CpuAffinity,
    pub(super) entry: Entry,
}

impl Target {
    /// # Errors
    /// [`Error::DoesNotExist`], [`Error::NotRunning`].
    pub fn load(state_root: &Path, id: &ContainerId) -> Result<Self> {
        Self::with(state_root, id, kept::config)
    }

    /// A container that a pod's shim made.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn of_pod(state_root: &Path, id: &ContainerId) -> Result<Self> {
        Self::with(state_root, id, kept::container_as_spec)
    }

    fn with(
        state_root: &Path,
        id: &ContainerId,
        read: impl FnOnce(&Path) -> Result<Spec>,
    ) -> Result<Self> {
        let dir = StateDir::of(state_root, id);
        let record = Record::load(&dir)?;
        let init = record.process().ok_or(Error::NotRunning)?;
        let spec = read(dir.path())?;
        let linux = spec.linux().as_ref();
        Ok(Self {
            process: spec.process().clone().ok_or_else(|| invalid("process is missing"))?,
            seccomp: linux.and_then(|linux| linux.seccomp().clone()),
            personality: linux.and_then(|linux| linux.personality().clone()),
            memory_policy: linux.and_then(|linux| linux.memory_policy().clone()),
            kinds: foreign_namespaces(Pid::from_raw(record.pid))?,
            record,
            dir,
            init,
        })
    }

    /// Starts one process.
    ///
    /// # Errors
    /// What can be refused or fails outside of it.
    pub fn begin(&self, options: ExecOptions) -> Result<Executing> {
        self.require_runnable(options.ignore_paused)?;
        let way = Way {
            process: self.plan(&options)?,
            affinity: self.affinity(&options.process)?,
            entry: self.entry(options.cgroup.as_deref())?,
        };
        let ExecOptions { stdio, console, pid_file, view_mounts, .. } = options;
        self.go(&way, stdio, console, pid_file, view_mounts)
    }

    /// Makes the process that takes this way in.
    pub(super) fn go(
        &self,
        way: &Way,
        stdio: Stdio,
        console: Console,
        pid_file: Option<PathBuf>,
        view_mounts: ViewMounts,
    ) -> Result<Executing> {
        prctl::set_dumpable(false).map_err(Error::call("protect the process"))?;
        let (parent_end, child_end) = channel::pair().map_err(Error::call("make a channel"))?;
        let exec = ExecPlan {
            process: &way.process,
            join_cgroups: &way.entry.join,
            target: self.init.as_fd(),
            kinds: self.kinds,
            cpus: way.affinity.last.as_ref(),
            stdio: match stdio {
                Stdio::Inherit => None,
                Stdio::Fds(fds) => Some(fds),
            },
        };
        match self.clone_from(way.affinity.initial.as_ref(), way.entry.clone_into.as_ref())? {
            Clone::Child => {
                drop(parent_end);
                run_exec(&exec, &child_end, view_mounts)
            }
            Clone::Parent { pid, pidfd } => Ok(Executing {
                newborn: Newborn::new(
                    pidfd,
                    parent_end,
                    Machine::new(Ends::WithExec, self.kinds.contains(CloneFlags::NEWPID)),
                ),
                pid,
                console,
                master: None,
                pid_file,
                view_mounts,
            }),
        }
    }

    /// Runs one process; returns when its program has been executed.
    ///
    /// # Errors
    /// What failed, [`Error::Step`] inside.
    pub fn exec(&self, options: ExecOptions) -> Result<Exec> {
        let mut executing = self.begin(options)?;
        loop {
            if let Some(exec) = executing.advance()? {
                return Ok(exec);
            }
        }
    }

    fn require_runnable(&self, ignore_paused: bool) -> Result<()> {
        match self.record.status(&self.dir) {
            Status::Stopped => Err(Error::NotRunning),
            Status::Paused if !ignore_paused => {
                Err(Error::WrongState { verb: "exec in", status: "paused".to_owned() })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn plan(&self, options: &ExecOptions) -> Result<ProcessPlan> {
        let around = Surroundings {
            seccomp: self.seccomp.as_ref(),
            personality: self.personality.as_ref(),
            memory_policy: self.memory_policy.as_ref(),
            keyring: Some(keyring_name(&self.record.id)),
            preserve_fds: options.preserve_fds,
        };
        refuse::process_fields(&options.process)?;
        let plan = ProcessPlan::new(&options.process, &around)?;
        match (&options.console, plan.terminal) {
            (Console::None, true) => Err(invalid("a terminal needs somebody who takes it")),
            (Console::Socket(_), false) => {
                Err(invalid("cannot use console socket if runc will not detach or allocate tty"))
            }
            _ => Ok(plan),
        }
    }

    /// What the process says, or else the container's own.
    pub(super) fn affinity(&self, process: &Process) -> Result<CpuAffinity> {
        let own = self.process.exec_cpu_affinity().as_ref();
        CpuAffinity::new(process.exec_cpu_affinity().as_ref().or(own))
    }

    /// The way into the container's cgroup, if it has one.
    pub(super) fn entry(&self, below: Option<&Path>) -> Result<Entry> {
        match below {
            None if self.record.cgroup.is_empty() => return Ok(Entry::default()),
            Some(_) => drop(self.record.require_cgroup()?),
            None => {}
        }
        let mut entry = self.cgroup(below)?.entry().map_err(|error| cgroup_error(&error))?;
        if let Some(rdt) = &self.record.rdt {
            entry.join.extend(rdt.entry().map_err(|error| cgroup_error(&error))?);
        }
        Ok(entry)
    }

    fn cgroup(&self, below: Option<&Path>) -> Result<Cgroup> {
        let path = match below {
            None => self.record.cgroup.clone(),
            Some(below) => {
                let inside = below.components().all(|part| {
                    use std::path::Component::{CurDir, Normal, RootDir};
                    matches!(part, CurDir | Normal(_) | RootDir)
                });
                let below = below.to_str().filter(|_| inside);
                let below = below.ok_or_else(|| invalid("cgroup path leaves the container's"))?;
                format!("{}/{}", self.record.cgroup, below.trim_matches('/'))
            }
        };
        Cgroup::open(path.trim_end_matches('/')).map_err(|error| cgroup_error(&error))
    }

    /// Whether it is paused, at any later time.
    pub(super) fn freezer(&self) -> Result<Freezer> {
        if self.record.cgroup.is_empty() {
            return Ok(Freezer::default());
        }
        self.cgroup(None)?.freezer().map_err(|error| cgroup_error(&error))
    }

    /// The container's first process.
    pub(super) fn init(&self) -> BorrowedFd<'_> {
        self.init.as_fd()
    }

    /// Clones on the CPUs given, and goes on where it was.
    fn clone_from(&self, initial: Option<&CpuSet>, cgroup: Option<&OwnedFd>) -> Result<Clone> {
        let Some(initial) = initial else { return self.clone_into(cgroup) };
        let failed = || Error::call("run on the CPUs of execCPUAffinity");
        let before = sched_getaffinity(Pid::from_raw(0))
            .map_err(|errno| SyscallError::new("sched_getaffinity", "", errno))
            .map_err(failed())?;
        placement::run_on(initial).map_err(failed())?;
        let cloned = self.clone_into(cgroup)?;
        if !matches!(cloned, Clone::Child) {
            placement::run_on(&before).map_err(failed())?;
        }
        Ok(cloned)
    }

    /// A cgroup that the container has divided takes no process itself: then
    /// the new one goes where the container's first process is.
    fn clone_into(&self, cgroup: Option<&OwnedFd>) -> Result<Clone> {
        let clone = |cgroup: Option<&OwnedFd>| {
            process::clone3(&CloneArgs { cgroup: cgroup.map(AsFd::as_fd), ..CloneArgs::default() })
        };
        let cloned = match clone(cgroup) {
            Err(error) if error.errno == Errno::EBUSY => {
                let beside = cgroup_of(self.record.pid)?;
                let beside = Cgroup::open(&beside).and_then(|cgroup| cgroup.entry());
                let beside = beside.map_err(|error| cgroup_error(&error))?;
                clone(beside.clone_into.as_ref())
            }
            cloned => cloned,
        };
        cloned.map_err(Error::call("clone a process"))
    }
}

/// The v2 cgroup of a process, which may have moved below the container's.
fn cgroup_of(pid: i32) -> Result<String> {
    let path = format!("/proc/{pid}/cgroup");
    let text = std::fs::read_to_string(&path).map_err(|error| Error::Call {
        what: "find the container's cgroup".to_owned(),
        source: SyscallError::from_io("read", path, &error),
    })?;
    let line = text.lines().find_map(|line| line.strip_prefix("0::"));
    line.map(str::to_owned).ok_or(Error::NotRunning)
}

/// The kinds of namespaces in which `pid` is not where we are.
fn foreign_namespaces(pid: Pid) -> Result<CloneFlags> {
    let identity = |process: &str, kind: Namespace| {
        let path = format!("/proc/{process}/ns/{}", kind.file());
        match nix::sys::stat::stat(path.as_str()) {
            Ok(stat) => Ok(Some((stat.st_dev, stat.st_ino))),
            // A kernel without this kind of namespace.
            Err(Errno::ENOENT) if process == "self" => Ok(None),
            Err(Errno::ENOENT | Errno::ESRCH) => Err(Error::NotRunning),
            Err(errno) => Err(Error::Call {
                what: "look at the container's namespaces".to_owned(),
                source: SyscallError::new("stat", path, errno),
            }),
        }
    };
    let mut kinds = CloneFlags::empty();
    for kind in Namespace::ALL {
        let ours = identity("self", kind)?;
        if ours.is_some() && ours != identity(&pid.to_string(), kind)? {
            kinds |= kind.flag();
        }
    }
    Ok(kinds)
}

impl Executing {
    /// Readable when [`advance`](Self::advance) has something to do.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.newborn.fd()
    }

    /// Nobody wants it any more: it is killed as soon as it can be, without
    /// waiting for that. [`advance`](Self::advance) tells of its end, or of a
    /// program that runs all the same; this is to be called again after it.
    pub fn abandon(&self) {
        self.newborn.abandon();
    }

    /// Handles what the process has said meanwhile; blocks when it has said
    /// nothing. `Some` once its program runs.
    ///
    /// # Errors
    /// What failed, [`Error::Step`] inside.
    pub fn advance(&mut self) -> Result<Option<Exec>> {
        match self.newborn.next()? {
            Order::Adopt { pid, pidfd } => {
                self.newborn.adopt(pidfd);
                self.pid = pid;
            }
            Order::ForwardConsole(master) => match &self.console {
                Console::Socket(path) => console::send(path, master.as_fd())?,
                Console::HandOver | Console::None => self.master = Some(master),
            },
            Order::ForwardListener(_) => {
                return Err(invalid("SCMP_ACT_NOTIFY is not supported for exec"));
            }
            Order::DropViewMounts => drop(std::mem::take(&mut self.view_mounts)),
            Order::Wait | Order::WriteMappings | Order::RunHooks => {}
        }
        if !self.newborn.is_finished() {
            return Ok(None);
        }
        write_pid_file(self.pid_file.as_deref(), self.pid)?;
        let pidfd = self.newborn.finish()?;
        Ok(Some(Exec { pid: self.pid, pidfd, console: self.master.take() }))
    }
}
