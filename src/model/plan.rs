//! A pod as the supervisor needs it: defaulted, validated, without YAML.
//!
//! `manifest` makes it, `store` keeps it, `lifecycle` decides by it and
//! `supervisor` carries it out. Values that Kubernetes reads anew at each
//! container start (`ConfigMap` and `Secret` keys, the pod's address) stay
//! references here.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{PodUid, Quantity, Roots, Signal, Timestamp};

/// The version of the record; a shim refuses a plan of another one.
pub const PLAN_VERSION: u32 = 1;

/// Everything a shim needs to run one pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodPlan {
    pub version: u32,
    pub uid: PodUid,
    pub namespace: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub generation: i64,
    pub created_at: Timestamp,
    pub roots: Roots,
    pub node_name: String,
    pub service_account_name: String,
    pub enable_service_links: bool,
    /// True for pods of a manifest directory: their phase is never forced.
    pub is_static: bool,

    pub restart_policy: RestartPolicy,
    /// Whole seconds, never negative.
    pub termination_grace_seconds: u32,
    pub active_deadline_seconds: Option<u32>,
    pub readiness_gates: Vec<String>,
    pub qos: QosClass,
    /// The cap of the restart back-off, seconds (default 300).
    pub max_backoff_seconds: u32,
    #[serde(default)]
    pub log_limits: LogLimits,

    pub sandbox: SandboxPlan,
    pub volumes: Vec<VolumePlan>,
    /// Plain init containers and sidecars, in order.
    pub init_containers: Vec<ContainerPlan>,
    pub containers: Vec<ContainerPlan>,
    pub ephemeral_containers: Vec<ContainerPlan>,
}

/// When a container's log is rotated, and how many files there are then at
/// most: the current one and the rotated ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLimits {
    pub max_bytes: u64,
    /// At least 2.
    pub max_files: usize,
}

