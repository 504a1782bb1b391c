//! `apply`, `create -f` and `replace -f`.

use serde_json::Value;

use crate::cli::error::CliError;
use crate::cli::print::Output;
use crate::manifest::{self, Object};
use crate::model::{PodKey, Roots, Timestamp};

use super::args::{ApplyArgs, CreateArgs, ReplaceArgs};
use super::create;
use super::delete::{self, How};
use super::source::{self, Given};
use super::types::ResourceType;
use super::write::{Change, Immutable, Updated, Writer, full_name, plural};

/// Where the manifest of the last `apply` is kept.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Runs `apply`.
///
/// # Errors
/// Bad manifests before anything is done; then the first object that could not
/// be written, after the others were tried.
pub fn apply(args: &ApplyArgs, roots: &Roots, now: Timestamp) -> Result<(), CliError> {
    let writer = Writer::new(roots, now);
    each(source::objects(&args.files, &args.scope)?, &args.output, |given| {
        apply_one(&writer, given)
    })
}

/// Runs `create`, of a type and a name or with `-f`.
///
/// # Errors
/// As for [`apply`].
pub fn create(args: &CreateArgs, roots: &Roots, now: Timestamp) -> Result<(), CliError> {
    match (args.what.is_empty(), args.files.names.is_empty()) {
        (false, true) => return create::named(args, roots, now),
        (false, false) => {
            return Err(CliError::Refused(format!("Unexpected args: [{}]", args.what.join(" "))));
        }
        (true, _) => {}
    }
    let writer = Writer::new(roots, now);
    let dry = create::dry_run(args)?;
    each(source::objects(&args.files, &args.scope)?, &args.output, |Given { file, mut object }| {
        if args.save_config {
            save_config(&mut object);
        }
        if let Some(said) = dry {
            return Ok((object.to_json(), said));
        }
        let created = writer.create(object).map_err(|e| doing("creating", &file, e))?;
        Ok((created, "created"))
    })
}

/// Runs `replace -f`.
///
/// # Errors
/// As for [`apply`].
pub fn replace(args: &ReplaceArgs, roots: &Roots, now: Timestamp) -> Result<(), CliError> {
    if args.grace_period >= 0 && !args.force {
        return Err(CliError::Refused("--grace-period must have --force specified".into()));
    }
    let writer = Writer::new(roots, now);
    each(source::objects(&args.files, &args.scope)?, &args.output, |Given { file, mut object }| {
        if args.save_config {
            save_config(&mut object);
        }
        let failed = |e| doing("replacing", &file, e);
        if args.force {
            remove(args, roots, &object)?;
            return Ok((writer.create(object).map_err(failed)?, "replaced"));
        }
        let Some(old) = writer.find(&object)? else {
            let name = object.metadata().name.clone();
            return Err(failed(CliError::NotFound { kind: plural(&object), name }));
        };
        let Updated { object, .. } =
            writer.update(object, &old, Immutable::Refuse).map_err(failed)?;
        Ok((object, "replaced"))
    })
}

