//! Work in a process of its own: such as outlives its caller for a moment, and
//! programs that carry what the caller does not.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use super::error::cerr;
use super::exec::{ExecVector, execveat};
use super::keeper::set_oom_score_adj;
use super::process::{Clone, CloneArgs, CloneFlags, clone3, exit_now};
use super::{SyscallError, fd, prctl};

/// Runs `work` in a copy of this process that nobody waits for: a child of the
/// caller's parent, in a session of its own, with nothing open but /dev/null.
/// `work` therefore must not bring any descriptor along.
///
/// `clone_into` and `join` name the cgroup it runs in (see
/// [`super::keeper::SpawnArgs`]).
///
/// # Errors
/// The errno of clone3(2) or of opening /dev/null; what goes wrong later is
/// nobody's to hear.
pub fn run_apart(
    name: &CStr,
    clone_into: Option<BorrowedFd>,
    join: &[OwnedFd],
    work: impl FnOnce(),
) -> Result<(), SyscallError> {
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|error| SyscallError::from_io("open", "/dev/null", &error))?;
    let args = CloneArgs { flags: CloneFlags::PARENT, cgroup: clone_into, ..CloneArgs::default() };
    match clone3(&args)? {
        Clone::Parent { .. } => Ok(()),
        Clone::Child => {
            if prepare(name, join, &null).is_ok() {
                work();
            }
            exit_now(0)
        }
    }
}

/// Starts a program with these standard streams, and nothing else of this
/// process's, as a child of it.
///
/// # Errors
/// The errno of clone3(2), or EINVAL for a NUL byte in an argument. That the
/// program could not be executed is written to its standard error.
pub fn run_program(
    program: BorrowedFd,
    args: &[&str],
    stdio: [BorrowedFd; 3],
) -> Result<OwnedFd, SyscallError> {
    let with_nul = |_| SyscallError::new("execveat", "NUL byte in argument", Errno::EINVAL);
    let args = ExecVector::new(args).map_err(with_nul)?;
    let env = ExecVector::new::<&str>([]).map_err(with_nul)?;
    match clone3(&CloneArgs::default())? {
        Clone::Parent { pidfd, .. } => Ok(pidfd),
        Clone::Child => {
            prctl::reset_signals();
            let ready = set_oom_score_adj(0)
                .and_then(|()| fd::install_stdio(stdio))
                .and_then(|()| fd::close_range_cloexec(3));
            let error = match ready {
                Ok(()) => execveat(program, &args, &env),
                Err(error) => error,
            };
            let _ = nix::unistd::write(stdio[2], error.to_string().as_bytes());
            exit_now(127)
        }
    }
}

fn prepare(name: &CStr, join: &[OwnedFd], null: &File) -> Result<(), SyscallError> {
    for procs in join {
        nix::unistd::write(procs, b"0")
            .map_err(|errno| SyscallError::new("write", "cgroup.procs", errno))?;
    }
    nix::unistd::setsid().map_err(|errno: Errno| SyscallError::new("setsid", "", errno))?;
    nix::sys::prctl::set_name(name)
        .map_err(|errno| SyscallError::new("prctl", "PR_SET_NAME", errno))?;
    prctl::reset_signals();
    fd::install_stdio([null.as_fd(); 3])?;
    // SAFETY: this process is a copy that runs `work` and ends with _exit: of
    // what owned these descriptors in the original, nothing is dropped or used
    // here, and `work` brings none along by contract.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    cerr(result, "close_range", || "3..".to_owned()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::alone;
    use std::io::Read;

    #[test]
    fn work_apart_runs_and_holds_nothing_of_its_caller() {
        alone(|| {
            let dir = tempfile::tempdir().expect("dir");
            let file = dir.path().join("done");
            let (reader, writer) = fd::pipe().expect("pipe");
            run_apart(c"podrt-test", None, &[], || {
                let open = std::fs::read_dir("/proc/self/fd").map(Iterator::count).unwrap_or(0);
                let _ = std::fs::write(&file, format!("{open}"));
                std::thread::sleep(std::time::Duration::from_secs(3));
            })
            .expect("clone");
            drop(writer);
            let begin = std::time::Instant::now();
            // The end of the file comes when the helper has let go, not when it ends.
            File::from(reader).read_to_end(&mut Vec::new()).expect("read");
            assert!(begin.elapsed() < std::time::Duration::from_secs(2));
            while !file.exists() {
                assert!(begin.elapsed() < std::time::Duration::from_secs(10));
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
    }
}
