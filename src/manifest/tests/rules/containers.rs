//! Containers.

use super::{LABEL, SUBDOMAIN, check, pod, with_container, with_spec};

#[test]
fn containers_follow_the_rules() {
    check(&[
        (
            with_spec("  - name: c\n    image: i\n"),
            &["spec.containers[1].name: Duplicate value: \"c\" (@:8:11)"],
        ),
        (
            with_spec("  initContainers: [{name: c, image: i}]\n"),
            &["spec.initContainers[0].name: Duplicate value: \"c\" (@:8:27)"],
        ),
        (
            with_spec("  - name: A_b\n    image: i\n"),
            &[&format!("spec.containers[1].name: Invalid value: \"A_b\": {LABEL} (@:8:11)")],
        ),
        (
            with_spec("  - name: d\n    image: ' i'\n"),
            &[
                "spec.containers[1].image: Invalid value: \" i\": must not have leading or trailing whitespace (@:9:12)",
            ],
        ),
        (
            with_container("imagePullPolicy: x"),
            &[
                "spec.containers[0].imagePullPolicy: Unsupported value: \"x\": supported values: \"Always\", \"IfNotPresent\", \"Never\" (@:8:22)",
            ],
        ),
        (
            with_container("terminationMessagePolicy: x"),
            &[
                "spec.containers[0].terminationMessagePolicy: Unsupported value: \"x\": supported values: \"File\", \"FallbackToLogsOnError\" (@:8:31)",
            ],
        ),
        (
            with_container("resizePolicy: [{resourceName: x, restartPolicy: z}]"),
            &[
                "spec.containers[0].resizePolicy: Unsupported value: \"x\": supported values: \"cpu\", \"memory\" (@:8:20)",
                "spec.containers[0].resizePolicy: Unsupported value: \"z\": supported values: \"NotRequired\", \"RestartContainer\" (@:8:20)",
            ],
        ),
        (
            with_container(
                "resizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}, {resourceName: cpu, restartPolicy: NotRequired}]",
            ),
            &["spec.containers[0].resizePolicy[1]: Duplicate value: \"cpu\" (@:8:69)"],
        ),
        (
            with_container("restartPolicy: x"),
            &[
                "spec.containers[0].restartPolicy: Unsupported value: \"x\": supported values: \"Always\", \"Never\", \"OnFailure\" (@:8:20)",
            ],
        ),
        (
            with_container(
                "restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [1]}}]",
            ),
            &[
                "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used (@:6:5)",
            ],
        ),
        (
            with_container(
                "restartPolicy: Never\nrestartPolicyRules: [{action: x}, {action: Restart, exitCodes: {operator: x}}]",
            ),
            &[
                "spec.containers[0].restartPolicyRules[0].action: Unsupported value: \"x\": supported values: \"Restart\", \"RestartAllContainers\" (@:9:35)",
                "spec.containers[0].restartPolicyRules[0].exitCodes: Required value: must be specified (@:9:26)",
                "spec.containers[0].restartPolicyRules[1].exitCodes.operator: Unsupported value: \"x\": supported values: \"In\", \"NotIn\" (@:9:79)",
            ],
        ),
        (
            with_spec(
                "  initContainers: [{name: i, image: i, livenessProbe: {exec: {command: [a]}}, lifecycle: {}}]\n",
            ),
            &[
                "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always (@:8:79)",
                "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always (@:8:40)",
            ],
        ),
        (
            with_spec("  ephemeralContainers: [{name: e, image: i}]\n"),
            &["spec.ephemeralContainers: Forbidden: cannot be set on create (@:8:3)"],
        ),
    ]);
}

