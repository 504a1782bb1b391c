//! `create configmap`, `create secret generic` and `create namespace`:
//! kubectl's ways to make an object without a manifest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::cli::error::CliError;
use crate::cli::print::Output;
use crate::manifest;
use crate::model::{Roots, Timestamp};

use super::apply::save_config;
use super::args::CreateArgs;
use super::key_values::{self, Data, Kind};
use super::run_image::{print, without_place};
use super::source;
use super::write::Writer;

/// Makes the object of a type and a name.
///
/// # Errors
/// kubectl's words for sources that cannot be used; what the API server says
/// of the object.
pub fn named(args: &CreateArgs, roots: &Roots, now: Timestamp) -> Result<(), CliError> {
    let words: Vec<&str> = args.what.iter().map(String::as_str).collect();
    let (mut json, noun) = match words[..] {
        ["configmap" | "configmaps" | "cm", ref rest @ ..] => {
            (with_data(args, Kind::ConfigMap, one_name(rest)?)?, "configmap")
        }
        ["secret" | "secrets", "generic", ref rest @ ..] => {
            (with_data(args, Kind::Secret, one_name(rest)?)?, "secret")
        }
        ["secret" | "secrets", ..] => {
            return refused(
                "only generic secrets are made without a manifest: create secret generic NAME",
            );
        }
        ["namespace" | "namespaces" | "ns", ref rest @ ..] => {
            (namespace(args, one_name(rest)?)?, "")
        }
        [other, ..] => {
            return refused(format!(
                "create {other} is not supported: write a manifest and use create -f"
            ));
        }
        [] => return refused("must specify -f"),
    };
    if let Some(typed) = args.scope.given().filter(|_| !noun.is_empty()) {
        json["metadata"]["namespace"] = typed.into();
    }
    make(args, json, noun, roots, now)
}

fn refused<T>(text: impl Into<String>) -> Result<T, CliError> {
    Err(CliError::Refused(text.into()))
}

fn one_name<'a>(words: &[&'a str]) -> Result<&'a str, CliError> {
    match words {
        [name] => Ok(name),
        _ => refused(format!("exactly one NAME is required, got {}", words.len())),
    }
}

/// Whether nothing is to be stored, and what is said then.
///
/// # Errors
/// kubectl's, for another word.
pub(super) fn dry_run(args: &CreateArgs) -> Result<Option<&'static str>, CliError> {
    match args.dry_run.as_deref() {
        None | Some("none") => Ok(None),
        Some("client") => Ok(Some("created (dry run)")),
        Some("server") => Ok(Some("created (server dry run)")),
        Some(other) => refused(format!(
            "Invalid dry-run value ({other}). Must be \"none\", \"server\", or \"client\"."
        )),
    }
}

fn make(
    args: &CreateArgs,
    json: Value,
    noun: &str,
    roots: &Roots,
    now: Timestamp,
) -> Result<(), CliError> {
    let output = Output::parse(&args.output)?;
    let dry = dry_run(args)?;
    let mut objects = manifest::parse(&json.to_string(), "object.json")
        .map_err(|report| CliError::Manifest(without_place(&report.to_string())))?;
    let Some(mut object) = objects.pop() else { return Ok(()) };
    if args.save_config {
        save_config(&mut object);
    }
    if let Some(said) = dry {
        // As it was typed, without what the API server adds.
        let shown = if args.save_config { object.to_json() } else { json };
        return print(&output, &shown, said);
    }
    source::set_namespace(&mut object, &args.scope)?;
    let made = Writer::new(roots, now).create(object).map_err(|error| match noun {
        "" => error,
        // kubectl's two lines differ by a colon.
        "secret" => CliError::Refused(format!("failed to create secret {error}")),
        noun => CliError::Refused(format!("failed to create {noun}: {error}")),
    })?;
    print(&output, &made, "created")
}

