//! Making a container: one machine without blocking calls of its own, except
//! for what OCI hooks take.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use oci_spec::runtime::{LinuxResources, Spec};

use super::error::{Error, Result};
use super::hooks::{HookList, HookState, Moment};
use super::init::channel::{self, ParentEnd};
use super::init::child::{ChildHooks, InitPlan, run_init};
use super::init::namespaces::Hop;
use super::init::process::{ProcessPlan, Surroundings};
use super::init::procfs::ProcDir;
use super::machine::{Ends, Machine, Order};
use super::options::{Console, CreateOptions, Created, Gate, RootSource, Stdio};
use super::record::{Record, StateDir, cgroup_error, store_error};
use super::state::Status;
use super::{console, plan, proc_mount};
use crate::cgroup::Cgroup;
use crate::rootfs::{CgroupView, RootfsInput, RootfsPlan};
use crate::store::atomic::{self, Durability};
use crate::sys::process::{self, Clone, CloneArgs, Wait};
use crate::sys::{SyscallError, fd, prctl};

/// A container in the making. Dropping it before the end undoes everything.
#[derive(Debug)]
pub struct Creation {
    undo: Undo,
    machine: Machine,
    channel: ParentEnd,
    record: Record,
    spec: Spec,
    console: Console,
    pid_file: Option<PathBuf>,
    gate: Option<OwnedFd>,
    exec_status: Option<OwnedFd>,
    master: Option<OwnedFd>,
    mappings: Mappings,
}

/// How far a creation is.
#[derive(Debug)]
pub enum Progress {
    /// [`Creation::fd`] will become readable.
    Pending,
    Created(Created),
}

/// What the maker writes below `/proc/<pid>` for a child in a new user
/// namespace.
#[derive(Debug)]
struct Mappings {
    uid_map: String,
    gid_map: String,
    /// With the limits too: the child has no right to set them any more.
    limits: Option<(Option<i32>, Vec<prctl::Rlimit>)>,
}

/// What exists so far; undone when dropped, unless the container is complete.
#[derive(Debug)]
struct Undo {
    dir: StateDir,
    cgroup: Option<Cgroup>,
    process: Option<OwnedFd>,
    armed: bool,
}

impl Drop for Undo {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        if let Some(pidfd) = &self.process {
            let _ = process::pidfd_send_signal(pidfd.as_fd(), crate::model::Signal::KILL);
            let _ = process::wait_pidfd(pidfd.as_fd(), Wait::Block);
        }
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill();
            let _ = cgroup.remove();
        }
        let _ = self.dir.remove();
    }
}

/// Both ends of gate and status.
struct Gates {
    child_gate: OwnedFd,
    child_status: OwnedFd,
    gate: Option<OwnedFd>,
    status: Option<OwnedFd>,
}

