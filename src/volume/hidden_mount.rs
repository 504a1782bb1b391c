//! Mounts that are in no mount table of the machine, for several containers.
//!
//! A detached mount can be cloned from Linux 6.15 on. Before, only what is
//! attached in the caller's own mount namespace can: there the mount becomes
//! the root, and the only mount, of a namespace of its own, and whoever wants
//! a clone goes there for a moment. Either way one fd keeps it alive.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::sys::statfs::{FsType, fstatfs};

use crate::sys::SyscallError;
use crate::sys::mount::{FsContext, clone_tree, detach_current_directory, move_mount};

/// A mount that one fd keeps alive.
#[derive(Debug)]
pub struct HiddenMount(Held);

#[derive(Debug)]
enum Held {
    Detached(OwnedFd),
    /// A mount namespace with the mount as its root.
    Namespace(OwnedFd),
}

/// `statfs(2)` of a namespace's file.
const NSFS_MAGIC: FsType = FsType(0x6e73_6673 as _);

impl HiddenMount {
    /// A tmpfs of at most `size_bytes`, not swapped out where the kernel can
    /// promise that (Linux 6.4).
    ///
    /// # Errors
    /// What mounting says.
    pub fn tmpfs(size_bytes: Option<u64>) -> Result<Self, SyscallError> {
        let context = FsContext::open("tmpfs")?;
        context.set("mode", "1777")?;
        if let Some(size) = size_bytes {
            context.set("size", &size.to_string())?;
        }
        // EINVAL before 6.4, or with swap forbidden to this user namespace.
        let _ = context.set_flag("noswap");
        context.create()?;
        Self::hold(context.mount(0)?)
    }

    /// A hugetlbfs with pages of this size (`2Mi`), or the default one.
    ///
    /// # Errors
    /// What mounting says; EINVAL for a size the machine does not have.
    pub fn hugetlbfs(page_size: Option<&str>) -> Result<Self, SyscallError> {
        let context = FsContext::open("hugetlbfs")?;
        if let Some(size) = page_size {
            context.set("pagesize", size)?;
        }
        context.create()?;
        Self::hold(context.mount(0)?)
    }

    /// Keeps a detached mount so that it can be cloned on every kernel.
    ///
    /// # Errors
    /// What open_tree(2) says; before Linux 6.15 what making a mount namespace
    /// does.
    pub fn hold(mount: OwnedFd) -> Result<Self, SyscallError> {
        match clone_tree(mount.as_fd(), "", false) {
            Ok(_) => Ok(Self(Held::Detached(mount))),
            Err(e) if e.errno == Errno::EINVAL => Self::enclose(&mount),
            Err(e) => Err(e),
        }
    }

    /// The mount behind the fd that [`HiddenMount::fd`] showed.
    ///
    /// # Errors
    /// EBADF only.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, SyscallError> {
        let statfs = fstatfs(&fd).map_err(|errno| SyscallError::new("fstatfs", "", errno))?;
        let is_namespace = statfs.filesystem_type() == NSFS_MAGIC;
        Ok(Self(if is_namespace { Held::Namespace(fd) } else { Held::Detached(fd) }))
    }

    /// The fd that keeps the mount alive: a second holder loses nothing when
    /// the first one dies.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Held::Detached(fd) | Held::Namespace(fd) => fd.as_fd(),
        }
    }

    /// A detached clone: to work in, or for a container to attach.
    ///
    /// # Errors
    /// What open_tree(2) and setns(2) say.
    pub fn tree(&self) -> Result<OwnedFd, SyscallError> {
        self.part(|root| {
            let duplicate = root.try_clone_to_owned();
            duplicate.map_err(|e| SyscallError::from_io("fcntl", "F_DUPFD_CLOEXEC", &e))
        })
    }

    /// A detached clone of what `find` opens below the mount's root.
    ///
    /// # Errors
    /// What `find` says, and as for [`HiddenMount::tree`].
    pub fn part<E: From<SyscallError> + Send>(
        &self,
        find: impl FnOnce(BorrowedFd<'_>) -> Result<OwnedFd, E> + Send,
    ) -> Result<OwnedFd, E> {
        match &self.0 {
            Held::Detached(mount) => Ok(clone_tree(find(mount.as_fd())?.as_fd(), "", false)?),
            Held::Namespace(namespace) => apart(|| {
                enter(namespace)?;
                let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                let root = nix::fcntl::open("/", flags, Mode::empty())
                    .map_err(|errno| SyscallError::new("open", "\"/\"", errno))?;
                Ok(clone_tree(find(root.as_fd())?.as_fd(), "", false)?)
            }),
        }
    }

    fn enclose(mount: &OwnedFd) -> Result<Self, SyscallError> {
        apart(|| become_root_of_a_namespace(mount)).map(|fd| Self(Held::Namespace(fd)))
    }
}

