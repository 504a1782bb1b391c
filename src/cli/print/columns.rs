//! `-o custom-columns=NAME:.metadata.name,…`

use serde_json::Value;

use crate::cli::error::CliError;

use super::Table;
use super::jsonpath::{Template, relaxed};

/// Columns with the paths of their values.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    columns: Vec<(String, Template)>,
}

impl Columns {
    /// Reads the specification behind `custom-columns=`.
    ///
    /// # Errors
    /// kubectl's words for one that is none.
    pub fn parse(spec: &str) -> Result<Self, CliError> {
        let refuse = |text: String| CliError::Refused(text);
        if spec.is_empty() {
            return Err(refuse(
                "custom-columns format specified but no custom columns given".into(),
            ));
        }
        let column = |text: &str| {
            let (heading, path) = text.split_once(':').ok_or_else(|| {
                refuse(format!(
                    "unexpected custom-columns spec: {text}, expected <header>:<json-path-expr>"
                ))
            })?;
            let template = Template::parse(&relaxed(path)).map_err(|e| refuse(e.to_string()))?;
            Ok((heading.to_owned(), template))
        };
        split(spec)
            .into_iter()
            .map(column)
            .collect::<Result<_, _>>()
            .map(|columns| Self { columns })
    }

    /// The table of the objects.
    ///
    /// # Errors
    /// As for [`Template::render`].
    pub fn render(&self, objects: &[Value], headings: bool) -> Result<String, CliError> {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        let mut table = if headings { Table::new(&names) } else { Table::default() };
        for object in objects {
            let cell = |(_, template): &(String, Template)| {
                let values = template.values(object).map_err(CliError::Refused)?;
                let values: Vec<String> = values.into_iter().map(super::jsonpath::plain).collect();
                Ok(if values.is_empty() { "<none>".to_owned() } else { values.join(",") })
            };
            table.row(self.columns.iter().map(cell).collect::<Result<_, CliError>>()?);
        }
        Ok(table.render())
    }
}

/// Splits at the commas outside of brackets.
fn split(spec: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    spec.split(|c: char| {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_show_paths_and_none_for_what_is_missing() {
        let columns = Columns::parse("NAME:.metadata.name,ALL:{.l[0,1]},NOT:x.y").expect("reads");
        let objects = [json!({"metadata": {"name": "a"}, "l": [1, "two"]})];
        assert_eq!(
            columns.render(&objects, true).expect("renders"),
            "NAME   ALL     NOT\na      1,two   <none>\n"
        );
    }

    #[test]
    fn what_is_no_column_is_refused() {
        let error = |spec: &str| Columns::parse(spec).unwrap_err().to_string();
        assert_eq!(
            error("NAME"),
            "unexpected custom-columns spec: NAME, expected <header>:<json-path-expr>"
        );
        assert!(error("").contains("no custom columns given"));
        assert!(error("A:{.x").contains("error parsing jsonpath"));
    }
}
