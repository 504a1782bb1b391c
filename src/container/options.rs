//! What a caller says when it makes a container or runs a process in one.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::unistd::Pid;
use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use super::kept::Keep;
use super::namespace::NamespaceFds;
use crate::model::{ContainerId, PodUid};
pub use crate::rootfs::RootSource;
use crate::sys::exec_view::ViewMounts;

/// What the process gets as its descriptors 0, 1 and 2.
#[derive(Debug)]
pub enum Stdio {
    /// The caller's own.
    Inherit,
    /// These three.
    Fds([OwnedFd; 3]),
}

/// Who gets the master side of the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Console {
    /// There is none.
    None,
    /// Sent over this UNIX socket, as runc's `--console-socket` does.
    Socket(PathBuf),
    /// Handed to the caller with the result.
    HandOver,
}

/// What holds the process back until it is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// A fifo in the state directory: another podrt starts it (OCI verbs).
    Fifo,
    /// The caller holds it: [`Created::gate`].
    Held,
}

/// Who makes cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupDriver {
    /// podrt writes the cgroup file system.
    #[default]
    Cgroupfs,
    /// systemd makes a transient scope.
    Systemd,
    /// Nobody: the container stays in its maker's cgroup.
    Disabled,
}

/// Everything [`Creation::begin`](super::Creation::begin) needs to know.
#[derive(Debug)]
pub struct CreateOptions {
    pub id: ContainerId,
    /// The folder of all containers' state (`--root`).
    pub state_root: PathBuf,
    /// Absolute; relative paths of the spec start there.
    pub bundle: PathBuf,
    pub spec: Spec,
    /// How the spec is kept for the verbs to come.
    pub keep: Box<dyn Keep>,
    pub root: RootSource,
    /// Detached trees for mounts, by their index in `spec.mounts`; these take
    /// the place of the mount's source.
    pub sources: BTreeMap<usize, OwnedFd>,
    /// Namespaces to join; these override the spec's paths and kinds.
    pub namespaces: NamespaceFds,
    pub stdio: Stdio,
    pub console: Console,
    pub pid_file: Option<PathBuf>,
    /// Descriptors 3.. to leave open in the container, as many as this.
    pub preserve_fds: u32,
    /// MS_MOVE and chroot instead of pivot_root, for a root on a ramdisk.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    pub gate: Gate,
    pub cgroup_driver: CgroupDriver,
    /// The pod whose container this is; its state then belongs to the pod.
    pub owner: Option<PodUid>,
    /// Dropped while the new process works.
    pub view_mounts: ViewMounts,
}

/// A container whose process waits to be started.
#[derive(Debug)]
pub struct Created {
    /// In the caller's pid namespace.
    pub pid: Pid,
    pub pidfd: OwnedFd,
    /// Clock ticks after boot, see [`crate::sys::process::process_start_time`].
    pub start_time: u64,
    /// With [`Gate::Held`]: write one byte to start; closing it unwritten ends
    /// the process.
    pub gate: Option<OwnedFd>,
    /// With [`Gate::Held`]: [`read_exec_status`](super::read_exec_status) tells
    /// whether the exec succeeded; readable when it has been decided.
    pub exec_status: Option<OwnedFd>,
    /// With [`Console::HandOver`]: the terminal's master side.
    pub console: Option<OwnedFd>,
}

/// What [`exec`](super::exec) runs in a container.
#[derive(Debug)]
pub struct ExecOptions {
    /// As in `process` of a bundle, or [`Target::process`](super::Target) of
    /// the container with other `args`.
    pub process: oci_spec::runtime::Process,
    pub stdio: Stdio,
    pub console: Console,
    pub pid_file: Option<PathBuf>,
    pub preserve_fds: u32,
    /// A cgroup below the container's own, relative.
    pub cgroup: Option<PathBuf>,
    /// Also in a paused container.
    pub ignore_paused: bool,
    /// Dropped while the new process works.
    pub view_mounts: ViewMounts,
}

/// A process that runs in a container: its program has been executed.
#[derive(Debug)]
pub struct Exec {
    /// In the caller's pid namespace; a child of the caller.
    pub pid: Pid,
    pub pidfd: OwnedFd,
    pub console: Option<OwnedFd>,
}
