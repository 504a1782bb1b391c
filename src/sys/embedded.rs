//! The programs that the executables carry inside, run from memory.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use nix::sys::statvfs::{FsFlags, statvfs};

use super::SyscallError;

/// The program that holds a pod's namespaces (`sys/pause/`).
pub const PAUSE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));
/// The program that outlives a pod's shim (`sys/keeper/`).
pub const KEEPER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/keeper"));

/// Executable in spite of `vm.memfd_noexec=1` (Linux 6.3).
const MFD_EXEC: MFdFlags = MFdFlags::from_bits_retain(0x10);

/// An executable file that exists nowhere and that nobody can change, for
/// [`super::exec::execveat`]. Where memory may not be executed
/// (`vm.memfd_noexec=2`) it is an unlinked file opened for reading.
///
/// # Errors
/// The errno of memfd_create(2), write(2) or fcntl(2); of the fall-back's
/// open(2) when no writable folder allows execution.
pub fn sealed_memfd(name: &str, bytes: &[u8]) -> Result<OwnedFd, SyscallError> {
    let failed = |call, errno| SyscallError::new(call, name, errno);
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let memfd = match memfd_create(name, flags | MFD_EXEC) {
        // Older than Linux 6.3: every memfd is executable.
        Err(Errno::EINVAL) => memfd_create(name, flags),
        Err(Errno::EACCES) => return unlinked_file(name, bytes),
        result => result,
    };
    let mut file = File::from(memfd.map_err(|errno| failed("memfd_create", errno))?);
    file.write_all(bytes).map_err(|error| SyscallError::from_io("write", name, &error))?;
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).map_err(|errno| failed("fcntl", errno))?;
    Ok(file.into())
}

/// Folders for the fall-back, memory first.
const FOLDERS: [&str; 4] = ["/run", "/dev/shm", "/var/lib", "/tmp"];

fn unlinked_file(name: &str, bytes: &[u8]) -> Result<OwnedFd, SyscallError> {
    let mut last = Errno::EACCES;
    for folder in FOLDERS {
        let executable =
            statvfs(folder).is_ok_and(|stat| !stat.flags().contains(FsFlags::ST_NOEXEC));
        if !executable {
            continue;
        }
        match unlinked_file_in(folder, bytes) {
            Ok(file) => return Ok(file),
            Err(errno) => last = errno,
        }
    }
    Err(SyscallError::new("open", format!("{name}, O_TMPFILE"), last))
}

/// Written through one descriptor, executed through another: a file that is
/// open for writing cannot be executed (ETXTBSY).
fn unlinked_file_in(folder: &str, bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_TMPFILE | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let mut writer = File::from(open(folder, flags, Mode::S_IRUSR | Mode::S_IXUSR)?);
    writer
        .write_all(bytes)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ExitStatus;
    use crate::sys::exec::{ExecVector, execveat};
    use crate::sys::process::{Clone, Wait, exit_now, fork_with_pidfd, wait_pidfd};
    use crate::sys::testing::alone;
    use std::os::fd::AsFd;

    /// How `program` ends after SIGTERM, or at once for the keeper, which finds
    /// no table.
    fn run(program: &OwnedFd) -> Option<ExitStatus> {
        let args = ExecVector::new(["test"]).expect("no NUL");
        match fork_with_pidfd().expect("fork") {
            Clone::Child => {
                let _ = execveat(program.as_fd(), &args, &args);
                exit_now(99)
            }
            Clone::Parent { pidfd, .. } => wait_pidfd(pidfd.as_fd(), Wait::Block).expect("wait"),
        }
    }

    #[test]
    fn an_embedded_program_runs_from_memory_and_from_the_fall_back() {
        alone(|| {
            let from_memory = sealed_memfd("keeper", KEEPER).expect("memfd");
            assert_eq!(run(&from_memory), Some(ExitStatus::Exited(2)));
            let from_file = unlinked_file("keeper", KEEPER).expect("file");
            assert_eq!(run(&from_file), Some(ExitStatus::Exited(2)));
        });
    }

    #[test]
    fn a_sealed_memfd_cannot_be_changed() {
        let program = sealed_memfd("pause", PAUSE).expect("memfd");
        assert_eq!(nix::unistd::write(&program, b"x"), Err(Errno::EPERM));
        assert_eq!(nix::unistd::ftruncate(&program, 0), Err(Errno::EPERM));
    }
}
