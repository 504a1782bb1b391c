//! Pods of a manifest directory, read as a kubelet reads them: the first
//! document only, unknown fields ignored, one Pod a file.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::error::{FieldError, FieldErrorKind, Problem, Report};
use super::object::{Object, PodObject};
use super::read;
use super::types::Toleration;
use crate::model::Timestamp;

const HASH: &str = "kubernetes.io/config.hash";

/// Where a static pod comes from.
#[derive(Debug, Clone, Copy)]
pub struct StaticSource<'a> {
    /// The file's whole path.
    pub file: &'a str,
    /// In lower case.
    pub node_name: &'a str,
    pub seen: Timestamp,
}

/// Why a file is no static pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoStaticPod(String);

impl fmt::Display for NoStaticPod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoStaticPod {}

/// Reads the pod of `text`. Its uid is made of content and place, unless the
/// manifest names one: another content is another pod.
///
/// # Errors
/// The kubelet's words for a file that it skips.
pub fn static_pod(text: &str, source: StaticSource<'_>) -> Result<PodObject, NoStaticPod> {
    let file = source.file;
    let skip = |cause: &dyn fmt::Display| {
        NoStaticPod(format!("{file}: couldn't parse as pod({cause}), please check config file"))
    };
    let mut pod = match read::first_leniently(text, file) {
        Ok(Some(Object::Pod(pod))) => *pod,
        Ok(Some(other)) => return Err(skip(&format!("invalid pod: kind {}", other.kind()))),
        Ok(None) => return Err(skip(&"no document in it")),
        Err(report) if lacks_name(&report) => return Err(no_name(file)),
        Err(report) if is_invalid(&report) => {
            return Err(NoStaticPod(format!("{file}: invalid pod: {}", one_line(&report))));
        }
        Err(report) => return Err(skip(&one_line(&report))),
    };
    if pod.metadata.name.is_empty() {
        return Err(no_name(file));
    }
    complete(&mut pod, text, source);
    pod.validate()
        .map_err(|report| NoStaticPod(format!("{file}: invalid pod: {}", one_line(&report))))?;
    Ok(pod)
}

fn no_name(file: &str) -> NoStaticPod {
    NoStaticPod(format!("{file}: invalid pod: name is needed for the pod"))
}

fn lacks_name(report: &Report) -> bool {
    let is_it = |error: &FieldError| {
        error.path == "metadata.name" && error.kind == FieldErrorKind::Required
    };
    report.field_errors().any(is_it)
}

fn is_invalid(report: &Report) -> bool {
    report.problems.iter().any(|problem| matches!(problem, Problem::Invalid { .. }))
}

fn one_line(report: &Report) -> String {
    report.to_string().replace("\n* ", "; ").replace('\n', "; ")
}

/// What the kubelet adds.
fn complete(pod: &mut PodObject, text: &str, source: StaticSource<'_>) {
    let StaticSource { file, node_name, seen } = source;
    let metadata = &mut pod.metadata;
    if metadata.uid.is_empty() {
        let mut hash = Sha256::new();
        hash.update(text.as_bytes());
        hash.update(format!("\0host:{node_name}\0file:{file}"));
        metadata.uid = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    }
    metadata.name = format!("{}-{node_name}", metadata.name);
    if metadata.namespace.is_empty() {
        metadata.namespace = "default".to_owned();
    }
    let annotations = [
        (HASH, metadata.uid.clone()),
        ("kubernetes.io/config.mirror", metadata.uid.clone()),
        ("kubernetes.io/config.source", "file".to_owned()),
        ("kubernetes.io/config.seen", seen.rfc3339_nanos()),
    ];
    metadata.annotations.extend(annotations.map(|(key, value)| (key.to_owned(), value)));
    node_name.clone_into(&mut pod.spec.node_name);
    let any = Toleration {
        operator: "Exists".to_owned(),
        effect: "NoExecute".to_owned(),
        ..Toleration::default()
    };
    if !pod.spec.tolerations.contains(&any) {
        pod.spec.tolerations.push(any);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - {name: c, image: busybox}\n";

    fn read(text: &str) -> Result<PodObject, String> {
        let source =
            StaticSource { file: "/m/web.yaml", node_name: "node", seen: Timestamp(5_000_000_000) };
        static_pod(text, source).map_err(|e| e.to_string())
    }

    #[test]
    fn a_static_pod_gets_the_nodes_name_a_hash_and_a_toleration() {
        let pod = read(POD).expect("a pod");
        let metadata = &pod.metadata;
        assert_eq!((metadata.name.as_str(), metadata.namespace.as_str()), ("web-node", "default"));
        assert_eq!(metadata.uid.len(), 32);
        let annotation = |key: &str| metadata.annotations.get(key).map(String::as_str);
        assert_eq!(annotation(HASH), Some(metadata.uid.as_str()));
        assert_eq!(annotation("kubernetes.io/config.source"), Some("file"));
        assert_eq!(annotation("kubernetes.io/config.seen"), Some("1970-01-01T00:00:05.000000000Z"));
        assert_eq!(pod.spec.node_name, "node");
        assert_eq!(pod.spec.tolerations[0].operator, "Exists");
    }

    #[test]
    fn another_content_is_another_uid_unless_the_manifest_names_one() {
        let (same, other) = (read(POD).expect("a pod"), read(&POD.replace("busybox", "alpine")));
        assert_eq!(same.metadata.uid, read(POD).expect("a pod").metadata.uid);
        assert_ne!(same.metadata.uid, other.expect("a pod").metadata.uid);
        let named = POD.replace("{name: web}", "{name: web, uid: abc}");
        assert_eq!(read(&named).expect("a pod").metadata.uid, "abc");
    }

    #[test]
    fn unknown_fields_and_further_documents_are_ignored() {
        let text = format!("{POD}  noSuchField: 1\n---\nkind: Nonsense\n");
        assert_eq!(read(&text).expect("a pod").metadata.name, "web-node");
    }

    #[test]
    fn what_is_no_pod_is_skipped_in_the_kubelets_words() {
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
        let table = [
            (
                map.to_owned(),
                "/m/web.yaml: couldn't parse as pod(invalid pod: kind ConfigMap), please check config file",
            ),
            (
                POD.replace("{name: web}", "{}"),
                "/m/web.yaml: invalid pod: name is needed for the pod",
            ),
            (
                POD.replace("{name: web}", "{generateName: web-}"),
                "/m/web.yaml: invalid pod: name is needed for the pod",
            ),
        ];
        for (text, want) in table {
            let error = read(&text).unwrap_err();
            assert!(error.starts_with(want), "{error}");
        }
        assert!(read("a: [").unwrap_err().contains("couldn't parse as pod("));
        let invalid = read(&POD.replace("image: busybox", "image: ''")).unwrap_err();
        assert!(
            invalid.contains("invalid pod: ") && invalid.contains("Required value"),
            "{invalid}"
        );
        let long = POD.replace("web", &"x".repeat(250));
        assert!(read(&long).unwrap_err().contains("metadata.name: Invalid value"));
    }
}
