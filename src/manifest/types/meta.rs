//! `metav1`: what every object has.

use std::collections::BTreeMap;

use crate::manifest::schema::{Raw, objects};
use crate::model::Timestamp;

objects! {
    ObjectMeta {
        name: String = "name",
        generate_name: String = "generateName",
        namespace: String = "namespace",
        self_link: String = "selfLink",
        uid: String = "uid" as "types.UID",
        resource_version: String = "resourceVersion",
        generation: i64 = "generation",
        creation_timestamp: Option<Timestamp> = "creationTimestamp",
        deletion_timestamp: Option<Timestamp> = "deletionTimestamp",
        deletion_grace_period_seconds: Option<i64> = "deletionGracePeriodSeconds",
        labels: BTreeMap<String, String> = "labels",
        annotations: BTreeMap<String, String> = "annotations",
        owner_references: Vec<OwnerReference> = "ownerReferences",
        finalizers: Vec<String> = "finalizers",
        managed_fields: Vec<ManagedFieldsEntry> = "managedFields",
    }

    OwnerReference {
        api_version: String = "apiVersion" [always],
        kind: String = "kind" [always],
        name: String = "name" [always],
        uid: String = "uid" as "types.UID" [always],
        controller: Option<bool> = "controller",
        block_owner_deletion: Option<bool> = "blockOwnerDeletion",
    }

    ManagedFieldsEntry {
        manager: String = "manager",
        operation: String = "operation" as "v1.ManagedFieldsOperationType",
        api_version: String = "apiVersion",
        time: Option<Timestamp> = "time",
        fields_type: String = "fieldsType",
        fields_v1: Option<Raw> = "fieldsV1",
        subresource: String = "subresource",
    }

    ListMeta {
        self_link: String = "selfLink",
        resource_version: String = "resourceVersion",
        continue_token: String = "continue",
        remaining_item_count: Option<i64> = "remainingItemCount",
    }

    LabelSelector {
        match_labels: BTreeMap<String, String> = "matchLabels",
        match_expressions: Vec<LabelSelectorRequirement> = "matchExpressions",
    }

    LabelSelectorRequirement {
        key: String = "key" [always],
        operator: String = "operator" as "v1.LabelSelectorOperator" [always],
        values: Vec<String> = "values",
    }

    LocalObjectReference {
        name: String = "name",
    }

    TypedLocalObjectReference {
        api_group: Option<String> = "apiGroup",
        kind: String = "kind" [always],
        name: String = "name" [always],
    }

    TypedObjectReference {
        api_group: Option<String> = "apiGroup",
        kind: String = "kind" [always],
        name: String = "name" [always],
        namespace: Option<String> = "namespace",
    }
}
