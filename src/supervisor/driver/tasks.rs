//! What runs beside the containers for a while: the processes and connections
//! of probes, hooks and execs. A task has at most three descriptors to wait on
//! and one deadline.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use super::context::Context;
use crate::container::{Commands, Exec, Executing};
use crate::lifecycle::event::{HookKind, Instance, ProbeKind};
use crate::model::{ExitStatus, Signal};
use crate::supervisor::token::{ClientId, TaskId, Token};
use crate::sys::pipe::set_nonblocking;
use crate::sys::process::pidfd_send_signal;
use crate::sys::{SyscallError, fd};

use super::connection::Connection;
use crate::supervisor::probe::http::Agent;
use crate::supervisor::probe::url::Url;

/// What is kept of a handler's output, for each of its two streams.
const OUTPUT_BYTES: usize = 10 * 1024;

/// For whom a task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Probe(Instance, ProbeKind),
    Hook(Instance, HookKind),
    Exec(ClientId),
    /// Nobody wants the result any more: it is only reaped.
    Nobody,
    /// Its time is over: it is killed as soon as it can be.
    Abandoned,
}

/// A task under way.
#[derive(Debug)]
pub struct Task {
    pub purpose: Purpose,
    pub work: Work,
    /// Nanoseconds of `CLOCK_BOOTTIME`.
    pub deadline_ns: Option<u64>,
}

#[derive(Debug)]
pub enum Work {
    /// A process that is on its way into the container.
    Entering { executing: Box<Executing>, capture: Capture },
    /// A process whose program runs there.
    Process { pidfd: OwnedFd, capture: Capture },
    /// tcpSocket.
    Knock(Connection),
    /// httpGet.
    Http { connection: Connection, ask: Box<Ask> },
    /// grpc; without a connection while one that was refused waits to be tried
    /// again.
    Grpc { connection: Option<Connection>, check: Box<Check> },
    /// A host name is looked up by a process of its own.
    Resolving { process: OwnedFd, answer: OwnedFd, then: Then },
    /// The terminal of an exec whose client has left.
    Left(Arc<OwnedFd>),
    /// A hook that sleeps: only its deadline counts.
    Sleep,
}

/// What an httpGet handler asks for.
#[derive(Debug)]
pub struct Ask {
    /// Where it stands after the redirects so far.
    pub url: Url,
    pub redirects: u32,
    pub headers: Vec<(String, String)>,
    pub agent: Agent,
    /// Connect from within the pod's network namespace.
    pub inside: bool,
}

/// A health check, until when it is tried.
#[derive(Debug)]
pub struct Check {
    pub address: SocketAddr,
    pub inside: bool,
    pub service: String,
    pub until_ns: u64,
}

/// What to do with a resolved address.
#[derive(Debug)]
pub enum Then {
    Knock { host: String, port: u16 },
    Ask(Box<Ask>),
}

/// The reading ends of a process's output, and what came through them.
#[derive(Debug, Default)]
pub struct Capture {
    streams: [Option<OwnedFd>; 2],
    bytes: [Vec<u8>; 2],
}

/// All tasks of a pod.
#[derive(Debug, Default)]
pub struct Tasks {
    list: BTreeMap<TaskId, Task>,
    next: u32,
}

impl Tasks {
    /// A number for a task whose descriptors are waited for before it is
    /// inserted.
    pub fn reserve(&mut self) -> TaskId {
        let id = TaskId(self.next);
        self.next += 1;
        id
    }

    pub fn insert(&mut self, id: TaskId, task: Task) {
        self.list.insert(id, task);
    }

    pub fn get_mut(&mut self, id: TaskId) -> Option<&mut Task> {
        self.list.get_mut(&id)
    }

    pub fn take(&mut self, id: TaskId) -> Option<Task> {
        self.list.remove(&id)
    }

    /// The task that runs for somebody.
    #[must_use]
    pub fn find(&self, purpose: Purpose) -> Option<TaskId> {
        self.list.iter().find(|(_, task)| task.purpose == purpose).map(|(&id, _)| id)
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.list.values().filter_map(|task| task.deadline_ns).min()
    }

    /// The tasks whose deadline has passed.
    #[must_use]
    pub fn overdue(&self, now_ns: u64) -> Vec<TaskId> {
        let due = |task: &Task| task.deadline_ns.is_some_and(|deadline| deadline <= now_ns);
        self.list.iter().filter(|(_, task)| due(task)).map(|(&id, _)| id).collect()
    }
}

