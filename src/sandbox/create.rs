//! Making a sandbox, and finding one again.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sys::statfs::{FsType, fstatfs};
use nix::unistd::Pid;
use oci_spec::runtime::{LinuxCpu, LinuxResources};

use super::init::{Failure, Init};
use super::record::{SandboxRecord, pause_cgroup};
use super::{Error, Result, Step, stop, sysctl};
use crate::cgroup::{self, Cgroup};
use crate::container::{Namespace, NamespaceFds, resources};
use crate::model::plan::NetworkMode;
use crate::model::spec::{SandboxPid, SandboxSpec};
use crate::network::{AttachRequest, Attachment, Network, Owner};
use crate::sys::exec::ExecVector;
use crate::sys::fault::{self, Point};
use crate::sys::mount::{FsContext, attr};
use crate::sys::path::Procfs;
use crate::sys::process::{
    Clone, CloneArgs, CloneFlags, clone3, exit_now, pidfd_exists, pidfd_has_exited, pidfd_open,
    process_start_time,
};
use crate::sys::{SyscallError, embedded, fd};
use crate::volume::HiddenMount;

/// What a sandbox is made from.
#[derive(Debug, Clone, Copy)]
pub struct SandboxOptions<'a> {
    pub spec: &'a SandboxSpec,
    pub owner: &'a Owner,
    pub network: &'a Network,
}

/// A sandbox whose pause runs, or ran when it was last looked at.
#[derive(Debug)]
pub struct Sandbox {
    pub(super) record: SandboxRecord,
    pub(super) pidfd: OwnedFd,
    /// Empty once stopped: held namespaces would keep the network alive.
    pub(super) namespaces: NamespaceFds,
    pub(super) shm: Option<HiddenMount>,
}

impl Sandbox {
    /// Makes the pod's cgroup, pause in its namespaces, the network and
    /// `/dev/shm`. What an earlier attempt of the same id left behind, because
    /// its maker was killed, is cleared away first.
    ///
    /// # Errors
    /// The failing step; nothing but the pod's cgroup is left then.
    pub fn create(options: &SandboxOptions) -> Result<Self> {
        let spec = options.spec;
        let sysctls = sysctl::of(spec)?;
        fault::at(Point::SandboxCgroup).map_err(Error::call("make the pod's cgroup"))?;
        Cgroup::create_parent(&spec.cgroup, &resources::limits(&spec.resources))?;
        let cgroup = pause_group(options)?;
        let started = start_pause(spec, sysctls, &cgroup);
        let started = started.inspect_err(|_| drop(cgroup.remove()))?;
        let mut sandbox = Self {
            record: SandboxRecord {
                id: spec.id.clone(),
                owner: options.owner.clone(),
                pid: started.pid.as_raw(),
                start_time: started.start_time,
                network: spec.network,
                host_ipc: spec.host_ipc,
                pid_mode: spec.pid,
                cgroup: spec.cgroup.clone(),
                attachment: Attachment::default(),
            },
            pidfd: started.pidfd,
            namespaces: NamespaceFds::new(),
            shm: None,
        };
        let outfitted = sandbox.outfit(options, started.network_ready);
        // The child's own account comes first: the parent's calls fail too when
        // it has died, except that a child may only have waited for the parent.
        let finished = match (outfitted, await_exec(started.report)) {
            (outfitted, Err(Error::Inside { step: Step::AwaitNetwork, .. })) => outfitted,
            (_, Err(error)) => Err(error),
            (outfitted, Ok(())) => outfitted,
        };
        let alive = || if sandbox.is_alive() { Ok(()) } else { Err(Error::PauseDied) };
        match finished.and_then(|()| alive()) {
            Ok(()) => Ok(sandbox),
            Err(error) => {
                // That failure is the one to tell.
                let _ = sandbox.stop(options.network);
                Err(error)
            }
        }
    }

    /// The parent's part, while pause gets ready.
    fn outfit(&mut self, options: &SandboxOptions, network_ready: Option<OwnedFd>) -> Result<()> {
        fault::at(Point::OpenNamespaces).map_err(Error::call("open the namespaces"))?;
        self.namespaces = open_namespaces(&self.record, self.pidfd.as_fd())?;
        self.record.attachment = match self.namespaces.get(&Namespace::Network) {
            None => options.network.attach_to_host(),
            Some(netns) => {
                let (owner, mode) = (options.owner, options.spec.network);
                options.network.attach(&AttachRequest { owner, mode, netns: netns.as_fd() })?
            }
        };
        if let Some(ready) = network_ready {
            // A child that died tells why through its report.
            let _ = nix::unistd::write(&ready, b"1");
        }
        fault::at(Point::SharedMemory).map_err(Error::call("make /dev/shm"))?;
        if !options.spec.host_ipc {
            self.shm = Some(shared_memory(options.spec.shm_size_bytes)?);
        }
        Ok(())
    }

