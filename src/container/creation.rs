//! Making a container: one machine without blocking calls of its own, except
//! for what OCI hooks take.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::unistd::Pid;
use oci_spec::runtime::Spec;

use super::console;
use super::draft::{Draft, Mappings, runtime_hooks};
use super::error::{Error, Result};
use super::hooks::HookState;
use super::init::channel;
use super::init::child::run_init;
use super::init::namespaces::Hop;
use super::init::procfs::ProcDir;
use super::machine::{Ends, Machine, Order};
use super::net_devices;
use super::newborn::{Newborn, write_pid_file};
use super::options::{Console, CreateOptions, Created};
use super::outset::{HeldGate, Outset, Undo};
use super::plan;
use super::record::Record;
use super::state::Status;
use crate::sys::exec_view::ViewMounts;
use crate::sys::fault::{self, Point};
use crate::sys::process::{self, Clone, CloneArgs};
use crate::sys::{SyscallError, prctl};

/// A container in the making. Dropping it before the end undoes everything.
#[derive(Debug)]
pub struct Creation {
    // In this order: the process goes before its cgroup and state.
    newborn: Newborn,
    undo: Undo,
    record: Record,
    spec: Spec,
    console: Console,
    pid_file: Option<PathBuf>,
    held: HeldGate,
    master: Option<OwnedFd>,
    mappings: Mappings,
    view_mounts: ViewMounts,
}

/// How far a creation is.
#[derive(Debug)]
pub enum Progress {
    /// [`Creation::fd`] will become readable.
    Pending,
    Created(Created),
}

impl Creation {
    /// Resolves the plan, makes state directory and cgroup, clones the process.
    /// The caller is single-threaded.
    ///
    /// # Errors
    /// Any [`Error`]; nothing is left behind.
    pub fn begin(mut options: CreateOptions) -> Result<Self> {
        let view_mounts = std::mem::take(&mut options.view_mounts);
        let draft = Draft::new(options)?;
        let outset = Outset::make(&draft)?;
        prctl::set_dumpable(false).map_err(Error::call("protect the process"))?;
        fault::at(Point::CloneInit).map_err(Error::call("clone the container's process"))?;
        let (parent_end, child_end) = channel::pair().map_err(Error::call("make a channel"))?;
        let args = CloneArgs {
            flags: draft.init.namespaces.clone,
            cgroup: outset.clone_into.as_ref().map(AsFd::as_fd),
            ..CloneArgs::default()
        };
        let hops = draft.init.namespaces.hop != Hop::None;
        match process::clone3(&args).map_err(Error::call("clone the container's process"))? {
            Clone::Child => {
                // The copies of the maker's ends: while they are open here,
                // the maker's death would not be seen.
                drop((parent_end, outset.held));
                run_init(draft.init, &outset.entrance, &child_end, view_mounts)
            }
            Clone::Parent { pid, pidfd } => {
                drop((child_end, outset.entrance, outset.placeholder, draft.init));
                let machine = Machine::new(Ends::AfterReady, hops);
                let mut creation = Self {
                    newborn: Newborn::new(pidfd, parent_end, machine),
                    undo: outset.undo,
                    record: draft.record,
                    spec: draft.spec,
                    console: draft.console,
                    pid_file: draft.pid_file,
                    held: outset.held,
                    master: None,
                    mappings: draft.mappings,
                    view_mounts,
                };
                if !creation.undo.has_cgroup() {
                    creation.record.cgroup.clear();
                }
                creation.record.rdt = creation.undo.rdt();
                creation.adopt(pid)?;
                Ok(creation)
            }
        }
    }

    /// Readable when [`advance`](Self::advance) has something to do.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.newborn.fd()
    }

    /// Handles what the process has said meanwhile; blocks when it has said
    /// nothing, so that a caller with other things to do polls
    /// [`fd`](Self::fd) first.
    ///
    /// # Errors
    /// What failed inside or outside; nothing is left behind.
    pub fn advance(&mut self) -> Result<Progress> {
        match self.newborn.next()? {
            Order::Wait => {}
            Order::DropViewMounts => drop(std::mem::take(&mut self.view_mounts)),
            Order::WriteMappings => {
                self.write_mappings()?;
                self.newborn.go()?;
            }
            Order::RunHooks => {
                self.run_hooks()?;
                self.newborn.go()?;
            }
            Order::Adopt { pid, pidfd } => {
                self.newborn.adopt(pidfd);
                self.adopt(pid)?;
            }
            Order::ForwardConsole(master) => match &self.console {
                Console::Socket(path) => console::send(path, master.as_fd())?,
                Console::HandOver | Console::None => self.master = Some(master),
            },
            Order::ForwardListener(listener) => self.forward_listener(&listener)?,
        }
        if self.newborn.is_finished() {
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

    /// What happens from outside while the process waits in its namespaces.
    fn run_hooks(&self) -> Result<()> {
        if let Some(linux) = self.spec.linux().as_ref().filter(|linux| net_devices::given(linux)) {
            net_devices::move_all(linux, Pid::from_raw(self.record.pid))?;
        }
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
        fault::at(Point::FinishContainer).map_err(Error::call("complete the container"))?;
        write_pid_file(self.pid_file.as_deref(), Pid::from_raw(self.record.pid))?;
        if self.held.gate.is_none() {
            let (from, to) = (dir.file("exec.fifo.new"), dir.file("exec.fifo"));
            std::fs::rename(&from, &to).map_err(|error| {
                let source = SyscallError::from_io("rename", format!("{from:?}"), &error);
                Error::Call { what: "complete the container".to_owned(), source }
            })?;
        }
        let pidfd = self.newborn.finish()?;
        self.undo.disarm();
        Ok(Created {
            pid: Pid::from_raw(self.record.pid),
            pidfd,
            start_time: self.record.start_time,
            gate: self.held.gate.take(),
            exec_status: self.held.status.take(),
            console: self.master.take(),
        })
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
