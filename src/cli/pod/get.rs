//! `get`: objects as tables, JSON or YAML.

use serde_json::Value;

use crate::cli::error::CliError;
use crate::cli::print::{Output, Table, output};
use crate::lifecycle::columns::{columns, human_duration};
use crate::model::event::EventType;
use crate::model::{PodKey, Roots, Timestamp};
use crate::store::objects::{Listing, ObjectKey, ObjectStore};

use super::args::GetArgs;
use super::selector::Selector;
use super::types::{ResourceType, resources};
use super::view::{self, PodView, Query};

/// Runs the verb: what goes to standard output.
///
/// # Errors
/// A type or an object that is not there; the store's errors.
pub fn run(args: &GetArgs, roots: &Roots, now: Timestamp) -> Result<String, CliError> {
    let output = Output::parse(&args.output)?;
    let selector = Selector::parse(&args.selector)?;
    let wanted = resources(&args.what)?;
    let single = matches!(wanted.as_slice(), [(_, Some(_))]);
    let mut texts = Vec::new();
    let mut values = Vec::new();
    for kind in kinds_in_order(&wanted) {
        let names: Vec<&str> =
            wanted.iter().filter(|(k, _)| *k == kind).filter_map(|(_, n)| n.as_deref()).collect();
        match kind {
            ResourceType::Pod => {
                let views = pods(args, roots, &selector, &names)?;
                if output == Output::Table || output == Output::Wide {
                    texts.push(pod_table(&views, args, output == Output::Wide, now));
                }
                values.extend(views.into_iter().map(|view| view.json));
            }
            ResourceType::Event => {
                let views = pods(args, roots, &selector, &[])?;
                texts.push(event_table(&views, now));
            }
            kind => {
                let objects = objects(args, roots, &selector, kind, &names)?;
                if output == Output::Table || output == Output::Wide {
                    texts.push(object_table(kind, &objects, args, now));
                }
                values.extend(objects);
            }
        }
    }
    Ok(match output {
        Output::Table | Output::Wide => table_text(&texts, args),
        Output::Name => values.iter().map(|value| format!("{}\n", full_name(value))).collect(),
        Output::Json if single => values.first().map(output::to_json).unwrap_or_default(),
        Output::Yaml if single => values.first().map(output::to_yaml).unwrap_or_default(),
        Output::Json => output::to_json(&output::list(values)),
        Output::Yaml => output::to_yaml(&output::list(values)),
    })
}

fn kinds_in_order(wanted: &[(ResourceType, Option<String>)]) -> Vec<ResourceType> {
    let mut kinds = Vec::new();
    for (kind, _) in wanted {
        if !kinds.contains(kind) {
            kinds.push(*kind);
        }
    }
    kinds
}

/// `pod/web`
fn full_name(value: &Value) -> String {
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    let kind = text(&value["kind"]).to_ascii_lowercase();
    format!("{kind}/{}", text(&value["metadata"]["name"]))
}

fn table_text(texts: &[String], args: &GetArgs) -> String {
    let filled: Vec<&str> = texts.iter().map(String::as_str).filter(|t| !t.is_empty()).collect();
    if filled.is_empty() {
        // kubectl says so on standard error and succeeds.
        match args.scope.query_namespace() {
            Some(namespace) => eprintln!("No resources found in {namespace} namespace."),
            None => eprintln!("No resources found"),
        }
    }
    filled.join("\n")
}

fn pods(
    args: &GetArgs,
    roots: &Roots,
    selector: &Selector,
    names: &[&str],
) -> Result<Vec<PodView>, CliError> {
    if names.is_empty() {
        let namespace = args.scope.query_namespace();
        return view::list(roots, &Query { namespace, selector: selector.clone() });
    }
    let mut views = Vec::new();
    for name in names {
        match view::get(roots, &args.scope.key(name)) {
            Err(CliError::NotFound { .. }) if args.ignore_not_found => {}
            other => views.push(other?),
        }
    }
    Ok(views)
}

fn pod_table(views: &[PodView], args: &GetArgs, wide: bool, now: Timestamp) -> String {
    if views.is_empty() {
        return String::new();
    }
    let mut heading = Vec::new();
    if args.scope.all_namespaces {
        heading.push("NAMESPACE");
    }
    heading.extend(["NAME", "READY", "STATUS", "RESTARTS", "AGE"]);
    if wide {
        heading.extend(["IP", "NODE", "NOMINATED NODE", "READINESS GATES"]);
    }
    if args.show_labels {
        heading.push("LABELS");
    }
    let mut table = if args.no_headers { Table::default() } else { Table::new(&heading) };
    for view in views {
        table.row(pod_row(view, args, wide, now));
    }
    table.render()
}

