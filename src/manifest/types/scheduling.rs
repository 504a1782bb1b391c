//! Names, addresses and what only a scheduler reads.

use super::LabelSelector;
use crate::manifest::schema::objects;

objects! {
    HostAlias {
        ip: String = "ip" [always],
        hostnames: Vec<String> = "hostnames",
    }

    PodDNSConfig {
        nameservers: Vec<String> = "nameservers",
        searches: Vec<String> = "searches",
        options: Vec<PodDNSConfigOption> = "options",
    }

    PodDNSConfigOption {
        name: String = "name",
        value: Option<String> = "value",
    }

    PodReadinessGate {
        condition_type: String = "conditionType" as "v1.PodConditionType" [always],
    }

    PodSchedulingGate {
        name: String = "name" [always],
    }

    PodSchedulingGroup {
        pod_group_name: Option<String> = "podGroupName",
    }

    PodResourceClaim {
        name: String = "name" [always],
        resource_claim_name: Option<String> = "resourceClaimName",
        resource_claim_template_name: Option<String> = "resourceClaimTemplateName",
    }

    Toleration {
        key: String = "key",
        operator: String = "operator" as "v1.TolerationOperator",
        value: String = "value",
        effect: String = "effect" as "v1.TaintEffect",
        toleration_seconds: Option<i64> = "tolerationSeconds",
    }

    TopologySpreadConstraint {
        max_skew: i32 = "maxSkew" [always],
        topology_key: String = "topologyKey" [always],
        when_unsatisfiable: String = "whenUnsatisfiable" as "v1.UnsatisfiableConstraintAction" [always],
        label_selector: Option<LabelSelector> = "labelSelector",
        min_domains: Option<i32> = "minDomains",
        node_affinity_policy: Option<String> = "nodeAffinityPolicy" as "v1.NodeInclusionPolicy",
        node_taints_policy: Option<String> = "nodeTaintsPolicy" as "v1.NodeInclusionPolicy",
        match_label_keys: Vec<String> = "matchLabelKeys",
    }

    Affinity {
        node_affinity: Option<NodeAffinity> = "nodeAffinity",
        pod_affinity: Option<PodAffinity> = "podAffinity",
        pod_anti_affinity: Option<PodAntiAffinity> = "podAntiAffinity",
    }

    NodeAffinity {
        required: Option<NodeSelector> = "requiredDuringSchedulingIgnoredDuringExecution",
        preferred: Vec<PreferredSchedulingTerm> = "preferredDuringSchedulingIgnoredDuringExecution",
    }

    NodeSelector {
        node_selector_terms: Vec<NodeSelectorTerm> = "nodeSelectorTerms" [always],
    }

    NodeSelectorTerm {
        match_expressions: Vec<NodeSelectorRequirement> = "matchExpressions",
        match_fields: Vec<NodeSelectorRequirement> = "matchFields",
    }

    NodeSelectorRequirement {
        key: String = "key" [always],
        operator: String = "operator" as "v1.NodeSelectorOperator" [always],
        values: Vec<String> = "values",
    }

    PreferredSchedulingTerm {
        weight: i32 = "weight" [always],
        preference: NodeSelectorTerm = "preference",
    }

    PodAffinity {
        required: Vec<PodAffinityTerm> = "requiredDuringSchedulingIgnoredDuringExecution",
        preferred: Vec<WeightedPodAffinityTerm> = "preferredDuringSchedulingIgnoredDuringExecution",
    }

    PodAntiAffinity {
        required: Vec<PodAffinityTerm> = "requiredDuringSchedulingIgnoredDuringExecution",
        preferred: Vec<WeightedPodAffinityTerm> = "preferredDuringSchedulingIgnoredDuringExecution",
    }

    WeightedPodAffinityTerm {
        weight: i32 = "weight" [always],
        pod_affinity_term: PodAffinityTerm = "podAffinityTerm",
    }

    PodAffinityTerm {
        label_selector: Option<LabelSelector> = "labelSelector",
        namespaces: Vec<String> = "namespaces",
        topology_key: String = "topologyKey" [always],
        namespace_selector: Option<LabelSelector> = "namespaceSelector",
        match_label_keys: Vec<String> = "matchLabelKeys",
        mismatch_label_keys: Vec<String> = "mismatchLabelKeys",
    }
}
