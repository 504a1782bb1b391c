//! `docs/conformance-pod.md` has one row for each field of the typed Pod, and
//! what it calls refused is refused.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::manifest::schema::Schema;
use crate::manifest::types::pod_schema;

const DOCUMENT: &str = include_str!("../../../docs/conformance-pod.md");

/// Struct → field → the word of its row.
fn rows() -> BTreeMap<&'static str, BTreeMap<&'static str, &'static str>> {
    let mut rows: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    let mut section = "";
    for line in DOCUMENT.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            section = name;
        }
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let ["", fields, word, _, ""] = cells.as_slice() else { continue };
        if !fields.starts_with('`') {
            continue;
        }
        assert!(["yes", "refused", "no effect"].contains(word), "{section}: {line}");
        for field in fields.split(", ") {
            let field = field.trim_matches('`');
            let old = rows.entry(section).or_default().insert(field, *word);
            assert_eq!(old, None, "{section}.{field} has two rows");
        }
    }
    rows
}

/// Every struct that is reached through fields that are honoured.
fn reached(schema: &'static Schema, found: &mut BTreeMap<&'static str, BTreeSet<&'static str>>) {
    if found.contains_key(schema.name) {
        return;
    }
    found.insert(schema.name, schema.fields.iter().map(|field| field.json).collect());
    let rows = rows();
    for field in schema.fields {
        let word = rows.get(schema.name).and_then(|rows| rows.get(field.json));
        if let (Some(&"yes"), Some(inner)) = (word, field.schema) {
            reached(inner, found);
        }
    }
}

#[test]
fn every_field_of_a_pod_has_its_row() {
    let mut fields = BTreeMap::new();
    reached(pod_schema(), &mut fields);
    let rows = rows();
    let mut wrong = Vec::new();
    for (name, fields) in &fields {
        let rows = rows.get(name).cloned().unwrap_or_default();
        wrong.extend(
            fields.iter().filter(|f| !rows.contains_key(*f)).map(|f| format!("no row: {name}.{f}")),
        );
        wrong.extend(
            rows.keys().filter(|f| !fields.contains(*f)).map(|f| format!("no field: {name}.{f}")),
        );
    }
    let stale = rows.keys().filter(|name| !fields.contains_key(*name));
    wrong.extend(stale.map(|name| format!("no struct: {name}")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn refused_volume_sources_are_refused() {
    let rows = rows();
    let sources = rows["Volume"].iter().filter(|(_, word)| **word == "refused");
    for (source, _) in sources {
        let report = unplanned(&with_spec(&format!("  volumes: [{{name: v, {source}: {{}}}}]\n")));
        let path = format!("spec.volumes[0].{source}");
        assert_eq!(report.field_errors().next().map(|error| error.path.clone()), Some(path));
    }
}
