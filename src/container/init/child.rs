//! The new process: stage after stage until the program runs.
//!
//! Everything here happens between the clone and the exec. A stage that fails
//! is told to the maker, and the process ends; there is no way back.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::CpuSet;

use super::super::hooks::{HookList, HookState};
use super::super::stage::{Stage, StepError};
use super::super::state::Status;
use super::channel::{self, ChildEnd};
use super::executable;
use super::namespaces::{Hop, NamespacePlan};
use super::placement;
use super::process::ProcessPlan;
use super::procfs::ProcDir;
use super::terminal::{self, Streams};
use crate::rootfs::RootfsPlan;
use crate::sys::exec::execve;
use crate::sys::exec_view::ViewMounts;
use crate::sys::process::{self, Clone, CloneArgs, CloneFlags};
use crate::sys::{SyscallError, fd, netif, prctl};

type Step<T = ()> = Result<T, StepError>;

/// A container's first process.
#[derive(Debug)]
pub(in super::super) struct InitPlan {
    pub(in super::super) namespaces: NamespacePlan,
    /// Lines for timens_offsets.
    pub(in super::super) time_offsets: Option<String>,
    pub(in super::super) hostname: Option<String>,
    pub(in super::super) domainname: Option<String>,
    /// Files below /proc with their values.
    pub(in super::super) sysctls: Vec<(String, String)>,
    /// There is something to do from outside while the child waits: prestart or
    /// createRuntime hooks, network devices.
    pub(in super::super) runtime_hooks: bool,
    pub(in super::super) hooks: ChildHooks,
    pub(in super::super) rootfs: RootfsPlan,
    pub(in super::super) process: ProcessPlan,
    pub(in super::super) stdio: Option<[OwnedFd; 3]>,
}

/// What the maker has set up for its entry.
#[derive(Debug)]
pub(in super::super) struct Entrance {
    /// `cgroup.procs` of v1 hierarchies, `tasks` of resctrl groups.
    pub(in super::super) join_cgroups: Vec<OwnedFd>,
    pub(in super::super) gate: OwnedFd,
    /// Where a failure after the gate is written.
    pub(in super::super) status: OwnedFd,
}

/// The hooks that run inside.
#[derive(Debug)]
pub(in super::super) struct ChildHooks {
    pub(in super::super) create_container: HookList,
    pub(in super::super) start_container: HookList,
    pub(in super::super) id: String,
    pub(in super::super) oci_version: String,
    pub(in super::super) bundle: std::path::PathBuf,
    pub(in super::super) annotations: Option<std::collections::HashMap<String, String>>,
}

impl ChildHooks {
    fn run(&self, list: &HookList, status: Status, stage: Stage) -> Step {
        let state = HookState {
            oci_version: &self.oci_version,
            id: &self.id,
            status,
            pid: nix::unistd::getpid().as_raw(),
            bundle: &self.bundle,
            annotations: &self.annotations,
        };
        list.run(&state).map_err(|error| StepError::new(stage, Errno::EIO, error.to_string()))
    }
}

/// A process in an existing container.
#[derive(Debug)]
pub(in super::super) struct ExecPlan<'a> {
    pub(in super::super) process: &'a ProcessPlan,
    pub(in super::super) join_cgroups: &'a [OwnedFd],
    /// The container's first process, and which of its namespaces differ from
    /// ours.
    pub(in super::super) target: BorrowedFd<'a>,
    pub(in super::super) kinds: CloneFlags,
    /// The CPUs to run on in the container's cgroup.
    pub(in super::super) cpus: Option<&'a CpuSet>,
    pub(in super::super) stdio: Option<[OwnedFd; 3]>,
}

/// Runs the container's first process.
pub(in super::super) fn run_init(
    mut plan: InitPlan,
    entrance: &Entrance,
    channel: &ChildEnd,
    view_mounts: ViewMounts,
) -> ! {
    match set_up_init(&mut plan, entrance, channel, view_mounts) {
        Ok(program) => {
            if wait_at_gate(&entrance.gate) {
                let error = leave_for(&plan, &program);
                let _ = nix::unistd::write(&entrance.status, &channel::encode_failure(&error));
            }
        }
        Err(error) => channel.failed(&error),
    }
    process::exit_now(1)
}

/// Runs a process in an existing container.
pub(in super::super) fn run_exec(
    plan: &ExecPlan,
    channel: &ChildEnd,
    view_mounts: ViewMounts,
) -> ! {
    let error = match set_up_exec(plan, channel, view_mounts) {
        Ok(program) => program.execute(plan.process),
        Err(error) => error,
    };
    channel.failed(&error);
    process::exit_now(1)
}

