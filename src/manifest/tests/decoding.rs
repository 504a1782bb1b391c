//! Kinds, strict decoding and the places of errors.

use super::*;

#[test]
fn a_plain_pod_is_read() {
    let pod = pod(&with_spec(""));
    assert_eq!(pod.metadata.name, "web");
    assert_eq!(pod.spec.containers[0].image, "busybox");
}

#[test]
fn decoding_errors_are_the_api_servers_with_places() {
    let head = "Pod in version \"v1\" cannot be handled as a Pod: ";
    let table = [
        (
            with_spec("  foo: 1\n"),
            "strict decoding error: unknown field \"spec.foo\" (pod.yaml:8:3)",
        ),
        (
            with_container("imagee: x\nimage: z\n"),
            "strict decoding error: unknown field \"spec.containers[0].imagee\" (pod.yaml:8:5), \
             duplicate field \"spec.containers[0].image\" (pod.yaml:9:5)",
        ),
        (
            with_container("env: [{name: A, value: 5}]"),
            "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value \
             of type string (pod.yaml:8:28)",
        ),
        (
            with_spec("  terminationGracePeriodSeconds: soon\n"),
            "json: cannot unmarshal string into Go struct field \
             PodSpec.spec.terminationGracePeriodSeconds of type int64 (pod.yaml:8:34)",
        ),
        (
            with_spec("  restartPolicy: 5\n"),
            "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type \
             v1.RestartPolicy (pod.yaml:8:18)",
        ),
        (
            with_spec("  volumes: {}\n"),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.volumes of type \
             []v1.Volume (pod.yaml:8:12)",
        ),
        (
            with_container("ports: [{containerPort: 99999999999}]"),
            "json: cannot unmarshal number 99999999999 into Go struct field \
             ContainerPort.spec.containers.ports.containerPort of type int32 (pod.yaml:8:29)",
        ),
        (
            with_container("resources: {limits: {cpu: lots}}"),
            "quantities must match the regular expression \
             '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$' (pod.yaml:8:31)",
        ),
        (
            with_container("command: [1]\nstdin: maybe"),
            "\n* json: cannot unmarshal number into Go struct field \
             Container.spec.containers.command of type string (pod.yaml:8:15)\n* json: cannot \
             unmarshal string into Go struct field Container.spec.containers.stdin of type bool \
             (pod.yaml:9:12)",
        ),
    ];
    for (text, want) in table {
        assert_eq!(refused(&text), format!("{head}{want}"), "{text}");
    }
}

#[test]
fn other_kinds_are_kept_or_refused_by_name() {
    let table = [
        (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n",
            "kind Deployment is not supported yet (pod.yaml:1:1)",
        ),
        ("apiVersion: batch/v1\nkind: Job\n", "kind Job is not supported yet (pod.yaml:1:1)"),
        (
            "apiVersion: v1\nkind: Pot\nmetadata: {name: p}\n",
            "resource mapping not found for name: \"p\" from \"pod.yaml\": no matches for kind \
             \"Pot\" in version \"v1\" (pod.yaml:1:1)",
        ),
        (
            "apiVersion: v1\n",
            "unable to decode \"pod.yaml\": Object 'Kind' is missing (pod.yaml:1:1)",
        ),
        (
            "kind: Pod\n",
            "unable to decode \"pod.yaml\": Object 'apiVersion' is missing (pod.yaml:1:1)",
        ),
        (
            "hello\n",
            "unable to decode \"pod.yaml\": json: cannot unmarshal string into Go value of type \
             map[string]interface {} (pod.yaml:1:1)",
        ),
    ];
    for (text, want) in table {
        assert_eq!(refused(text), want, "{text}");
    }
    assert!(refused("a: b: c\n").starts_with("error parsing pod.yaml: "), "a syntax error");
}
