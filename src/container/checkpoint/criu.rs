//! The criu program, and one conversation with it.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::super::error::{Error, Result};
use super::options::Images;
use super::request::{Kind, Options, Response, request};
use crate::model::{ErrorKind, Signal};
use crate::sys::exec::{ExecVector, execve};
use crate::sys::mount::{self, Attributes, Propagation};
use crate::sys::process::{
    Clone, CloneArgs, CloneFlags, Wait, clone3, exit_now, pidfd_send_signal, pidfd_wait_exit,
    wait_pidfd,
};
use crate::sys::{SyscallError, fd, path, prctl};

/// criu's messages are far smaller.
const MESSAGE_SIZE: usize = 64 * 1024;
/// How long criu may take to end once the conversation has.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first version that tells its version.
const LEAST: u64 = 30_000;

/// Whether criu is in `$PATH`: what a caller that asks `checkpoint --help`
/// wants to know.
#[must_use]
pub fn installed() -> bool {
    find().is_some()
}

fn find() -> Option<PathBuf> {
    use nix::unistd::{AccessFlags, access};
    let path = std::env::var_os("PATH")?;
    let mut programs = std::env::split_paths(&path).map(|folder| folder.join("criu"));
    programs.find(|program| program.is_file() && access(program, AccessFlags::X_OK).is_ok())
}

pub(super) fn failed(problem: impl Into<String>) -> Error {
    Error::Criu { problem: problem.into(), log: None }
}

/// A criu that works on this machine, as far as it says so itself.
#[derive(Debug)]
pub(super) struct Criu {
    program: CString,
    pub(super) version: u64,
}

/// Where criu runs, and what it can reach.
#[derive(Debug, Default)]
pub(super) struct Place<'a> {
    /// It gets the caller's standard streams, for the restored processes.
    pub(super) own_stdio: bool,
    pub(super) clone_into: Option<BorrowedFd<'a>>,
    pub(super) join_cgroups: &'a [OwnedFd],
    /// The container's root, and the folder at which criu finds it mounted, in
    /// a mount namespace that only criu has.
    pub(super) root: Option<(&'a Path, &'a Path)>,
    /// Left open, under their numbers.
    pub(super) keep: &'a [OwnedFd],
    /// The folders it works in.
    pub(super) images: Option<&'a Images>,
}

impl Criu {
    /// # Errors
    /// Not installed; or it ends at once on this kernel, in its own words.
    pub(super) fn find() -> Result<Self> {
        let Some(program) = find() else {
            return Err(Error::Resource {
                what: "criu",
                kind: ErrorKind::Unsupported,
                problem: "exec: \"criu\": executable file not found in $PATH".to_owned(),
            });
        };
        let program = CString::new(program.as_os_str().as_bytes())
            .map_err(|_| failed("NUL byte in its path"))?;
        let mut criu = Self { program, version: 0 };
        let answer = criu.ask(Kind::Version)?;
        if answer.version < LEAST {
            return Err(failed(format!("version {} is too old", answer.version)));
        }
        criu.version = answer.version;
        Ok(criu)
    }

    /// What this criu can do on this kernel.
    ///
    /// # Errors
    /// As [`Self::serve`].
    pub(super) fn features(&self) -> Result<Response> {
        self.ask(Kind::FeatureCheck)
    }

    fn ask(&self, kind: Kind) -> Result<Response> {
        self.serve(&Place::default(), kind, None, &mut |_, _| Ok(()))
    }

    /// One request from begin to end. `at` is told of each stage that criu has
    /// come to, with the descriptors that came along; criu waits for it, and
    /// gives up when it fails.
    ///
    /// # Errors
    /// What `at` failed with, or criu.
    pub(super) fn serve(
        &self,
        place: &Place<'_>,
        kind: Kind,
        mut options: Option<Options>,
        at: &mut dyn FnMut(&Response, Vec<OwnedFd>) -> Result<()>,
    ) -> Result<Response> {
        let mut session = self.start(place)?;
        let folders = session.meet()?;
        if let (Some(options), Some((images, work))) = (&mut options, folders) {
            options.folders(images, work);
        }
        session.send(request(kind, options.as_ref()).as_bytes())?;
        let mut refused = None;
        let answer = loop {
            let (answer, fds) = match session.receive() {
                Ok(Some(heard)) => heard,
                Ok(None) => return Err(refused.unwrap_or_else(|| session.ended_early())),
                Err(error) => return Err(error),
            };
            if answer.kind != Kind::Notify as u64 {
                break answer;
            }
            match at(&answer, fds) {
                Ok(()) => session.send(request(Kind::Notify, None).as_bytes())?,
                // Hearing nothing more, criu undoes what it has done.
                Err(error) => {
                    refused = Some(error);
                    session.hang_up();
                }
            }
        };
        match refused {
            Some(error) => Err(error),
            None if answer.success => Ok(answer),
            None if answer.problem.is_empty() => {
                Err(failed(format!("failed with errno {}", answer.errno)))
            }
            None => Err(failed(answer.problem.trim())),
        }
    }