#[test]
fn ports_and_environment_follow_the_rules() {
    check(&[
        (
            with_container(
                "ports: [{containerPort: 0}, {containerPort: 70000, protocol: x, hostPort: -1}]",
            ),
            &[
                "spec.containers[0].ports[0].containerPort: Required value (@:8:29)",
                "spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive (@:8:49)",
                "spec.containers[0].ports[1].hostPort: Invalid value: -1: must be between 1 and 65535, inclusive (@:8:79)",
                "spec.containers[0].ports[1].protocol: Unsupported value: \"x\": supported values: \"SCTP\", \"TCP\", \"UDP\" (@:8:66)",
            ],
        ),
        (
            with_container(
                "ports: [{containerPort: 1, name: A--very-long-name-}, {containerPort: 2, name: p}, {containerPort: 3, name: p}]",
            ),
            &[
                "spec.containers[0].ports[0].name: Invalid value: \"A--very-long-name-\": must be no more than 15 characters (@:8:38)",
                "spec.containers[0].ports[0].name: Invalid value: \"A--very-long-name-\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-) (@:8:38)",
                "spec.containers[0].ports[0].name: Invalid value: \"A--very-long-name-\": must not contain consecutive hyphens (@:8:38)",
                "spec.containers[0].ports[0].name: Invalid value: \"A--very-long-name-\": must not begin or end with a hyphen (@:8:38)",
                "spec.containers[0].ports[2].name: Duplicate value: \"p\" (@:8:113)",
            ],
        ),
        (
            with_container(
                "ports: [{containerPort: 1, hostPort: 8080}, {containerPort: 2, hostPort: 8080}]",
            ),
            &["spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//8080\" (@:8:78)"],
        ),
        (
            with_spec("  hostNetwork: true\n  - {}\n").replace("  - {}\n", "").replace(
                "image: busybox",
                "image: busybox\n    ports: [{containerPort: 1, hostPort: 2}]",
            ),
            &[
                "spec.containers[0].ports[0].hostPort: Invalid value: 2: must match `containerPort` when `hostNetwork` is true (@:8:42)",
            ],
        ),
        (
            with_container("env: [{value: x}, {name: 'A=B'}]"),
            &[
                "spec.containers[0].env[0].name: Required value (@:8:11)",
                "spec.containers[0].env[1].name: Invalid value: \"A=B\": a valid environment variable name must consist only of printable ASCII characters other than '=' (@:8:30)",
            ],
        ),
        (
            with_container(
                "env: [{name: A, valueFrom: {}}, {name: B, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]",
            ),
            &[
                "spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef` (@:8:21)",
                "spec.containers[0].env[1].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty (@:8:57)",
            ],
        ),
        (
            with_container(
                "env: [{name: A, valueFrom: {configMapKeyRef: {name: c, key: k}, secretKeyRef: {name: s, key: k}}}]",
            ),
            &[
                "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not have more than one field specified at a time (@:8:21)",
            ],
        ),
        (
            with_container("env: [{name: A, valueFrom: {configMapKeyRef: {}}}]"),
            &[
                &format!(
                    "spec.containers[0].env[0].valueFrom.configMapKeyRef.name: Invalid value: \"\": {SUBDOMAIN} (@:8:33)"
                ),
                "spec.containers[0].env[0].valueFrom.configMapKeyRef.key: Required value (@:8:33)",
            ],
        ),
        (
            with_container("env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: a b}}}]"),
            &[
                "spec.containers[0].env[0].valueFrom.secretKeyRef.key: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+') (@:8:62)",
            ],
        ),
        (
            with_container(
                "env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.labels}}}, {name: B, valueFrom: {fieldRef: {fieldPath: spec.x}}}]",
            ),
            &[
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"metadata.labels\": supported values: \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\" (@:8:55)",
                "spec.containers[0].env[1].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.x\": error converting fieldPath: field label not supported: spec.x (@:8:119)",
            ],
        ),
        (
            with_container(
                "env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: '2'}}}]",
            ),
            &[
                "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource (@:8:83)",
            ],
        ),
        (
            with_container(
                "env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 3Mi}}}]",
            ),
            &[
                "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.memory\": only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the memory resource (@:8:86)",
            ],
        ),
        (
            with_container(
                "env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.gpu}}}]",
            ),
            &[
                "spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Unsupported value: \"limits.gpu\": supported values: \"limits.cpu\", \"limits.ephemeral-storage\", \"limits.memory\", \"requests.cpu\", \"requests.ephemeral-storage\", \"requests.memory\" (@:8:62)",
            ],
        ),
        (
            with_container(
                "env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: a, key: K}}}]",
            ),
            &[
                "spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Not found: \"v\" (@:8:58)",
            ],
        ),
        (
            with_container("envFrom: [{}, {configMapRef: {name: a}, secretRef: {}}]"),
            &[
                "spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef` (@:8:15)",
                "spec.containers[0].envFrom[1].secretRef.name: Required value (@:8:45)",
                "spec.containers[0].envFrom: Invalid value: \"\": may not have more than one field specified at a time (@:8:19)",
            ],
        ),
    ]);
}