impl Creation {
    /// Resolves the plan, makes state directory and cgroup, clones the process.
    /// The caller is single-threaded.
    ///
    /// # Errors
    /// Any [`Error`]; nothing is left behind.
    pub fn begin(options: CreateOptions) -> Result<Self> {
        let spec = options.spec;
        let linux = plan::linux(&spec)?;
        plan::check(&spec, linux)?;
        let id = options.id;
        let namespaces = plan::namespaces(linux, options.namespaces)?;
        let cgroup_path = super::systemd::cgroup_path(options.cgroup_driver, linux, id.as_str())?;
        let process = process_plan(&spec, &id, options.no_new_keyring, options.preserve_fds)?;
        check_console(&process, &options.console)?;

        let mut sources = options.sources;
        if let Some(pid_namespace) = namespaces.joined_pid() {
            proc_mount::add(&spec, pid_namespace.as_fd(), &mut sources)?;
        }
        let rootfs_path = match &options.root {
            RootSource::Path(path) => options.bundle.join(path),
            RootSource::Detached(_) => PathBuf::new(),
        };
        let rootfs = RootfsPlan::prepare(RootfsInput {
            spec: &spec,
            bundle: &options.bundle,
            root: options.root,
            sources,
            cgroup: CgroupView { path: &cgroup_path, own_namespace: namespaces.own_cgroup },
            no_pivot: options.no_pivot,
            console: process.terminal,
            user_namespace: namespaces.foreign_user,
        })
        .map_err(|e| Error::Resource {
            what: "rootfs",
            kind: e.kind(),
            problem: e.to_string(),
        })?;

        let mappings = Mappings {
            uid_map: plan::mapping(linux.uid_mappings()),
            gid_map: plan::mapping(linux.gid_mappings()),
            limits: namespaces
                .clones_user()
                .then(|| (process.oom_score_adj, process.rlimits.clone())),
        };
        if namespaces.makes_user() && (mappings.uid_map.is_empty() || mappings.gid_map.is_empty()) {
            return Err(plan::invalid("a new user namespace needs uidMappings and gidMappings"));
        }
        let sysctls = plan::sysctls(linux, &namespaces)?;
        let hostname = plan::machine_name("hostname", spec.hostname(), &namespaces)?;
        let domainname = plan::machine_name("domainname", spec.domainname(), &namespaces)?;
        let time_offsets = plan::time_offsets(linux)?;
        let resources = linux.resources().clone().unwrap_or_default();
        let record = Record::new(
            id.clone(),
            &spec,
            options.bundle.clone(),
            rootfs_path,
            options.owner,
            cgroup_path,
            options.cgroup_driver,
            namespaces.own_pid,
        );

        let mut undo = Undo {
            dir: StateDir::claim(&options.state_root, &id)?,
            cgroup: None,
            process: None,
            armed: true,
        };
        let (cgroup, entry) = make_cgroup(&record, &resources)?;
        undo.cgroup = Some(cgroup);
        let gates = gates(options.gate, &undo.dir)?;
        let machine = Machine::new(Ends::AfterReady, namespaces.hop != Hop::None);
        let clone_flags = namespaces.clone;
        let init = InitPlan {
            namespaces,
            time_offsets,
            join_cgroups: entry.join,
            hostname,
            domainname,
            sysctls,
            runtime_hooks: runtime_hooks(&spec).iter().any(|list| !list.is_empty()),
            hooks: child_hooks(&spec, &record),
            rootfs,
            process,
            stdio: match options.stdio {
                Stdio::Inherit => None,
                Stdio::Fds(fds) => Some(fds),
            },
            gate: gates.child_gate,
            status: gates.child_status,
        };

        prctl::set_dumpable(false).map_err(Error::call("protect the process"))?;
        let (parent_end, child_end) = channel::pair().map_err(Error::call("make a channel"))?;
        let args = CloneArgs {
            flags: clone_flags,
            cgroup: entry.clone_into.as_ref().map(AsFd::as_fd),
            ..CloneArgs::default()
        };
        match process::clone3(&args).map_err(Error::call("clone the container's process"))? {
            Clone::Child => {
                // The copies of the maker's ends: while they are open here,
                // the maker's death would not be seen.
                drop((parent_end, gates.gate, gates.status));
                run_init(init, &child_end)
            }
            Clone::Parent { pid, pidfd } => {
                drop((child_end, init));
                undo.process = Some(pidfd);
                let mut creation = Self {
                    undo,
                    machine,
                    channel: parent_end,
                    record,
                    spec,
                    console: options.console,
                    pid_file: options.pid_file,
                    gate: gates.gate,
                    exec_status: gates.status,
                    master: None,
                    mappings,
                };
                creation.undo.dir.save_spec(&creation.spec)?;
                creation.adopt(pid)?;
                Ok(creation)
            }
        }
    }

