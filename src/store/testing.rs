//! A pod's plan for tests.

use serde_json::json;

use crate::model::plan::PodPlan;

/// A plan without containers and volumes.
pub(crate) fn plan(namespace: &str, name: &str, uid: &str) -> PodPlan {
    let sandbox = json!({
        "hostname": name, "domain": null, "network": "None", "hostPid": false,
        "hostIpc": false, "shareProcessNamespace": false, "userNamespace": false,
        "sysctls": {}, "hostPorts": [],
        "dns": {"fromHost": true, "clusterDnsMissing": false, "nameservers": [],
                "searches": [], "options": []},
        "hostAliases": [], "privileged": false, "runAsUser": null, "runAsGroup": null,
        "fsGroup": null, "fsGroupOnRootMismatch": false, "supplementalGroups": [],
        "strictGroups": false,
        "resources": {"memoryOomGroup": false, "hugepageLimits": {}, "unified": {}},
    });
    serde_json::from_value(json!({
        "version": 1, "uid": uid, "namespace": namespace, "name": name,
        "labels": {"app": "web"}, "annotations": {}, "generation": 1,
        "createdAt": "2026-01-31T23:59:59Z",
        "roots": {"root": "/r", "dataRoot": "/d", "logRoot": "/l"},
        "nodeName": "node", "serviceAccountName": "default", "enableServiceLinks": true,
        "isStatic": false, "restartPolicy": "Always", "terminationGraceSeconds": 30,
        "activeDeadlineSeconds": null, "readinessGates": [], "qos": "BestEffort",
        "maxBackoffSeconds": 300,
        "sandbox": sandbox,
        "volumes": [], "initContainers": [], "containers": [], "ephemeralContainers": [],
    }))
    .expect("the sample follows the model")
}