fn set_up_init(
    plan: &mut InitPlan,
    entrance: &Entrance,
    channel: &ChildEnd,
    view_mounts: ViewMounts,
) -> Step<Program> {
    Stage::JoinCgroup.reach()?;
    let proc = prepare(&entrance.join_cgroups)?;
    Stage::Rlimits.reach()?;
    Stage::OomScore.reach()?;
    if !plan.namespaces.clones_user() {
        plan.process.limit(&proc)?;
    }
    plan.namespaces.enter(channel, plan.time_offsets.as_deref())?;
    if plan.namespaces.hop == Hop::Early {
        hop(channel)?;
    }
    Stage::UnshareCgroup.reach()?;
    if plan.namespaces.own_cgroup {
        process::unshare(CloneFlags::NEWCGROUP)
            .map_err(|error| StepError::call(Stage::UnshareCgroup, &error))?;
    }
    if plan.runtime_hooks {
        channel
            .request_hooks()
            .map_err(|error| StepError::call(Stage::UnshareNamespaces, &error))?;
    }
    channel.begun(view_mounts).map_err(|error| StepError::call(Stage::Network, &error))?;
    name_machine(plan)?;
    join_keyring(&plan.process)?;
    let streams = enter_rootfs(plan, channel)?;
    Stage::Sysctls.reach()?;
    for (path, value) in &plan.sysctls {
        proc.write(path, value).map_err(|error| StepError::call(Stage::Sysctls, &error))?;
    }
    make_cwd(&plan.process);
    streams.install(&plan.process)?;
    let program = become_process(&plan.process, &proc, channel)?;
    drop(proc);
    Stage::JoinPidNamespace.reach()?;
    if plan.namespaces.hop == Hop::Late {
        let keep = [channel.fd(), entrance.gate.as_fd(), entrance.status.as_fd()];
        let keep = keep.map(|fd| fd.as_raw_fd());
        close_others(&plan.process, &keep);
        hop(channel)?;
    }
    finish(&plan.process, streams, channel)?;
    Stage::Gate.reach()?;
    channel.ready().map_err(|error| StepError::call(Stage::Gate, &error))?;
    Ok(program)
}

fn set_up_exec(plan: &ExecPlan, channel: &ChildEnd, view_mounts: ViewMounts) -> Step<Program> {
    channel.begun(view_mounts).map_err(|error| StepError::call(Stage::JoinCgroup, &error))?;
    let proc = prepare(plan.join_cgroups)?;
    if let Some(cpus) = plan.cpus {
        placement::run_on(cpus).map_err(|error| StepError::call(Stage::Scheduler, &error))?;
    }
    plan.process.limit(&proc)?;
    process::setns(plan.target, plan.kinds)
        .map_err(|error| StepError::call(Stage::JoinNamespaces, &error))?;
    if plan.kinds.contains(CloneFlags::NEWUSER) {
        use nix::unistd::{Gid, Uid};
        prctl::become_user(Uid::from_raw(0), Gid::from_raw(0), &[])
            .map_err(|error| StepError::call(Stage::User, &error))?;
    }
    join_keyring(plan.process)?;
    let streams = match (plan.process.terminal, &plan.stdio) {
        (true, _) => {
            let pty = terminal::open_in_container(&proc)?;
            channel
                .console(pty.master.as_fd())
                .map_err(|error| StepError::call(Stage::Console, &error))?;
            Streams::Terminal(pty.slave)
        }
        (false, Some(given)) => Streams::Given(duplicates(given)?),
        (false, None) => Streams::Inherited,
    };
    streams.install(plan.process)?;
    let program = become_process(plan.process, &proc, channel)?;
    drop(proc);
    if plan.kinds.contains(CloneFlags::NEWPID) {
        close_others(plan.process, &[channel.fd().as_raw_fd()]);
        hop(channel)?;
    }
    finish(plan.process, streams, channel)?;
    Ok(program)
}

/// The host's procfs, and a place in the cgroups that the clone cannot give.
fn prepare(join_cgroups: &[OwnedFd]) -> Step<ProcDir> {
    prctl::reset_signals();
    for procs in join_cgroups {
        nix::unistd::write(procs, b"0")
            .map_err(|errno| SyscallError::new("write", "cgroup.procs", errno))
            .map_err(|error| StepError::call(Stage::JoinCgroup, &error))?;
    }
    ProcDir::open().map_err(|error| StepError::call(Stage::JoinNamespaces, &error))
}