impl Default for LogLimits {
    /// The kubelet's containerLogMaxSize and containerLogMaxFiles.
    fn default() -> Self {
        Self { max_bytes: 10 << 20, max_files: 5 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QosClass {
    Guaranteed,
    Burstable,
    BestEffort,
}

/// What the pod's containers share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxPlan {
    /// The kernel's host name (at most 64 bytes).
    pub hostname: String,
    /// `<subdomain>.<ns>.svc.<clusterDomain>`, when a subdomain is set.
    pub domain: Option<String>,
    pub network: NetworkMode,
    pub host_pid: bool,
    pub host_ipc: bool,
    pub share_process_namespace: bool,
    /// `hostUsers: false`.
    pub user_namespace: bool,
    /// Name → value, names with dots.
    pub sysctls: BTreeMap<String, String>,
    pub host_ports: Vec<HostPort>,
    pub dns: DnsPlan,
    pub host_aliases: Vec<HostAlias>,
    /// True when any container is privileged.
    pub privileged: bool,
    /// Pod-level user and group of the pause process.
    pub run_as_user: Option<u32>,
    pub run_as_group: Option<u32>,
    pub fs_group: Option<u32>,
    pub fs_group_on_root_mismatch: bool,
    pub supplemental_groups: Vec<u32>,
    /// `supplementalGroupsPolicy: Strict`.
    pub strict_groups: bool,
    /// What goes on the pod's own cgroup.
    pub resources: Resources,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkMode {
    /// A network namespace with only `lo`.
    None,
    /// The machine's own network and host name.
    Host,
    /// A network namespace on podrt's bridge.
    Bridge,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostPort {
    pub host_ip: Option<IpAddr>,
    pub host_port: u16,
    pub container_port: u16,
    pub protocol: Protocol,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// How `/etc/resolv.conf` is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsPlan {
    /// Start from the machine's own file (`Default`, and `ClusterFirst` where
    /// no cluster DNS is configured).
    pub from_host: bool,
    /// `ClusterFirst` was asked for and fell back: event `MissingClusterDNS`.
    pub cluster_dns_missing: bool,
    pub nameservers: Vec<String>,
    pub searches: Vec<String>,
    /// `name` or `name:value`.
    pub options: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostAlias {
    pub ip: String,
    pub hostnames: Vec<String>,
}

/// Limits of one cgroup, in the kernel's own units; `None` leaves the kernel's
/// default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// cgroup v1 shares (2–262144); v2's weight is computed from it.
    pub cpu_shares: Option<u64>,
    /// Microseconds of CPU in each period.
    pub cpu_quota_us: Option<i64>,
    pub cpu_period_us: Option<u64>,
    pub memory_limit_bytes: Option<i64>,
    /// Memory and swap together (v1's notion), bytes.
    pub memory_swap_limit_bytes: Option<i64>,
    pub memory_oom_group: bool,
    /// No swap, whatever the memory limit (cgroup v2: `memory.swap.max` is 0
    /// where there is a swap controller).
    #[serde(default)]
    pub no_swap: bool,
    pub pids_limit: Option<i64>,
    /// Page size as the kernel names it (`2MB`) → bytes.
    pub hugepage_limits: BTreeMap<String, u64>,
    /// Raw cgroup v2 files.
    pub unified: BTreeMap<String, String>,
}

/// One container of the pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPlan {
    pub name: String,
    /// As written in the manifest.
    pub image: String,
    pub pull_policy: PullPolicy,
    /// Replaces the image's entrypoint (and drops its command) when set.
    pub command: Option<Vec<String>>,
    pub args: Option<Vec<String>>,
    pub working_dir: Option<String>,
    pub env_from: Vec<EnvFrom>,
    pub env: Vec<EnvVar>,
    pub mounts: Vec<MountPlan>,
    pub ports: Vec<PortPlan>,

    pub resources: Resources,
    /// For `resourceFieldRef`, `get -o yaml` and the OOM score.
    pub requests: BTreeMap<String, Quantity>,
    pub limits: BTreeMap<String, Quantity>,
    pub oom_score_adj: i32,
    pub security: SecurityPlan,

    pub startup_probe: Option<ProbePlan>,
    pub liveness_probe: Option<ProbePlan>,
    pub readiness_probe: Option<ProbePlan>,
    pub post_start: Option<HookPlan>,
    pub pre_stop: Option<HookPlan>,
    /// `lifecycle.stopSignal`; else the image's, else TERM.
    pub stop_signal: Option<Signal>,

    pub termination_message_path: String,
    pub termination_message_policy: TerminationMessagePolicy,
    /// The container's own restart policy; `Always` on an init container makes
    /// it a sidecar.
    pub restart_policy: Option<RestartPolicy>,
    pub restart_rules: Vec<RestartRule>,
    /// An ephemeral container's target, whose pid namespace it joins.
    pub target_container: Option<String>,

    pub stdin: bool,
    pub stdin_once: bool,
    pub tty: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TerminationMessagePolicy {
    File,
    FallbackToLogsOnError,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartRule {
    pub action: RestartAction,
    /// True for `In`, false for `NotIn`.
    pub matches_values: bool,
    pub exit_codes: Vec<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartAction {
    Restart,
    RestartAllContainers,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvFrom {
    pub prefix: String,
    pub source: ObjectRef,
}

/// A `ConfigMap` or `Secret` of the pod's namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    pub kind: ObjectKind,
    pub name: String,
    pub optional: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ObjectKind {
    ConfigMap,
    Secret,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    pub name: String,
    pub value: EnvValue,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EnvValue {
    /// May hold `$(VAR)` references.
    Literal(String),
    Key {
        object: ObjectRef,
        key: String,
    },
    Field(FieldRef),
    Resource(ResourceRef),
    /// `fileKeyRef`: a key of an env file in an emptyDir volume.
    FileKey {
        volume: String,
        path: String,
        key: String,
        optional: bool,
    },
}

/// A downward API field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FieldRef {
    Name,
    Namespace,
    Uid,
    Labels,
    Annotations,
    Label(String),
    Annotation(String),
    NodeName,
    ServiceAccountName,
    HostIp,
    HostIps,
    PodIp,
    PodIps,
}

/// A container's request or limit, already divided and rounded up where it
/// does not depend on the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ResourceRef {
    Value(i64),
    /// No limit is set: the machine's CPUs, `ceil(milli / divisor_milli)`.
    NodeCpu {
        divisor_milli: i64,
    },
    /// No limit is set: the machine's memory, `ceil(bytes / divisor)`.
    NodeMemory {
        divisor: i64,
    },
    NodeEphemeralStorage {
        divisor: i64,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortPlan {
    pub name: Option<String>,
    pub container_port: u16,
    pub protocol: Protocol,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountPlan {
    pub volume: String,
    /// Absolute path in the container.
    pub path: String,
    pub read_only: bool,
    pub recursive_read_only: RecursiveReadOnly,
    pub propagation: Propagation,
    /// Relative, without `..`; `None` for the whole volume.
    pub sub_path: Option<SubPath>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SubPath {
    Literal(String),
    /// `subPathExpr`, expanded with the container's environment.
    Expression(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecursiveReadOnly {
    Disabled,
    IfPossible,
    Enabled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// `None` of the API: rprivate.
    Private,
    /// `HostToContainer`: rslave.
    HostToContainer,
    /// rshared.
    Bidirectional,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumePlan {
    pub name: String,
    pub source: VolumeSource,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VolumeSource {
    EmptyDir {
        medium: Medium,
        size_limit_bytes: Option<u64>,
    },
    HostPath {
        path: String,
        check: HostPathCheck,
    },
    /// configMap, secret, downwardAPI and projected: files from sources.
    Files(FilesVolume),
    /// An image mounted read-only.
    Image {
        reference: String,
        pull_policy: PullPolicy,
    },
    /// A claim bound to a folder below the data root.
    Claim {
        name: String,
        read_only: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Medium {
    Disk,
    Memory,
    /// hugetlbfs; `None` for the default page size.
    HugePages(Option<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostPathCheck {
    Unset,
    DirectoryOrCreate,
    Directory,
    FileOrCreate,
    File,
    Socket,
    CharDevice,
    BlockDevice,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilesVolume {
    /// The kubelet's plugin folder: `configmap`, `secret`, `downward-api`,
    /// `projected`.
    pub plugin: FilesPlugin,
    pub default_mode: u32,
    pub sources: Vec<FilesSource>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilesPlugin {
    ConfigMap,
    Secret,
    DownwardApi,
    Projected,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FilesSource {
    /// All keys when `items` is empty.
    Object {
        object: ObjectRef,
        items: Vec<KeyToPath>,
    },
    Downward {
        items: Vec<DownwardFile>,
    },
    /// A service account token cannot be made without an API server.
    ServiceAccountToken {
        path: String,
        audience: Option<String>,
        expiration_seconds: i64,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyToPath {
    pub key: String,
    pub path: String,
    pub mode: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DownwardFile {
    pub path: String,
    pub mode: Option<u32>,
    pub value: DownwardValue,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DownwardValue {
    Field(FieldRef),
    Resource(ResourceRef),
}

/// Security settings with the pod's merged in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityPlan {
    pub privileged: bool,
    pub run_as_user: Option<u32>,
    pub run_as_group: Option<u32>,
    pub run_as_non_root: bool,
    pub read_only_root: bool,
    /// False sets `no_new_privs`.
    pub allow_privilege_escalation: bool,
    /// Upper case, without `CAP_`.
    pub capabilities_add: Vec<String>,
    pub capabilities_drop: Vec<String>,
    pub unmasked_proc: bool,
    pub seccomp: SeccompChoice,
    pub apparmor: AppArmorChoice,
    pub selinux: Option<SelinuxLabel>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SeccompChoice {
    Unconfined,
    RuntimeDefault,
    /// A file below the seccomp folder of the data root.
    Localhost(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AppArmorChoice {
    Unset,
    Unconfined,
    RuntimeDefault,
    Localhost(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SelinuxLabel {
    pub user: Option<String>,
    pub role: Option<String>,
    pub r#type: Option<String>,
    pub level: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbePlan {
    pub handler: Handler,
    pub initial_delay_seconds: u32,
    pub period_seconds: u32,
    pub timeout_seconds: u32,
    pub success_threshold: u32,
    pub failure_threshold: u32,
    pub termination_grace_seconds: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookPlan {
    pub handler: Handler,
}

/// What a probe or a hook does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Handler {
    Exec {
        command: Vec<String>,
    },
    HttpGet(HttpGet),
    TcpSocket {
        host: Option<String>,
        port: PortRef,
    },
    /// Probes only.
    Grpc {
        port: u16,
        service: String,
    },
    /// Hooks only.
    Sleep {
        seconds: u32,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpGet {
    pub https: bool,
    pub host: Option<String>,
    pub port: PortRef,
    pub path: String,
    pub headers: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PortRef {
    Number(u16),
    /// Looked up in the container's ports when the probe runs.
    Name(String),
}

impl ContainerPlan {
    /// True for an init container that runs beside the app containers.
    #[must_use]
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy == Some(RestartPolicy::Always)
    }
}

impl PodPlan {
    /// `NAME_NAMESPACE(UID)`, the pod in the kubelet's messages.
    #[must_use]
    pub fn kubelet_name(&self) -> String {
        format!("{}_{}({})", self.name, self.namespace, self.uid)
    }
}
