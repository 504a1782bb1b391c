//! `ConfigMap`s and `Secret`s.

use super::refused;

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