    /// Readable when [`advance`](Self::advance) has something to do.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.channel.fd()
    }

    /// Handles what the process has said meanwhile; blocks when it has said
    /// nothing, so that a caller with other things to do polls
    /// [`fd`](Self::fd) first.
    ///
    /// # Errors
    /// What failed inside or outside; nothing is left behind.
    pub fn advance(&mut self) -> Result<Progress> {
        let message = self.channel.receive().map_err(Error::call("hear of the new process"))?;
        match self.machine.handle(message)? {
            Order::Wait => {}
            Order::WriteMappings => {
                self.write_mappings()?;
                self.go()?;
            }
            Order::RunHooks => {
                self.run_hooks()?;
                self.go()?;
            }
            Order::Adopt { pid, pidfd } => {
                if let Some(first) = self.undo.process.replace(pidfd) {
                    process::wait_pidfd(first.as_fd(), Wait::Block)
                        .map_err(Error::call("reap the first process"))?;
                }
                self.adopt(pid)?;
            }
            Order::ForwardConsole(master) => match &self.console {
                Console::Socket(path) => console::send(path, master.as_fd())?,
                Console::HandOver | Console::None => self.master = Some(master),
            },
            Order::ForwardListener(listener) => self.forward_listener(&listener)?,
        }
        if self.machine.is_finished() {
            self.finish().map(Progress::Created)
        } else {
            Ok(Progress::Pending)
        }
    }

    /// Records which process is the container's.
    fn adopt(&mut self, pid: Pid) -> Result<()> {
        self.record.pid = pid.as_raw();
        // A child that has failed at once is a zombie still, and has one too.
        self.record.start_time =
            process::process_start_time(pid).map_err(Error::call("read the start time"))?;
        self.record.save(&self.undo.dir)
    }

    fn go(&self) -> Result<()> {
        self.channel.go().map_err(Error::call("let the new process go on"))
    }

    fn write_mappings(&self) -> Result<()> {
        let failed = || Error::call("map users");
        let pid = Pid::from_raw(self.record.pid);
        let proc = ProcDir::open().map_err(failed())?;
        if let Some((oom_score_adj, rlimits)) = &self.mappings.limits {
            if let Some(adjustment) = oom_score_adj {
                proc.write(&format!("{pid}/oom_score_adj"), &adjustment.to_string())
                    .map_err(Error::call("set the oom score"))?;
            }
            for limit in rlimits {
                prctl::set_rlimit_of(pid, *limit).map_err(Error::call("set rlimits"))?;
            }
        }
        proc.write(&format!("{pid}/uid_map"), &self.mappings.uid_map).map_err(failed())?;
        proc.write(&format!("{pid}/gid_map"), &self.mappings.gid_map).map_err(failed())
    }

    fn run_hooks(&self) -> Result<()> {
        let state = hook_state(&self.record, &self.spec, Status::Creating);
        runtime_hooks(&self.spec).iter().try_for_each(|list| list.run(&state))
    }

    fn forward_listener(&self, listener: &OwnedFd) -> Result<()> {
        let seccomp = self.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let seccomp = seccomp.ok_or_else(|| plan::invalid("linux.seccomp is missing"))?;
        let state = hook_state(&self.record, &self.spec, Status::Creating);
        console::send_listener(seccomp, &state, listener.as_fd())
    }

    fn finish(&mut self) -> Result<Created> {
        let dir = &self.undo.dir;
        if let Some(path) = &self.pid_file {
            let text = self.record.pid.to_string();
            atomic::write_with_mode(path, text.as_bytes(), 0o644, Durability::Volatile)
                .map_err(|error| store_error(&error))?;
        }
        if self.gate.is_none() {
            let (from, to) = (dir.file("exec.fifo.new"), dir.file("exec.fifo"));
            std::fs::rename(&from, &to).map_err(|error| {
                let source = SyscallError::from_io("rename", format!("{from:?}"), &error);
                Error::Call { what: "complete the container".to_owned(), source }
            })?;
        }
        self.undo.armed = false;
        let pidfd = self.undo.process.take();
        Ok(Created {
            pid: Pid::from_raw(self.record.pid),
            pidfd: pidfd.ok_or_else(|| Error::Died { what: "container process".to_owned() })?,
            start_time: self.record.start_time,
            gate: self.gate.take(),
            exec_status: self.exec_status.take(),
            console: self.master.take(),
        })
    }
}

fn process_plan(
    spec: &Spec,
    id: &crate::model::ContainerId,
    no_new_keyring: bool,
    preserve_fds: u32,
) -> Result<ProcessPlan> {
    let process = spec.process().as_ref().ok_or_else(|| plan::invalid("process is missing"))?;
    let linux = spec.linux().as_ref();
    let around = Surroundings {
        seccomp: linux.and_then(|linux| linux.seccomp().as_ref()),
        personality: linux.and_then(|linux| linux.personality().as_ref()),
        keyring: (!no_new_keyring).then(|| super::exec::keyring_name(id)),
        preserve_fds,
    };
    ProcessPlan::new(process, &around)
}

