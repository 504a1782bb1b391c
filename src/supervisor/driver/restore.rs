//! What the driver must know again after a kill: written beside the machine's
//! snapshot, found again together with what the keeper holds.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::Driver;
use super::context::Context;
use super::names::{self, Held, Places};
use super::run::{Parent, Process, Run, Stage};
use super::volumes::VOLUME_KEY;
use crate::lifecycle::event::{Instance, StartedFrom};
use crate::sandbox::SandboxRecord;
use crate::supervisor::log::file::LogFile;
use crate::supervisor::log::pump::ContainerLog;
use crate::supervisor::token::{RunId, Token};
use crate::sys::SyscallError;
use crate::sys::pidfd_info::parent_of;
use crate::sys::process::{pidfd_exists, process_start_time};

/// The format of the record.
const VERSION: u32 = 1;

/// The driver's part of a pod's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriverRecord {
    version: u32,
    sandbox: Option<SandboxEntry>,
    runs: Vec<RunEntry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SandboxEntry {
    attempt: u32,
    record: SandboxRecord,
    host_ips: Vec<String>,
}

/// A container whose process was told to execute its program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunEntry {
    instance: Instance,
    pid: i32,
    start_time: u64,
    from: Option<StartedFrom>,
}

impl Driver {
    /// What is to be found again.
    #[must_use]
    pub fn record(&self) -> DriverRecord {
        let sandbox = self.sandbox.as_ref().map(|sandbox| SandboxEntry {
            attempt: sandbox.attempt,
            record: sandbox.record.clone(),
            host_ips: sandbox.host_ips.clone(),
        });
        let entry = |run: &Run| {
            let process = run.process()?;
            Some(RunEntry {
                instance: run.instance,
                pid: process.pid,
                start_time: process.start_time,
                from: run.from.clone(),
            })
        };
        let runs = self.runs.values().filter_map(entry).collect();
        DriverRecord { version: VERSION, sandbox, runs }
    }

    /// Finds everything of a record again; what is not there any more is told
    /// as events. Exits that the keeper noted are to be told after this.
    pub fn restore(&mut self, record: DriverRecord, cx: &mut Context<'_>) {
        if record.version != VERSION {
            tracing::error!(version = record.version, "unknown record of running containers");
            return;
        }
        self.adopt_volumes(cx);
        self.adopt_terminals(cx);
        if let Some(SandboxEntry { attempt, record, host_ips }) = record.sandbox {
            self.find_sandbox(attempt, record, host_ips, cx);
        }
        for entry in record.runs {
            self.find_run(entry, cx);
        }
    }

    /// Tells the loss of those whose end nobody noted: reaped, and not by the
    /// keeper. To be called when the noted exits have been told.
    pub fn tell_lost(&mut self, cx: &mut Context<'_>) {
        let gone = |run: &Run| run.running().is_some_and(|p| !pidfd_exists(p.pidfd.as_fd()));
        let gone: Vec<RunId> =
            self.runs.iter().filter(|(_, run)| gone(run)).map(|(&id, _)| id).collect();
        for run_id in gone {
            self.ask_pidfd(run_id, cx);
        }
    }

    fn adopt_volumes(&mut self, cx: &Context<'_>) {
        let kept: Vec<(String, Arc<OwnedFd>)> = cx
            .keeper
            .iter()
            .filter_map(|(key, fd)| {
                Some((key.strip_prefix(VOLUME_KEY)?.to_owned(), Arc::clone(fd)))
            })
            .collect();
        for (volume, fd) in kept {
            let adopted = fd
                .try_clone()
                .map_err(|error| error.to_string())
                .and_then(|fd| self.volumes.adopt(&volume, fd).map_err(|error| error.to_string()));
            if let Err(error) = adopted {
                tracing::error!(error = %error, volume, "cannot take up volume");
            }
        }
    }

