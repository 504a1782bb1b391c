//! The keeper from outside: how a command starts one, and how a shim uses the
//! one that started it. The keeper's own program lies in `sys/keeper/`, what
//! both sides know in [`super::keeper_protocol`].
//!
//! ```text
//! command ── spawn ──► keeper ── starts, and starts again ──► shim: Link::adopt
//!                        ▲                                      │
//!                        └───── keeper dead: Link::become_keeper┘
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use nix::unistd::Pid;
use std::os::fd::AsRawFd;

use super::exec::{ExecVector, execveat};
use super::hand_over::{self, HandOver};
use super::keeper_protocol as protocol;
use super::process::{Clone, CloneArgs, clone3, exit_now};
use super::{SyscallError, embedded, exit_log, fd, prctl};

/// The exit code by which a shim says that it has nothing left to do: its
/// keeper ends with it. After any other end the shim is started again.
pub const FINISHED: u8 = 42;
const _: () = assert!(FINISHED as i32 == protocol::FINISHED);

/// What a keeper is started with.
#[derive(Debug)]
pub struct SpawnArgs<'a> {
    /// The pod's folder below the root; gets the exits file.
    pub run_dir: &'a Path,
    /// The shim's executable.
    pub shim: BorrowedFd<'a>,
    /// The shim's arguments, its name first.
    pub args: &'a [String],
    /// The shim's environment, `NAME=value`.
    pub env: &'a [String],
    /// Where keeper and shim write what stderr gets (`shim.log`).
    pub log: BorrowedFd<'a>,
    /// Held from the start, for the shim to find by these keys (at most 120
    /// bytes, not beginning with `@`).
    pub held: &'a [(&'a str, BorrowedFd<'a>)],
    /// The cgroup2 directory to be born in.
    pub clone_into: Option<BorrowedFd<'a>>,
    /// `cgroup.procs` of v1 hierarchies to enter.
    pub join: &'a [OwnedFd],
    /// For keeper and shim; raised to what the machine allows.
    pub oom_score_adj: i32,
}

/// A keeper that runs. It is a child of the caller until the caller ends.
#[derive(Debug)]
pub struct Spawned {
    pub pid: Pid,
    pub pidfd: OwnedFd,
}

/// Starts a keeper, which starts the shim: in a session of its own, with
/// nothing of the caller's but what `args` names. Returns when the keeper's
/// program runs; whether the shim came up, the shim itself tells (for example
/// through a pipe among `held`).
///
/// # Errors
/// The first failing call, also one made in the child.
pub fn spawn(args: &SpawnArgs) -> Result<Spawned, SyscallError> {
    let exits = exit_log::open_for_append(args.run_dir)?;
    let own = [(protocol::SHIM_KEY, args.shim), (protocol::EXITS_KEY, exits.as_fd())];
    let held = args.held.iter().map(|(key, fd)| (key.as_bytes(), *fd));
    let program = Program::new(args.args, args.env, own.into_iter().chain(held))?;
    let null = open_null()?;
    let (mut failure, mut report) = pipe_files()?;
    match clone3(&CloneArgs { cgroup: args.clone_into, ..CloneArgs::default() })? {
        Clone::Parent { pid, pidfd } => {
            drop(report);
            let mut text = String::new();
            // The end of the file means that the exec closed the pipe.
            let _ = failure.read_to_string(&mut text);
            match parse_failure(&text) {
                None => Ok(Spawned { pid, pidfd }),
                Some(error) => {
                    let _ = super::process::wait_pidfd(pidfd.as_fd(), super::process::Wait::Block);
                    Err(error)
                }
            }
        }
        Clone::Child => {
            let error = become_child(args, &null, &program);
            let _ = write!(report, "{} {}", error.errno as i32, error.call);
            exit_now(1)
        }
    }
}

/// The steps of the child; returns only when one failed.
fn become_child(args: &SpawnArgs, null: &File, program: &Program) -> SyscallError {
    let prepare = || -> Result<(), SyscallError> {
        nix::unistd::setsid().map_err(|errno| SyscallError::new("setsid", "", errno))?;
        for procs in args.join {
            nix::unistd::write(procs, b"0")
                .map_err(|errno| SyscallError::new("write", "cgroup.procs", errno))?;
        }
        set_oom_score_adj(args.oom_score_adj)?;
        nix::unistd::chdir("/").map_err(|errno| SyscallError::new("chdir", "/", errno))?;
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        prctl::reset_signals();
        fd::install_stdio([null.as_fd(), args.log, args.log])
    };
    match prepare() {
        Ok(()) => program.execute(),
        Err(error) => error,
    }
}