fn namespace(args: &CreateArgs, name: &str) -> Result<Value, CliError> {
    let has_sources = [&args.from_literal, &args.from_file, &args.from_env_file];
    if has_sources.iter().any(|list| !list.is_empty()) || args.secret_type.is_some() {
        return refused("a namespace has no data");
    }
    Ok(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }))
}

fn with_data(args: &CreateArgs, kind: Kind, name: &str) -> Result<Value, CliError> {
    let (files, literals, env_files) = (&args.from_file, &args.from_literal, &args.from_env_file);
    let has_others = !files.is_empty() || !literals.is_empty();
    if has_others && !env_files.is_empty() {
        return refused("from-env-file cannot be combined with from-file or from-literal");
    }
    if args.secret_type.is_some() && kind == Kind::ConfigMap {
        return refused("unknown flag: --type");
    }
    let data = key_values::collect(kind, name, files, literals, env_files)?;
    let mut fields = fields_of(&data);
    if let Some(secret_type) = &args.secret_type {
        fields.insert("type".to_owned(), secret_type.clone().into());
    }
    let mut full_name = name.to_owned();
    if args.append_hash {
        full_name = format!("{name}-{}", hash(kind, name, &fields));
    }
    let mut object = Map::from_iter([
        ("apiVersion".to_owned(), "v1".into()),
        ("kind".to_owned(), kind.as_str().into()),
        ("metadata".to_owned(), json!({ "name": full_name })),
    ]);
    object.extend(fields);
    Ok(Value::Object(object))
}

/// `data`, and `binaryData` where a map of text cannot hold it.
fn fields_of(data: &Data) -> Map<String, Value> {
    let encoded = |(key, bytes): (&String, &Vec<u8>)| (key.clone(), STANDARD.encode(bytes).into());
    let binary: Map<String, Value> = data.binary.iter().map(encoded).collect();
    let text: Map<String, Value> =
        data.text.iter().map(|(key, text)| (key.clone(), text.clone().into())).collect();
    let (text_field, binary_field) = match data.kind {
        Kind::ConfigMap => ("data", "binaryData"),
        Kind::Secret => ("stringData", "data"),
    };
    [(text_field, text), (binary_field, binary)]
        .into_iter()
        .filter(|(_, map)| !map.is_empty())
        .map(|(name, map)| (name.to_owned(), map.into()))
        .collect()
}

/// kubectl's `--append-hash`: ten characters of the SHA-256 of the object as
/// Go prints it, none of which makes a word.
fn hash(kind: Kind, name: &str, fields: &Map<String, Value>) -> String {
    let mut hashed = fields.clone();
    hashed.entry("data").or_insert_with(|| json!({}));
    hashed.insert("kind".to_owned(), kind.as_str().into());
    hashed.insert("name".to_owned(), name.into());
    if kind == Kind::Secret {
        hashed.entry("type").or_insert_with(|| "".into());
    }
    let sorted: std::collections::BTreeMap<_, _> = hashed.into_iter().collect();
    // A map of strings and such maps is always printed.
    let text = serde_json::to_string(&sorted).unwrap_or_default();
    let as_go = [("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")];
    let text = as_go.iter().fold(text, |text, (from, to)| text.replace(from, to));
    let digest = Sha256::digest(text.as_bytes());
    let hex: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    let wordless = |c| match c {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        other => other,
    };
    hex.chars().map(wordless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: Value) -> Map<String, Value> {
        Map::from_iter([("data".to_owned(), pairs)])
    }

    #[test]
    fn hashes_are_those_that_kubectl_appends() {
        let of = |kind, data| hash(kind, "", &fields(data));
        assert_eq!(of(Kind::ConfigMap, json!({})), "42745tchd9");
        assert_eq!(of(Kind::ConfigMap, json!({ "one": "" })), "9g67k2htb6");
        assert_eq!(of(Kind::Secret, json!({ "one": "" })).len(), 10);
    }
}