/// Handles every object and reports it; the first failure is told at the end,
/// the others as they come.
fn each(
    all: Vec<Given>,
    format: &str,
    mut handle: impl FnMut(Given) -> Result<(Value, &'static str), CliError>,
) -> Result<(), CliError> {
    let format = Output::parse(format)?;
    let mut done = Vec::new();
    let mut failure = None;
    for given in all {
        match handle(given) {
            Ok((object, verb)) => {
                match &format {
                    Output::Name => println!("{}", full_name(&object)),
                    Output::Table | Output::Wide => println!("{} {verb}", full_name(&object)),
                    _ => {}
                }
                done.push(object);
            }
            Err(error) => {
                if let Some(earlier) = failure.replace(error) {
                    eprintln!("podrt: {earlier}");
                }
            }
        }
    }
    if !matches!(format, Output::Name | Output::Table | Output::Wide) && !done.is_empty() {
        let single = done.len() == 1;
        print!("{}", format.objects(done, single, true)?);
    }
    failure.map_or(Ok(()), Err)
}

fn doing(what: &str, file: &str, error: CliError) -> CliError {
    match error {
        // A field's error names the file itself.
        CliError::Manifest(_) => error,
        error => CliError::Refused(format!("error when {what} {file:?}: {error}")),
    }
}

fn apply_one(writer: &Writer<'_>, given: Given) -> Result<(Value, &'static str), CliError> {
    let Given { file, mut object } = given;
    let metadata = object.metadata();
    if metadata.name.is_empty() {
        let base = &metadata.generate_name;
        return Err(CliError::Refused(format!("from {base}: cannot use generate name with apply")));
    }
    let Some(live) = writer.find(&object)? else {
        save_config(&mut object);
        let created = writer.create(object).map_err(|e| doing("creating", &file, e))?;
        return Ok((created, "created"));
    };
    let merged = merged(&object, &live)?;
    let updated = writer
        .update(merged, &live, Immutable::Recreate)
        .map_err(|e| doing("applying patch to", &file, e))?;
    let verb = match updated.how {
        Change::None => "unchanged",
        Change::InPlace => "configured",
        Change::Recreated => "configured (recreated)",
    };
    Ok((updated.object, verb))
}

/// The live object with what the manifest changes in it.
fn merged(object: &Object, live: &Value) -> Result<Object, CliError> {
    let last = live["metadata"]["annotations"][LAST_APPLIED].as_str();
    let last: Option<Value> = last.and_then(|text| serde_json::from_str(text).ok());
    if last.is_none() {
        eprintln!(
            "Warning: resource {}/{} is missing the {LAST_APPLIED} annotation which is required by \
             podrt apply. podrt apply should only be used on resources created declaratively by \
             either podrt create --save-config or podrt apply. The missing annotation will be \
             patched automatically.",
            plural(object),
            object.metadata().name
        );
    }
    let mut given = configuration(object);
    let text = last_applied(&given);
    given["metadata"]["annotations"][LAST_APPLIED] = text.into();
    let merged = manifest::three_way(last.as_ref(), &given, live);
    Object::from_json(&merged).map_err(|report| CliError::Manifest(report.to_string()))
}

/// The object as it was given, with its namespace.
fn configuration(object: &Object) -> Value {
    let mut json = match object {
        Object::Pod(pod) => pod.original(),
        other => other.to_json(),
    };
    if object.is_namespaced() {
        json["metadata"]["namespace"] = object.metadata().namespace.clone().into();
    }
    if let Some(fields) = json.as_object_mut() {
        fields.remove("status");
    }
    let metadata = &mut json["metadata"];
    if !metadata["annotations"].is_object() {
        metadata["annotations"] = Value::Object(serde_json::Map::default());
    }
    if let Some(annotations) = metadata["annotations"].as_object_mut() {
        annotations.remove(LAST_APPLIED);
    }
    json
}

fn last_applied(configuration: &Value) -> String {
    format!("{configuration}\n")
}

pub(super) fn save_config(object: &mut Object) {
    let text = last_applied(&configuration(object));
    object.metadata_mut().annotations.insert(LAST_APPLIED.to_owned(), text);
}

fn remove(args: &ReplaceArgs, roots: &Roots, object: &Object) -> Result<(), CliError> {
    let Some(kind) = ResourceType::parse(object.kind()) else { return Ok(()) };
    let metadata = object.metadata();
    let key = PodKey { namespace: metadata.namespace.clone(), name: metadata.name.clone() };
    let how = match u32::try_from(args.grace_period) {
        Ok(0) => How::forced(),
        Ok(seconds) => How::within(seconds),
        Err(_) => How::graceful(),
    };
    if delete::object(roots, kind, &key, &how)? && args.output.is_empty() {
        println!("{}", delete::report_line(kind, &key, how));
    }
    Ok(())
}