/// Sets this process's OOM score, at least as low as the machine allows: a
/// lower one than the present minimum needs `CAP_SYS_RESOURCE`.
///
/// # Errors
/// The errno of open(2) or write(2), `EACCES` aside.
pub fn set_oom_score_adj(value: i32) -> Result<(), SyscallError> {
    let path = "/proc/self/oom_score_adj";
    match std::fs::write(path, value.to_string()) {
        Err(error) if error.raw_os_error() != Some(libc::EACCES) => {
            Err(SyscallError::from_io("write", path, &error))
        }
        _ => Ok(()),
    }
}

fn open_null() -> Result<File, SyscallError> {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|error| SyscallError::from_io("open", "/dev/null", &error))
}

fn pipe_files() -> Result<(File, File), SyscallError> {
    fd::pipe().map(|(reader, writer)| (reader.into(), writer.into()))
}

/// The calls that the child makes, for an error with a static name.
const CALLS: [&str; 10] = [
    "setsid",
    "write",
    "chdir",
    "open",
    "dup2",
    "fcntl",
    "close_range",
    "execveat",
    "clone3",
    "memfd_create",
];

fn parse_failure(text: &str) -> Option<SyscallError> {
    let (errno, call) = text.split_once(' ')?;
    let call = CALLS.into_iter().find(|known| *known == call).unwrap_or("exec");
    Some(SyscallError::new(call, "keeper", Errno::from_raw(errno.parse().ok()?)))
}

/// The keeper's program with all it is to find.
#[derive(Debug)]
struct Program {
    executable: OwnedFd,
    args: ExecVector,
    env: ExecVector,
    fds: HandOver,
}

impl Program {
    fn new<'a>(
        shim_args: &[String],
        env: &[String],
        fds: impl IntoIterator<Item = (&'a [u8], BorrowedFd<'a>)>,
    ) -> Result<Self, SyscallError> {
        let with_nul = |_| SyscallError::new("execveat", "NUL byte in argument", Errno::EINVAL);
        let args = std::iter::once("podrt-keeper").chain(shim_args.iter().map(String::as_str));
        Ok(Self {
            executable: embedded::sealed_memfd("podrt-keeper", embedded::KEEPER)?,
            args: ExecVector::new(args).map_err(with_nul)?,
            env: ExecVector::new(env).map_err(with_nul)?,
            fds: HandOver::new(fds)?,
        })
    }

    /// Returns only on failure.
    fn execute(&self) -> SyscallError {
        match self.fds.release() {
            Ok(()) => execveat(self.executable.as_fd(), &self.args, &self.env),
            Err(error) => error,
        }
    }
}

/// What a keeper tells its shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// [`super::exit_log::ExitLog::read_new`] has something.
    Exits,
    /// This key could not be held.
    Refused(String),
    /// The keeper is dead: [`Link::become_keeper`].
    Gone,
}

/// A shim's side of its keeper, and all that the keeper holds for it.
#[derive(Debug)]
pub struct Link {
    _table: OwnedFd,
    control: OwnedFd,
    held: BTreeMap<String, Arc<OwnedFd>>,
    shim: OwnedFd,
    exits: OwnedFd,
}

impl Link {
    /// Takes over what the keeper handed to this process. To be called once,
    /// before anything else opens descriptors.
    ///
    /// # Errors
    /// EBADMSG when no keeper started this process.
    pub fn adopt() -> Result<Self, SyscallError> {
        let adopted = hand_over::adopt()?;
        let (mut shim, mut exits, mut held) = (None, None, BTreeMap::new());
        for (key, fd) in adopted.fds {
            match key.as_slice() {
                protocol::SHIM_KEY => shim = Some(fd),
                protocol::EXITS_KEY => exits = Some(fd),
                key => {
                    held.insert(String::from_utf8_lossy(key).into_owned(), Arc::new(fd));
                }
            }
        }
        let missing = |what| SyscallError::new("adopt", what, Errno::EBADMSG);
        Ok(Self {
            _table: adopted.table,
            control: adopted.control,
            held,
            shim: shim.ok_or_else(|| missing("no shim"))?,
            exits: exits.ok_or_else(|| missing("no exits file"))?,
        })
    }

