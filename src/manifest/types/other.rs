//! Objects beside the pod: `ConfigMap`, `Secret`, and those that are kept.

use std::collections::BTreeMap;

use super::{LabelSelector, ObjectMeta, TypedLocalObjectReference, TypedObjectReference};
use crate::manifest::schema::{Bytes, IntOrString, Raw, objects};
use crate::model::Quantity;

objects! {
    ConfigMap {
        kind: String = "kind",
        api_version: String = "apiVersion",
        metadata: ObjectMeta = "metadata",
        immutable: Option<bool> = "immutable",
        data: BTreeMap<String, String> = "data",
        binary_data: BTreeMap<String, Bytes> = "binaryData",
    }

    Secret {
        kind: String = "kind",
        api_version: String = "apiVersion",
        metadata: ObjectMeta = "metadata",
        immutable: Option<bool> = "immutable",
        data: BTreeMap<String, Bytes> = "data",
        string_data: BTreeMap<String, String> = "stringData",
        r#type: String = "type" as "v1.SecretType",
    }

    Namespace {
        kind: String = "kind",
        api_version: String = "apiVersion",
        metadata: ObjectMeta = "metadata",
        spec: NamespaceSpec = "spec",
        status: Option<Raw> = "status",
    }

    NamespaceSpec {
        finalizers: Vec<String> = "finalizers",
    }

    Service {
        kind: String = "kind",
        api_version: String = "apiVersion",
        metadata: ObjectMeta = "metadata",
        spec: ServiceSpec = "spec",
        status: Option<Raw> = "status",
    }

    ServiceSpec {
        ports: Vec<ServicePort> = "ports",
        selector: BTreeMap<String, String> = "selector",
        cluster_ip: String = "clusterIP",
        cluster_ips: Vec<String> = "clusterIPs",
        r#type: String = "type" as "v1.ServiceType",
        external_ips: Vec<String> = "externalIPs",
        session_affinity: String = "sessionAffinity" as "v1.ServiceAffinity",
        load_balancer_ip: String = "loadBalancerIP",
        load_balancer_source_ranges: Vec<String> = "loadBalancerSourceRanges",
        external_name: String = "externalName",
        external_traffic_policy: String = "externalTrafficPolicy" as "v1.ServiceExternalTrafficPolicy",
        health_check_node_port: i32 = "healthCheckNodePort",
        publish_not_ready_addresses: bool = "publishNotReadyAddresses",
        session_affinity_config: Option<SessionAffinityConfig> = "sessionAffinityConfig",
        ip_families: Vec<String> = "ipFamilies",
        ip_family_policy: Option<String> = "ipFamilyPolicy" as "v1.IPFamilyPolicy",
        allocate_load_balancer_node_ports: Option<bool> = "allocateLoadBalancerNodePorts",
        load_balancer_class: Option<String> = "loadBalancerClass",
        internal_traffic_policy: Option<String> = "internalTrafficPolicy" as "v1.ServiceInternalTrafficPolicy",
        traffic_distribution: Option<String> = "trafficDistribution",
    }

    ServicePort {
        name: String = "name",
        protocol: String = "protocol" as "v1.Protocol",
        app_protocol: Option<String> = "appProtocol",
        port: i32 = "port" [always],
        target_port: IntOrString = "targetPort",
        node_port: i32 = "nodePort",
    }

    SessionAffinityConfig {
        client_ip: Option<ClientIPConfig> = "clientIP",
    }

    ClientIPConfig {
        timeout_seconds: Option<i32> = "timeoutSeconds",
    }

    PersistentVolumeClaim {
        kind: String = "kind",
        api_version: String = "apiVersion",
        metadata: ObjectMeta = "metadata",
        spec: PersistentVolumeClaimSpec = "spec",
        status: Option<Raw> = "status",
    }

    PersistentVolumeClaimSpec {
        access_modes: Vec<String> = "accessModes",
        selector: Option<LabelSelector> = "selector",
        resources: VolumeResourceRequirements = "resources",
        volume_name: String = "volumeName",
        storage_class_name: Option<String> = "storageClassName",
        volume_mode: Option<String> = "volumeMode" as "v1.PersistentVolumeMode",
        data_source: Option<TypedLocalObjectReference> = "dataSource",
        data_source_ref: Option<TypedObjectReference> = "dataSourceRef",
        volume_attributes_class_name: Option<String> = "volumeAttributesClassName",
    }

    VolumeResourceRequirements {
        limits: BTreeMap<String, Quantity> = "limits" as "v1.ResourceList",
        requests: BTreeMap<String, Quantity> = "requests" as "v1.ResourceList",
    }
}
