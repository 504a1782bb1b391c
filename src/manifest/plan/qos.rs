//! The QoS class and the OOM score that follows from it.

use crate::manifest::types::{Container, PodSpec};
use crate::manifest::validate::aggregate_requests;
use crate::model::Quantity;
use crate::model::plan::QosClass;

const COMPUTE: [&str; 2] = ["cpu", "memory"];
const GUARANTEED: i64 = -997;
const BEST_EFFORT: i64 = 1000;

/// The pod's class (pkg/apis/core/helper/qos); ephemeral containers and
/// anything but cpu and memory do not count.
pub(super) fn class(spec: &PodSpec) -> QosClass {
    if let Some(resources) = &spec.resources {
        return of_lists([(&resources.requests, &resources.limits)].into_iter());
    }
    let containers = spec.containers.iter().chain(&spec.init_containers);
    of_lists(containers.map(|c| (&c.resources.requests, &c.resources.limits)))
}

type List = std::collections::BTreeMap<String, Quantity>;

fn of_lists<'a>(lists: impl Iterator<Item = (&'a List, &'a List)> + Clone) -> QosClass {
    let positive = |list: &List, name: &str| {
        list.get(name).map(Quantity::exact_milli).filter(|amount| *amount > 0)
    };
    let (mut requests, mut limits) = ([0_i128; 2], [0_i128; 2]);
    let mut is_limited = true;
    for (request, limit) in lists {
        for (index, name) in COMPUTE.into_iter().enumerate() {
            requests[index] += positive(request, name).unwrap_or(0);
            let limit = positive(limit, name);
            is_limited &= limit.is_some();
            limits[index] += limit.unwrap_or(0);
        }
    }
    if requests == [0, 0] && limits == [0, 0] {
        QosClass::BestEffort
    } else if is_limited && requests == limits {
        QosClass::Guaranteed
    } else {
        QosClass::Burstable
    }
}

/// `oom_score_adj` of one container (kubelet/qos/policy.go).
pub(super) fn oom_score_adj(spec: &PodSpec, container: &Container, node_memory_bytes: u64) -> i32 {
    let score = if spec.priority_class_name == "system-node-critical" {
        GUARANTEED
    } else {
        match class(spec) {
            QosClass::Guaranteed => GUARANTEED,
            QosClass::BestEffort => BEST_EFFORT,
            QosClass::Burstable => burstable(spec, container, node_memory_bytes),
        }
    };
    i32::try_from(score).unwrap_or(1000)
}

fn memory_request(container: &Container) -> i128 {
    container.resources.requests.get("memory").map_or(0, |q| i128::from(q.value()))
}

fn burstable(spec: &PodSpec, container: &Container, node_memory_bytes: u64) -> i64 {
    let node = i128::from(node_memory_bytes.max(1));
    let share = unclaimed_share(spec);
    let score = |request: i128| 1000 - 1000 * (request + share) / node;
    let mut adjust = score(memory_request(container));
    if container.restart_policy.as_deref() == Some("Always")
        && spec.init_containers.iter().any(|init| init.name == container.name)
        && let Some(smallest) = spec.containers.iter().map(memory_request).min()
    {
        adjust = adjust.min(score(smallest));
    }
    i64::try_from(adjust.clamp(3, 999)).unwrap_or(999)
}

/// Each container's part of the pod-level request that none asked for.
fn unclaimed_share(spec: &PodSpec) -> i128 {
    let resources = spec.resources.as_ref();
    let Some(pod) = resources.and_then(|resources| resources.requests.get("memory")) else {
        return 0;
    };
    let claimed = aggregate_requests(spec).get("memory").map_or(0, |milli| milli / 1000);
    let count = spec.containers.len() + spec.init_containers.len();
    (i128::from(pod.value()) - claimed).max(0) / i128::try_from(count.max(1)).unwrap_or(1)
}
