//! What the downward API tells a container of its pod and node. Pure.

use std::collections::BTreeMap;

use crate::model::plan::{FieldRef, PodPlan, ResourceRef};
use crate::volume::content::format_map;

/// What is known of the pod only once it runs.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub plan: &'a PodPlan,
    pub pod_ips: &'a [String],
    pub host_ips: &'a [String],
    pub node: Node,
}

/// What the machine has, for containers without a limit of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Node {
    pub cpu_milli: i64,
    pub memory_bytes: i64,
    pub storage_bytes: i64,
}

impl Facts<'_> {
    /// A field as text; a missing label, annotation or address is empty.
    #[must_use]
    pub fn field(&self, field: &FieldRef) -> String {
        let plan = self.plan;
        let first = |list: &[String]| list.first().cloned().unwrap_or_default();
        let value =
            |map: &BTreeMap<String, String>, key: &str| map.get(key).cloned().unwrap_or_default();
        match field {
            FieldRef::Name => plan.name.clone(),
            FieldRef::Namespace => plan.namespace.clone(),
            FieldRef::Uid => plan.uid.to_string(),
            FieldRef::Labels => format_map(&plan.labels),
            FieldRef::Annotations => format_map(&plan.annotations),
            FieldRef::Label(key) => value(&plan.labels, key),
            FieldRef::Annotation(key) => value(&plan.annotations, key),
            FieldRef::NodeName => plan.node_name.clone(),
            FieldRef::ServiceAccountName => plan.service_account_name.clone(),
            FieldRef::HostIp => first(self.host_ips),
            FieldRef::HostIps => self.host_ips.join(","),
            FieldRef::PodIp => first(self.pod_ips),
            FieldRef::PodIps => self.pod_ips.join(","),
        }
    }

    /// A request or limit, divided and rounded up.
    #[must_use]
    pub fn resource(&self, resource: &ResourceRef) -> String {
        let node = self.node;
        match *resource {
            ResourceRef::Value(value) => value,
            ResourceRef::NodeCpu { divisor_milli } => divide_up(node.cpu_milli, divisor_milli),
            ResourceRef::NodeMemory { divisor } => divide_up(node.memory_bytes, divisor),
            ResourceRef::NodeEphemeralStorage { divisor } => divide_up(node.storage_bytes, divisor),
        }
        .to_string()
    }
}

/// `ceil(value / divisor)`; a divisor of 0 counts as 1.
fn divide_up(value: i64, divisor: i64) -> i64 {
    let divisor = divisor.max(1);
    value.div_euclid(divisor) + i64::from(value.rem_euclid(divisor) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_the_node_are_divided_and_rounded_up() {
        for (value, divisor, want) in [(250, 1000, 1), (2000, 1000, 2), (250, 1, 250), (5, 0, 5)] {
            assert_eq!(divide_up(value, divisor), want, "{value} by {divisor}");
        }
    }
}
