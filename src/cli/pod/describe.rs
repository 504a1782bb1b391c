//! `describe pod`: everything about a pod, laid out as kubectl lays it out.

mod container;
mod volume;

use serde_json::{Map, Value};

use crate::cli::error::CliError;
use crate::lifecycle::columns::human_duration;
use crate::model::event::{EventType, PodEvent};
use crate::model::{Roots, Timestamp};

use super::args::DescribeArgs;
use super::view::{self, PodView, Query};

/// Lines with a name, a gap and a value, at some depth.
#[derive(Debug, Default)]
struct Page {
    text: String,
}

impl Page {
    /// `name:   value`, the value beginning at `column` behind the indent.
    fn field(&mut self, indent: usize, column: usize, name: &str, value: &str) {
        let head = format!("{}{name}:", " ".repeat(indent));
        let line = format!("{head:<width$}{value}", width = indent + column);
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn line(&mut self, indent: usize, text: &str) {
        self.text.push_str(&" ".repeat(indent));
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    /// A map, one `key=value` or `key: value` a line, the first beside its name.
    fn map(&mut self, column: usize, name: &str, map: Option<&Map<String, Value>>, sign: &str) {
        let entries: Vec<String> = map
            .into_iter()
            .flatten()
            .map(|(key, value)| format!("{key}{sign}{}", value.as_str().unwrap_or_default()))
            .collect();
        let first = entries.first().map_or("<none>", String::as_str);
        self.field(0, column, name, first);
        for entry in entries.iter().skip(1) {
            self.line(column, entry);
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// A pod that is not there; the store's errors.
pub fn run(args: &DescribeArgs, roots: &Roots, now: Timestamp) -> Result<String, CliError> {
    let selector = super::selector::Selector::parse(&args.selector)?;
    let namespace = args.scope.query_namespace();
    let views = if args.names.is_empty() {
        view::list(roots, &Query { namespace, selector })?
    } else {
        let keys = args.names.iter().map(|name| args.scope.key(name));
        keys.map(|key| view::get(roots, &key)).collect::<Result<_, _>>()?
    };
    if views.is_empty() {
        return Ok(String::new());
    }
    Ok(views.iter().map(|view| page(view, now)).collect::<Vec<_>>().join("\n\n"))
}

/// The value column of the page's own lines.
const COLUMN: usize = 18;

fn page(view: &PodView, now: Timestamp) -> String {
    let json = &view.json;
    let text = |path: &str| json.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let mut page = Page::default();
    page.field(0, COLUMN, "Name", text("/metadata/name"));
    page.field(0, COLUMN, "Namespace", text("/metadata/namespace"));
    let priority = json.pointer("/spec/priority").and_then(Value::as_i64).unwrap_or(0);
    page.field(0, COLUMN, "Priority", &priority.to_string());
    page.field(0, COLUMN, "Service Account", text("/spec/serviceAccountName"));
    let node = text("/spec/nodeName");
    let host_ip = text("/status/hostIP");
    let node = if host_ip.is_empty() { node.to_owned() } else { format!("{node}/{host_ip}") };
    page.field(0, COLUMN, "Node", if node.is_empty() { "<none>" } else { &node });
    if let Some(start) = time(json.pointer("/status/startTime")) {
        page.field(0, COLUMN, "Start Time", &start);
    }
    page.map(COLUMN, "Labels", json.pointer("/metadata/labels").and_then(Value::as_object), "=");
    let annotations = json.pointer("/metadata/annotations").and_then(Value::as_object);
    page.map(COLUMN, "Annotations", annotations, ": ");
    status(&mut page, view, now);
    ips(&mut page, json);
    for (list, statuses, heading) in [
        ("initContainers", "initContainerStatuses", "Init Containers"),
        ("containers", "containerStatuses", "Containers"),
        ("ephemeralContainers", "ephemeralContainerStatuses", "Ephemeral Containers"),
    ] {
        container::section(&mut page, json, list, statuses, heading);
    }
    conditions(&mut page, json);
    volume::section(&mut page, json);
    page.field(0, 29, "QoS Class", text("/status/qosClass"));
    page.field(0, 29, "Node-Selectors", "<none>");
    page.field(0, 29, "Tolerations", "<none>");
    if let Some(error) =
        view.loaded.as_ref().and_then(|pod| pod.status.as_ref()).and_then(|s| s.last_error.as_ref())
    {
        page.field(0, 29, "Last Error", error);
    }
    events(&mut page, view.events(), now);
    page.text
}

fn status(page: &mut Page, view: &PodView, now: Timestamp) {
    let text = |path: &str| view.json.pointer(path).and_then(Value::as_str).unwrap_or_default();
    match view.deletion_timestamp() {
        Some(at) => {
            let lasts = human_duration(now.since(at));
            page.field(0, COLUMN, "Status", &format!("Terminating (lasts {lasts})"));
            if let Some(grace) = view.json.pointer("/metadata/deletionGracePeriodSeconds") {
                page.field(0, COLUMN, "Termination Grace Period", &format!("{grace}s"));
            }
        }
        None => page.field(0, COLUMN, "Status", text("/status/phase")),
    }
    for (path, name) in [("/status/reason", "Reason"), ("/status/message", "Message")] {
        if !text(path).is_empty() {
            page.field(0, COLUMN, name, text(path));
        }
    }
}

fn ips(page: &mut Page, json: &Value) {
    page.field(
        0,
        COLUMN,
        "IP",
        json.pointer("/status/podIP").and_then(Value::as_str).unwrap_or(""),
    );
    let ips = json.pointer("/status/podIPs").and_then(Value::as_array);
    match ips {
        Some(ips) if !ips.is_empty() => {
            page.line(0, "IPs:");
            for ip in ips {
                page.field(2, 5, "IP", ip["ip"].as_str().unwrap_or_default());
            }
        }
        _ => page.field(0, COLUMN, "IPs", "<none>"),
    }
}

fn conditions(page: &mut Page, json: &Value) {
    let Some(conditions) = json.pointer("/status/conditions").and_then(Value::as_array) else {
        return;
    };
    page.line(0, "Conditions:");
    page.line(2, "Type                        Status");
    for condition in conditions {
        let field = |name: &str| condition[name].as_str().unwrap_or_default();
        page.line(2, &format!("{:<27} {}", field("type"), field("status")));
    }
}

fn events(page: &mut Page, events: &[PodEvent], now: Timestamp) {
    if events.is_empty() {
        page.field(0, 29, "Events", "<none>");
        return;
    }
    page.line(0, "Events:");
    let mut rows = vec![
        ["Type", "Reason", "Age", "From", "Message"].map(String::from),
        ["----", "------", "----", "----", "-------"].map(String::from),
    ];
    rows.extend(events.iter().map(|event| event_row(event, now)));
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..4).map(width).collect();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        line.push_str(&row[4]);
        page.line(2, &line);
    }
}

fn event_row(event: &PodEvent, now: Timestamp) -> [String; 5] {
    let last = human_duration(now.since(event.last_timestamp));
    let age = if event.count > 1 {
        let first = human_duration(now.since(event.first_timestamp));
        format!("{last} (x{} over {first})", event.count)
    } else {
        last
    };
    let kind = match event.r#type {
        EventType::Normal => "Normal",
        EventType::Warning => "Warning",
    };
    [kind.into(), event.reason.clone(), age, "kubelet".into(), event.message.clone()]
}

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Sat, 21 Nov 2026 14:00:00 +0000`, as kubectl prints times here.
fn time(value: Option<&Value>) -> Option<String> {
    let time = Timestamp::parse_rfc3339(value?.as_str()?)?;
    let [year, month, day, hour, minute, second] = time.civil();
    let weekday = WEEKDAYS[usize::try_from(time.seconds() / 86400 % 7).ok()?];
    let month = MONTHS[usize::try_from(month - 1).ok()?];
    Some(format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} +0000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_name_their_weekday() {
        let text = |t: &str| time(Some(&Value::from(t)));
        assert_eq!(
            text("2026-11-21T14:00:00Z").as_deref(),
            Some("Sat, 21 Nov 2026 14:00:00 +0000")
        );
        assert_eq!(
            text("1970-01-01T00:00:00Z").as_deref(),
            Some("Thu, 01 Jan 1970 00:00:00 +0000")
        );
    }
}
