//! The pod itself.

use super::{LABEL, SUBDOMAIN, check, pod, refused, with_container, with_spec};

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
