//! A kubelet's admission: valid pods that it would still fail at once.

use super::{PlanOptions, resources, sandbox};
use crate::manifest::error::Rejection;
use crate::manifest::types::PodSpec;

/// Sysctls that affect nothing outside the pod (pkg/kubelet/sysctl). podrt's
/// least kernel has all of them.
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// Why a kubelet on this node would not admit the pod.
pub(super) fn rejection(spec: &PodSpec, options: &PlanOptions) -> Option<Rejection> {
    operating_system(spec).or_else(|| sysctls(spec)).or_else(|| capacity(spec, options))
}

fn operating_system(spec: &PodSpec) -> Option<Rejection> {
    let is_other = spec.os.as_ref().is_some_and(|os| os.name != "linux");
    is_other.then(|| Rejection {
        reason: "PodOSNotSupported",
        message: "Failed to admit pod as the OS field doesn't match node OS".to_owned(),
    })
}

fn sysctls(spec: &PodSpec) -> Option<Rejection> {
    let sysctls = sandbox::sysctls(spec);
    let unsafe_one = sysctls.keys().find(|name| !SAFE_SYSCTLS.contains(&name.as_str()))?;
    Some(Rejection {
        reason: "SysctlForbidden",
        message: format!("forbidden sysctl: {unsafe_one:?} not allowlisted"),
    })
}

/// More than the whole machine has; what other pods use is not known here.
fn capacity(spec: &PodSpec, options: &PlanOptions) -> Option<Rejection> {
    let requests = resources::pod_requests(spec);
    let checks = [
        ("cpu", "OutOfcpu", 1, i128::from(options.node_cpus) * 1000),
        ("memory", "OutOfmemory", 1000, i128::from(options.node_memory_bytes)),
    ];
    checks.into_iter().find_map(|(name, reason, unit, capacity)| {
        let requested = requests.get(name).copied().unwrap_or(0);
        let requested = requested.div_euclid(unit) + i128::from(requested.rem_euclid(unit) != 0);
        (requested > capacity).then(|| Rejection {
            reason,
            message: format!(
                "Node didn't have enough resource: {name}, requested: {requested}, used: 0, \
                 capacity: {capacity}"
            ),
        })
    })
}