/// Begins to run `command` in a container, its output captured.
///
/// # Errors
/// The engine's line.
pub fn begin_captured(
    commands: &mut Commands,
    command: Vec<String>,
) -> Result<(Executing, Capture), String> {
    let failed = |error: SyscallError| error.to_string();
    let ((out, out_end), (err, err_end)) =
        (fd::pipe().map_err(failed)?, fd::pipe().map_err(failed)?);
    for reader in [&out, &err] {
        set_nonblocking(reader).map_err(failed)?;
    }
    let null = open_null().map_err(failed)?;
    let executing = commands.begin(command, [null, out_end, err_end]);
    let executing = executing.map_err(|error| error.to_string())?;
    Ok((executing, Capture { streams: [Some(out), Some(err)], bytes: Default::default() }))
}

fn open_null() -> Result<OwnedFd, SyscallError> {
    std::fs::File::open("/dev/null")
        .map(OwnedFd::from)
        .map_err(|error| SyscallError::from_io("open", "/dev/null", &error))
}

/// Times that a stream is read for one report of the kernel: a whole pipe.
const READS: usize = 16;

impl Capture {
    /// Waits for output.
    ///
    /// # Errors
    /// `epoll_ctl`.
    pub fn watch(&self, id: TaskId, cx: &Context<'_>) -> Result<(), SyscallError> {
        let tokens = [Token::TaskData(id), Token::TaskError(id)];
        for (stream, token) in self.streams.iter().zip(tokens) {
            if let Some(stream) = stream {
                cx.wait_for(stream, token)?;
            }
        }
        Ok(())
    }

    /// Reads what is there, or a good piece of it: a process that writes without
    /// end must not keep the loop from its deadlines. What is beyond the part
    /// that is kept is dropped, so that the process does not wait for us.
    pub fn read(&mut self) {
        for (stream, bytes) in self.streams.iter_mut().zip(&mut self.bytes) {
            let mut buffer = [0; 4096];
            for _ in 0..READS {
                let Some(reader) = stream.as_ref() else { break };
                match nix::unistd::read(reader, &mut buffer) {
                    Ok(0) => *stream = None,
                    Ok(count) => {
                        let room = OUTPUT_BYTES.saturating_sub(bytes.len());
                        bytes.extend_from_slice(&buffer[..count.min(room)]);
                        if count < buffer.len() {
                            break;
                        }
                    }
                    Err(Errno::EINTR) => {}
                    Err(_) => break,
                }
            }
        }
    }

    /// Output, then error output, at most what is kept of one.
    #[must_use]
    pub fn text(&self) -> String {
        let [out, err] = &self.bytes;
        let mut all = [out.as_slice(), err.as_slice()].concat();
        all.truncate(OUTPUT_BYTES);
        String::from_utf8_lossy(&all).into_owned()
    }

    /// The error output alone.
    #[must_use]
    pub fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.bytes[1]).into_owned()
    }
}

impl Task {
    /// True for a health check that was refused and has time for another try.
    #[must_use]
    pub fn waits_to_retry(&self, now_ns: u64) -> bool {
        matches!(&self.work, Work::Grpc { connection: None, check } if check.until_ns > now_ns)
    }
}

impl Work {
    /// Kills the process of a task, if it has one.
    pub fn kill(&self) {
        match self {
            // ESRCH: it has ended already.
            Self::Process { pidfd, .. } => {
                let _ = pidfd_send_signal(pidfd.as_fd(), Signal::KILL);
            }
            Self::Entering { executing, .. } => executing.abandon(),
            _ => {}
        }
    }
}

/// Waits for a process that an exec has brought into a container.
///
/// # Errors
/// `epoll_ctl`.
pub fn watch_process(exec: &Exec, id: TaskId, cx: &Context<'_>) -> Result<(), SyscallError> {
    cx.wait_for(&exec.pidfd, Token::TaskProcess(id))
}

/// Reaps an ended process; `None` while it runs or when it is no child.
#[must_use]
pub fn reap(pidfd: &OwnedFd) -> Option<ExitStatus> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    match waitid(Id::PIDFd(pidfd.as_fd()), flags).ok()? {
        // An exit code has eight bits.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        WaitStatus::Exited(_, code) => Some(ExitStatus::Exited(code as u8)),
        WaitStatus::Signaled(_, signal, _) => Signal::new(signal as i32).map(ExitStatus::Signaled),
        _ => None,
    }
}
