//! The downward API's field paths.

/// A field path that Kubernetes knows, though maybe not in every place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldPath<'a> {
    /// A field by its name.
    Whole(&'a str),
    /// `metadata.labels['key']`.
    Label(&'a str),
    /// `metadata.annotations['key']`.
    Annotation(&'a str),
}

const KNOWN: [&str; 14] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.phase",
    "status.podIP",
    "status.podIPs",
];

/// Reads a field path.
///
/// # Errors
/// The API server's words for one that no pod has.
pub(super) fn field_path<'a>(version: &str, path: &'a str) -> Result<FieldPath<'a>, String> {
    if version != "v1" {
        return Err(format!("unsupported pod version: {version}"));
    }
    if let Some((field, key)) = subscript(path) {
        return match field {
            "metadata.labels" => Ok(FieldPath::Label(key)),
            "metadata.annotations" => Ok(FieldPath::Annotation(key)),
            _ => Err(format!("field label does not support subscript: {path}")),
        };
    }
    match path {
        "spec.host" => Ok(FieldPath::Whole("spec.nodeName")),
        _ if KNOWN.contains(&path) => Ok(FieldPath::Whole(path)),
        _ => Err(format!("field label not supported: {path}")),
    }
}

/// `field['key']` in its two parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (field, key) = path.strip_suffix("']")?.split_once("['")?;
    (!field.is_empty()).then_some((field, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_paths_read_as_in_kubernetes() {
        let known = |path| field_path("v1", path);
        assert_eq!(known("metadata.name"), Ok(FieldPath::Whole("metadata.name")));
        assert_eq!(known("spec.host"), Ok(FieldPath::Whole("spec.nodeName")));
        assert_eq!(known("metadata.labels['a/b']"), Ok(FieldPath::Label("a/b")));
        assert_eq!(known("metadata.annotations['x']"), Ok(FieldPath::Annotation("x")));
        assert_eq!(known("spec.x"), Err("field label not supported: spec.x".into()));
        assert_eq!(
            known("metadata.name['k']"),
            Err("field label does not support subscript: metadata.name['k']".into())
        );
        assert_eq!(field_path("v2", "x"), Err("unsupported pod version: v2".into()));
    }
}
