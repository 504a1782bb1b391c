//! Every row of the API server's rules: exact path, text and place.

use super::*;

/// The lines of a report without its heading.
fn lines(text: &str) -> Vec<String> {
    let report = refused(text);
    let rest = report.strip_prefix("The Pod \"web\" is invalid: ").unwrap_or(&report);
    match rest.strip_prefix("\n* ") {
        Some(list) => list.split("\n* ").map(str::to_owned).collect(),
        None => vec![rest.to_owned()],
    }
}

/// Checks manifests against the lines that refuse them; `@` stands for the
/// file's name.
fn check(table: &[(String, &[&str])]) {
    let mut differences = Vec::new();
    for (text, want) in table {
        let want: Vec<_> = want.iter().map(|line| line.replace("(@", "(pod.yaml")).collect();
        let found = lines(text);
        if found != want {
            differences.push(format!("{text}\nfound {found:#?}\nwant {want:#?}\n"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric \
    characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
    '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
    'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

#[test]
fn one_error_stands_behind_the_heading_and_several_below_it() {
    let one =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - name: c\n";
    assert_eq!(
        refused(one),
        "The Pod \"web\" is invalid: spec.containers[0].image: Required value (pod.yaml:6:5)"
    );
    let several = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  restartPolicy: Sometimes\n  containers:\n  - image: x\n";
    assert_eq!(
        refused(several),
        "The Pod \"web\" is invalid: \n* spec.containers[0].name: Required value (pod.yaml:7:5)\n* \
         spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \
         \"OnFailure\", \"Never\" (pod.yaml:5:18)"
    );
}

#[test]
fn metadata_and_lists_follow_the_rules() {
    let bare = |fields: &str| format!("apiVersion: v1\nkind: Pod\n{fields}");
    check(&[
        (
            bare("metadata: {}\nspec: {containers: [{name: c, image: i}]}\n"),
            &[
                "The Pod \"\" is invalid: metadata.name: Required value: name or generateName is required (@:3:1)",
            ],
        ),
        (
            bare(
                "metadata: {name: web, namespace: A.b}\nspec: {containers: [{name: c, image: i}]}\n",
            ),
            &[&format!("metadata.namespace: Invalid value: \"A.b\": {LABEL} (@:3:34)")],
        ),
        (
            bare(
                "metadata: {name: web, labels: {a: -x}}\nspec: {containers: [{name: c, image: i}]}\n",
            ),
            &[
                "metadata.labels: Invalid value: \"-x\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?') (@:3:35)",
            ],
        ),
        (bare("metadata: {name: web}\nspec: {}\n"), &["spec.containers: Required value (@:4:1)"]),
        (bare("metadata: {name: web}\n"), &["spec.containers: Required value (@:1:1)"]),
        (
            bare("metadata: {name: Web}\nspec: {containers: [{name: c, image: i}]}\n"),
            &[&format!(
                "The Pod \"Web\" is invalid: metadata.name: Invalid value: \"Web\": {SUBDOMAIN} (@:3:18)"
            )],
        ),
    ]);
}

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
fn volumes_and_mounts_follow_the_rules() {
    check(&[
        (
            with_spec("  volumes: [{emptyDir: {}}, {name: a}, {name: a}]\n"),
            &[
                "spec.volumes[0].name: Required value (@:8:13)",
                "spec.volumes[2].name: Duplicate value: \"a\" (@:8:47)",
            ],
        ),
        (
            with_spec("  volumes: [{name: a, emptyDir: {}, hostPath: {path: /x}}]\n"),
            &[
                "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type (@:8:37)",
            ],
        ),
        (
            with_container("volumeMounts: [{name: v, mountPath: /x}, {name: v}]"),
            &[
                "spec.containers[0].volumeMounts[0].name: Not found: \"v\" (@:8:27)",
                "spec.containers[0].volumeMounts[1].name: Not found: \"v\" (@:8:53)",
                "spec.containers[0].volumeMounts[1].mountPath: Required value (@:8:46)",
            ],
        ),
        (
            with_spec(
                "    volumeMounts: [{name: v, mountPath: /x}, {name: v, mountPath: /x, subPath: /a/../b}]\n  volumes: [{name: v}]\n",
            ),
            &[
                "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/x\": must be unique (@:8:67)",
                "spec.containers[0].volumeMounts.subPath: Invalid value: \"/a/../b\": must be a relative path (@:8:80)",
                "spec.containers[0].volumeMounts.subPath: Invalid value: \"/a/../b\": must not contain '..' (@:8:80)",
            ],
        ),
        (
            with_spec(
                "    volumeMounts: [{name: v, mountPath: /x, subPath: a, subPathExpr: b, mountPropagation: Bidirectional, recursiveReadOnly: Enabled}]\n  volumes: [{name: v}]\n",
            ),
            &[
                "spec.containers[0].volumeMounts[0].subPathExpr: Invalid value: \"b\": subPathExpr and subPath are mutually exclusive (@:8:70)",
                "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers (@:8:91)",
                "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true (@:8:125)",
                "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified (@:8:125)",
            ],
        ),
        (
            with_spec(
                "  volumes: [{name: a, hostPath: {}}, {name: b, secret: {}}, {name: c, configMap: {}}, {name: d, persistentVolumeClaim: {}}, {name: e, image: {}}]\n",
            ),
            &[
                "spec.volumes[0].hostPath.path: Required value (@:8:23)",
                "spec.volumes[1].secret.secretName: Required value (@:8:48)",
                "spec.volumes[2].configMap.name: Required value (@:8:71)",
                "spec.volumes[3].persistentVolumeClaim.claimName: Required value (@:8:97)",
                "spec.volumes[4].image.reference: Required value (@:8:135)",
            ],
        ),
        (
            with_spec("  volumes: [{name: a, hostPath: {path: /a/../b, type: X}}]\n"),
            &[
                "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..' (@:8:40)",
                "spec.volumes[0].hostPath.type: Unsupported value: \"X\": supported values: \"\", \"BlockDevice\", \"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\" (@:8:55)",
            ],
        ),
        (
            with_spec(
                "  volumes: [{name: a, configMap: {name: c, defaultMode: 0777777, items: [{key: k, path: ..x, mode: 1000}]}}]\n",
            ),
            &[
                "spec.volumes[0].configMap.defaultMode: Invalid value: 262143: must be a number between 0 and 0777 (octal), both inclusive (@:8:57)",
                "spec.volumes[0].configMap.items[0].path: Invalid value: \"..x\": must not start with '..' (@:8:89)",
                "spec.volumes[0].configMap.items[0].mode: Invalid value: 1000: must be a number between 0 and 0777 (octal), both inclusive (@:8:100)",
            ],
        ),
        (
            with_spec(
                "  volumes: [{name: a, downwardAPI: {items: [{path: x}, {path: b, fieldRef: {fieldPath: metadata.name}, resourceFieldRef: {resource: limits.cpu}}, {path: c, fieldRef: {fieldPath: spec.nodeName}}]}}]\n",
            ),
            &[
                "spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required (@:8:45)",
                "spec.volumes[0].downwardAPI: Invalid value: \"resource\": fieldRef and resourceFieldRef can not be specified simultaneously (@:8:56)",
                "spec.volumes[0].downwardAPI.fieldRef.fieldPath: Unsupported value: \"spec.nodeName\": supported values: \"metadata.annotations\", \"metadata.labels\", \"metadata.name\", \"metadata.namespace\", \"metadata.uid\" (@:8:147)",
            ],
        ),
        (
            with_spec(
                "  volumes: [{name: a, projected: {sources: [{secret: {name: s}, configMap: {name: c}}, {secret: {name: s, items: [{key: k, path: p}]}}, {configMap: {name: c, items: [{key: k, path: p}]}}]}}]\n",
            ),
            &[
                "spec.volumes[0].projected.sources[0]: Forbidden: may not specify more than 1 volume type per source (@:8:45)",
                "spec.volumes[0].projected: Invalid value: \"c\": conflicting duplicate paths (@:8:138)",
            ],
        ),
        (
            with_spec(
                "  volumes: [{name: a, projected: {sources: [{serviceAccountToken: {path: t, expirationSeconds: 60}}]}}]\n",
            ),
            &[
                "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes (@:8:46)",
            ],
        ),
        (
            with_spec("  volumes: [{name: a, emptyDir: {sizeLimit: '-1'}}]\n"),
            &[
                "spec.volumes[0].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity (@:8:45)",
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

#[test]
fn names_dns_and_the_rest_follow_the_rules() {
    let ids = "must be between 0 and 2147483647, inclusive";
    check(&[
        (
            with_spec("  dnsPolicy: x\n"),
            &[
                "spec.dnsPolicy: Unsupported value: \"x\": supported values: \"ClusterFirstWithHostNet\", \"ClusterFirst\", \"Default\", \"None\" (@:8:14)",
            ],
        ),
        (
            with_spec("  dnsPolicy: None\n"),
            &[
                "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None (@:4:1)",
            ],
        ),
        (
            with_spec("  dnsPolicy: None\n  dnsConfig: {}\n"),
            &[
                "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None (@:9:3)",
            ],
        ),
        (
            with_spec(
                "  dnsConfig: {nameservers: [1.1.1.1, 01.1.1.1, x, '::1'], searches: [a_b.c, ., d., '-'], options: [{value: x}]}\n",
            ),
            &[
                "spec.dnsConfig.nameservers: Invalid value: [\"1.1.1.1\",\"01.1.1.1\",\"x\",\"::1\"]: must not have more than 3 nameservers (@:8:15)",
                "spec.dnsConfig.nameservers[1]: Invalid value: \"01.1.1.1\": must not have leading 0s (@:8:38)",
                "spec.dnsConfig.nameservers[2]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff) (@:8:48)",
                "spec.dnsConfig.searches[3]: Invalid value: \"-\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*') (@:8:84)",
                "spec.dnsConfig.options[0]: Required value: must not be empty (@:8:100)",
            ],
        ),
        (
            with_spec("  hostAliases: [{ip: '::ffff:1.2.3.4', hostnames: [A]}]\n"),
            &[
                "spec.hostAliases[0].ip: Invalid value: \"::ffff:1.2.3.4\": must not be an IPv4-mapped IPv6 address (@:8:22)",
                &format!(
                    "spec.hostAliases[0].hostnames[0]: Invalid value: \"A\": {SUBDOMAIN} (@:8:52)"
                ),
            ],
        ),
        (
            with_spec("  activeDeadlineSeconds: 0\n"),
            &[
                "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive (@:8:26)",
            ],
        ),
        (
            with_spec(
                "  securityContext: {runAsUser: -1, runAsGroup: -2, fsGroup: 2147483648, supplementalGroups: [-3]}\n",
            ),
            &[
                &format!("spec.securityContext.fsGroup: Invalid value: 2147483648: {ids} (@:8:61)"),
                &format!("spec.securityContext.runAsUser: Invalid value: -1: {ids} (@:8:32)"),
                &format!("spec.securityContext.runAsGroup: Invalid value: -2: {ids} (@:8:48)"),
                &format!(
                    "spec.securityContext.supplementalGroups[0]: Invalid value: -3: {ids} (@:8:94)"
                ),
            ],
        ),
        (
            with_spec(
                "  securityContext: {seccompProfile: {}, appArmorProfile: {}, fsGroupChangePolicy: x, supplementalGroupsPolicy: x}\n",
            ),
            &[
                "spec.securityContext.fsGroupChangePolicy: Unsupported value: \"x\": supported values: \"Always\", \"OnRootMismatch\" (@:8:83)",
                "spec.securityContext.seccompProfile.type: Required value: type is required when seccompProfile is set (@:8:21)",
                "spec.securityContext.appArmorProfile.type: Required value: type is required when appArmorProfile is set (@:8:41)",
                "spec.securityContext.supplementalGroupsPolicy: Unsupported value: \"x\": supported values: \"Merge\", \"Strict\" (@:8:112)",
            ],
        ),
        (
            with_container(
                "securityContext: {seccompProfile: {type: Localhost}, procMount: Unmasked, allowPrivilegeEscalation: false, privileged: true}",
            ),
            &[
                "spec.containers[0].securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked` (@:8:69)",
                "spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost (@:8:23)",
                "spec.containers[0].securityContext: Invalid value: {\"allowPrivilegeEscalation\":false,\"privileged\":true,\"procMount\":\"Unmasked\",\"seccompProfile\":{\"type\":\"Localhost\"}}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true (@:8:5)",
            ],
        ),
        (
            with_container("securityContext: {seccompProfile: {type: x}}"),
            &[
                "spec.containers[0].securityContext.seccompProfile.type: Unsupported value: \"x\": supported values: \"Localhost\", \"RuntimeDefault\", \"Unconfined\" (@:8:46)",
            ],
        ),
        (
            with_spec("  hostPID: true\n  shareProcessNamespace: true\n"),
            &[
                "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled (@:9:26)",
            ],
        ),
        (
            with_spec(
                "  hostUsers: false\n  hostNetwork: true\n  hostPID: true\n  hostIPC: true\n",
            ),
            &[
                "spec.hostNetwork: Forbidden: when `hostUsers` is false (@:9:16)",
                "spec.HostPID: Forbidden: when `hostUsers` is false (@:10:12)",
                "spec.HostIPC: Forbidden: when `hostUsers` is false (@:11:12)",
            ],
        ),
        (
            with_spec(
                "  hostNetwork: true\n  securityContext: {sysctls: [{name: net.ipv4.tcp_rmem, value: x}, {name: 'A b', value: x}]}\n",
            ),
            &[
                "spec.securityContext.sysctls[0].name: Invalid value: \"net.ipv4.tcp_rmem\": may not be specified when 'hostNetwork' is true (@:9:38)",
                "spec.securityContext.sysctls[1].name: Invalid value: \"A b\": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$ (@:9:75)",
            ],
        ),
        (
            with_spec("  readinessGates: [{conditionType: 'a b'}]\n"),
            &[
                "spec.readinessGates[0].conditionType: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') (@:8:36)",
            ],
        ),
        (
            with_spec("  nodeName: node\n  schedulingGates: [{name: g}]\n"),
            &[
                "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared (@:8:13)",
            ],
        ),
        (
            with_spec("  hostname: A\n  subdomain: b.c\n  os: {name: plan9}\n"),
            &[
                &format!("spec.hostname: Invalid value: \"A\": {LABEL} (@:8:13)"),
                "spec.subdomain: Invalid value: \"b.c\": must not contain dots (@:9:14)",
                "spec.os: Unsupported value: \"plan9\": supported values: \"linux\", \"windows\" (@:10:3)",
            ],
        ),
        (
            with_spec("  hostnameOverride: x\n  setHostnameAsFQDN: true\n"),
            &[
                "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true (@:8:21)",
            ],
        ),
        (
            with_spec("  tolerations: [{operator: Equal, value: a}]\n"),
            &[
                "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\" (@:8:28)",
            ],
        ),
    ]);
}

#[test]
fn a_broken_volume_counts_as_unknown_for_its_mounts() {
    check(&[(
        with_spec(
            "    volumeMounts: [{name: v, mountPath: /x}]\n  volumes: [{name: v, secret: {}}]\n",
        ),
        &[
            "spec.volumes[0].secret.secretName: Required value (@:9:23)",
            "spec.containers[0].volumeMounts[0].name: Not found: \"v\" (@:8:27)",
        ],
    )]);
}

#[test]
fn config_maps_and_secrets_follow_the_rules() {
    let table = [
        (
            "kind: ConfigMap\nmetadata: {name: web}\ndata: {'a b': x, k: x}\nbinaryData: {k: eA==}\n",
            "The ConfigMap \"web\" is invalid: \n* data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+') (pod.yaml:4:15)\n* data[k]: Invalid value: \"k\": duplicate of key present in binaryData (pod.yaml:4:21)",
        ),
        (
            "kind: Secret\nmetadata: {name: web}\ntype: kubernetes.io/tls\ndata: {tls.crt: eA==}\n",
            "The Secret \"web\" is invalid: data[tls.key]: Required value (pod.yaml:5:1)",
        ),
        (
            "kind: Secret\nmetadata: {name: web}\ntype: kubernetes.io/basic-auth\n",
            "The Secret \"web\" is invalid: \n* data[username]: Required value (pod.yaml:1:1)\n* data[password]: Required value (pod.yaml:1:1)",
        ),
        (
            "kind: Secret\nmetadata: {name: web}\ntype: kubernetes.io/ssh-auth\nstringData: {ssh-privatekey: ''}\n",
            "The Secret \"web\" is invalid: data[ssh-privatekey]: Required value (pod.yaml:1:1)",
        ),
        (
            "kind: Secret\nmetadata: {name: web}\ntype: kubernetes.io/service-account-token\n",
            "The Secret \"web\" is invalid: metadata.annotations[kubernetes.io/service-account.name]: Required value (pod.yaml:3:1)",
        ),
        (
            "kind: Secret\nmetadata: {name: web}\ndata: {k: '?'}\n",
            "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 0 (pod.yaml:4:11)",
        ),
        (
            "kind: ConfigMap\nmetadata: {name: web}\ndata: {k: 5}\n",
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string (pod.yaml:4:11)",
        ),
    ];
    for (text, want) in table {
        assert_eq!(refused(&format!("apiVersion: v1\n{text}")), want, "{text}");
    }
    let text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web}}\ndata: {{k: {}}}\n",
        "x".repeat((1 << 20) + 1)
    );
    assert_eq!(
        refused(&text),
        "The ConfigMap \"web\" is invalid: []: Too long: may not be more than 1048576 bytes (pod.yaml:1:1)"
    );
}

#[test]
fn suspicious_pods_are_accepted_with_warnings() {
    let pod = pod(&with_spec(
        "    env: [{name: A, value: x}, {name: A, value: z}]\n    ports: [{containerPort: 80}]\n    resources: {limits: {memory: 1500m}}\n  - name: d\n    image: i\n    ports: [{containerPort: 80}]\n  terminationGracePeriodSeconds: -5\n  imagePullSecrets: [{}]\n  hostAliases: [{ip: 1.1.1.1}, {ip: 1.1.1.1}]\n",
    ));
    assert_eq!(
        pod.warnings(),
        [
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
            "spec.hostAliases[1].ip: duplicate ip \"1.1.1.1\"",
            "spec.imagePullSecrets[0].name: invalid empty name \"\"",
            "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
            "spec.containers[0].resources.limits[memory]: fractional byte value \"1500m\" is invalid, must be an integer",
            "spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]",
        ]
    );
    assert_eq!(pod.spec.termination_grace_period_seconds, Some(1));
}