    fn find_run(&mut self, entry: RunEntry, cx: &mut Context<'_>) {
        let Some(container) = names::container(cx.plan, entry.instance.container) else { return };
        let name = container.name.clone();
        let attempt = entry.instance.attempt;
        let Some(id) = names::container_id(cx.plan, &name, attempt) else { return };
        let Some(pidfd) = held(entry.instance, Held::Pidfd, cx).or_else(|| open_pidfd(&entry))
        else {
            return;
        };
        let process = Process {
            pid: entry.pid,
            pidfd,
            start_time: entry.start_time,
            parent: parent_of_run(entry.pid),
        };
        let run_id = self.next_run_id();
        let (stage, watched) = self.find_stage(run_id, entry.instance, process, cx);
        if let Err(error) = watched {
            tracing::error!(error = %error, container = name, "cannot watch container");
        }
        let terminal = held(entry.instance, Held::Terminal, cx);
        let log = self.find_log(entry.instance, &name, terminal.clone(), cx);
        let log = log.unwrap_or_else(|error| {
            tracing::error!(error = %error, container = name, "cannot go on with log");
            None
        });
        let run = Run {
            instance: entry.instance,
            id,
            name,
            stage,
            from: entry.from,
            log,
            input: held(entry.instance, Held::Input, cx),
            terminal,
            viewers: Vec::new(),
            commands: None,
        };
        self.runs.insert(run_id, run);
        self.watch_output(run_id, cx);
    }

    /// How far the process is: while the keeper holds what tells of its exec,
    /// that was not read, and the gate may be shut.
    fn find_stage(
        &mut self,
        run_id: RunId,
        instance: Instance,
        process: Process,
        cx: &Context<'_>,
    ) -> (Stage, Result<(), SyscallError>) {
        let Some(exec_status) = held(instance, Held::ExecStatus, cx) else {
            let watched = cx.wait_for(&process.pidfd, Token::Exit(run_id));
            return (Stage::Running { process }, watched);
        };
        let watched = cx.wait_for(&*exec_status, Token::Execution(run_id));
        self.to_open.push(run_id);
        (Stage::Starting { process, gate: held(instance, Held::Gate, cx), exec_status }, watched)
    }

    /// The log, cut to where it was whole, and the outputs that go into it.
    fn find_log(
        &self,
        instance: Instance,
        name: &str,
        terminal: Option<Arc<OwnedFd>>,
        cx: &Context<'_>,
    ) -> Result<Option<ContainerLog>, SyscallError> {
        let slot = names::slot(cx.plan, instance.container);
        let journal = self.pump.journal();
        let good = journal.read(slot).map(|committed| committed.log_length);
        let places = Places::new(cx.plan, name, instance.attempt);
        let file = LogFile::open(&places.log, good, cx.plan.log_limits)?;
        let ends = (held(instance, Held::Stdout, cx), held(instance, Held::Stderr, cx));
        let log = match (terminal, ends) {
            (Some(master), _) => ContainerLog::of_terminal(file, slot, master)?,
            (None, (Some(out), Some(err))) => ContainerLog::of_pipes(file, slot, [out, err])?,
            _ => return Ok(None),
        };
        log.resume(journal)?;
        Ok(Some(log))
    }
}

/// Who will reap the process: the keeper is this process's parent. One that has
/// ended meanwhile was reaped by the keeper, or will be.
fn parent_of_run(pid: i32) -> Parent {
    match parent_of(pid) {
        Ok(parent) if parent != Pid::parent().as_raw() => Parent::Stranger,
        _ => Parent::Keeper,
    }
}

fn held(instance: Instance, what: Held, cx: &Context<'_>) -> Option<Arc<OwnedFd>> {
    cx.keeper.held(&names::key(instance, what)).map(Arc::clone)
}

/// The process of a record whose pidfd did not reach the keeper.
fn open_pidfd(entry: &RunEntry) -> Option<Arc<OwnedFd>> {
    let pid = Pid::from_raw(entry.pid);
    let pidfd = crate::sys::process::pidfd_open(pid).ok()?;
    let same = process_start_time(pid).is_ok_and(|time| time == entry.start_time);
    same.then(|| Arc::new(pidfd))
}