#[test]
fn probes_and_hooks_follow_the_rules() {
    check(&[
        (
            with_container("livenessProbe: {}"),
            &[
                "spec.containers[0].livenessProbe: Required value: must specify a handler type (@:8:5)",
            ],
        ),
        (
            with_container("livenessProbe: {exec: {}, tcpSocket: {port: 80}, successThreshold: 2}"),
            &[
                "spec.containers[0].livenessProbe.exec.command: Required value (@:8:21)",
                "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type (@:8:31)",
                "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1 (@:8:72)",
            ],
        ),
        (
            with_container(
                "readinessProbe: {tcpSocket: {port: 0}, periodSeconds: -1, terminationGracePeriodSeconds: 5}",
            ),
            &[
                "spec.containers[0].readinessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive (@:8:40)",
                "spec.containers[0].readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0 (@:8:59)",
                "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes (@:8:94)",
            ],
        ),
        (
            with_container(
                "startupProbe: {httpGet: {port: -a, scheme: FTP, httpHeaders: [{name: 'a b', value: c}]}, terminationGracePeriodSeconds: 0}",
            ),
            &[
                "spec.containers[0].startupProbe.httpGet.port: Invalid value: \"-a\": must not begin or end with a hyphen (@:8:36)",
                "spec.containers[0].startupProbe.httpGet.scheme: Unsupported value: \"FTP\": supported values: \"HTTP\", \"HTTPS\" (@:8:48)",
                "spec.containers[0].startupProbe.httpGet.httpHeaders: Invalid value: \"a b\": a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+') (@:8:74)",
                "spec.containers[0].startupProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0 (@:8:125)",
            ],
        ),
        (
            with_container("livenessProbe: {grpc: {port: 70000}}"),
            &[
                "spec.containers[0].livenessProbe.grpc.port: Invalid value: 70000: must be between 1 and 65535, inclusive (@:8:34)",
            ],
        ),
        (
            with_container(
                "lifecycle: {preStop: {sleep: {seconds: 31}}, postStart: {}, stopSignal: SIGTERM}",
            ),
            &[
                "spec.containers[0].lifecycle.postStart: Required value: must specify a handler type (@:8:50)",
                "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30) (@:8:27)",
                "spec.containers[0].lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name` (@:8:77)",
            ],
        ),
    ]);
    pod(&with_container("lifecycle: {preStop: {sleep: {seconds: 30}}}"));
}

#[test]
fn resources_follow_the_rules() {
    check(&[
        (
            with_container("resources: {limits: {cpu: -1}}"),
            &[
                "spec.containers[0].resources.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0 (@:8:31)",
                "spec.containers[0].resources.requests[cpu]: Invalid value: \"-1\": must be greater than or equal to 0 (@:8:5)",
            ],
        ),
        (
            with_container("resources: {limits: {cpu: 1}, requests: {cpu: 2}}"),
            &[
                "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1 (@:8:51)",
            ],
        ),
        (
            with_container(
                "resources: {limits: {cpu: 1, hugepages-2Mi: 4Mi}, requests: {hugepages-2Mi: 2Mi}}",
            ),
            &[
                "spec.containers[0].resources.requests: Invalid value: \"2Mi\": must be equal to hugepages-2Mi limit of 4Mi (@:8:81)",
            ],
        ),
        (
            with_container("resources: {requests: {cpu: 1, example.com/gpu: 1}}"),
            &[
                "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources (@:8:53)",
            ],
        ),
        (
            with_container("resources: {limits: {gpu: 1}, requests: {gpu: 1}}"),
            &[
                "spec.containers[0].resources.limits[gpu]: Invalid value: \"gpu\": must be a standard resource type or fully qualified (@:8:31)",
                "spec.containers[0].resources.limits[gpu]: Invalid value: \"gpu\": must be a standard resource for containers (@:8:31)",
                "spec.containers[0].resources.requests[gpu]: Invalid value: \"gpu\": must be a standard resource type or fully qualified (@:8:51)",
                "spec.containers[0].resources.requests[gpu]: Invalid value: \"gpu\": must be a standard resource for containers (@:8:51)",
            ],
        ),
        (
            with_container("resources: {limits: {hugepages-2Mi: 2Mi}}"),
            &["spec.containers[0].resources: Forbidden: HugePages require cpu or memory (@:8:5)"],
        ),
        (
            with_spec(
                "    resources: {requests: {cpu: 2}}\n  resources: {limits: {cpu: 1}, requests: {cpu: 1}}\n",
            ),
            &[
                "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container requests of 2 (@:9:49)",
            ],
        ),
        (
            with_spec(
                "    resources: {limits: {memory: 2Gi}, requests: {memory: 1Mi}}\n  resources: {limits: {memory: 1Gi}}\n",
            ),
            &[
                "spec.resources.containers[0][memory].limits: Invalid value: \"2Gi\": must be less than or equal to pod limits of 1Gi (@:8:34)",
            ],
        ),
        (
            with_spec("  resources: {limits: {ephemeral-storage: 1}}\n"),
            &[
                "spec.resources.limits[ephemeral-storage]: Unsupported value: \"ephemeral-storage\": supported values: \"cpu\", \"hugepages-\", \"memory\" (@:8:43)",
            ],
        ),
    ]);
}
