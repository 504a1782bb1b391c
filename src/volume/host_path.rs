//! hostPath volumes: what must be there before a container starts.

use std::fs::{DirBuilder, FileType, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use super::{Error, Result};
use crate::model::plan::HostPathCheck;
use crate::sys::SyscallError;

/// Checks the path's type, symlinks followed, and makes what may be made.
///
/// # Errors
/// [`Error::HostPathType`] in the kubelet's words; [`Error::System`].
pub(super) fn prepare(path: &str, check: HostPathCheck) -> Result<()> {
    let found = kind_of(path)?;
    match (check, found) {
        (HostPathCheck::Unset, _) => Ok(()),
        (HostPathCheck::DirectoryOrCreate, None) => make_dirs(path),
        (HostPathCheck::FileOrCreate, None) => make_file(path),
        (check, found) => {
            let (wanted, fits) = rule(check);
            if found.is_some_and(fits) {
                return Ok(());
            }
            Err(Error::HostPathType { path: path.into(), wanted })
        }
    }
}

/// What containerd does at each container's start: a missing path of no type
/// becomes a directory.
///
/// # Errors
/// [`Error::System`].
pub(super) fn make_missing(path: &str, check: HostPathCheck) -> Result<()> {
    if check == HostPathCheck::Unset && kind_of(path)?.is_none() {
        return make_dirs(path);
    }
    Ok(())
}

fn rule(check: HostPathCheck) -> (&'static str, fn(FileType) -> bool) {
    match check {
        HostPathCheck::File | HostPathCheck::FileOrCreate => ("a file", |t| t.is_file()),
        HostPathCheck::Socket => ("a socket file", |t| t.is_socket()),
        HostPathCheck::CharDevice => ("a character device", |t| t.is_char_device()),
        HostPathCheck::BlockDevice => ("a block device", |t| t.is_block_device()),
        HostPathCheck::Directory | HostPathCheck::DirectoryOrCreate | HostPathCheck::Unset => {
            ("a directory", |t| t.is_dir())
        }
    }
}

fn kind_of(path: &str) -> Result<Option<FileType>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.file_type())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed("stat", path)(e)),
    }
}

fn make_dirs(path: &str) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(failed("mkdir", path))
}

fn make_file(path: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    let made = options.write(true).create(true).truncate(false).mode(0o644).open(Path::new(path));
    made.map(drop).map_err(failed("open", path))
}

fn failed(call: &'static str, path: &str) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |e| {
        let cause = SyscallError::from_io(call, format!("{path:?}"), &e);
        Error::System { verb: "prepare host path", object: path, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HostPathCheck as Check;

    #[test]
    fn each_type_takes_its_kind_and_tells_what_it_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("file"), "").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        let folder = dir.path().to_str().unwrap().to_owned();
        let fits = [
            (Check::Directory, folder.clone(), "a directory"),
            (Check::File, path("file"), "a file"),
            (Check::Socket, path("socket"), "a socket file"),
            (Check::CharDevice, "/dev/null".into(), "a character device"),
        ];
        for (check, right, wanted) in &fits {
            prepare(right, *check).unwrap();
            for (_, wrong, _) in fits.iter().filter(|(_, path, _)| path != right) {
                let error = prepare(wrong, *check).unwrap_err().to_string();
                let text = format!("hostPath type check failed: {wrong} is not {wanted}");
                assert_eq!(error, text);
            }
            assert!(prepare(&path("missing"), *check).is_err());
        }
        let error = prepare(&folder, Check::BlockDevice).unwrap_err().to_string();
        assert!(error.ends_with("is not a block device"), "{error}");
        assert!(prepare(&path("file"), Check::DirectoryOrCreate).is_err());
        assert!(prepare(&folder, Check::FileOrCreate).is_err());
    }

    #[test]
    fn what_may_be_made_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        prepare(&path("a/b"), Check::DirectoryOrCreate).unwrap();
        prepare(&path("a/f"), Check::FileOrCreate).unwrap();
        assert!(prepare(&path("missing/f"), Check::FileOrCreate).is_err());
        prepare(&path("later"), Check::Unset).unwrap();
        assert!(!dir.path().join("later").exists());
        make_missing(&path("later"), Check::Unset).unwrap();
        assert!(dir.path().join("a/b").is_dir() && dir.path().join("later").is_dir());
        assert!(dir.path().join("a/f").is_file());
    }
}