    fn start(&self, place: &Place<'_>) -> Result<Session> {
        let env = std::env::vars_os().filter_map(|(name, value)| {
            Some(format!("{}={}", name.into_string().ok()?, value.into_string().ok()?))
        });
        let Ok(env) = ExecVector::new(env) else {
            return Err(failed("NUL byte in the environment"));
        };
        let (ours, theirs) = fd::seqpacket_pair().map_err(Error::call("start criu"))?;
        let words =
            memfd_create(c"criu", MFdFlags::MFD_CLOEXEC).map(File::from).map_err(|errno| {
                Error::call("start criu")(SyscallError::new("memfd_create", "", errno))
            })?;
        let flags = if place.root.is_some() { CloneFlags::NEWNS } else { CloneFlags::empty() };
        let clone = CloneArgs { flags, cgroup: place.clone_into, ..CloneArgs::default() };
        match clone3(&clone).map_err(Error::call("start criu"))? {
            Clone::Parent { pidfd, .. } => {
                Ok(Session { socket: Some(ours), process: pidfd, words: Some(words) })
            }
            Clone::Child => {
                prctl::reset_signals();
                let error = match prepare(place, &theirs, &words) {
                    Ok((args, _kept)) => execve(&self.program, &args, &env),
                    Err(error) => error,
                };
                let _ = nix::unistd::write(&words, error.to_string().as_bytes());
                exit_now(127)
            }
        }
    }
}

/// In the child that becomes criu: its command line, and what must stay open.
///
/// criu looks for the folders among the descriptors of whoever made its socket,
/// and changes into them and mounts there. So it is this process that makes the
/// socket and opens the folders, in its own mount namespace, and tells its
/// maker of both.
fn prepare(
    place: &Place<'_>,
    maker: &OwnedFd,
    words: &File,
) -> std::result::Result<(ExecVector, Vec<OwnedFd>), SyscallError> {
    for procs in place.join_cgroups {
        nix::unistd::write(procs, b"0")
            .map_err(|errno| SyscallError::new("write", "cgroup.procs", errno))?;
    }
    if let Some((root, at)) = place.root {
        mount_root(root, at)?;
    }
    if !place.own_stdio {
        let null = File::open("/dev/null")
            .map_err(|error| SyscallError::from_io("open", "/dev/null", &error))?;
        fd::install_stdio([null.as_fd(), words.as_fd(), words.as_fd()])?;
    }
    let (theirs, ours) = fd::seqpacket_pair()?;
    let mut kept = vec![ours];
    for folder in place.images.iter().flat_map(|images| images.folders()) {
        let opened = File::open(folder)
            .map_err(|error| SyscallError::from_io("open", format!("{folder:?}"), &error))?;
        kept.push(opened.into());
    }
    let numbers: Vec<String> = kept.iter().map(|fd| fd.as_raw_fd().to_string()).collect();
    fd::send_with_fds(maker.as_fd(), numbers.join(" ").as_bytes(), &[theirs.as_fd()])?;
    fd::close_range_cloexec(3)?;
    for fd in place.keep.iter().chain(&kept) {
        if !fd::keep_over_exec(fd.as_raw_fd()) {
            return Err(SyscallError::new("fcntl", "F_SETFD", nix::errno::Errno::last()));
        }
    }
    let args = ExecVector::new(["criu", "swrk", &numbers[0]]);
    let with_nul = |_| SyscallError::new("execve", "NUL byte", nix::errno::Errno::EINVAL);
    Ok((args.map_err(with_nul)?, kept))
}

/// criu wants the root to be a mount of its own.
fn mount_root(root: &Path, at: &Path) -> std::result::Result<(), SyscallError> {
    let all = path::handle_at(mount::at_cwd(), "/".as_ref())?;
    let slave = Attributes { propagation: Some(Propagation::Slave), ..Attributes::default() };
    mount::set_attributes(all.as_fd(), slave, true)?;
    let tree = mount::clone_tree(mount::at_cwd(), root, true)?;
    let target = path::handle_at(mount::at_cwd(), at.as_os_str())?;
    mount::move_mount(tree.as_fd(), target.as_fd())
}

