//! Every leaf of config.json, set alone: the table in docs/conformance.md has
//! a row for it, and what happens is what the row says.

mod case;
mod hooks;
mod linux;
mod mounts;
mod process;
mod resources;
mod seccomp;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use case::{Case, Place};
use table::Row;

/// With `PODRT_LEAVES` only the leaves below a path, where time is short.
#[test]
fn every_leaf_of_the_schema_does_what_its_row_says() {
    let (rows, leaves) = table::load();
    let place = Place::new();
    let cases = cases(&place);
    let mut wrong = gaps(&rows, &leaves, &cases);
    let only = std::env::var("PODRT_LEAVES").unwrap_or_default();
    for case in cases.iter().filter(|case| case.leaf.starts_with(&only)) {
        let Some(row) = rows.get(&case.leaf) else { continue };
        if let Err(problem) = case.check(&place, row) {
            wrong.push(format!("{}: {problem}", case.leaf));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    place.world.assert_clean();
}

fn cases(place: &Place) -> Vec<Case> {
    [
        process::cases(),
        mounts::cases(place),
        hooks::cases(place),
        linux::cases(place),
        resources::cases(),
        seccomp::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Leaves, rows and cases are the same set.
fn gaps(rows: &BTreeMap<String, Row>, leaves: &[String], cases: &[Case]) -> Vec<String> {
    let leaves: BTreeSet<&str> = leaves.iter().map(String::as_str).collect();
    let rows: BTreeSet<&str> = rows.keys().map(String::as_str).collect();
    let cases: BTreeSet<&str> = cases.iter().map(|case| case.leaf.as_str()).collect();
    let of = |what: &str, set: BTreeSet<&str>| -> Vec<String> {
        set.into_iter().map(|leaf| format!("{leaf}: {what}")).collect()
    };
    [
        of("no row in docs/conformance.md", &leaves - &rows),
        of("a row, but no such leaf", &rows - &leaves),
        of("no case", &leaves - &cases),
        of("a case, but no such leaf", &cases - &leaves),
    ]
    .concat()
}