/// Goes on in a new process, a sibling: the child of whoever made this one.
fn hop(channel: &ChildEnd) -> Step {
    let step = |error| StepError::call(Stage::JoinPidNamespace, &error);
    let args = CloneArgs { flags: CloneFlags::PARENT, ..CloneArgs::default() };
    let cloned = match process::clone3(&args) {
        Err(error) if error.errno == Errno::ENOSYS => process::clone_sibling(),
        cloned => cloned,
    };
    match cloned.map_err(step)? {
        Clone::Child => Ok(()),
        Clone::Parent { pid, pidfd } => {
            channel.continued(pid, pidfd.as_fd()).map_err(step)?;
            process::exit_now(0)
        }
    }
}

fn name_machine(plan: &InitPlan) -> Step {
    Stage::Network.reach()?;
    if plan.namespaces.own_network {
        netif::loopback_up().map_err(|error| StepError::call(Stage::Network, &error))?;
    }
    Stage::Hostname.reach()?;
    let step = |error| StepError::call(Stage::Hostname, &error);
    if let Some(name) = &plan.hostname {
        nix::unistd::sethostname(name)
            .map_err(|errno| SyscallError::new("sethostname", format!("{name:?}"), errno))
            .map_err(step)?;
    }
    plan.domainname.as_deref().map_or(Ok(()), prctl::set_domainname).map_err(step)
}

/// A kernel without keyrings has none to protect.
fn join_keyring(plan: &ProcessPlan) -> Step {
    Stage::Keyring.reach()?;
    let Some(name) = &plan.keyring else { return Ok(()) };
    match prctl::join_session_keyring(name).and_then(prctl::open_keyring_to_user) {
        Err(error) if error.errno == Errno::ENOSYS => Ok(()),
        result => result.map_err(|error| StepError::call(Stage::Keyring, &error)),
    }
}

fn enter_rootfs(plan: &mut InitPlan, channel: &ChildEnd) -> Step<Streams> {
    Stage::Rootfs.reach()?;
    let entered = plan.rootfs.assemble(&mut |_| ()).map_err(rootfs_step)?;
    let hooks = &plan.hooks;
    Stage::CreateContainerHooks.reach()?;
    hooks.run(&hooks.create_container, Status::Creating, Stage::CreateContainerHooks)?;
    plan.rootfs.change_root(&mut |_| ()).map_err(rootfs_step)?;
    Stage::Console.reach()?;
    match (entered.console, plan.stdio.take()) {
        (Some(pty), _) => {
            channel
                .console(pty.master.as_fd())
                .map_err(|error| StepError::call(Stage::Console, &error))?;
            Ok(Streams::Terminal(pty.slave))
        }
        (None, Some(given)) => Ok(Streams::Given(given)),
        (None, None) => Ok(Streams::Inherited),
    }
}

fn rootfs_step(error: crate::rootfs::StepError) -> StepError {
    StepError { stage: Stage::Rootfs, errno: error.errno, detail: error.to_string() }
}

fn duplicates(fds: &[OwnedFd; 3]) -> Step<[OwnedFd; 3]> {
    let [a, b, c] = fds;
    let copy = |fd: &OwnedFd| {
        fd::duplicate_above_stdio(fd.as_fd()).map_err(|e| StepError::call(Stage::Console, &e))
    };
    Ok([copy(a)?, copy(b)?, copy(c)?])
}

/// runc makes a missing working directory; inside the container's root a plain
/// path cannot leave it. A failure shows when the directory is entered.
fn make_cwd(plan: &ProcessPlan) {
    use std::os::unix::fs::DirBuilderExt;
    let _ = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&plan.cwd);
}

/// What is left to execute.
struct Program {
    path: CString,
    home: String,
}

impl Program {
    fn execute(&self, plan: &ProcessPlan) -> StepError {
        match plan.vectors(&self.home) {
            Err(error) => error,
            Ok((args, env)) => {
                let errno = execve(&self.path, &args, &env).errno;
                StepError::about(Stage::Exec, &format!("exec {:?}", self.path), errno)
            }
        }
    }
}

