//! Defaults, and that an object reads back as what it was.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::object::ObjectData;

const FULL: &str = include_str!("full.yaml");

#[test]
fn a_plain_pod_gets_the_api_servers_defaults() {
    let text = with_spec(
        "    ports: [{containerPort: 80}]\n    livenessProbe: {httpGet: {port: 80}}\n    readinessProbe: {grpc: {port: 1}}\n    resources: {limits: {cpu: 0.5, memory: 1024Mi}}\n    env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]\n  hostNetwork: true\n  volumes: [{name: v}, {name: c, configMap: {name: c}}, {name: h, hostPath: {path: /x}}]\n",
    );
    let want = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": {
            "containers": [{
                "name": "c",
                "image": "busybox",
                "imagePullPolicy": "Always",
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "ports": [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}],
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
                "livenessProbe": {
                    "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
                    "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3
                },
                "readinessProbe": {
                    "grpc": {"port": 1, "service": ""},
                    "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3
                },
                "resources": {
                    "limits": {"cpu": "500m", "memory": "1Gi"},
                    "requests": {"cpu": "500m", "memory": "1Gi"}
                }
            }],
            "dnsPolicy": "ClusterFirst",
            "enableServiceLinks": true,
            "hostNetwork": true,
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "serviceAccount": "default",
            "serviceAccountName": "default",
            "terminationGracePeriodSeconds": 30,
            "volumes": [
                {"name": "v", "emptyDir": {}},
                {"name": "c", "configMap": {"name": "c", "defaultMode": 420}},
                {"name": "h", "hostPath": {"path": "/x", "type": ""}}
            ]
        }
    });
    assert_eq!(pod(&text).to_json(None), want);
}

#[test]
fn pods_keep_what_was_given_beside_the_defaults() {
    let pod = pod(&with_spec(""));
    assert_eq!(
        pod.original(),
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
            "spec": {"containers": [{"name": "c", "image": "busybox"}]}
        })
    );
}

#[test]
fn a_stored_pod_reads_back_as_it_was() {
    let first = Object::Pod(Box::new(pod(FULL)));
    let again = Object::from_json(&first.to_json()).expect("a stored object");
    assert_eq!(first.to_json(), again.to_json());
    let text = serde_json::to_string_pretty(&first.to_json()).expect("json");
    assert_eq!(parse(&text, "pod.json").expect("json")[0].to_json(), first.to_json());
}

#[test]
fn config_maps_and_secrets_are_decoded() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: x}\nbinaryData: {b: AAE=}\nimmutable: true\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: eA==, b: eQ==}\nstringData: {b: plain}\n";
    let objects = parse(text, "objects.yaml").expect("valid");
    let Object::ConfigMap(map) = &objects[0] else { panic!("{objects:?}") };
    assert!(map.immutable);
    assert_eq!(map.data.text["a"], "x");
    assert_eq!(map.data.binary["b"], [0, 1]);
    let Object::Secret(secret) = &objects[1] else { panic!("{objects:?}") };
    assert_eq!(secret.r#type, "Opaque");
    assert_eq!(secret.data.binary["b"], b"plain");
    let json = objects[1].to_json();
    assert_eq!(json["data"], json!({"a": "eA==", "b": "cGxhaW4="}));
    assert_eq!(json.get("stringData"), None);
    let data = ObjectData::from_json(crate::model::plan::ObjectKind::Secret, &json);
    assert_eq!(data.as_ref(), Some(&secret.data));
    for object in &objects {
        assert_eq!(Object::from_json(&object.to_json()).as_ref(), Ok(object));
    }
}

#[test]
fn other_objects_are_kept_with_their_defaults() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: shop}\n- apiVersion: v1\n  kind: Service\n  metadata: {name: db}\n  spec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}\n- apiVersion: v1\n  kind: PersistentVolumeClaim\n  metadata: {name: data}\n  spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n---\napiVersion: v1\nkind: PodList\nitems: [{metadata: {name: p}, spec: {containers: [{name: c, image: i}]}}]\n";
    let objects = parse(text, "list.yaml").expect("valid");
    let kinds: Vec<_> = objects.iter().map(Object::kind).collect();
    assert_eq!(kinds, ["Namespace", "Service", "PersistentVolumeClaim", "Pod"]);
    let service = objects[1].to_json();
    assert_eq!(
        service["spec"]["ports"],
        json!([{"port": 80, "protocol": "TCP", "targetPort": 80}])
    );
    assert_eq!(service["spec"]["type"], "ClusterIP");
    assert_eq!(objects[2].to_json()["spec"]["volumeMode"], "Filesystem");
    assert!(!objects[0].is_namespaced() && objects[1].is_namespaced());
    for object in &objects[..3] {
        assert_eq!(Object::from_json(&object.to_json()).as_ref(), Ok(object));
    }
}

