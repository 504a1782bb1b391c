//! From a pod to its plan: what podrt adds to what the manifest says.

use std::io::Read as _;
use std::path::Path;

use crate::cli::error::CliError;
use crate::manifest::{self, PlanOptions, PodObject, Report};
use crate::model::plan::{LogLimits, NetworkMode, PodPlan};
use crate::model::{ErrorKind, PodUid, Roots, Timestamp};

const NETWORK: &str = "podrt.local/network";
const SECCOMP: &str = "podrt.local/seccomp-default";
const BACKOFF: &str = "podrt.local/max-container-backoff-seconds";
const LOG_SIZE: &str = "podrt.local/log-max-bytes";
const LOG_FILES: &str = "podrt.local/log-max-files";
const MAX_BACKOFF_SECONDS: u32 = 300;

/// How a pod is run where its manifest does not say. What is not the default
/// is kept in the pod's annotations, so that it counts again when the pod is
/// started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    pub network: NetworkMode,
    pub seccomp_default: bool,
    /// The cap of the restart back-off, 1–300.
    pub max_backoff_seconds: u32,
    pub log_limits: LogLimits,
    pub is_static: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            network: NetworkMode::Bridge,
            seccomp_default: false,
            max_backoff_seconds: MAX_BACKOFF_SECONDS,
            log_limits: LogLimits::default(),
            is_static: false,
        }
    }
}

impl Settings {
    /// What the pod's annotations say; what they do not is the default.
    #[must_use]
    pub fn of(pod: &PodObject) -> Self {
        let says = |key: &str| pod.metadata.annotations.get(key).map(String::as_str);
        let network = match says(NETWORK) {
            Some("none") => NetworkMode::None,
            Some("host") => NetworkMode::Host,
            _ => NetworkMode::Bridge,
        };
        let seconds = says(BACKOFF).and_then(|text| text.parse().ok());
        Self {
            network,
            seccomp_default: says(SECCOMP) == Some("true"),
            max_backoff_seconds: seconds
                .unwrap_or(MAX_BACKOFF_SECONDS)
                .clamp(1, MAX_BACKOFF_SECONDS),
            log_limits: log_limits(says(LOG_SIZE), says(LOG_FILES)),
            is_static: false,
        }
    }

    /// Writes what is not the default into the pod's annotations.
    pub fn note(self, pod: &mut PodObject) {
        let mut set = |key: &str, value: String| {
            pod.metadata.annotations.insert(key.to_owned(), value);
        };
        match self.network {
            NetworkMode::None => set(NETWORK, "none".into()),
            NetworkMode::Host => set(NETWORK, "host".into()),
            NetworkMode::Bridge => {}
        }
        if self.seccomp_default {
            set(SECCOMP, "true".into());
        }
        if self.max_backoff_seconds != MAX_BACKOFF_SECONDS {
            set(BACKOFF, self.max_backoff_seconds.to_string());
        }
        let (limits, usual) = (self.log_limits, LogLimits::default());
        if limits.max_bytes != usual.max_bytes {
            set(LOG_SIZE, limits.max_bytes.to_string());
        }
        if limits.max_files != usual.max_files {
            set(LOG_FILES, limits.max_files.to_string());
        }
    }
}

/// What the texts say; what they do not is the default.
fn log_limits(size: Option<&str>, files: Option<&str>) -> LogLimits {
    let usual = LogLimits::default();
    LogLimits {
        max_bytes: size.and_then(|text| text.parse().ok()).unwrap_or(usual.max_bytes),
        max_files: files.and_then(|text| text.parse().ok()).unwrap_or(usual.max_files).max(2),
    }
}

/// Plans a pod, which gets a name and a uid where it has none.
///
/// # Errors
/// No randomness; a uid that cannot be a folder's name. Within: what this
/// machine cannot honour.
pub fn plan(
    pod: &mut PodObject,
    settings: Settings,
    roots: &Roots,
    now: Timestamp,
) -> Result<Result<PodPlan, Report>, CliError> {
    if pod.metadata.name.is_empty() {
        pod.metadata.name = manifest::generated_name(&pod.metadata.generate_name, random()?);
    }
    let uid = match pod.metadata.uid.as_str() {
        "" => random_uid()?,
        uid => PodUid::new(uid).map_err(|e| CliError::room(&e, ErrorKind::InvalidInput))?,
    };
    pod.metadata.uid = uid.to_string();
    Ok(manifest::plan(pod, &options(settings, roots, uid, now)))
}

fn options(settings: Settings, roots: &Roots, uid: PodUid, now: Timestamp) -> PlanOptions {
    PlanOptions {
        roots: absolute(roots),
        uid,
        node_name: node_name(),
        network: settings.network,
        created_at: now,
        node_memory_bytes: node_memory_bytes(),
        node_cpus: std::thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
        cluster_domain: "cluster.local".into(),
        seccomp_default: settings.seccomp_default,
        max_backoff_seconds: settings.max_backoff_seconds,
        log_limits: settings.log_limits,
        is_static: settings.is_static,
    }
}

/// The pod's processes keep the roots, wherever they are started from.
fn absolute(roots: &Roots) -> Roots {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Roots {
        root: absolute(&roots.root),
        data_root: absolute(&roots.data_root),
        log_root: absolute(&roots.log_root),
    }
}

/// The machine's host name in lower case: the node's name.
#[must_use]
pub fn node_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_string_lossy().to_ascii_lowercase()
}

/// `MemTotal` of /proc/meminfo, in bytes; 0 where it cannot be read.
fn node_memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn random_bytes<const N: usize>() -> Result<[u8; N], CliError> {
    let mut bytes = [0; N];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map(|()| bytes)
        .map_err(|e| CliError::File { path: "/dev/urandom".into(), cause: e.to_string() })
}

/// A random number.
///
/// # Errors
/// No randomness.
pub fn random() -> Result<u64, CliError> {
    random_bytes().map(u64::from_ne_bytes)
}

/// A version 4 UUID (RFC 9562).
///
/// # Errors
/// No randomness.
pub fn random_uid() -> Result<PodUid, CliError> {
    let mut bytes: [u8; 16] = random_bytes()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let uid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    PodUid::new(uid).map_err(|e| CliError::room(&e, ErrorKind::System))
}
