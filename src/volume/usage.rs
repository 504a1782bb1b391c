//! What a volume takes on disk.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;

use super::beneath;
use crate::sys::SyscallError;

/// Bytes of all blocks in the tree; a file with several links counts once.
///
/// # Errors
/// What reading directories says.
pub(super) fn bytes(root: BorrowedFd<'_>) -> Result<u64, SyscallError> {
    let mut linked = BTreeSet::new();
    let mut blocks = u64::try_from(crate::sys::path::stat(root)?.st_blocks).unwrap_or(0);
    beneath::walk::<SyscallError>(root, |met| {
        if met.stat.st_nlink <= 1 || linked.insert((met.stat.st_dev, met.stat.st_ino)) {
            blocks += u64::try_from(met.stat.st_blocks).unwrap_or(0);
        }
        Ok(())
    })?;
    // st_blocks counts 512 bytes whatever the file system's block size.
    Ok(blocks * 512)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn links_count_once_and_symlinks_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = beneath::open_dir(dir.path()).unwrap();
        let empty = bytes(root.as_fd()).unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/f"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(dir.path().join("a/b/f"), dir.path().join("g")).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("root")).unwrap();
        let used = bytes(root.as_fd()).unwrap() - empty;
        assert!((1 << 20..2 << 20).contains(&used), "{used}");
    }
}