/// Makes the thread's root that of `namespace`.
fn enter(namespace: &OwnedFd) -> Result<(), SyscallError> {
    // An fs_struct of its own first: setns refuses one that is shared.
    nix::sched::unshare(CloneFlags::CLONE_FS)
        .map_err(|errno| SyscallError::new("unshare", "CLONE_FS", errno))?;
    nix::sched::setns(namespace, CloneFlags::CLONE_NEWNS)
        .map_err(|errno| SyscallError::new("setns", "CLONE_NEWNS", errno))
}

/// Runs `work` on a thread of its own, the only one that changes namespaces.
fn apart<T: Send, E: From<SyscallError> + Send>(
    work: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, E> {
    let (tid, done) = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(64 << 10)
            .spawn_scoped(scope, || (nix::unistd::gettid(), work()))
            .map_err(|e| SyscallError::from_io("clone", "thread", &e))?;
        Ok::<_, E>(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    // A join returns when the kernel has cleared the thread's id, some
    // microseconds before the thread is off the task list, which whoever forks
    // next looks at.
    let task = format!("/proc/self/task/{tid}");
    while Path::new(&task).exists() {
        std::thread::yield_now();
    }
    done
}

fn become_root_of_a_namespace(mount: &OwnedFd) -> Result<OwnedFd, SyscallError> {
    let open = |path: &str, flags| {
        nix::fcntl::open(path, flags | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|errno| SyscallError::new("open", format!("{path:?}"), errno))
    };
    nix::sched::unshare(CloneFlags::CLONE_NEWNS)
        .map_err(|errno| SyscallError::new("unshare", "CLONE_NEWNS", errno))?;
    let namespace = open("/proc/thread-self/ns/mnt", OFlag::O_RDONLY)?;
    nix::mount::mount(
        None::<&Path>,
        "/",
        None::<&Path>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&Path>,
    )
    .map_err(|errno| SyscallError::new("mount", "\"/\", MS_REC | MS_PRIVATE", errno))?;
    move_mount(mount.as_fd(), open("/", OFlag::O_PATH)?.as_fd())?;
    nix::unistd::fchdir(mount).map_err(|errno| SyscallError::new("fchdir", "", errno))?;
    nix::unistd::pivot_root(".", ".")
        .map_err(|errno| SyscallError::new("pivot_root", "\".\", \".\"", errno))?;
    // The machine's mounts, which would be kept busy.
    detach_current_directory()?;
    Ok(namespace)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::volume::beneath::proc_path;

    fn both_kinds() -> [HiddenMount; 2] {
        let context = FsContext::open("tmpfs").unwrap();
        context.create().unwrap();
        let mount = context.mount(0).unwrap();
        [HiddenMount::tmpfs(Some(1 << 20)).unwrap(), HiddenMount::enclose(&mount).unwrap()]
    }

    #[test]
    fn every_clone_shows_the_same_files_and_no_mount_table_has_them() {
        let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
        for mount in both_kinds() {
            let (one, other) = (mount.tree().unwrap(), mount.tree().unwrap());
            fs::write(proc_path(one.as_fd()).join("f"), "shared").unwrap();
            drop(one);
            assert_eq!(fs::read(proc_path(other.as_fd()).join("f")).unwrap(), b"shared");
            assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
        }
    }

    #[test]
    fn whoever_gets_the_fd_has_the_mount() {
        for mount in both_kinds() {
            fs::write(proc_path(mount.tree().unwrap().as_fd()).join("f"), "kept").unwrap();
            let fd = mount.fd().try_clone_to_owned().unwrap();
            drop(mount);
            let again = HiddenMount::from_fd(fd).unwrap();
            let tree = again.tree().unwrap();
            assert_eq!(fs::read(proc_path(tree.as_fd()).join("f")).unwrap(), b"kept");
        }
    }

    #[test]
    fn a_part_of_either_kind_can_be_cloned() {
        for mount in both_kinds() {
            let tree = mount.tree().unwrap();
            fs::create_dir(proc_path(tree.as_fd()).join("sub")).unwrap();
            fs::write(proc_path(tree.as_fd()).join("sub/f"), "inner").unwrap();
            let find = |root: BorrowedFd<'_>| {
                crate::volume::beneath::open(root, Path::new("sub"), OFlag::O_PATH)
            };
            let part = mount.part(find).unwrap();
            assert_eq!(fs::read(proc_path(part.as_fd()).join("f")).unwrap(), b"inner");
            let missing = |root: BorrowedFd<'_>| {
                crate::volume::beneath::open(root, Path::new("none"), OFlag::O_PATH)
            };
            assert_eq!(mount.part(missing).unwrap_err().errno, Errno::ENOENT);
        }
    }

    #[test]
    fn a_clone_of_either_kind_can_be_attached() {
        for mount in both_kinds() {
            let tree = mount.tree().unwrap();
            let dir = tempfile::tempdir().unwrap();
            apart(|| {
                nix::sched::unshare(CloneFlags::CLONE_NEWNS).unwrap();
                let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
                nix::mount::mount(None::<&Path>, "/", None::<&Path>, flags, None::<&Path>).unwrap();
                let target = nix::fcntl::open(dir.path(), OFlag::O_PATH, Mode::empty()).unwrap();
                move_mount(tree.as_fd(), target.as_fd())?;
                fs::write(dir.path().join("f"), "through").unwrap();
                Ok::<_, SyscallError>(())
            })
            .unwrap();
            let tree = mount.tree().unwrap();
            assert_eq!(fs::read(proc_path(tree.as_fd()).join("f")).unwrap(), b"through");
        }
    }

    #[test]
    fn the_namespace_keeps_none_of_the_machines_mounts() {
        let [_, mount] = both_kinds();
        let Held::Namespace(namespace) = &mount.0 else { panic!("not a namespace") };
        let tree = mount.tree().unwrap();
        fs::create_dir(proc_path(tree.as_fd()).join("proc")).unwrap();
        let table = apart(|| {
            let proc = nix::fcntl::open("/proc", OFlag::O_PATH, Mode::empty()).unwrap();
            enter(namespace)?;
            let flags = OFlag::O_RDONLY;
            let table =
                nix::fcntl::openat(proc, "thread-self/mountinfo", flags, Mode::empty()).unwrap();
            Ok::<_, SyscallError>(std::io::read_to_string(fs::File::from(table)).unwrap())
        })
        .unwrap();
        assert_eq!(table.lines().count(), 1, "{table}");
    }

    #[test]
    fn the_size_limits_what_fits() {
        let [mount, _] = both_kinds();
        let tree = mount.tree().unwrap();
        let file = proc_path(tree.as_fd()).join("big");
        let error = fs::write(file, vec![0; 2 << 20]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    }
}
