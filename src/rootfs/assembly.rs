//! The child's part: from an empty mount namespace of its own to a complete
//! file system tree below a descriptor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::mount::MsFlags;
use nix::sys::stat::{Mode, umask};

use super::cgroup_view::CgroupStep;
use super::error::{Stage, StepError};
use super::filesystem::FileSystem;
use super::options::Change;
use super::plan::{Entered, RootfsPlan, Step, StepKind, plain};
use super::sources::Tree;
use super::{copy_up, devices};
use crate::sys::SyscallError;
use crate::sys::mount::{self, Attributes, Propagation};
use crate::sys::path::{self, InRoot};
use crate::sys::pty::{self, Pty};

const DIRECTORY_MODE: Mode = Mode::from_bits_truncate(0o755);
const FILE_MODE: Mode = Mode::from_bits_truncate(0o644);

/// Files of a procfs that a container manager may cover (lxcfs does); all else
/// below `/proc` decides over privileges and stays as the kernel shows it.
const COVERABLE_IN_PROC: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// Where masks are found by the mount, not by its name.
const KERNEL_VIEWS: [&str; 2] = ["/proc", "/sys"];

/// One run over the plan.
pub(super) struct Assembly<'plan> {
    plan: &'plan mut RootfsPlan,
    /// Mounts that become read-only once everything is in place.
    readonly: Vec<OwnedFd>,
}

impl<'plan> Assembly<'plan> {
    pub fn new(plan: &'plan mut RootfsPlan) -> Self {
        Self { plan, readonly: Vec::new() }
    }

    pub fn run(mut self, on_stage: &mut dyn FnMut(Stage)) -> Result<Entered, StepError> {
        // Modes are given in full; the process's own mask comes later.
        let mask = umask(Mode::empty());
        on_stage(Stage::Propagation);
        separate_from_host()?;
        on_stage(Stage::Root);
        self.attach_root()?;
        on_stage(Stage::Mounts);
        for step in std::mem::take(&mut self.plan.steps) {
            self.carry_out(&step)
                .map_err(|error| StepError::new(Stage::Mounts, &step.destination, error))?;
        }
        let console = self.fill_dev(on_stage)?;
        self.plan.deferred_readonly = self.readonly;
        umask(mask);
        Ok(Entered { console })
    }

    /// Puts the tree over `/`, where the host's own paths stay reachable: an
    /// absolute path starts below what is mounted on the process's root.
    fn attach_root(&self) -> Result<(), StepError> {
        let failed = |error| StepError::new(Stage::Root, "/", error);
        let top = open_directory("/").map_err(failed)?;
        mount::move_mount(self.plan.root.as_fd(), top.as_fd()).map_err(failed)?;
        self.enter_root().map_err(failed)
    }

    fn enter_root(&self) -> Result<(), SyscallError> {
        nix::unistd::fchdir(&self.plan.root)
            .map_err(|errno| SyscallError::new("fchdir", "rootfs", errno))
    }

    fn carry_out(&mut self, step: &Step) -> Result<(), SyscallError> {
        let mounted = match &step.kind {
            StepKind::Tree(tree) => self.bind(tree, &step.destination)?,
            StepKind::FileSystem(file_system) => self.mount(file_system, &step.destination)?,
            StepKind::Cgroup(cgroup) => self.mount_cgroup(cgroup, &step.destination)?,
            StepKind::Remount(top, all) => {
                let target = self.root().handle(&step.destination)?;
                change(target.as_fd(), *all, true)?;
                change(target.as_fd(), *top, false)?;
                target
            }
        };
        for &(propagation, recursive) in &step.propagation {
            spread(mounted.as_fd(), propagation, recursive)?;
        }
        let destination = plain(&step.destination);
        if KERNEL_VIEWS.iter().any(|view| destination == Path::new(view)) {
            let view = duplicate(mounted.as_fd())?;
            self.plan.kernel_views.push((destination, view));
        }
        if matches!(&step.kind, StepKind::FileSystem(made) if made.is_readonly()) {
            self.readonly.push(mounted);
        }
        Ok(())
    }

    fn bind(&mut self, tree: &Tree, destination: &Path) -> Result<OwnedFd, SyscallError> {
        let target = if tree.is_directory {
            self.root().create_dirs(destination, DIRECTORY_MODE)?
        } else {
            self.root().create_file(destination, FILE_MODE)?
        };
        check_proc(target.as_fd(), destination, tree.is_procfs)?;
        let tree = duplicate(tree.fd.as_fd())?;
        self.put(tree.as_fd(), target.as_fd(), destination)?;
        Ok(tree)
    }

    fn mount(
        &mut self,
        file_system: &FileSystem,
        destination: &Path,
    ) -> Result<OwnedFd, SyscallError> {
        let target = if file_system.refuses_symlinks() {
            self.root().create_plain_dirs(destination, DIRECTORY_MODE)?
        } else {
            self.root().create_dirs(destination, DIRECTORY_MODE)?
        };
        check_proc(target.as_fd(), destination, file_system.fs_type == "proc")?;
        let covered = path::stat(target.as_fd())?;
        let mounted = file_system.mount(covered.st_mode)?;
        if file_system.options.copy_up {
            copy_up::copy(target.as_fd(), mounted.as_fd())?;
        }
        self.put(mounted.as_fd(), target.as_fd(), destination)?;
        Ok(mounted)
    }