fn check_console(process: &ProcessPlan, console: &Console) -> Result<()> {
    match (process.terminal, console) {
        (true, Console::None) => Err(plan::invalid(
            "cannot allocate tty if runc will detach without setting console socket",
        )),
        (false, Console::Socket(_)) => {
            Err(plan::invalid("cannot use console socket if runc will not detach or allocate tty"))
        }
        _ => Ok(()),
    }
}

fn make_cgroup(
    record: &Record,
    resources: &LinuxResources,
) -> Result<(Cgroup, crate::cgroup::Entry)> {
    let cgroup = Cgroup::create(&record.cgroup, resources).map_err(|e| cgroup_error(&e))?;
    match cgroup.entry() {
        Ok(entry) => Ok((cgroup, entry)),
        Err(error) => {
            let _ = cgroup.remove();
            Err(cgroup_error(&error))
        }
    }
}

fn gates(kind: Gate, dir: &StateDir) -> Result<Gates> {
    if kind == Gate::Held {
        let (child_gate, gate) = fd::pipe().map_err(Error::call("make the gate"))?;
        let (status, child_status) = fd::pipe().map_err(Error::call("make the gate"))?;
        return Ok(Gates { child_gate, child_status, gate: Some(gate), status: Some(status) });
    }
    Ok(Gates {
        child_gate: fifo(dir, "exec.fifo.new")?,
        child_status: fifo(dir, "exec.status")?,
        gate: None,
        status: None,
    })
}

/// A fifo, open for both directions: reading it then waits for a writer
/// instead of finding none.
fn fifo(dir: &StateDir, name: &str) -> Result<OwnedFd> {
    let path = dir.file(name);
    let failed = |call| {
        let args = format!("{path:?}");
        move |errno| Error::Call {
            what: "make the gate".to_owned(),
            source: SyscallError::new(call, args, errno),
        }
    };
    nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).map_err(failed("mkfifo"))?;
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    nix::fcntl::open(&path, flags, Mode::empty()).map_err(failed("open"))
}

fn runtime_hooks(spec: &Spec) -> [HookList; 2] {
    [Moment::Prestart, Moment::CreateRuntime].map(|moment| HookList::of(moment, spec))
}

fn child_hooks(spec: &Spec, record: &Record) -> ChildHooks {
    ChildHooks {
        create_container: HookList::of(Moment::CreateContainer, spec),
        start_container: HookList::of(Moment::StartContainer, spec),
        id: record.id.to_string(),
        oci_version: record.oci_version.clone(),
        bundle: record.bundle.clone(),
        annotations: spec.annotations().clone(),
    }
}

/// What hooks outside the container read.
pub(super) fn hook_state<'a>(record: &'a Record, spec: &'a Spec, status: Status) -> HookState<'a> {
    HookState {
        oci_version: &record.oci_version,
        id: record.id.as_str(),
        status,
        pid: if status == Status::Stopped { 0 } else { record.pid },
        bundle: &record.bundle,
        annotations: spec.annotations(),
    }
}

/// [`Creation`] from begin to end, blocking.
///
/// # Errors
/// As [`Creation::begin`] and [`Creation::advance`].
pub fn create(options: CreateOptions) -> Result<Created> {
    let mut creation = Creation::begin(options)?;
    loop {
        if let Progress::Created(created) = creation.advance()? {
            return Ok(created);
        }
    }
}

/// What [`Created::exec_status`] says, once readable: `Ok` when the program
/// runs (or was killed before), else the step that failed.
///
/// # Errors
/// [`Error::Step`].
pub fn read_exec_status(status: BorrowedFd) -> Result<()> {
    let mut bytes = [0; 4096];
    let length = loop {
        match nix::unistd::read(status, &mut bytes) {
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => {
                let source = SyscallError::new("read", "exec status", errno);
                return Err(Error::Call { what: "hear of the exec".to_owned(), source });
            }
            Ok(length) => break length,
        }
    };
    match channel::decode_failure(&bytes[..length]) {
        Some(step) => Err(step.into()),
        None => Ok(()),
    }
}