#[test]
fn generated_names_are_names() {
    let text = with_spec("").replace("name: web", "generateName: web-");
    let mut object = parse(&text, "pod.yaml").expect("valid").remove(0);
    object.generate_name(123_456_789);
    let name = object.metadata().name.clone();
    assert!(name.starts_with("web-") && name.len() == 9, "{name}");
    object.generate_name(1);
    assert_eq!(object.metadata().name, name);
    assert_eq!(generated_name(&"x".repeat(100), 0).len(), 63);
}

/// Fragments of which pods are put together.
fn fragments() -> impl Strategy<Value = String> {
    let spec = prop::sample::subsequence(
        vec![
            "  restartPolicy: Never\n",
            "  hostNetwork: true\n",
            "  terminationGracePeriodSeconds: -3\n",
            "  serviceAccount: old\n",
            "  resources: {limits: {cpu: 2, memory: 1Gi}}\n",
            "  volumes: [{name: v}, {name: s, secret: {secretName: s}}, {name: i, image: {reference: x}}]\n",
            "  initContainers: [{name: i, image: 'a:1', restartPolicy: Always, resources: {limits: {cpu: 0.1}}}]\n",
            "  dnsConfig: {searches: [a]}\n",
            "  overhead: {cpu: 10m}\n",
        ],
        0..=9,
    );
    let container = prop::sample::subsequence(
        vec![
            "    ports: [{containerPort: 80}, {containerPort: 81, protocol: UDP}]\n",
            "    resources: {limits: {cpu: 1500m, memory: 0.1Gi}, requests: {memory: 1e6}}\n",
            "    livenessProbe: {exec: {command: [a]}, periodSeconds: 0}\n",
            "    startupProbe: {grpc: {port: 1}}\n",
            "    lifecycle: {preStop: {httpGet: {port: x}}}\n",
            "    env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}]\n",
            "    securityContext: {privileged: true}\n",
            "    restartPolicy: OnFailure\n",
        ],
        0..=8,
    );
    (container, spec)
        .prop_map(|(container, spec)| with_spec(&(container.concat() + &spec.concat())))
}

proptest! {
    #[test]
    fn defaulting_twice_is_defaulting_once(text in fragments()) {
        let once = pod(&text).to_json(None);
        let twice = Object::from_json(&once).expect("a stored pod").to_json();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn a_valid_pod_is_planned_or_refused_in_words(text in fragments()) {
        match plan(&pod(&text), &options()) {
            Ok(plan) => {
                let json = serde_json::to_string(&plan).expect("json");
                prop_assert_eq!(serde_json::from_str::<PodPlan>(&json).expect("a plan"), plan);
            }
            Err(report) => prop_assert!(!report.to_string().is_empty()),
        }
    }

    #[test]
    fn no_mutation_of_a_manifest_makes_it_panic(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, "[-a-z0-9:{}\\[\\], \n\"'*&!|>%]{0,6}"), 1..6)
    ) {
        let mut text: Vec<char> = FULL.chars().collect();
        for (index, length, insert) in cuts {
            let start = index.index(text.len());
            let end = (start + length).min(text.len());
            text.splice(start..end, insert.chars());
        }
        let text: String = text.into_iter().collect();
        match parse(&text, "pod.yaml") {
            Ok(objects) => {
                for object in &objects {
                    let _ = object.to_json();
                    if let Object::Pod(pod) = object {
                        let _ = plan(pod, &options()).map_err(|report| report.to_string());
                    }
                }
            }
            Err(report) => prop_assert!(!report.to_string().is_empty()),
        }
    }

    #[test]
    fn any_json_is_read_or_refused(json in any_json()) {
        let mut object = json!({"apiVersion": "v1", "kind": "Pod"});
        object["metadata"] = json.clone();
        object["spec"] = json;
        let _ = parse(&object.to_string(), "pod.json").map_err(|report| report.to_string());
        let _ = Object::from_json(&object).map_err(|report| report.to_string());
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "containers",
        "name",
        "volumes",
        "env",
        "image",
        "resources",
        "limits",
        "cpu",
        "x",
        "initContainers",
        "securityContext",
        "labels",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|pairs| pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}
