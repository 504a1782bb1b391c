//! What only a scheduler reads. One machine has none, but a manifest that a
//! cluster would refuse is refused here too.

use std::collections::BTreeSet;

use super::check::Check;
use super::{meta, names};
use crate::manifest::path::Path;
use crate::manifest::types::{
    Affinity, LabelSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm,
    Toleration, TopologySpreadConstraint, WeightedPodAffinityTerm,
};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const NO_OPERATOR: &str = "not a valid selector operator";

pub(super) fn affinity(check: &mut Check<'_>, affinity: &Affinity, path: &Path<'_>) {
    if let Some(node) = &affinity.node_affinity {
        let path = path.child("nodeAffinity");
        if let Some(selector) = &node.required {
            let path = path.child(REQUIRED);
            let terms = path.child("nodeSelectorTerms");
            if selector.node_selector_terms.is_empty() {
                check.required(&terms, "must have at least one node selector term");
            }
            for (index, term) in selector.node_selector_terms.iter().enumerate() {
                node_term(check, term, true, &terms.index(index));
            }
        }
        let terms = path.child(PREFERRED);
        for (index, term) in node.preferred.iter().enumerate() {
            let path = terms.index(index);
            weight(check, term.weight, &path);
            node_term(check, &term.preference, false, &path.child("preference"));
        }
    }
    if let Some(rules) = &affinity.pod_affinity {
        pod_terms(check, &rules.required, &rules.preferred, &path.child("podAffinity"));
    }
    if let Some(rules) = &affinity.pod_anti_affinity {
        pod_terms(check, &rules.required, &rules.preferred, &path.child("podAntiAffinity"));
    }
}

fn weight(check: &mut Check<'_>, weight: i32, path: &Path<'_>) {
    if !(1..=100).contains(&weight) {
        check.invalid(&path.child("weight"), weight, "must be in the range 1-100");
    }
}

fn node_term(check: &mut Check<'_>, term: &NodeSelectorTerm, is_strict: bool, path: &Path<'_>) {
    let expressions = path.child("matchExpressions");
    for (index, requirement) in term.match_expressions.iter().enumerate() {
        node_expression(check, requirement, is_strict, &expressions.index(index));
    }
    let fields = path.child("matchFields");
    for (index, requirement) in term.match_fields.iter().enumerate() {
        node_field(check, requirement, &fields.index(index));
    }
}

