//! Finding the program, as the container's user and in its file system.

use std::ffi::CString;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::{SFlag, stat};
use nix::unistd::{AccessFlags, faccessat};

use super::super::stage::{Stage, StepError};
use crate::sys::error::describe;

/// The path of `name`: itself when it has a slash, else the first executable
/// file of that name in the folders of `path`. The texts are runc's: callers
/// choose exit codes by them.
pub(super) fn find(name: &str, path: Option<&str>) -> Result<CString, StepError> {
    if name.contains('/') {
        return match check(name) {
            Ok(()) => c_path(name),
            Err(errno) => Err(refusal(name, errno)),
        };
    }
    let mut denied = false;
    for folder in path.unwrap_or_default().split(':') {
        let folder = if folder.is_empty() { "." } else { folder };
        let candidate = format!("{}/{name}", folder.trim_end_matches('/'));
        match check(&candidate) {
            Ok(()) => return c_path(&candidate),
            Err(errno) => denied |= errno == Errno::EACCES,
        }
    }
    let cause = if denied { "permission denied" } else { "executable file not found in $PATH" };
    let errno = if denied { Errno::EACCES } else { Errno::ENOENT };
    Err(StepError::new(Stage::Executable, errno, format!("exec: {name:?}: {cause}")))
}

fn refusal(name: &str, errno: Errno) -> StepError {
    let detail = match errno {
        Errno::EISDIR => format!("exec: {name:?}: is a directory"),
        Errno::EACCES => format!("exec: {name:?}: permission denied"),
        errno => format!("exec: {name:?}: stat {name}: {}", describe(errno)),
    };
    StepError::new(Stage::Executable, errno, detail)
}

fn check(path: &str) -> Result<(), Errno> {
    let kind = SFlag::from_bits_truncate(stat(path)?.st_mode) & SFlag::S_IFMT;
    match kind {
        SFlag::S_IFDIR => Err(Errno::EISDIR),
        // By the effective ids and capabilities, as exec itself decides.
        SFlag::S_IFREG => faccessat(AT_FDCWD, path, AccessFlags::X_OK, AtFlags::AT_EACCESS),
        _ => Err(Errno::EACCES),
    }
}

fn c_path(path: &str) -> Result<CString, StepError> {
    CString::new(path).map_err(|_| refusal(path, Errno::EINVAL))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_executable_in_the_path_is_found_and_refusals_use_runcs_words() {
        let dir = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (a, b) = (folder("a"), folder("b"));
        std::fs::create_dir(format!("{a}/tool")).unwrap();
        std::fs::write(format!("{b}/tool"), "").unwrap();
        std::fs::write(format!("{b}/data"), "").unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(format!("{b}/tool"), mode).unwrap();
        let path = format!("{a}:{b}/");
        assert_eq!(find("tool", Some(&path)).unwrap().to_str().unwrap(), format!("{b}/tool"));
        let error = |name: &str| find(name, Some(&path)).unwrap_err().detail;
        assert_eq!(error("none"), "exec: \"none\": executable file not found in $PATH");
        assert_eq!(error("/none"), "exec: \"/none\": stat /none: no such file or directory");
        assert_eq!(error("/tmp"), "exec: \"/tmp\": is a directory");
        assert_eq!(error(&format!("{b}/data/x")).split(": ").last(), Some("not a directory"));
        assert!(error("data").ends_with("permission denied"));
        assert!(find("tool", None).is_err());
    }
}
