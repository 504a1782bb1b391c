//! What may change in an object that exists.

use super::*;

fn objects(old: &str, new: &str) -> (Object, Object) {
    let read = |text: &str| parse(text, "pod.yaml").expect("valid").remove(0);
    (read(old), read(new))
}

#[test]
fn a_pod_changes_its_images_and_deadline_only() {
    let base = with_spec("  activeDeadlineSeconds: 50\n");
    let head = "The Pod \"web\" is invalid: ";
    let table = [
        (with_spec("  activeDeadlineSeconds: 40\n"), None),
        (base.replace("busybox", "alpine"), None),
        (base.replace("busybox", "busybox:latest"), None),
        (
            with_spec("  activeDeadlineSeconds: 60\n"),
            Some(
                "spec.activeDeadlineSeconds: Invalid value: 60: must be less than or equal to previous value (pod.yaml:8:26)",
            ),
        ),
        (
            with_spec(""),
            Some(
                "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value (pod.yaml:4:1)",
            ),
        ),
        (
            with_spec("  activeDeadlineSeconds: 50\n  hostname: x\n"),
            Some(
                "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative) (pod.yaml:4:1)",
            ),
        ),
        (
            with_spec("  - {name: d, image: i}\n  activeDeadlineSeconds: 50\n"),
            Some(
                "spec.containers: Forbidden: pod updates may not add or remove containers (pod.yaml:5:3)",
            ),
        ),
    ];
    for (new, want) in table {
        let (old, new) = objects(&base, &new);
        let found = new.validate_update(&old).err().map(|report| report.to_string());
        match (want, &found) {
            (None, None) => {}
            (Some(want), Some(found)) => {
                assert!(found.starts_with(&format!("{head}{want}")), "{found}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn immutable_objects_stay_as_they_are() {
    let map =
        |rest: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\n{rest}");
    let (old, new) = objects(&map("immutable: true\ndata: {a: x}\n"), &map("data: {a: z}\n"));
    assert_eq!(
        new.validate_update(&old).expect_err("immutable").to_string(),
        "The ConfigMap \"c\" is invalid: \n* immutable: Forbidden: field is immutable when `immutable` is set\n* data: Forbidden: field is immutable when `immutable` is set"
    );
    assert!(old.validate_update(&old).is_ok() && old.validate_update(&new).is_ok());

    let secret =
        |rest: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n{rest}");
    let (old, new) = objects(&secret(""), &secret("type: my/own\n"));
    assert_eq!(
        new.validate_update(&old).expect_err("the type").to_string(),
        "The Secret \"s\" is invalid: type: Invalid value: \"my/own\": field is immutable"
    );
}