fn node_expression(
    check: &mut Check<'_>,
    requirement: &NodeSelectorRequirement,
    is_strict: bool,
    path: &Path<'_>,
) {
    let values = path.child("values");
    let count = requirement.values.len();
    match requirement.operator.as_str() {
        "In" | "NotIn" if count == 0 => {
            check.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if count > 0 => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            check.forbidden(&values, detail);
        }
        "Gt" | "Lt" if count != 1 => {
            let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            check.required(&values, detail);
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => check.invalid(&path.child("operator"), other, NO_OPERATOR),
    }
    check.invalid_each(
        &path.child("key"),
        &requirement.key,
        names::qualified_name(&requirement.key),
    );
    if is_strict {
        for (index, value) in requirement.values.iter().enumerate() {
            check.invalid_each(&values.index(index), value, names::label_value(value));
        }
    }
}

fn node_field(check: &mut Check<'_>, requirement: &NodeSelectorRequirement, path: &Path<'_>) {
    let values = path.child("values");
    match requirement.operator.as_str() {
        "In" | "NotIn" if requirement.values.len() == 1 => {}
        "In" | "NotIn" => {
            let detail =
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            check.required(&values, detail);
        }
        other => check.invalid(&path.child("operator"), other, NO_OPERATOR),
    }
    if requirement.key == "metadata.name" {
        for (index, value) in requirement.values.iter().enumerate() {
            check.invalid_each(&values.index(index), value, names::subdomain(value));
        }
    } else {
        check.invalid(&path.child("key"), &requirement.key, "not a valid field selector key");
    }
}

fn pod_terms(
    check: &mut Check<'_>,
    required: &[PodAffinityTerm],
    preferred: &[WeightedPodAffinityTerm],
    path: &Path<'_>,
) {
    let terms = path.child(REQUIRED);
    for (index, term) in required.iter().enumerate() {
        pod_term(check, term, &terms.index(index));
    }
    let terms = path.child(PREFERRED);
    for (index, term) in preferred.iter().enumerate() {
        let path = terms.index(index);
        weight(check, term.weight, &path);
        pod_term(check, &term.pod_affinity_term, &path.child("podAffinityTerm"));
    }
}

fn pod_term(check: &mut Check<'_>, term: &PodAffinityTerm, path: &Path<'_>) {
    if let Some(selector) = &term.label_selector {
        label_selector(check, selector, &path.child("labelSelector"));
    }
    if let Some(selector) = &term.namespace_selector {
        label_selector(check, selector, &path.child("namespaceSelector"));
    }
    for name in &term.namespaces {
        check.at(&path.child("namespaces"), |check| {
            check.invalid_each(&path.child("namespace"), name, names::label(name));
        });
    }
    let selector = term.label_selector.as_ref();
    label_keys(check, &term.match_label_keys, selector, &path.child("matchLabelKeys"));
    label_keys(check, &term.mismatch_label_keys, selector, &path.child("mismatchLabelKeys"));
    let keys = path.child("matchLabelKeys");
    for (index, key) in term.match_label_keys.iter().enumerate() {
        if term.mismatch_label_keys.contains(key) {
            let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
            check.invalid(&keys.index(index), key, detail);
        }
    }
    let topology = path.child("topologyKey");
    if term.topology_key.is_empty() {
        check.required(&topology, "can not be empty");
    }
    check.invalid_each(&topology, &term.topology_key, names::qualified_name(&term.topology_key));
}

fn label_keys(
    check: &mut Check<'_>,
    keys: &[String],
    selector: Option<&LabelSelector>,
    path: &Path<'_>,
) {
    if !keys.is_empty() && selector.is_none() {
        check.forbidden(path, "must not be specified when labelSelector is not set");
        return;
    }
    for (index, key) in keys.iter().enumerate() {
        check.invalid_each(&path.index(index), key, names::qualified_name(key));
    }
}

pub(super) fn label_selector(check: &mut Check<'_>, selector: &LabelSelector, path: &Path<'_>) {
    meta::labels(check, &selector.match_labels, &path.child("matchLabels"));
    let expressions = path.child("matchExpressions");
    for (index, requirement) in selector.match_expressions.iter().enumerate() {
        let path = expressions.index(index);
        let values = path.child("values");
        match requirement.operator.as_str() {
            "In" | "NotIn" if requirement.values.is_empty() => {
                check.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !requirement.values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                check.forbidden(&values, detail);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => check.invalid(&path.child("operator"), other, NO_OPERATOR),
        }
        let broken = names::qualified_name(&requirement.key);
        check.invalid_each(&path.child("key"), &requirement.key, broken);
        for (index, value) in requirement.values.iter().enumerate() {
            check.invalid_each(&values.index(index), value, names::label_value(value));
        }
    }
}

pub(super) fn tolerations(check: &mut Check<'_>, tolerations: &[Toleration], path: &Path<'_>) {
    for (index, toleration) in tolerations.iter().enumerate() {
        let path = path.index(index);
        let (operator, effect) = (path.child("operator"), path.child("effect"));
        if !toleration.key.is_empty() {
            let broken = names::qualified_name(&toleration.key);
            check.invalid_each(&path.child("key"), &toleration.key, broken);
        } else if toleration.operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all \
                          values and all keys\"";
            check.invalid(&operator, &toleration.operator, detail);
        }
        if toleration.toleration_seconds.is_some() && toleration.effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            check.invalid(&effect, &toleration.effect, detail);
        }
        match toleration.operator.as_str() {
            "" | "Equal" => {
                let broken = names::label_value(&toleration.value);
                if !broken.is_empty() {
                    check.invalid(&operator, &toleration.value, &broken.join(";"));
                }
            }
            "Exists" if !toleration.value.is_empty() => {
                let detail = "value must be empty when `operator` is 'Exists'";
                check.invalid(&operator, &toleration.value, detail);
            }
            "Exists" => {}
            other => check.not_supported(&operator, other, &["Equal", "Exists"]),
        }
        if !toleration.effect.is_empty() {
            let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            check.one_of_if_set(&effect, &toleration.effect, &effects);
        }
    }
}

pub(super) fn topology_spread(
    check: &mut Check<'_>,
    constraints: &[TopologySpreadConstraint],
    path: &Path<'_>,
) {
    let mut known = BTreeSet::new();
    for (index, constraint) in constraints.iter().enumerate() {
        let path = path.index(index);
        if constraint.max_skew <= 0 {
            check.invalid(&path.child("maxSkew"), constraint.max_skew, "must be greater than zero");
        }
        if constraint.topology_key.is_empty() {
            check.required(&path.child("topologyKey"), "can not be empty");
        }
        let action = constraint.when_unsatisfiable.as_str();
        let actions = ["DoNotSchedule", "ScheduleAnyway"];
        check.one_of_if_set(&path.child("whenUnsatisfiable"), action, &actions);
        if !known.insert((constraint.topology_key.as_str(), action)) {
            let shown = format!("{{{}, {action}}}", constraint.topology_key);
            check.duplicate(&path.child("{topologyKey, whenUnsatisfiable}"), &shown);
        }
        if let Some(domains) = constraint.min_domains {
            let path = path.child("minDomains");
            if domains <= 0 {
                check.invalid(&path, domains, "must be greater than zero");
            }
            if action != "DoNotSchedule" {
                let detail = format!(
                    "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                );
                check.invalid(&path, domains, &detail);
            }
        }
        let policies = [
            ("nodeAffinityPolicy", &constraint.node_affinity_policy),
            ("nodeTaintsPolicy", &constraint.node_taints_policy),
        ];
        for (name, policy) in policies {
            if let Some(policy) = policy {
                check.one_of_if_set(&path.child(name), policy, &["Honor", "Ignore"]);
            }
        }
        let selector = constraint.label_selector.as_ref();
        label_keys(check, &constraint.match_label_keys, selector, &path.child("matchLabelKeys"));
        if let Some(selector) = selector {
            label_selector(check, selector, &path.child("labelSelector"));
        }
    }
}
