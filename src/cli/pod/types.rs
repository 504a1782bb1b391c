//! The resource types a user can name, with kubectl's short names.

use crate::cli::error::CliError;

/// A type that `get` and `delete` know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceType {
    Pod,
    ConfigMap,
    Secret,
    Event,
    Namespace,
    Service,
    PersistentVolumeClaim,
}

impl ResourceType {
    /// Reads `pods`, `pod`, `po`, …
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "pods" | "pod" | "po" => Self::Pod,
            "configmaps" | "configmap" | "cm" => Self::ConfigMap,
            "secrets" | "secret" => Self::Secret,
            "events" | "event" | "ev" => Self::Event,
            "namespaces" | "namespace" | "ns" => Self::Namespace,
            "services" | "service" | "svc" => Self::Service,
            "persistentvolumeclaims" | "persistentvolumeclaim" | "pvc" => {
                Self::PersistentVolumeClaim
            }
            _ => return None,
        })
    }

    /// The kind of its objects.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::Event => "Event",
            Self::Namespace => "Namespace",
            Self::Service => "Service",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
        }
    }

    /// The plural, as in `pods "x" not found`.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Pod => "pods",
            Self::ConfigMap => "configmaps",
            Self::Secret => "secrets",
            Self::Event => "events",
            Self::Namespace => "namespaces",
            Self::Service => "services",
            Self::PersistentVolumeClaim => "persistentvolumeclaims",
        }
    }

    /// The singular, as in `pod/x` and `pod "x" deleted`.
    #[must_use]
    pub fn singular(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
            Self::Event => "event",
            Self::Namespace => "namespace",
            Self::Service => "service",
            Self::PersistentVolumeClaim => "persistentvolumeclaim",
        }
    }

    /// False for objects of the whole machine.
    #[must_use]
    pub fn is_namespaced(self) -> bool {
        self != Self::Namespace
    }

    /// What `all` stands for, as far as podrt has it.
    pub const ALL: [Self; 2] = [Self::Pod, Self::Service];
}

/// Types with names, as typed: `TYPE [NAME…]` or `TYPE/NAME…`.
///
/// # Errors
/// A type nobody knows, or both ways mixed.
pub fn resources(words: &[String]) -> Result<Vec<(ResourceType, Option<String>)>, CliError> {
    let parse = |text: &str| {
        ResourceType::parse(text).ok_or_else(|| CliError::UnknownKind(text.to_owned()))
    };
    if words.iter().any(|word| word.contains('/')) {
        return words
            .iter()
            .map(|word| {
                let (kind, name) = word.split_once('/').ok_or_else(|| {
                    CliError::Refused(
                        "there is no need to specify a resource type as a separate argument when \
                         passing arguments in resource/name form"
                            .into(),
                    )
                })?;
                Ok((parse(kind)?, Some(name.to_owned())))
            })
            .collect();
    }
    let Some((kinds, names)) = words.split_first() else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for kind in kinds.split(',') {
        match kind {
            "all" => all.extend(ResourceType::ALL),
            kind => all.push(parse(kind)?),
        }
    }
    let kinds = all;
    if names.is_empty() {
        return Ok(kinds.into_iter().map(|kind| (kind, None)).collect());
    }
    Ok(kinds
        .into_iter()
        .flat_map(|kind| names.iter().map(move |name| (kind, Some(name.clone()))))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_names_read_both_ways() {
        let read = |line: &str| resources(&line.split(' ').map(String::from).collect::<Vec<_>>());
        let web = (ResourceType::Pod, Some("web".to_owned()));
        assert_eq!(read("po web"), Ok(vec![web.clone()]));
        assert_eq!(read("pod/web"), Ok(vec![web]));
        assert_eq!(read("cm"), Ok(vec![(ResourceType::ConfigMap, None)]));
        assert!(read("pod/web db").is_err());
        assert_eq!(read("nope"), Err(CliError::UnknownKind("nope".into())));
    }
}
