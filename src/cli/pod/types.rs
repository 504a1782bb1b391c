//! The resource types a user can name, with kubectl's short names.

use crate::cli::error::CliError;

/// A type that `get` and `delete` know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceType {
    Pod,
    ConfigMap,
    Secret,
    Event,
}

impl ResourceType {
    /// Reads `pods`, `pod`, `po`, …
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "pods" | "pod" | "po" | "all" => Self::Pod,
            "configmaps" | "configmap" | "cm" => Self::ConfigMap,
            "secrets" | "secret" => Self::Secret,
            "events" | "event" | "ev" => Self::Event,
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
        }
    }
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
    let kinds = kinds.split(',').map(parse).collect::<Result<Vec<_>, _>>()?;
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