    /// The sandbox of a record; `None` when its pause is gone, and then
    /// [`Sandbox::clear`] takes the rest away. `shm` is what held
    /// [`Sandbox::shm_fd`] meanwhile.
    ///
    /// # Errors
    /// [`Error::Call`] when pause runs but its namespaces cannot be opened.
    pub fn from_record(record: SandboxRecord, shm: Option<OwnedFd>) -> Result<Option<Self>> {
        let pid = Pid::from_raw(record.pid);
        let Ok(pidfd) = pidfd_open(pid) else { return Ok(None) };
        // With the pidfd open, an equal start time means the same process.
        let same = process_start_time(pid).is_ok_and(|time| time == record.start_time);
        if !same || !runs(pidfd.as_fd()) {
            return Ok(None);
        }
        let namespaces = open_namespaces(&record, pidfd.as_fd())?;
        let shm = shm.map(HiddenMount::from_fd).transpose();
        let shm = shm.map_err(Error::call("open shared memory"))?;
        Ok(Some(Self { record, pidfd, namespaces, shm }))
    }

    /// What finds this sandbox again.
    #[must_use]
    pub fn record(&self) -> &SandboxRecord {
        &self.record
    }

    /// Pause, readable when it has ended.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// True while pause runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        runs(self.pidfd.as_fd())
    }

    /// What the pod got on its network.
    #[must_use]
    pub fn attachment(&self) -> &Attachment {
        &self.record.attachment
    }

    /// The namespaces that one more container joins: network, ipc and uts
    /// where they are the pod's own, and the pid namespace where the pod
    /// shares one (unless `own_pid`).
    ///
    /// # Errors
    /// The errno of fcntl(2).
    pub fn namespaces(&self, own_pid: bool) -> Result<NamespaceFds> {
        let wanted = |kind: &Namespace| !(own_pid && *kind == Namespace::Pid);
        let copies = self.namespaces.iter().filter(|(kind, _)| wanted(kind)).map(|(kind, fd)| {
            let failed = |e| SyscallError::from_io("fcntl", "F_DUPFD_CLOEXEC", &e);
            Ok((*kind, fd.try_clone().map_err(failed)?))
        });
        copies.collect::<std::result::Result<_, _>>().map_err(Error::call("copy namespaces"))
    }

    /// A detached tree for `/dev/shm` of one more container; `None` where the
    /// pod has the machine's.
    ///
    /// # Errors
    /// The errno of open_tree(2).
    pub fn shm_tree(&self) -> Result<Option<OwnedFd>> {
        let tree = self.shm.as_ref().map(HiddenMount::tree).transpose();
        tree.map_err(Error::call("clone shared memory"))
    }

    /// What keeps the contents of `/dev/shm` alive: for somebody who outlives
    /// this process to hold.
    #[must_use]
    pub fn shm_fd(&self) -> Option<BorrowedFd<'_>> {
        self.shm.as_ref().map(HiddenMount::fd)
    }
}

fn runs(pidfd: BorrowedFd) -> bool {
    pidfd_exists(pidfd) && !pidfd_has_exited(pidfd).unwrap_or(true)
}

/// The cgroup of pause. A busy one is left of an attempt whose maker was
/// killed before it could note anything.
fn pause_group(options: &SandboxOptions) -> Result<Cgroup> {
    let path = pause_cgroup(&options.spec.cgroup, &options.spec.id);
    let mut cpu = LinuxCpu::default();
    // The least there is: pause only ever reaps.
    cpu.set_shares(Some(2));
    let mut least = LinuxResources::default();
    least.set_cpu(Some(cpu)).set_devices(None);
    match Cgroup::create(&path, &least) {
        Err(cgroup::Error::InUse(_)) => {
            let left = Cgroup::open(&path)?;
            left.kill()?;
            // Waits for the dying, which still count as members.
            left.remove()?;
            let house = options.network.release_all(options.owner)?;
            stop::look_after(options.network, house);
            Ok(Cgroup::create(&path, &least)?)
        }
        result => Ok(result?),
    }
}

/// A pause that is on its way.
struct Started {
    pid: Pid,
    pidfd: OwnedFd,
    start_time: u64,
    report: File,
    network_ready: Option<OwnedFd>,
}

