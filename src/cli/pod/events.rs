//! Events: as `v1` objects, and the tables of `get events` and `events`.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cli::print::Table;
use crate::lifecycle::columns::human_duration;
use crate::model::Timestamp;
use crate::model::event::{EventType, PodEvent};

use super::rows::{Look, age};
use super::types::ResourceType;
use super::view::PodView;

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
