//! Events: as `v1` objects, and the tables of `get events` and `events`.

use std::io::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cli::error::CliError;
use crate::cli::print::{Output, Table};
use crate::lifecycle::columns::human_duration;
use crate::model::event::{EventType, PodEvent};
use crate::model::{Roots, Timestamp};
use crate::sys::clock;

use super::args::EventsArgs;
use super::changes::Changes;
use super::rows::{Look, age};
use super::selector::Selector;
use super::types::ResourceType;
use super::view::{self, PodView, Query};

/// The events of pods as `v1` Events, oldest first.
#[must_use]
pub fn objects(views: &[PodView]) -> Vec<Value> {
    let all = views.iter().flat_map(|view| view.events().iter().map(move |event| (view, event)));
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(_, event)| event.last_timestamp);
    all.into_iter().map(|(view, event)| object(view, event)).collect()
}

fn object(view: &PodView, event: &PodEvent) -> Value {
    let metadata = &view.json["metadata"];
    let mut involved = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "name": view.key.name,
        "namespace": view.key.namespace,
        "uid": metadata["uid"],
    });
    if let Some(path) = &event.field_path {
        involved["fieldPath"] = path.clone().into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": name(view, event),
            "namespace": view.key.namespace,
            "creationTimestamp": event.first_timestamp.to_string(),
        },
        "involvedObject": involved,
        "reason": event.reason,
        "message": event.message,
        "source": { "component": "kubelet", "host": view.json["spec"]["nodeName"] },
        "reportingComponent": "kubelet",
        "reportingInstance": view.json["spec"]["nodeName"],
        "firstTimestamp": event.first_timestamp.to_string(),
        "lastTimestamp": event.last_timestamp.to_string(),
        "count": event.count,
        "type": word(event.r#type),
    })
}

/// `web.17a9…`: the same for one event however often it is counted.
fn name(view: &PodView, event: &PodEvent) -> String {
    let path = event.field_path.as_deref().unwrap_or_default();
    let start = event.first_timestamp.to_string();
    let text = [path, &event.reason, &event.message, &start].join("\0");
    let hash = Sha256::digest(text.as_bytes());
    let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}.{hex}", view.key.name)
}

