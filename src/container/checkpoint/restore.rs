//! Making a container of the files of a checkpoint.

use std::fs::DirBuilder;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use oci_spec::runtime::Spec;

use super::super::console;
use super::super::creation::hook_state;
use super::super::draft::{Draft, runtime_hooks};
use super::super::error::{Error, Result};
use super::super::newborn::write_pid_file;
use super::super::options::{Console, Created};
use super::super::outset::Outset;
use super::super::record::Record;
use super::super::state::Status;
use super::criu::{Criu, Place, failed, with_log};
use super::dump::{new_request, set_config_file};
use super::options::{Images, RestoreOptions};
use super::request::{Kind, Options, Response};
use super::{descriptors, mounts, namespaces};
use crate::model::Signal;
use crate::sys::SyscallError;
use crate::sys::cgroupfs::{self, CgroupKind};
use crate::sys::path::InRoot;
use crate::sys::process::{self, pidfd_open, pidfd_send_signal, wait_pidfd};

const LOG: &str = "restore.log";
/// Where criu finds the container's root, in the state folder.
const ROOT: &str = "criu-root";
/// The first version whose LSM profile can be another than the dumped one.
const OTHER_PROFILE: u64 = 31_600;

/// Makes the container again and lets it run on.
///
/// # Errors
/// As for a new container; [`Error::Criu`] with criu's own reason and where its
/// log is. Nothing is left behind.
pub fn restore(options: RestoreOptions) -> Result<Created> {
    let RestoreOptions { create, images, shared, lsm_profile, lsm_mount_context } = options;
    let criu = Criu::find()?;
    if (lsm_profile.is_some() || lsm_mount_context.is_some()) && criu.version < OTHER_PROFILE {
        return Err(failed("lsm-profile and lsm-mount-context need version 3.16"));
    }
    mounts::refuse_mapped(&create.spec)?;
    let mut request = new_request(&images, LOG, shared, false)?;
    let draft = Draft::new(create)?;
    let outset = Outset::make(&draft)?;
    let Draft { mut record, spec, console, pid_file, init, .. } = draft;
    // It has open all that a new container would mount.
    drop(init);
    record.rdt = outset.undo.rdt();
    let mut restoring = Restoring { outset, record, spec, console, child: None, master: None };
    let root = restoring.make_root()?;
    let Record { bundle, rootfs, .. } = &restoring.record;
    make_mount_points(&restoring.spec, bundle, rootfs)?;

    request.evasive_devices();
    request.sibling();
    request.root(&root.to_string_lossy());
    set_config_file(&restoring.record, &mut request);
    if let Some(profile) = &lsm_profile {
        request.lsm_profile(profile);
    }
    if let Some(context) = &lsm_mount_context {
        request.lsm_mount_context(context);
    }
    let kept = restoring.describe(&criu, &images.folder, &mut request)?;
    let created = restoring.run(&criu, request, &images, &root, &kept);
    created.map_err(with_log(images.log_folder(), LOG))?;
    restoring.finish(pid_file.as_deref())
}

/// A restore under way. Dropped before its end it leaves nothing.
struct Restoring {
    outset: Outset,
    record: Record,
    spec: Spec,
    console: Console,
    /// The restored process, as soon as it is known.
    child: Option<OwnedFd>,
    master: Option<OwnedFd>,
}

impl Restoring {
    fn make_root(&self) -> Result<std::path::PathBuf> {
        let root = self.outset.undo.dir.file(ROOT);
        DirBuilder::new().mode(0o755).create(&root).map_err(|error| Error::Call {
            what: "make a place for the root".to_owned(),
            source: SyscallError::from_io("mkdir", format!("{root:?}"), &error),
        })?;
        // criu compares it with what its mount table says.
        root.canonicalize().map_err(|error| Error::Call {
            what: "make a place for the root".to_owned(),
            source: SyscallError::from_io("realpath", format!("{root:?}"), &error),
        })
    }

    fn describe(&self, criu: &Criu, images: &Path, request: &mut Options) -> Result<Vec<OwnedFd>> {
        let record = &self.record;
        mounts::bring_back(images, &self.spec, &record.bundle, &record.cgroup, request)?;
        descriptors::inherit(images, request)?;
        if self.outset.undo.has_cgroup() {
            for (controller, path) in cgroup_roots(&record.cgroup)? {
                request.cgroup_root(&controller, &path);
            }
        }
        namespaces::join(criu, &self.spec, request)
    }

