//! The rows of docs/conformance.md.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What the page says of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub state: State,
    /// The phrases of its errors: what stands in backquotes.
    pub errors: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Applied.
    Yes,
    /// Applied, or refused where the machine lacks what it takes.
    Depends,
    Refused,
}

impl Row {
    /// Whether an error is one that the row announces.
    pub fn announces(&self, error: &str) -> bool {
        self.state != State::Yes && self.errors.iter().any(|phrase| error.contains(phrase))
    }
}

/// The rows by field, and the leaves of the schema.
pub fn load() -> (BTreeMap<String, Row>, Vec<String>) {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(top.join("docs/conformance.md")).expect("the page");
    let leaves = fs::read_to_string(top.join("integration/oci_conformance/leaves.txt"));
    let leaves = leaves.expect("the leaves");
    let leaves = leaves.lines().filter(|line| !line.starts_with('#')).map(str::to_owned);
    (rows(&page), leaves.collect())
}

fn rows(page: &str) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [fields, state, what] = cells[..] else { continue };
        let state = match state {
            "yes" => State::Yes,
            "depends" => State::Depends,
            "refused" => State::Refused,
            _ => continue,
        };
        let row = Row { state, errors: quoted(what) };
        for field in quoted(fields) {
            let twice = rows.insert(field.clone(), row.clone());
            assert!(twice.is_none(), "{field} has two rows");
        }
    }
    rows
}

fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
