//! Containers: image, environment, ports, probes, hooks.

use std::collections::BTreeMap;

use super::{SecurityContext, VolumeDevice, VolumeMount};
use crate::manifest::schema::{IntOrString, objects};
use crate::model::Quantity;

objects! {
    Container {
        name: String = "name" [always],
        image: String = "image",
        command: Vec<String> = "command",
        args: Vec<String> = "args",
        working_dir: String = "workingDir",
        ports: Vec<ContainerPort> = "ports",
        env_from: Vec<EnvFromSource> = "envFrom",
        env: Vec<EnvVar> = "env",
        resources: ResourceRequirements = "resources",
        resize_policy: Vec<ContainerResizePolicy> = "resizePolicy",
        restart_policy: Option<String> = "restartPolicy" as "v1.ContainerRestartPolicy",
        restart_policy_rules: Vec<ContainerRestartRule> = "restartPolicyRules",
        volume_mounts: Vec<VolumeMount> = "volumeMounts",
        volume_devices: Vec<VolumeDevice> = "volumeDevices",
        liveness_probe: Option<Probe> = "livenessProbe",
        readiness_probe: Option<Probe> = "readinessProbe",
        startup_probe: Option<Probe> = "startupProbe",
        lifecycle: Option<Lifecycle> = "lifecycle",
        termination_message_path: String = "terminationMessagePath",
        termination_message_policy: String = "terminationMessagePolicy" as "v1.TerminationMessagePolicy",
        image_pull_policy: String = "imagePullPolicy" as "v1.PullPolicy",
        security_context: Option<SecurityContext> = "securityContext",
        stdin: bool = "stdin",
        stdin_once: bool = "stdinOnce",
        tty: bool = "tty",
    }

    EphemeralContainer {
        name: String = "name" [always],
        image: String = "image",
        command: Vec<String> = "command",
        args: Vec<String> = "args",
        working_dir: String = "workingDir",
        ports: Vec<ContainerPort> = "ports",
        env_from: Vec<EnvFromSource> = "envFrom",
        env: Vec<EnvVar> = "env",
        resources: ResourceRequirements = "resources",
        resize_policy: Vec<ContainerResizePolicy> = "resizePolicy",
        restart_policy: Option<String> = "restartPolicy" as "v1.ContainerRestartPolicy",
        restart_policy_rules: Vec<ContainerRestartRule> = "restartPolicyRules",
        volume_mounts: Vec<VolumeMount> = "volumeMounts",
        volume_devices: Vec<VolumeDevice> = "volumeDevices",
        liveness_probe: Option<Probe> = "livenessProbe",
        readiness_probe: Option<Probe> = "readinessProbe",
        startup_probe: Option<Probe> = "startupProbe",
        lifecycle: Option<Lifecycle> = "lifecycle",
        termination_message_path: String = "terminationMessagePath",
        termination_message_policy: String = "terminationMessagePolicy" as "v1.TerminationMessagePolicy",
        image_pull_policy: String = "imagePullPolicy" as "v1.PullPolicy",
        security_context: Option<SecurityContext> = "securityContext",
        stdin: bool = "stdin",
        stdin_once: bool = "stdinOnce",
        tty: bool = "tty",
        target_container_name: String = "targetContainerName",
    }

    ContainerPort {
        name: String = "name",
        host_port: i32 = "hostPort",
        container_port: i32 = "containerPort" [always],
        protocol: String = "protocol" as "v1.Protocol",
        host_ip: String = "hostIP",
    }

    EnvFromSource {
        prefix: String = "prefix",
        config_map_ref: Option<ConfigMapEnvSource> = "configMapRef",
        secret_ref: Option<SecretEnvSource> = "secretRef",
    }

    ConfigMapEnvSource {
        name: String = "name",
        optional: Option<bool> = "optional",
    }

    SecretEnvSource {
        name: String = "name",
        optional: Option<bool> = "optional",
    }

    EnvVar {
        name: String = "name" [always],
        value: String = "value",
        value_from: Option<EnvVarSource> = "valueFrom",
    }

    EnvVarSource {
        field_ref: Option<ObjectFieldSelector> = "fieldRef",
        resource_field_ref: Option<ResourceFieldSelector> = "resourceFieldRef",
        config_map_key_ref: Option<ConfigMapKeySelector> = "configMapKeyRef",
        secret_key_ref: Option<SecretKeySelector> = "secretKeyRef",
        file_key_ref: Option<FileKeySelector> = "fileKeyRef",
    }

    ObjectFieldSelector {
        api_version: String = "apiVersion",
        field_path: String = "fieldPath" [always],
    }

    ResourceFieldSelector {
        container_name: String = "containerName",
        resource: String = "resource" [always],
        divisor: Quantity = "divisor",
    }

    ConfigMapKeySelector {
        name: String = "name",
        key: String = "key" [always],
        optional: Option<bool> = "optional",
    }

    SecretKeySelector {
        name: String = "name",
        key: String = "key" [always],
        optional: Option<bool> = "optional",
    }

    FileKeySelector {
        volume_name: String = "volumeName" [always],
        path: String = "path" [always],
        key: String = "key" [always],
        optional: Option<bool> = "optional",
    }

    ResourceRequirements {
        limits: BTreeMap<String, Quantity> = "limits" as "v1.ResourceList",
        requests: BTreeMap<String, Quantity> = "requests" as "v1.ResourceList",
        claims: Vec<ResourceClaim> = "claims",
    }

    ResourceClaim {
        name: String = "name" [always],
        request: String = "request",
    }

    ContainerResizePolicy {
        resource_name: String = "resourceName" as "v1.ResourceName" [always],
        restart_policy: String = "restartPolicy" as "v1.ResourceResizeRestartPolicy" [always],
    }

    ContainerRestartRule {
        action: String = "action" as "v1.ContainerRestartRuleAction",
        exit_codes: Option<ContainerRestartRuleOnExitCodes> = "exitCodes",
    }

    ContainerRestartRuleOnExitCodes {
        operator: String = "operator" as "v1.ContainerRestartRuleOnExitCodesOperator",
        values: Vec<i32> = "values",
    }

    Probe {
        exec: Option<ExecAction> = "exec",
        http_get: Option<HTTPGetAction> = "httpGet",
        tcp_socket: Option<TCPSocketAction> = "tcpSocket",
        grpc: Option<GRPCAction> = "grpc",
        initial_delay_seconds: i32 = "initialDelaySeconds",
        timeout_seconds: i32 = "timeoutSeconds",
        period_seconds: i32 = "periodSeconds",
        success_threshold: i32 = "successThreshold",
        failure_threshold: i32 = "failureThreshold",
        termination_grace_period_seconds: Option<i64> = "terminationGracePeriodSeconds",
    }

    Lifecycle {
        post_start: Option<LifecycleHandler> = "postStart",
        pre_stop: Option<LifecycleHandler> = "preStop",
        stop_signal: Option<String> = "stopSignal" as "v1.Signal",
    }

    LifecycleHandler {
        exec: Option<ExecAction> = "exec",
        http_get: Option<HTTPGetAction> = "httpGet",
        tcp_socket: Option<TCPSocketAction> = "tcpSocket",
        sleep: Option<SleepAction> = "sleep",
    }

    ExecAction {
        command: Vec<String> = "command",
    }

    HTTPGetAction {
        path: String = "path",
        port: IntOrString = "port" [always],
        host: String = "host",
        scheme: String = "scheme" as "v1.URIScheme",
        http_headers: Vec<HTTPHeader> = "httpHeaders",
    }

    HTTPHeader {
        name: String = "name" [always],
        value: String = "value" [always],
    }

    TCPSocketAction {
        port: IntOrString = "port" [always],
        host: String = "host",
    }

    GRPCAction {
        port: i32 = "port" [always],
        service: Option<String> = "service" [always],
    }

    SleepAction {
        seconds: i64 = "seconds" [always],
    }
}

impl EphemeralContainer {
    /// The same container without its target, for rules that all share.
    #[must_use]
    pub fn common(&self) -> Container {
        Container {
            name: self.name.clone(),
            image: self.image.clone(),
            command: self.command.clone(),
            args: self.args.clone(),
            working_dir: self.working_dir.clone(),
            ports: self.ports.clone(),
            env_from: self.env_from.clone(),
            env: self.env.clone(),
            resources: self.resources.clone(),
            resize_policy: self.resize_policy.clone(),
            restart_policy: self.restart_policy.clone(),
            restart_policy_rules: self.restart_policy_rules.clone(),
            volume_mounts: self.volume_mounts.clone(),
            volume_devices: self.volume_devices.clone(),
            liveness_probe: self.liveness_probe.clone(),
            readiness_probe: self.readiness_probe.clone(),
            startup_probe: self.startup_probe.clone(),
            lifecycle: self.lifecycle.clone(),
            termination_message_path: self.termination_message_path.clone(),
            termination_message_policy: self.termination_message_policy.clone(),
            image_pull_policy: self.image_pull_policy.clone(),
            security_context: self.security_context.clone(),
            stdin: self.stdin,
            stdin_once: self.stdin_once,
            tty: self.tty,
        }
    }
}