fn start_pause(
    spec: &SandboxSpec,
    sysctls: Vec<sysctl::Sysctl>,
    cgroup: &Cgroup,
) -> Result<Started> {
    let failed = || Error::call("prepare pause");
    let entry = cgroup.entry()?;
    let (report, failure) = fd::pipe().map_err(failed())?;
    // A sysctl of an interface can be set only once that is there.
    let of_interface = sysctls.iter().any(|sysctl| sysctl.path.iter().any(|part| part == "eth0"));
    let (awaited, ready) =
        if of_interface { Some(fd::pipe().map_err(failed())?) } else { None }.unzip();
    let own_uts = spec.network != NetworkMode::Host;
    let init = Init {
        join: entry.join,
        hostname: own_uts.then(|| spec.hostname.clone()),
        sysctls,
        network_ready: awaited,
        procfs: Procfs::open().map_err(failed())?,
        root: empty_root().map_err(failed())?,
        user: spec.user.clone(),
        null: open_null().map_err(failed())?,
        program: embedded::sealed_memfd("pause", embedded::PAUSE).map_err(failed())?,
        args: [c"/pause".to_owned()].into_iter().collect(),
        env: std::iter::empty().collect::<ExecVector>(),
        report: failure,
    };
    let flags = clone_flags(spec);
    let args = CloneArgs {
        flags,
        cgroup: entry.clone_into.as_ref().map(AsFd::as_fd),
        ..CloneArgs::default()
    };
    fault::at(Point::ClonePause).map_err(Error::call("clone pause"))?;
    match clone3(&args).map_err(Error::call("clone pause"))? {
        Clone::Child => {
            // The end of the parent's pipes must be seen.
            drop((report, ready));
            init.run();
            exit_now(1)
        }
        Clone::Parent { pid, pidfd } => {
            // It is our child and not reaped, so the pid cannot be another's.
            let start_time = process_start_time(pid).map_err(failed())?;
            Ok(Started { pid, pidfd, start_time, report: report.into(), network_ready: ready })
        }
    }
}

fn clone_flags(spec: &SandboxSpec) -> CloneFlags {
    let mut flags = CloneFlags::NEWNS;
    if spec.network != NetworkMode::Host {
        flags |= CloneFlags::NEWNET | CloneFlags::NEWUTS;
    }
    if !spec.host_ipc {
        flags |= CloneFlags::NEWIPC;
    }
    if spec.pid == SandboxPid::Shared {
        flags |= CloneFlags::NEWPID;
    }
    flags
}

/// The kinds that containers join.
fn shared_kinds(record: &SandboxRecord) -> impl Iterator<Item = Namespace> {
    let own_network = record.network != NetworkMode::Host;
    [
        (Namespace::Network, own_network),
        (Namespace::Uts, own_network),
        (Namespace::Ipc, !record.host_ipc),
        (Namespace::Pid, record.pid_mode == SandboxPid::Shared),
    ]
    .into_iter()
    .filter_map(|(kind, own)| own.then_some(kind))
}

/// `statfs(2)` of a namespace's file.
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);

fn open_namespaces(record: &SandboxRecord, pidfd: BorrowedFd) -> Result<NamespaceFds> {
    let mut fds = NamespaceFds::new();
    for kind in shared_kinds(record) {
        let path = format!("/proc/{}/ns/{}", record.pid, kind.file());
        fds.insert(kind, open_namespace(&path).map_err(Error::call("open namespace"))?);
    }
    // Still there, so the pid was its own all the while.
    if runs(pidfd) { Ok(fds) } else { Err(Error::PauseDied) }
}

fn open_namespace(path: &str) -> std::result::Result<OwnedFd, SyscallError> {
    let file = File::open(path).map_err(|error| SyscallError::from_io("open", path, &error))?;
    let statfs = fstatfs(&file).map_err(|errno| SyscallError::new("fstatfs", path, errno))?;
    if statfs.filesystem_type() == NSFS_MAGIC {
        return Ok(file.into());
    }
    Err(SyscallError::new("fstatfs", format!("{path}: no namespace"), nix::errno::Errno::EXDEV))
}

fn await_exec(mut report: File) -> Result<()> {
    let mut bytes = Vec::new();
    report
        .read_to_end(&mut bytes)
        .map_err(|error| Error::call("start pause")(SyscallError::from_io("read", "", &error)))?;
    match Failure::decode(&bytes) {
        None => Ok(()),
        Some(Failure { step, errno, detail }) => Err(Error::Inside { step, errno, detail }),
    }
}

/// A directory without anything in it, and nothing can be put there.
fn empty_root() -> std::result::Result<OwnedFd, SyscallError> {
    let context = FsContext::open("tmpfs")?;
    context.set("mode", "0555")?;
    context.set_flag("ro")?;
    context.create()?;
    context.mount(attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC)
}

fn shared_memory(size_bytes: u64) -> Result<HiddenMount> {
    let make = || {
        let context = FsContext::open("tmpfs")?;
        context.set("mode", "1777")?;
        context.set("size", &size_bytes.to_string())?;
        context.create()?;
        HiddenMount::hold(context.mount(attr::NOSUID | attr::NODEV | attr::NOEXEC)?)
    };
    make().map_err(Error::call("mount shared memory"))
}

fn open_null() -> std::result::Result<OwnedFd, SyscallError> {
    let path = Path::new("/dev/null");
    let file = File::options().read(true).write(true).open(path);
    Ok(file.map_err(|error| SyscallError::from_io("open", "/dev/null", &error))?.into())
}