fn pod_row(view: &PodView, args: &GetArgs, wide: bool, now: Timestamp) -> Vec<String> {
    let shown = view
        .plan()
        .zip(view.status())
        .map(|(plan, status)| columns(plan, status, view.deletion_timestamp(), now));
    let mut row = Vec::new();
    if args.scope.all_namespaces {
        row.push(view.key.namespace.clone());
    }
    row.push(view.key.name.clone());
    let count = view.json["spec"]["containers"].as_array().map_or(0, Vec::len);
    match &shown {
        Some(columns) => {
            row.extend([columns.ready.clone(), columns.status.clone(), columns.restarts.clone()]);
        }
        // No supervisor has it: an object of an earlier boot, or a pod whose
        // first status is not written yet.
        None => {
            let status = if view.loaded.is_some() { "Pending" } else { "Unknown" };
            row.extend([format!("0/{count}"), status.into(), "0".into()]);
        }
    }
    let age = view.created_at().map(|at| human_duration(now.since(at)));
    row.push(age.unwrap_or_else(|| "<unknown>".into()));
    if wide {
        let text = |path: &str| {
            let text = view.json.pointer(path).and_then(Value::as_str).unwrap_or_default();
            if text.is_empty() { "<none>".to_owned() } else { text.to_owned() }
        };
        row.extend([text("/status/podIP"), text("/spec/nodeName"), "<none>".into()]);
        row.push(shown.map_or_else(|| "<none>".into(), |columns| columns.readiness_gates));
    }
    if args.show_labels {
        let labels: Vec<String> = view.labels().map(|(k, v)| format!("{k}={v}")).collect();
        row.push(if labels.is_empty() { "<none>".into() } else { labels.join(",") });
    }
    row
}

fn objects(
    args: &GetArgs,
    roots: &Roots,
    selector: &Selector,
    kind: ResourceType,
    names: &[&str],
) -> Result<Vec<Value>, CliError> {
    let room = |e: crate::store::Error| CliError::room(&e, e.kind());
    let store = ObjectStore::new(roots.objects());
    if names.is_empty() {
        let namespace = args.scope.query_namespace();
        let Listing { objects: found, broken } =
            store.list(namespace.as_deref(), kind.kind()).map_err(room)?;
        for error in &broken {
            eprintln!("podrt: {error}, ignoring");
        }
        let mut all: Vec<Value> = found.into_iter().map(|(_, object)| object).collect();
        all.retain(|object| {
            let labels = object["metadata"]["labels"].as_object();
            let labels = labels.into_iter().flatten();
            selector.matches(labels.map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default())))
        });
        return Ok(all);
    }
    let mut found = Vec::new();
    for name in names {
        let PodKey { namespace, name } = args.scope.key(name);
        let key = ObjectKey::new(Some(&namespace), kind.kind(), &name).map_err(room)?;
        match store.get(&key).map_err(room)? {
            Some(object) => found.push(object),
            None if args.ignore_not_found => {}
            None => return Err(CliError::NotFound { kind: kind.plural(), name }),
        }
    }
    Ok(found)
}

fn object_table(kind: ResourceType, objects: &[Value], args: &GetArgs, now: Timestamp) -> String {
    if objects.is_empty() {
        return String::new();
    }
    let mut heading = if args.scope.all_namespaces { vec!["NAMESPACE"] } else { vec![] };
    heading.push("NAME");
    if kind == ResourceType::Secret {
        heading.push("TYPE");
    }
    heading.extend(["DATA", "AGE"]);
    let mut table = if args.no_headers { Table::default() } else { Table::new(&heading) };
    for object in objects {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut row = Vec::new();
        if args.scope.all_namespaces {
            row.push(text(&object["metadata"]["namespace"]));
        }
        row.push(text(&object["metadata"]["name"]));
        if kind == ResourceType::Secret {
            row.push(text(&object["type"]));
        }
        let count = |field: &str| object[field].as_object().map_or(0, serde_json::Map::len);
        row.push((count("data") + count("binaryData")).to_string());
        let created = Timestamp::parse_rfc3339(&text(&object["metadata"]["creationTimestamp"]));
        row.push(created.map_or_else(|| "<unknown>".into(), |at| human_duration(now.since(at))));
        table.row(row);
    }
    table.render()
}

fn event_table(views: &[PodView], now: Timestamp) -> String {
    let mut events: Vec<_> =
        views.iter().flat_map(|view| view.events().iter().map(move |e| (view, e))).collect();
    if events.is_empty() {
        return String::new();
    }
    events.sort_by_key(|(_, event)| event.last_timestamp);
    let mut table = Table::new(&["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]);
    for (view, event) in events {
        let kind = match event.r#type {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        };
        table.row(vec![
            human_duration(now.since(event.last_timestamp)),
            kind.into(),
            event.reason.clone(),
            format!("pod/{}", view.key.name),
            event.message.clone(),
        ]);
    }
    table.render()
}
