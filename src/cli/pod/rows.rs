//! The tables of `get`, with kubectl's columns.

use serde_json::Value;

use crate::cli::print::Table;
use crate::lifecycle::columns::{columns, human_duration};
use crate::model::Timestamp;

use super::types::ResourceType;
use super::view::PodView;

/// What a table shows besides a type's own columns.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools, reason = "these are kubectl's flags")]
pub struct Look {
    pub wide: bool,
    /// A column with the namespaces.
    pub namespaces: bool,
    /// A column with the labels.
    pub labels: bool,
    pub headings: bool,
    /// Names with their types, because there are several.
    pub types: bool,
}

impl Look {
    fn heading(self, own: &[&'static str]) -> Vec<&'static str> {
        let namespace = self.namespaces.then_some("NAMESPACE");
        let labels = self.labels.then_some("LABELS");
        namespace.into_iter().chain(own.iter().copied()).chain(labels).collect()
    }

    /// An empty table with its heading, unless none is wanted.
    #[must_use]
    pub fn table(self, own: &[&'static str]) -> Table {
        if self.headings { Table::new(&self.heading(own)) } else { Table::default() }
    }

    /// A row, with the columns that the look adds.
    #[must_use]
    pub fn row(self, kind: ResourceType, object: &Value, mut own: Vec<String>) -> Vec<String> {
        let metadata = &object["metadata"];
        if self.types
            && let Some(name) = own.first_mut()
        {
            *name = format!("{}/{name}", kind.singular());
        }
        if self.namespaces && kind.is_namespaced() {
            own.insert(0, metadata["namespace"].as_str().unwrap_or_default().to_owned());
        }
        if self.labels {
            let labels = metadata["labels"].as_object().into_iter().flatten();
            let labels: Vec<String> =
                labels.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
            own.push(if labels.is_empty() { "<none>".into() } else { labels.join(",") });
        }
        own
    }
}

/// How long ago an RFC 3339 time was.
#[must_use]
pub fn age(time: &Value, now: Timestamp) -> String {
    let time = time.as_str().and_then(Timestamp::parse_rfc3339);
    time.map_or_else(|| "<unknown>".into(), |at| human_duration(now.since(at)))
}

/// `get pods`.
pub fn pods<'a>(views: impl Iterator<Item = &'a PodView>, look: Look, now: Timestamp) -> Table {
    let mut heading = vec!["NAME", "READY", "STATUS", "RESTARTS", "AGE"];
    if look.wide {
        heading.extend(["IP", "NODE", "NOMINATED NODE", "READINESS GATES"]);
    }
    let mut table = look.table(&heading);
    for view in views {
        table.row(look.row(ResourceType::Pod, &view.json, pod(view, look.wide, now)));
    }
    table
}

fn pod(view: &PodView, wide: bool, now: Timestamp) -> Vec<String> {
    let shown = view
        .plan()
        .zip(view.status())
        .map(|(plan, status)| columns(plan, status, view.deletion_timestamp(), now));
    let mut row = vec![view.key.name.clone()];
    let count = view.json["spec"]["containers"].as_array().map_or(0, Vec::len);
    match &shown {
        Some(columns) => {
            row.extend([columns.ready.clone(), columns.status.clone(), columns.restarts.clone()]);
        }
        // No supervisor has it: an object of an earlier boot, or a pod whose
        // first status is not written yet.
        None => {
            let status = match (&view.loaded, view.json["status"]["phase"].as_str()) {
                (Some(_), _) => "Pending",
                (None, Some("Succeeded")) => "Completed",
                (None, Some("Failed")) => view.json["status"]["reason"].as_str().unwrap_or("Error"),
                (None, _) => "Unknown",
            };
            row.extend([format!("0/{count}"), status.to_owned(), "0".into()]);
        }
    }
    row.push(age(&view.json["metadata"]["creationTimestamp"], now));
    if wide {
        let text = |path: &str| {
            let text = view.json.pointer(path).and_then(Value::as_str).unwrap_or_default();
            if text.is_empty() { "<none>".to_owned() } else { text.to_owned() }
        };
        row.extend([text("/status/podIP"), text("/spec/nodeName"), "<none>".into()]);
        row.push(shown.map_or_else(|| "<none>".into(), |columns| columns.readiness_gates));
    }
    row
}

/// `get` of objects that are only kept.
#[must_use]
pub fn objects(kind: ResourceType, objects: &[&Value], look: Look, now: Timestamp) -> Table {
    let heading: &[&str] = match kind {
        ResourceType::Secret => &["NAME", "TYPE", "DATA", "AGE"],
        ResourceType::Namespace => &["NAME", "STATUS", "AGE"],
        ResourceType::Service => &["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"],
        ResourceType::PersistentVolumeClaim => &["NAME", "ACCESS MODES", "AGE"],
        _ => &["NAME", "DATA", "AGE"],
    };
    let mut table = look.table(heading);
    for object in objects {
        table.row(look.row(kind, object, cells(kind, object, now)));
    }
    table
}

fn cells(kind: ResourceType, object: &Value, now: Timestamp) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let or_none = |text: String| if text.is_empty() { "<none>".to_owned() } else { text };
    let spec = &object["spec"];
    let mut cells = vec![text(&object["metadata"]["name"])];
    match kind {
        ResourceType::Namespace => cells.push("Active".into()),
        ResourceType::Service => cells.extend([
            text(&spec["type"]),
            or_none(text(&spec["clusterIP"])),
            or_none(text(&spec["externalName"])),
            or_none(ports(&spec["ports"])),
        ]),
        ResourceType::PersistentVolumeClaim => {
            let modes = spec["accessModes"].as_array().into_iter().flatten();
            cells.push(modes.map(text).collect::<Vec<_>>().join(","));
        }
        kind => {
            if kind == ResourceType::Secret {
                cells.push(text(&object["type"]));
            }
            let count = |field: &str| object[field].as_object().map_or(0, serde_json::Map::len);
            cells.push((count("data") + count("binaryData")).to_string());
        }
    }
    cells.push(age(&object["metadata"]["creationTimestamp"], now));
    cells
}

/// `80/TCP,443/TCP`
fn ports(ports: &Value) -> String {
    let ports = ports.as_array().into_iter().flatten();
    let ports = ports
        .map(|port| format!("{}/{}", port["port"], port["protocol"].as_str().unwrap_or("TCP")));
    ports.collect::<Vec<_>>().join(",")
}
