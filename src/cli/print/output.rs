//! `-o json|yaml|wide|name|jsonpath=…|custom-columns=…`.

use serde_json::{Value, json};

use crate::cli::error::CliError;

use super::Columns;
use super::jsonpath::Template;

/// How a verb prints what it found.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Output {
    #[default]
    Table,
    Wide,
    Json,
    Yaml,
    Name,
    JsonPath(Template),
    /// The values of a template as a JSON list.
    JsonPathAsJson(Template),
    CustomColumns(Columns),
}

impl Output {
    /// Reads the value of `-o`.
    ///
    /// # Errors
    /// kubectl's words for a format nobody knows or a template that cannot be
    /// read.
    pub fn parse(text: &str) -> Result<Self, CliError> {
        let (format, argument) = text.split_once('=').unwrap_or((text, ""));
        let template = |text: &str| {
            if text.is_empty() {
                let cause = "template format specified but no template given";
                return Err(CliError::Refused(cause.into()));
            }
            Template::parse(text).map_err(|e| CliError::Refused(e.to_string()))
        };
        Ok(match format {
            "" => Self::Table,
            "wide" => Self::Wide,
            "json" => Self::Json,
            "yaml" => Self::Yaml,
            "name" => Self::Name,
            "jsonpath" => Self::JsonPath(template(argument)?),
            "jsonpath-as-json" => Self::JsonPathAsJson(template(argument)?),
            "jsonpath-file" => Self::JsonPath(template(&file(argument)?)?),
            "custom-columns" => Self::CustomColumns(Columns::parse(argument)?),
            "go-template" | "go-template-file" | "template" | "templatefile" => {
                return Err(CliError::Refused(format!(
                    "output format {format:?} is not supported: use jsonpath or custom-columns"
                )));
            }
            _ => return Err(CliError::UnknownOutput(text.to_owned())),
        })
    }

    /// True for the tables that each type has of its own.
    #[must_use]
    pub fn is_table(&self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }

    /// Prints objects in any format but the tables; a single one without a
    /// List around it.
    ///
    /// # Errors
    /// A template's.
    pub fn objects(
        &self,
        mut values: Vec<Value>,
        single: bool,
        headings: bool,
    ) -> Result<String, CliError> {
        if let Self::CustomColumns(columns) = self {
            return columns.render(&values, headings);
        }
        if *self == Self::Name {
            return Ok(values.iter().map(|value| format!("{}\n", full_name(value))).collect());
        }
        let value = match values.pop() {
            None if single => return Ok(String::new()),
            Some(only) if single && values.is_empty() => only,
            last => {
                values.extend(last);
                list(values)
            }
        };
        Ok(match self {
            Self::Json => to_json(&value),
            Self::Yaml => to_yaml(&value),
            Self::JsonPath(template) => template.render(&value).map_err(CliError::Refused)?,
            Self::JsonPathAsJson(template) => {
                let values = template.values(&value).map_err(CliError::Refused)?;
                to_json(&Value::Array(values.into_iter().cloned().collect()))
            }
            Self::Table | Self::Wide | Self::Name | Self::CustomColumns(_) => String::new(),
        })
    }
}

fn file(path: &str) -> Result<String, CliError> {
    std::fs::read_to_string(path)
        .map_err(|e| CliError::File { path: path.to_owned(), cause: e.to_string() })
}

/// `pod/web`
#[must_use]
pub fn full_name(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = text(&object["kind"]).to_ascii_lowercase();
    format!("{kind}/{}", text(&object["metadata"]["name"]))
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
