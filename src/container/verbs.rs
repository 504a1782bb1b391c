//! start, kill, delete, pause, resume, ps.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use super::creation::{hook_state, read_exec_status};
use super::error::{Error, Result};
use super::hooks::{HookList, Moment};
use super::kept;
use super::plan;
use super::record::{self, Record, StateDir, cgroup_error};
use super::state::Status;
use super::systemd;
use crate::cgroup::{self, Cgroup};
use crate::model::{ContainerId, Signal};
use crate::sys::SyscallError;
use crate::sys::process::pidfd_wait_exit;

/// How long a killed process may take to be gone before `delete` gives up.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Lets a created container (with [`Gate::Fifo`](super::Gate)) execute its
/// program, and reports whether that worked.
///
/// # Errors
/// Wrong state, or what failed inside.
pub fn start(state_root: &Path, id: &ContainerId) -> Result<()> {
    let dir = StateDir::of(state_root, id);
    let record = Record::load(&dir)?;
    let wrong =
        |status: Status| Error::WrongState { verb: "start", status: status.as_str().to_owned() };
    if record.process().is_none() {
        return Err(wrong(Status::Stopped));
    }
    // It would not hear of it before it is resumed.
    if record.is_frozen() {
        return Err(wrong(Status::Paused));
    }
    let failed = |call, name: &str| {
        let args = format!("{:?}", dir.file(name));
        move |errno| Error::Call {
            what: "start container".to_owned(),
            source: SyscallError::new(call, args, errno),
        }
    };
    // Opened before the process can have executed its program, and without
    // waiting for a writer: one that has executed it has none any more.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let status = nix::fcntl::open(&dir.file("exec.status"), flags, Mode::empty());
    // Whoever moves the fifo away starts the container; there is no second.
    let taken = dir.file(&format!("exec.started.{}", std::process::id()));
    if std::fs::rename(dir.file("exec.fifo"), &taken).is_err() {
        return Err(wrong(record.status(&dir)));
    }
    let status = status.map_err(failed("open", "exec.status"))?;
    // With a reader gone, opening for both directions still never blocks.
    let gate = nix::fcntl::open(&taken, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(failed("open", "exec.fifo"))?;
    nix::unistd::write(&gate, b"0").map_err(failed("write", "exec.fifo"))?;
    let _ = nix::unistd::unlink(&taken);
    nix::fcntl::fcntl(&status, FcntlArg::F_SETFL(OFlag::empty()))
        .map_err(failed("fcntl", "exec.status"))?;
    read_exec_status(status.as_fd())?;
    if record.late_hooks {
        let spec = kept::config(dir.path())?;
        let state = hook_state(&record, &spec, Status::Running);
        HookList::of(Moment::Poststart, &spec).run(&state)?;
    }
    Ok(())
}

/// Sends a signal to the container's first process, or with `all` to every
/// process of its cgroup. `None` is signal 0: it only checks.
///
/// # Errors
/// [`Error::NotRunning`] unless `all`.
pub fn kill(state_root: &Path, id: &ContainerId, signal: Option<Signal>, all: bool) -> Result<()> {
    let dir = StateDir::of(state_root, id);
    let record = Record::load(&dir)?;
    let process = record.process();
    // The processes of a shared pid namespace do not die with their first.
    let everything = all || (signal == Some(Signal::KILL) && !record.own_pid);
    if record.cgroup.is_empty() && process.is_none() && all {
        return Ok(());
    }
    // Without a cgroup nobody but the first is known.
    if everything
        && !record.cgroup.is_empty()
        && let Some(signal) = signal
    {
        let sent = signal_all(&record, signal)?;
        return if all || sent || process.is_some() { Ok(()) } else { Err(Error::NotRunning) };
    }
    let process = process.ok_or(Error::NotRunning)?;
    match signal {
        None => Ok(()),
        Some(signal) => record::signal(&process, signal),
    }
}

/// True if there was a process to signal.
fn signal_all(record: &Record, signal: Signal) -> Result<bool> {
    let Some(cgroup) = open_cgroup(record)? else { return Ok(false) };
    let failed = |error: cgroup::Error| cgroup_error(&error);
    let pids = cgroup.pids().map_err(failed)?;
    if signal == Signal::KILL {
        cgroup.kill().map_err(failed)?;
        return Ok(!pids.is_empty());
    }
    for pid in &pids {
        // One that ends meanwhile needs no signal; and while its pidfd is
        // open, membership can be checked without a race of pids.
        let Ok(pidfd) = crate::sys::process::pidfd_open(Pid::from_raw(*pid)) else { continue };
        if cgroup.pids().map_err(failed)?.contains(pid) {
            match record::signal(&pidfd, signal) {
                Ok(()) | Err(Error::NotRunning) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(!pids.is_empty())
}

fn open_cgroup(record: &Record) -> Result<Option<Cgroup>> {
    if record.cgroup.is_empty() {
        return Ok(None);
    }
    match Cgroup::open(&record.cgroup) {
        Ok(cgroup) => Ok(Some(cgroup)),
        Err(cgroup::Error::Missing(_)) => Ok(None),
        Err(error) => Err(cgroup_error(&error)),
    }
}

/// Removes a stopped container; with `force` kills it first, and a missing one
/// is fine. Processes that are left in its cgroup are killed, cgroup and state
/// are removed, poststop hooks run.
///
/// # Errors
/// [`Error::NotStopped`] without `force`.
pub fn delete(state_root: &Path, id: &ContainerId, force: bool) -> Result<()> {
    let rest = Rest { cgroup: cgroup_of_config, poststop: run_poststop };
    delete_with(state_root, id, force, &rest)
}

/// Kills and removes a container that a pod's shim made, finished or not; a
/// missing one is fine.
///
/// # Errors
/// What cannot be removed.
pub fn delete_of_pod(state_root: &Path, id: &ContainerId) -> Result<()> {
    // A pod's containers have no such hooks.
    let rest = Rest { cgroup: cgroup_of_container, poststop: |_, _| {} };
    delete_with(state_root, id, true, &rest)
}

/// What depends on how the spec was kept.
struct Rest {
    /// The cgroup of a container whose record was never written.
    cgroup: fn(&StateDir, &ContainerId) -> Option<String>,
    poststop: fn(&StateDir, &Record),
}

fn delete_with(state_root: &Path, id: &ContainerId, force: bool, rest: &Rest) -> Result<()> {
    let dir = StateDir::of(state_root, id);
    let record = match Record::load(&dir) {
        Ok(record) => record,
        Err(Error::DoesNotExist) if force => return Ok(()),
        Err(Error::Parse { .. }) if force => {
            return remove_unfinished(&dir, (rest.cgroup)(&dir, id));
        }
        Err(error) => return Err(error),
    };
    if let Some(process) = record.process() {
        let status = record.status(&dir);
        if !force && status != Status::Created {
            let status = status.as_str().to_owned();
            return Err(Error::NotStopped { id: id.to_string(), status });
        }
        match record::signal(&process, Signal::KILL) {
            Ok(()) | Err(Error::NotRunning) => {}
            Err(error) => return Err(error),
        }
        if let (Some(cgroup), true) = (open_cgroup(&record)?, status == Status::Paused) {
            // A frozen process of a v1 hierarchy dies only when thawed.
            let _ = cgroup.thaw();
        }
        let ended = pidfd_wait_exit(process.as_fd(), Some(KILL_PATIENCE));
        if !ended.map_err(Error::call("wait for the container's end"))? {
            return Err(Error::NotStopped { id: id.to_string(), status: "unkillable".to_owned() });
        }
    }
    remove_cgroup(&record)?;
    if let Some(rdt) = &record.rdt {
        rdt.remove().map_err(|error| cgroup_error(&error))?;
    }
    if record.late_hooks {
        (rest.poststop)(&dir, &record);
    }
    dir.remove()
}

fn remove_cgroup(record: &Record) -> Result<()> {
    let Some(cgroup) = open_cgroup(record)? else { return Ok(()) };
    let failed = |error: cgroup::Error| cgroup_error(&error);
    if !cgroup.pids().map_err(failed)?.is_empty() {
        cgroup.kill().map_err(failed)?;
    }
    systemd::remove(record.cgroup_driver, &cgroup).map_err(failed)
}

/// The specification: a failing poststop hook is told, and everything else
/// goes on.
fn run_poststop(dir: &StateDir, record: &Record) {
    let ran = kept::config(dir.path()).and_then(|spec| {
        let state = hook_state(record, &spec, Status::Stopped);
        HookList::of(Moment::Poststop, &spec).run(&state)
    });
    if let Err(error) = ran {
        tracing::warn!(container = %record.id, %error, "poststop hook failed, ignoring");
    }
}

/// Whose maker was killed before it wrote the record: the process has died
/// with its maker, the cgroup is where the spec says.
fn remove_unfinished(dir: &StateDir, cgroup: Option<String>) -> Result<()> {
    if let Some(cgroup) = cgroup.and_then(|path| Cgroup::open(&path).ok()) {
        let _ = cgroup.kill();
        let _ = cgroup.remove();
    }
    dir.remove()
}

fn cgroup_of_config(dir: &StateDir, id: &ContainerId) -> Option<String> {
    let spec = kept::config(dir.path()).ok()?;
    plan::cgroup_path(spec.linux().as_ref()?, id.as_str()).ok()
}

fn cgroup_of_container(dir: &StateDir, _id: &ContainerId) -> Option<String> {
    kept::container(dir.path()).ok().map(|container| container.cgroup)
}

/// Freezes every process of the container.
///
/// # Errors
/// Wrong state.
pub fn pause(state_root: &Path, id: &ContainerId) -> Result<()> {
    let (record, status) = load(state_root, id)?;
    match status {
        Status::Running | Status::Created => in_cgroup(&record, Cgroup::freeze),
        other => Err(Error::WrongState { verb: "pause", status: other.as_str().to_owned() }),
    }
}

/// Undoes [`pause`].
///
/// # Errors
/// Wrong state.
pub fn resume(state_root: &Path, id: &ContainerId) -> Result<()> {
    let (record, status) = load(state_root, id)?;
    match status {
        Status::Paused => in_cgroup(&record, Cgroup::thaw),
        other => Err(Error::WrongState { verb: "resume", status: other.as_str().to_owned() }),
    }
}

/// The container's processes, in the caller's pid namespace.
///
/// # Errors
/// No such container.
pub fn processes(state_root: &Path, id: &ContainerId) -> Result<Vec<Pid>> {
    let (record, _) = load(state_root, id)?;
    match open_cgroup(&record)? {
        // Without a cgroup only the first is known.
        None => Ok(record.process().map(|_| Pid::from_raw(record.pid)).into_iter().collect()),
        Some(cgroup) => {
            let pids = cgroup.pids().map_err(|error| cgroup_error(&error))?;
            Ok(pids.into_iter().map(Pid::from_raw).collect())
        }
    }
}

fn load(state_root: &Path, id: &ContainerId) -> Result<(Record, Status)> {
    let dir = StateDir::of(state_root, id);
    let record = Record::load(&dir)?;
    let status = record.status(&dir);
    Ok((record, status))
}

fn in_cgroup(
    record: &Record,
    act: impl Fn(&Cgroup) -> std::result::Result<(), cgroup::Error>,
) -> Result<()> {
    act(&record.require_cgroup()?).map_err(|error| cgroup_error(&error))
}
