//! What a sandbox and a container are, whoever asks: a pod's plan and a CRI
//! request both become these, and `container` turns them into OCI.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ContainerId;
use super::plan::{AppArmorChoice, NetworkMode, Resources, SelinuxLabel};

/// The namespaces a pod shares, and the process that holds them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxSpec {
    pub id: ContainerId,
    pub hostname: String,
    pub network: NetworkMode,
    pub host_ipc: bool,
    pub pid: SandboxPid,
    /// Name with dots → value.
    pub sysctls: BTreeMap<String, String>,
    /// The pod's cgroup, absolute in the hierarchy (`/podrt/pod<uid>`).
    pub cgroup: String,
    pub resources: Resources,
    /// Bytes of the shared `/dev/shm` (64 MiB by default).
    pub shm_size_bytes: u64,
    /// Who pause runs as: the pod's own user and groups.
    #[serde(default)]
    pub user: UserSpec,
}

/// Whose processes a pod's containers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxPid {
    /// Each container has its own.
    PerContainer,
    /// One for the pod, pause is its process 1.
    Shared,
    /// The machine's.
    Host,
}

/// Which pid namespace one container gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ContainerPid {
    Own,
    Sandbox,
    Host,
    /// That of the process with this pid (an ephemeral container's target).
    OfProcess(i32),
}

/// One container in a sandbox, with every value resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerSpec {
    pub id: ContainerId,
    pub args: Vec<String>,
    /// `NAME=value`, no name twice.
    pub env: Vec<String>,
    pub cwd: String,
    pub user: UserSpec,
    pub pid: ContainerPid,
    pub tty: bool,

    pub privileged: bool,
    pub read_only_root: bool,
    pub no_new_privileges: bool,
    /// With `CAP_`; bounding, permitted and effective.
    pub capabilities: Vec<String>,
    /// The seccomp profile as OCI JSON; `None` is unconfined.
    pub seccomp: Option<serde_json::Value>,
    pub apparmor: AppArmorChoice,
    pub selinux: Option<SelinuxLabel>,
    pub unmasked_proc: bool,

    pub mounts: Vec<BindMount>,
    pub resources: Resources,
    pub oom_score_adj: i32,
    /// The container's cgroup, absolute in the hierarchy.
    pub cgroup: String,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserSpec {
    pub uid: u32,
    pub gid: u32,
    pub additional_gids: Vec<u32>,
}

/// A host path, or a mount the caller holds by fd, bound into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BindMount {
    pub source: BindSource,
    pub destination: String,
    pub read_only: bool,
    pub recursive_read_only: bool,
    pub propagation: super::plan::Propagation,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BindSource {
    /// Opened by the parent before the clone.
    Path(PathBuf),
    /// A detached tree (open_tree, fsmount) among the fds passed along with
    /// the spec, by its index there.
    Detached(usize),
}