/// A criu that runs. Dropped, it is given a moment to end, and then killed.
#[derive(Debug)]
struct Session {
    socket: Option<OwnedFd>,
    process: OwnedFd,
    /// What it wrote to its standard error.
    words: Option<File>,
}

impl Session {
    /// Takes criu's socket from the process that becomes criu: the numbers of
    /// the folders there, if it has any.
    fn meet(&mut self) -> Result<Option<(i32, Option<i32>)>> {
        let Some(maker) = self.socket.take() else { return Ok(None) };
        let mut buffer = [0; 128];
        let (length, fds) =
            fd::receive_with_fds(maker.as_fd(), &mut buffer).map_err(Error::call("start criu"))?;
        let Some(socket) = fds.into_iter().next() else { return Err(self.ended_early()) };
        self.socket = Some(socket);
        let text = String::from_utf8_lossy(&buffer[..length]);
        let mut numbers = text.split(' ').skip(1).filter_map(|number| number.parse().ok());
        Ok(numbers.next().map(|images| (images, numbers.next())))
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        match fd::send_with_fds(socket.as_fd(), bytes, &[]) {
            // It has ended: why is told where its answer is missing.
            Err(error) if error.errno == nix::errno::Errno::EPIPE => Ok(()),
            sent => sent.map_err(Error::call("talk to criu")),
        }
    }

    /// `None` when criu has ended.
    fn receive(&self) -> Result<Option<(Response, Vec<OwnedFd>)>> {
        let Some(socket) = &self.socket else { return Ok(None) };
        let mut buffer = vec![0; MESSAGE_SIZE];
        let (length, fds) = match fd::receive_with_fds(socket.as_fd(), &mut buffer) {
            Err(error) if error.errno == nix::errno::Errno::ECONNRESET => return Ok(None),
            received => received.map_err(Error::call("talk to criu"))?,
        };
        if length == 0 {
            return Ok(None);
        }
        let answer = Response::read(&buffer[..length]);
        let answer = answer.ok_or_else(|| failed("its answer cannot be read"))?;
        Ok(Some((answer, fds)))
    }

    fn hang_up(&mut self) {
        self.socket = None;
    }

    /// Why it ended without an answer, as far as it said so.
    fn ended_early(&mut self) -> Error {
        let _ = pidfd_wait_exit(self.process.as_fd(), Some(PATIENCE));
        let mut text = String::new();
        if let Some(mut words) = self.words.take() {
            let _ = words.rewind().and_then(|()| words.read_to_string(&mut text));
        }
        match first_error(&text) {
            Some(problem) => failed(problem),
            None => failed("ended without an answer"),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.hang_up();
        if !pidfd_wait_exit(self.process.as_fd(), Some(PATIENCE)).unwrap_or(false) {
            let _ = pidfd_send_signal(self.process.as_fd(), Signal::KILL);
        }
        let _ = wait_pidfd(self.process.as_fd(), Wait::Block);
    }
}

/// Adds what criu's log tells to a failure of criu's.
pub(super) fn with_log(folder: &Path, name: &str) -> impl FnOnce(Error) -> Error {
    let log = folder.join(name);
    move |error| match error {
        Error::Criu { problem, .. } if log.exists() => {
            let text = std::fs::read(&log).unwrap_or_default();
            let cause = first_error(&String::from_utf8_lossy(&text));
            Error::Criu { problem: cause.unwrap_or(problem), log: Some(log) }
        }
        other => other,
    }
}

/// The first error that criu logged, which is the cause of the others, without
/// time and place: `(00.01) Error (criu/mount.c:77): mnt: …`. Else the last
/// words.
fn first_error(text: &str) -> Option<String> {
    let error = text.lines().find_map(|line| {
        let (_, rest) = line.split_once("Error (")?;
        rest.split_once("): ").map(|(_, problem)| problem)
    });
    let line = error.or_else(|| text.lines().rfind(|line| !line.trim().is_empty()))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_of_a_log_is_the_cause() {
        let log = "(00.1) Warn  (criu/x.c:1): y\n\
                   (00.2) Error (criu/mount.c:77): mnt: no  device\n\
                   (00.3) Error (criu/cr-dump.c:9): Dumping FAILED.\n";
        assert_eq!(first_error(log).unwrap(), "mnt: no  device");
        assert_eq!(first_error("execve: no such file\n\n").unwrap(), "execve: no such file");
        assert_eq!(first_error(" \n"), None);
    }
}
