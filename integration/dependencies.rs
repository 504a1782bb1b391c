//! What podrt is made of: licences, second versions and sources of its
//! dependencies, as `deny.toml` allows them.
//!
//! `cargo deny` reads the same file and knows more (advisories, the texts of
//! licences), but building it takes longer than building podrt; this needs
//! nothing but `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::run;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The packages that end up in an executable or help to build it, podrt
/// itself excluded.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["metadata", "--format-version", "1", "--locked", "--offline"]);
    command.args(["--filter-platform", "x86_64-unknown-linux-musl"]);
    let metadata: Value = serde_json::from_str(&run(&mut command).ok()).expect("JSON");
    let reached = reached(&metadata["resolve"]);
    let all = metadata["packages"].as_array().expect("packages").iter();
    all.filter(|package| reached.contains(text(&package["id"]))).cloned().collect()
}

/// The ids of all packages from the root down, not by way of dev-dependencies.
fn reached(resolve: &Value) -> BTreeSet<String> {
    let nodes = resolve["nodes"].as_array().expect("nodes");
    let nodes: BTreeMap<&str, &Value> =
        nodes.iter().map(|node| (text(&node["id"]), &node["deps"])).collect();
    let mut todo = vec![text(&resolve["root"])];
    let mut reached = BTreeSet::new();
    while let Some(id) = todo.pop() {
        for dependency in nodes[id].as_array().expect("dependencies") {
            let kinds = dependency["dep_kinds"].as_array().expect("kinds");
            let id = text(&dependency["pkg"]);
            if kinds.iter().any(|kind| kind["kind"] != "dev") && reached.insert(id.to_owned()) {
                todo.push(id);
            }
        }
    }
    reached
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn named(package: &Value) -> String {
    format!("{}@{}", text(&package["name"]), text(&package["version"]))
}

/// The strings in quotes that follow `key = ` in a section of deny.toml, up to
/// the line that closes the list. Comments have no quotes there.
fn denied(section: &str, key: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    let file = fs::read_to_string(path).expect("deny.toml");
    let lines = file.lines().skip_while(|line| *line != format!("[{section}]")).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let list = lines.skip_while(|line| !line.starts_with(&format!("{key} = "))).skip(1);
    let list: Vec<_> = list.take_while(|line| *line != "]").collect();
    assert!(!list.is_empty(), "deny.toml has no list [{section}] {key}");
    list.iter().filter_map(|line| line.split('"').nth(1).map(str::to_owned)).collect()
}

#[test]
fn every_dependency_has_a_licence_that_deny_toml_allows() {
    let allowed: BTreeSet<String> = denied("licenses", "allow").into_iter().collect();
    let packages = packages();
    assert!(packages.len() > 50, "only {} dependencies were found", packages.len());
    let mut used = BTreeSet::new();
    let mut bad = Vec::new();
    for package in &packages {
        let licence = licence_of(package);
        match choose(&licence, &allowed) {
            Some(chosen) => used.extend(chosen),
            None => bad.push(format!("{}: {licence:?}", named(package))),
        }
    }
    assert!(bad.is_empty(), "licences that are not allowed:\n{}", bad.join("\n"));
    assert_eq!(used, allowed, "licences that are allowed are all in use");
}

/// The SPDX expression of a package, or, where it names a file instead, the
/// name of the licence that the file's text is.
fn licence_of(package: &Value) -> String {
    if let Some(expression) = package["license"].as_str() {
        return expression.to_owned();
    }
    let manifest = Path::new(text(&package["manifest_path"]));
    let file = manifest.with_file_name(text(&package["license_file"]));
    let words = fs::read_to_string(file).unwrap_or_default();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let mit = "Permission is hereby granted, free of charge, to any person obtaining a copy of \
               this software and associated documentation files";
    if words.contains(mit) { "MIT".to_owned() } else { String::new() }
}

/// The licences of `expression` under which one may use it, preferring the
/// side that comes first; `None` when there are none.
fn choose(expression: &str, allowed: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let chosen = either(&mut words, allowed);
    assert_eq!(words.next(), None, "not an expression: {expression}");
    chosen
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let mut chosen = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        let other = both(words, allowed);
        chosen = chosen.or(other);
    }
    chosen
}

fn both(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let mut chosen = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        let other = one(words, allowed);
        chosen = chosen.zip(other).map(|(one, other)| one.into_iter().chain(other).collect());
    }
    chosen
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let mut licence = words.next()?.to_owned();
    if licence == "(" {
        let chosen = either(words, allowed);
        assert_eq!(words.next(), Some(")"), "a parenthesis is not closed");
        return chosen;
    }
    if words.next_if_eq(&"WITH").is_some() {
        licence = format!("{licence} WITH {}", words.next()?);
    }
    allowed.contains(&licence).then(|| BTreeSet::from([licence]))
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let allowed: BTreeSet<String> = ["MIT", "Zlib"].map(String::from).into();
    for (expression, chosen) in [
        ("MIT", Some("MIT")),
        ("GPL-3.0-only", None),
        ("Apache-2.0 OR MIT", Some("MIT")),
        ("MIT/Apache-2.0", Some("MIT")),
        ("MIT AND GPL-2.0-only", None),
        ("(GPL-2.0-only OR MIT) AND Zlib", Some("MIT Zlib")),
        ("MIT AND GPL-2.0-only OR Zlib", Some("Zlib")),
        ("MIT WITH exception OR Zlib", Some("Zlib")),
        ("", None),
    ] {
        let got = choose(expression, &allowed);
        let got = got.map(|set| set.into_iter().collect::<Vec<_>>().join(" "));
        assert_eq!(got.as_deref(), chosen, "{expression}");
    }
}

#[test]
fn no_dependency_comes_in_two_versions_but_those_that_deny_toml_names() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        versions.entry(text(&package["name"]).to_owned()).or_default().push(named(&package));
    }
    let twice: BTreeSet<String> =
        versions.into_values().filter(|all| all.len() > 1).flatten().collect();
    let skipped: BTreeSet<String> = denied("bans", "skip").into_iter().collect();
    // One of the versions of each stays without an entry.
    let names = |set: &BTreeSet<String>| -> BTreeMap<String, usize> {
        let mut count = BTreeMap::new();
        for one in set {
            *count.entry(one.split('@').next().expect("a name").to_owned()).or_default() += 1;
        }
        count
    };
    let unknown: Vec<_> = skipped.difference(&twice).collect();
    assert!(unknown.is_empty(), "deny.toml skips what is there only once: {unknown:?}");
    let entries = names(&skipped);
    for (name, count) in names(&twice) {
        let skipped = entries.get(&name).copied().unwrap_or(0);
        assert_eq!(skipped + 1, count, "versions of {name}, and entries in deny.toml: {twice:?}");
    }
}

#[test]
fn every_dependency_comes_from_the_registry() {
    let foreign = packages().into_iter().filter(|package| package["source"] != REGISTRY);
    let foreign: Vec<_> = foreign.map(|package| named(&package)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}
