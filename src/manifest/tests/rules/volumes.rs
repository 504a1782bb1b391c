//! Volumes and mounts.

use super::{check, with_container, with_spec};

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