/// From root to the container's user, and what that user is going to execute.
fn become_process(plan: &ProcessPlan, proc: &ProcDir, channel: &ChildEnd) -> Step<Program> {
    Stage::Scheduler.reach()?;
    Stage::Labels.reach()?;
    plan.attribute(proc)?;
    Stage::NoNewPrivileges.reach()?;
    if plan.no_new_privileges {
        prctl::set_no_new_privs()
            .map_err(|error| StepError::call(Stage::NoNewPrivileges, &error))?;
    } else {
        // Without no_new_privs the filter needs a privilege that is about to
        // go.
        install_seccomp(plan, channel)?;
    }
    // As root first: the user may lack the right to reach it. If root may not
    // (NFS, a user's own FUSE mount), the user may.
    let entered = nix::unistd::chdir(plan.cwd.as_str());
    Stage::Capabilities.reach()?;
    Stage::User.reach()?;
    plan.identity.assume(&plan.capabilities)?;
    Stage::WorkingDirectory.reach()?;
    if entered == Err(Errno::EACCES) {
        nix::unistd::chdir(plan.cwd.as_str()).map_err(|errno| cwd_error(plan, errno))?;
    } else {
        entered.map_err(|errno| cwd_error(plan, errno))?;
    }
    verify_cwd(plan)?;
    Stage::Executable.reach()?;
    let path = executable::find(&plan.args[0], plan.path())?;
    Ok(Program { path, home: if plan.lacks_home() { home_of(plan) } else { String::new() } })
}

fn cwd_error(plan: &ProcessPlan, errno: Errno) -> StepError {
    StepError::about(Stage::WorkingDirectory, &format!("chdir to cwd ({:?})", plan.cwd), errno)
}

/// The current directory must be inside the container: one reached through a
/// leaked descriptor has no path here (CVE-2024-21626).
fn verify_cwd(plan: &ProcessPlan) -> Step {
    match nix::unistd::getcwd() {
        Ok(path) if path.is_absolute() => Ok(()),
        Ok(_) | Err(Errno::ENOENT) => Err(StepError::new(
            Stage::WorkingDirectory,
            Errno::ENOENT,
            format!("cwd {:?} is outside of the container", plan.cwd),
        )),
        Err(errno) => Err(cwd_error(plan, errno)),
    }
}

/// The user's home by the container's /etc/passwd, read as that user.
fn home_of(plan: &ProcessPlan) -> String {
    use nix::fcntl::{OFlag, open};
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open("/", flags, nix::sys::stat::Mode::empty())
        .ok()
        .and_then(|root| {
            crate::rootfs::users::resolve(root.as_fd(), &plan.identity.uid.to_string()).ok()
        })
        .map(|user| user.home)
        .filter(|home| !home.is_empty())
        .unwrap_or_else(|| "/".to_owned())
}

/// The last things before exec, none of which needs a privilege.
fn finish(plan: &ProcessPlan, streams: Streams, channel: &ChildEnd) -> Step {
    Stage::Session.reach()?;
    streams.start_session()?;
    // Its descriptors may be closed already, by number.
    std::mem::forget(streams);
    Stage::Descriptors.reach()?;
    fd::close_range_cloexec(3 + plan.preserve_fds)
        .map_err(|error| StepError::call(Stage::Descriptors, &error))?;
    if plan.no_new_privileges {
        install_seccomp(plan, channel)?;
    }
    Ok(())
}

fn install_seccomp(plan: &ProcessPlan, channel: &ChildEnd) -> Step {
    Stage::Seccomp.reach()?;
    let Some(filter) = &plan.seccomp else { return Ok(()) };
    let listener = filter
        .install()
        .map_err(|error| StepError::new(Stage::Seccomp, Errno::EINVAL, error.to_string()))?;
    match listener {
        None => Ok(()),
        Some(listener) => channel
            .listener(listener.as_fd())
            .map_err(|error| StepError::call(Stage::Seccomp, &error)),
    }
}

/// Nothing of the maker's is open any more when the process enters the
/// container's pid namespace.
fn close_others(plan: &ProcessPlan, keep: &[i32]) {
    let preserved = 3..3 + plan.preserve_fds.cast_signed();
    let mut all: Vec<i32> = (0..3).chain(preserved).chain(keep.iter().copied()).collect();
    all.sort_unstable();
    fd::close_all_but(&all);
}

/// True when told to start; false when whoever held the gate is gone.
fn wait_at_gate(gate: &OwnedFd) -> bool {
    let mut byte = [0];
    loop {
        match nix::unistd::read(gate, &mut byte) {
            Ok(1) => return true,
            Err(Errno::EINTR) => {}
            _ => return false,
        }
    }
}

fn leave_for(plan: &InitPlan, program: &Program) -> StepError {
    let hooks = &plan.hooks;
    let ready = Stage::StartContainerHooks
        .reach()
        .and_then(|()| {
            hooks.run(&hooks.start_container, Status::Created, Stage::StartContainerHooks)
        })
        .and_then(|()| Stage::Exec.reach());
    match ready {
        Ok(()) => program.execute(&plan.process),
        Err(error) => error,
    }
}