    fn mount_cgroup(
        &mut self,
        cgroup: &CgroupStep,
        destination: &Path,
    ) -> Result<OwnedFd, SyscallError> {
        let target = self.root().create_dirs(destination, DIRECTORY_MODE)?;
        check_proc(target.as_fd(), destination, false)?;
        let mounted = cgroup.mount()?;
        self.put(mounted.as_fd(), target.as_fd(), destination)?;
        cgroup.fill(mounted.as_fd())?;
        Ok(mounted)
    }

    /// Moves a mount onto its target. One over `/` becomes the root itself.
    fn put(
        &mut self,
        mounted: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        destination: &Path,
    ) -> Result<(), SyscallError> {
        mount::move_mount(mounted, target)?;
        if plain(destination) == Path::new("/") {
            self.plan.root = duplicate(mounted)?;
            self.enter_root()?;
        }
        Ok(())
    }

    fn fill_dev(&self, on_stage: &mut dyn FnMut(Stage)) -> Result<Option<Pty>, StepError> {
        if !self.plan.set_up_dev {
            return Ok(None);
        }
        let failed = |error| StepError::new(Stage::Devices, "/dev", error);
        on_stage(Stage::Devices);
        let dev = self.root().create_dirs(Path::new("/dev"), DIRECTORY_MODE).map_err(failed)?;
        devices::create(self.root(), &self.plan.devices)?;
        on_stage(Stage::Symlinks);
        devices::create_symlinks(dev.as_fd())?;
        if !self.plan.console {
            return Ok(None);
        }
        on_stage(Stage::Console);
        open_console(dev.as_fd())
            .map(Some)
            .map_err(|error| StepError::new(Stage::Console, "/dev/console", error))
    }

    fn root(&self) -> InRoot<'_> {
        InRoot::new(self.plan.root.as_fd())
    }
}

/// From here on no mount of the child's reaches the host.
fn separate_from_host() -> Result<(), StepError> {
    nix::mount::mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_SLAVE,
        None::<&str>,
    )
    .map_err(|errno| {
        let error = SyscallError::new("mount", "MS_SLAVE|MS_REC", errno);
        StepError::new(Stage::Propagation, "/", error)
    })
}

/// Refuses to cover a procfs with anything but what is meant to (CVE-2019-16884:
/// an image whose `/proc` is a volume makes writes to `/proc/self` void). The
/// descriptor decides, whatever symlinks led to it.
fn check_proc(
    target: BorrowedFd<'_>,
    destination: &Path,
    is_procfs: bool,
) -> Result<(), SyscallError> {
    let named = plain(destination);
    let refused = |why: &str| {
        let text = format!("{destination:?}: {why}");
        Err(SyscallError::new("move_mount", text, nix::errno::Errno::EPERM))
    };
    if named == Path::new("/proc") {
        return if is_procfs { Ok(()) } else { refused("only a procfs can be mounted here") };
    }
    let coverable = COVERABLE_IN_PROC.iter().any(|file| named == Path::new(file));
    if !coverable && path::require_procfs(target).is_ok() {
        return refused("inside a procfs");
    }
    Ok(())
}

/// Opens a terminal in the container's devpts and binds it to `console`.
fn open_console(dev: BorrowedFd<'_>) -> Result<Pty, SyscallError> {
    let ptmx = InRoot::new(dev).handle(Path::new("pts/ptmx"))?;
    let pty = pty::open(ptmx.as_fd())?;
    let target = path::make_file(dev, "console".as_ref(), FILE_MODE)?;
    let tree = mount::clone_tree(pty.slave.as_fd(), "", false)?;
    mount::move_mount(tree.as_fd(), target.as_fd())?;
    Ok(pty)
}

fn change(mount: BorrowedFd<'_>, change: Change, recursive: bool) -> Result<(), SyscallError> {
    if change.is_empty() {
        return Ok(());
    }
    let wanted = Attributes { set: change.set, clear: change.clear, ..Attributes::default() };
    mount::set_attributes(mount, wanted, recursive)
}

fn spread(
    mount: BorrowedFd<'_>,
    propagation: Propagation,
    recursive: bool,
) -> Result<(), SyscallError> {
    let change = Attributes { propagation: Some(propagation), ..Attributes::default() };
    mount::set_attributes(mount, change, recursive)
}

pub(super) fn open_directory(path: &str) -> Result<OwnedFd, SyscallError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::open(path, flags, Mode::empty())
        .map_err(|errno| SyscallError::new("open", format!("{path:?}"), errno))
}

fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd, SyscallError> {
    fd.try_clone_to_owned().map_err(|error| SyscallError::from_io("fcntl", "F_DUPFD", &error))
}