fn word(event: EventType) -> &'static str {
    match event {
        EventType::Normal => "Normal",
        EventType::Warning => "Warning",
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// `get events`.
#[must_use]
pub fn table(events: &[&Value], look: Look, now: Timestamp) -> Table {
    let mut heading = vec!["LAST SEEN", "TYPE", "REASON", "OBJECT"];
    if look.wide {
        heading.extend(["SUBOBJECT", "SOURCE"]);
    }
    heading.push("MESSAGE");
    if look.wide {
        heading.extend(["FIRST SEEN", "COUNT", "NAME"]);
    }
    // An event is told by its object, not by its own name.
    let look = Look { types: false, ..look };
    let mut table = look.table(&heading);
    for event in events {
        let involved = &event["involvedObject"];
        let mut row = vec![
            age(&event["lastTimestamp"], now),
            text(&event["type"]),
            text(&event["reason"]),
            format!("pod/{}", text(&involved["name"])),
        ];
        if look.wide {
            let source = &event["source"];
            row.push(text(&involved["fieldPath"]));
            row.push(format!("{}, {}", text(&source["component"]), text(&source["host"])));
        }
        row.push(text(&event["message"]));
        if look.wide {
            row.push(age(&event["firstTimestamp"], now));
            row.push(event["count"].to_string());
            row.push(text(&event["metadata"]["name"]));
        }
        table.row(look.row(ResourceType::Event, event, row));
    }
    table
}

/// `5s`, or `5s (x3 over 1m)` for an event that was counted more than once.
#[must_use]
pub fn seen(event: &Value, now: Timestamp) -> String {
    let last = age(&event["lastTimestamp"], now);
    match event["count"].as_u64() {
        Some(count) if count > 1 => {
            let first = event["firstTimestamp"].as_str().and_then(Timestamp::parse_rfc3339);
            let over = first.map_or_else(String::new, |at| human_duration(now.since(at)));
            format!("{last} (x{count} over {over})")
        }
        _ => last,
    }
}

/// Runs `events`.
///
/// # Errors
/// Flags that kubectl refuses; the store's.
pub fn run(args: &EventsArgs, roots: &Roots, now: Timestamp) -> Result<(), CliError> {
    let output = Output::parse(&args.output)?;
    if !matches!(output, Output::Table | Output::Json | Output::Yaml) {
        return Err(CliError::UnknownOutput(args.output.clone()));
    }
    let known = ["normal", "warning"];
    if args.types.iter().any(|kind| !known.contains(&kind.to_ascii_lowercase().as_str())) {
        return Err(CliError::Refused("valid --types are Normal or Warning".into()));
    }
    let of = match args.of.as_deref().map(|of| of.split_once('/').unwrap_or((of, ""))) {
        None => None,
        Some((_, "")) => {
            return Err(CliError::Refused("--for must be in resource/name form".into()));
        }
        Some((kind, name)) => match ResourceType::parse(kind) {
            Some(ResourceType::Pod) => Some(name),
            Some(_) => Some(""),
            None => return Err(CliError::UnknownKind(kind.to_owned())),
        },
    };
    let changes = Changes::new(roots, ResourceType::Event)?;
    let mut events = chosen(args, of, roots)?;
    let mut widths = Vec::new();
    if !args.watch {
        if output != Output::Table {
            print!("{}", output.objects(events, false, true)?);
        } else if events.is_empty() {
            match args.scope.query_namespace() {
                Some(namespace) => eprintln!("No events found in {namespace} namespace."),
                None => eprintln!("No events found."),
            }
        } else {
            print!("{}", lines(args, &events, !args.no_headers, now).render_below(&mut widths));
        }
        return Ok(());
    }
    let mut headings = !args.no_headers;
    let mut fresh = events.clone();
    loop {
        if !fresh.is_empty() {
            let text = match output {
                Output::Table => {
                    lines(args, &fresh, headings, clock::now().wall).render_below(&mut widths)
                }
                _ => fresh
                    .iter()
                    .map(|event| output.objects(vec![event.clone()], true, false))
                    .collect::<Result<String, _>>()?,
            };
            headings = false;
            let mut out = std::io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| {
                CliError::File { path: "standard output".into(), cause: e.to_string() }
            })?;
        }
        changes.wait(None)?;
        let current = chosen(args, of, roots)?;
        fresh = current.iter().filter(|event| !events.contains(event)).cloned().collect();
        events = current;
    }
}

fn chosen(args: &EventsArgs, of: Option<&str>, roots: &Roots) -> Result<Vec<Value>, CliError> {
    let namespace = args.scope.query_namespace();
    let views = view::list(roots, &Query { namespace, selector: Selector::default() })?;
    let mut events = objects(&views);
    events.retain(|event| {
        let of_type =
            |kind: &String| event["type"].as_str().is_some_and(|t| t.eq_ignore_ascii_case(kind));
        (args.types.is_empty() || args.types.iter().any(of_type))
            && of.is_none_or(|name| event["involvedObject"]["name"] == name)
    });
    Ok(events)
}

/// The table of `kubectl events`.
fn lines(args: &EventsArgs, events: &[Value], headings: bool, now: Timestamp) -> Table {
    let namespaces = args.scope.all_namespaces;
    let look = Look { wide: false, namespaces, labels: false, headings, types: false };
    let mut table = look.table(&["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]);
    for event in events {
        let row = vec![
            seen(event, now),
            text(&event["type"]),
            text(&event["reason"]),
            format!("Pod/{}", text(&event["involvedObject"]["name"])),
            text(&event["message"]),
        ];
        table.row(look.row(ResourceType::Event, event, row));
    }
    table
}