    /// One that nobody hears, for tests.
    #[cfg(test)]
    pub(crate) fn to_nobody() -> Self {
        let null = || OwnedFd::from(open_null().expect("/dev/null"));
        Self { _table: null(), control: null(), held: BTreeMap::new(), shim: null(), exits: null() }
    }

    /// Tells the keeper that start-up succeeded. Before this, a shim that keeps
    /// dying is given up.
    ///
    /// # Errors
    /// EPIPE when the keeper is dead.
    pub fn alive(&self) -> Result<(), SyscallError> {
        self.send(protocol::ALIVE, &[], &[])
    }

    /// Gives a copy of `fd` to the keeper; from the return of this call on, it
    /// survives the death of either. An older one of the same key is let go.
    ///
    /// # Errors
    /// ENAMETOOLONG, EINVAL for a key that is no key; EPIPE when the keeper is
    /// dead (the descriptor is kept here all the same).
    pub fn hold(&mut self, key: &str, fd: Arc<OwnedFd>) -> Result<(), SyscallError> {
        if key.is_empty() || key.starts_with('@') {
            return Err(SyscallError::new("hold", key, Errno::EINVAL));
        }
        if key.len() > protocol::KEY_BYTES {
            return Err(SyscallError::new("hold", key, Errno::ENAMETOOLONG));
        }
        self.held.insert(key.to_owned(), Arc::clone(&fd));
        self.send(protocol::HOLD, key.as_bytes(), &[fd.as_fd()])
    }

    /// Lets go of what `key` holds.
    ///
    /// # Errors
    /// EPIPE when the keeper is dead.
    pub fn release(&mut self, key: &str) -> Result<(), SyscallError> {
        match self.held.remove(key) {
            Some(_) => self.send(protocol::RELEASE, key.as_bytes(), &[]),
            None => Ok(()),
        }
    }

    /// What `key` holds.
    #[must_use]
    pub fn held(&self, key: &str) -> Option<&Arc<OwnedFd>> {
        self.held.get(key)
    }

    /// All that is held, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<OwnedFd>)> {
        self.held.iter().map(|(key, fd)| (key.as_str(), fd))
    }

    /// Readable when [`Link::receive`] has something.
    #[must_use]
    pub fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// The shim's own executable, for helpers that run it.
    #[must_use]
    pub fn shim(&self) -> BorrowedFd<'_> {
        self.shim.as_fd()
    }

    /// The next notice, without waiting.
    ///
    /// # Errors
    /// The errno of recvmsg(2).
    pub fn receive(&self) -> Result<Option<Notice>, SyscallError> {
        let mut buffer = [0; protocol::KEY_BYTES + 1];
        loop {
            match recv(self.control.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Ok(0) | Err(Errno::ECONNRESET) => return Ok(Some(Notice::Gone)),
                Err(errno) => return Err(SyscallError::new("recv", "keeper", errno)),
                Ok(len) => {
                    if let Some(notice) = notice(&buffer[..len]) {
                        return Ok(Some(notice));
                    }
                }
            }
        }
    }

    /// Executes the keeper's program in this process, in place of a dead
    /// keeper: pid and children stay, everything held is handed on, and a new
    /// shim is started with `args` and `env`. Returns only on failure.
    #[must_use]
    pub fn become_keeper(&self, args: &[String], env: &[String]) -> SyscallError {
        let own =
            [(protocol::SHIM_KEY, self.shim.as_fd()), (protocol::EXITS_KEY, self.exits.as_fd())];
        let held = self.held.iter().map(|(key, fd)| (key.as_bytes(), fd.as_fd()));
        match Program::new(args, env, own.into_iter().chain(held)) {
            Ok(program) => program.execute(),
            Err(error) => error,
        }
    }

    fn send(&self, kind: u8, key: &[u8], fds: &[BorrowedFd]) -> Result<(), SyscallError> {
        let message: Vec<u8> = std::iter::once(kind).chain(key.iter().copied()).collect();
        fd::send_with_fds(self.control.as_fd(), &message, fds)
    }
}

/// An unknown kind is of a newer keeper and means nothing to this shim.
fn notice(message: &[u8]) -> Option<Notice> {
    match message.split_first()? {
        (&protocol::EXITS, _) => Some(Notice::Exits),
        (&protocol::REFUSED, key) => {
            Some(Notice::Refused(String::from_utf8_lossy(key).into_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