    fn run(
        &mut self,
        criu: &Criu,
        request: Options,
        images: &Images,
        root: &Path,
        kept: &[OwnedFd],
    ) -> Result<()> {
        let rootfs = self.record.rootfs.clone();
        let clone_into = self.outset.clone_into.take();
        let join_cgroups = std::mem::take(&mut self.outset.entrance.join_cgroups);
        let place = Place {
            own_stdio: true,
            clone_into: clone_into.as_ref().map(AsFd::as_fd),
            join_cgroups: &join_cgroups,
            root: Some((&rootfs, root)),
            keep: kept,
            images: Some(images),
        };
        let answer =
            criu.serve(&place, Kind::Restore, Some(request), &mut |at, fds| self.at(at, fds))?;
        if self.child.is_none() {
            self.adopt(answer.pid)?;
        }
        Ok(())
    }

    /// One of criu's stages.
    fn at(&mut self, stage: &Response, fds: Vec<OwnedFd>) -> Result<()> {
        match stage.stage.as_str() {
            "setup-namespaces" => {
                self.record.pid = stage.pid;
                let state = hook_state(&self.record, &self.spec, Status::Creating);
                runtime_hooks(&self.spec).iter().try_for_each(|list| list.run(&state))
            }
            "post-restore" => self.adopt(stage.pid),
            "orphan-pts-master" => match (fds.into_iter().next(), &self.console) {
                (Some(master), Console::Socket(path)) => console::send(path, master.as_fd()),
                (Some(master), _) => {
                    self.master = Some(master);
                    Ok(())
                }
                (None, _) => Err(failed("sent no terminal")),
            },
            _ => Ok(()),
        }
    }

    /// Records which process is the container's.
    fn adopt(&mut self, pid: i32) -> Result<()> {
        let call = |error| Error::call("find the restored process")(error);
        self.child = Some(pidfd_open(Pid::from_raw(pid)).map_err(call)?);
        self.record.pid = pid;
        self.record.start_time = process::process_start_time(Pid::from_raw(pid)).map_err(call)?;
        self.record.save(&self.outset.undo.dir)
    }

    fn finish(mut self, pid_file: Option<&Path>) -> Result<Created> {
        let dir = self.outset.undo.dir.clone();
        let pid = Pid::from_raw(self.record.pid);
        if !self.outset.undo.has_cgroup() {
            self.record.cgroup.clear();
            self.record.save(&dir)?;
        }
        write_pid_file(pid_file, pid)?;
        let call = |call, name: &str| {
            let args = format!("{:?}", dir.file(name));
            move |error: std::io::Error| Error::Call {
                what: "complete the container".to_owned(),
                source: SyscallError::from_io(call, args, &error),
            }
        };
        std::fs::remove_dir(dir.file(ROOT)).map_err(call("rmdir", ROOT))?;
        // Without the gate that a new container waits at, it is running.
        std::fs::remove_file(dir.file("exec.fifo.new")).map_err(call("unlink", "exec.fifo.new"))?;
        let pidfd = self.child.take().ok_or_else(|| failed("restored no process"))?;
        self.outset.undo.disarm();
        Ok(Created {
            pid,
            pidfd,
            start_time: self.record.start_time,
            gate: None,
            exec_status: None,
            console: self.master.take(),
        })
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        // Before its cgroup goes. It may be dead, or criu's to reap.
        if let Some(child) = self.child.take() {
            let _ = pidfd_send_signal(child.as_fd(), Signal::KILL);
            let _ = wait_pidfd(child.as_fd(), process::Wait::Block);
        }
    }
}

/// Where the container is in each hierarchy; that of version 2 has no name.
fn cgroup_roots(cgroup: &str) -> Result<Vec<(String, String)>> {
    let mounts = cgroupfs::mounts().map_err(Error::call("find cgroup mounts"))?;
    let names = mounts.into_iter().flat_map(|mount| match mount.kind {
        CgroupKind::V2 => vec![String::new()],
        CgroupKind::V1(controllers) => controllers,
    });
    Ok(names.map(|name| (name, cgroup.to_owned())).collect())
}

/// Mount points that the first creation made, on a root that may be another
/// copy. Those below other mounts come back with them.
fn make_mount_points(spec: &Spec, bundle: &Path, rootfs: &Path) -> Result<()> {
    let failed = |source| Error::Call { what: "make a mount point".to_owned(), source };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = nix::fcntl::open(rootfs, flags, Mode::empty())
        .map_err(|errno| failed(SyscallError::new("open", format!("{rootfs:?}"), errno)))?;
    let root = InRoot::new(root.as_fd());
    let all: Vec<_> = spec.mounts().iter().flatten().collect();
    for (index, mount) in all.iter().enumerate() {
        let destination = mount.destination();
        let below = all[..index].iter().any(|one| destination.starts_with(one.destination()));
        if below || root.handle(destination).is_ok() {
            continue;
        }
        let is_file = mounts::is_bind(mount)
            && mount.source().as_ref().is_some_and(|source| bundle.join(source).is_file());
        let mode = Mode::from_bits_truncate(0o755);
        if is_file {
            root.create_file(destination, mode).map_err(failed)?;
        } else {
            root.create_dirs(destination, mode).map_err(failed)?;
        }
    }
    Ok(())
}
