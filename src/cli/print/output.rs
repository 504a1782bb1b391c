//! `-o json|yaml|wide|name`.

use serde_json::{Value, json};

use crate::cli::error::CliError;

/// How a verb prints what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    #[default]
    Table,
    Wide,
    Json,
    Yaml,
    Name,
}

impl Output {
    /// Reads the value of `-o`.
    ///
    /// # Errors
    /// kubectl's words for a format nobody knows.
    pub fn parse(text: &str) -> Result<Self, CliError> {
        Ok(match text {
            "" => Self::Table,
            "wide" => Self::Wide,
            "json" => Self::Json,
            "yaml" => Self::Yaml,
            "name" => Self::Name,
            _ => return Err(CliError::UnknownOutput(text.to_owned())),
        })
    }
}

/// JSON as kubectl prints it: four blanks, a newline at the end.
#[must_use]
pub fn to_json(value: &Value) -> String {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    // Writing a Value into memory has no way to fail.
    if serde::Serialize::serialize(value, &mut serializer).is_err() {
        return String::new();
    }
    text.push(b'\n');
    String::from_utf8(text).unwrap_or_default()
}

/// YAML with sorted keys.
#[must_use]
pub fn to_yaml(value: &Value) -> String {
    serde_yaml_ng::to_string(value).unwrap_or_default()
}

/// The items as one `v1` List.
#[must_use]
pub fn list(items: Vec<Value>) -> Value {
    json!({ "apiVersion": "v1", "items": items, "kind": "List", "metadata": { "resourceVersion": "" } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_keeps_strings_that_look_like_something_else() {
        let value = json!({ "a": "yes", "b": "0644", "c": ["x: y", ""], "d": null });
        let text = to_yaml(&value);
        let back: Value = serde_yaml_ng::from_str(&text).expect("reads back");
        assert_eq!(back, value);
        assert!(text.contains("c:\n- 'x: y'\n"), "{text}");
    }

    #[test]
    fn json_has_four_blanks() {
        assert_eq!(to_json(&json!({ "a": 1 })), "{\n    \"a\": 1\n}\n");
    }
}
