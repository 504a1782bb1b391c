//! The part of `describe pod` that is about containers.

use serde_json::Value;

use super::{Page, time};

const COLUMN: usize = 16;

pub fn section(page: &mut Page, pod: &Value, list: &str, statuses: &str, heading: &str) {
    let containers = pod["spec"][list].as_array().map_or(&[][..], Vec::as_slice);
    if containers.is_empty() {
        return;
    }
    page.line(0, &format!("{heading}:"));
    for container in containers {
        let name = container["name"].as_str().unwrap_or_default();
        let status = pod["status"][statuses]
            .as_array()
            .and_then(|all| all.iter().find(|status| status["name"] == container["name"]));
        page.line(2, &format!("{name}:"));
        one(page, container, status.unwrap_or(&Value::Null));
    }
}

fn one(page: &mut Page, container: &Value, status: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    page.field(4, COLUMN, "Container ID", &text(&status["containerID"]));
    page.field(4, COLUMN, "Image", &text(&container["image"]));
    page.field(4, COLUMN, "Image ID", &text(&status["imageID"]));
    ports(page, container, "Port", "containerPort");
    ports(page, container, "Host Port", "hostPort");
    for (field, name) in [("command", "Command"), ("args", "Args")] {
        if let Some(words) = container[field].as_array() {
            page.line(4, &format!("{name}:"));
            for word in words {
                for line in text(word).lines() {
                    page.line(6, line);
                }
            }
        }
    }
    state(page, "State", &status["state"]);
    if status["lastState"].as_object().is_some_and(|state| !state.is_empty()) {
        state(page, "Last State", &status["lastState"]);
    }
    let ready = if status["ready"].as_bool() == Some(true) { "True" } else { "False" };
    page.field(4, COLUMN, "Ready", ready);
    let restarts = status["restartCount"].as_u64().unwrap_or(0);
    page.field(4, COLUMN, "Restart Count", &restarts.to_string());
    for (field, name) in [("limits", "Limits"), ("requests", "Requests")] {
        if let Some(amounts) = container["resources"][field].as_object().filter(|a| !a.is_empty()) {
            page.line(4, &format!("{name}:"));
            let width = amounts.keys().map(|key| key.len() + 3).max().unwrap_or(0);
            for (key, amount) in amounts {
                page.field(6, width, key, &text(amount));
            }
        }
    }
    for (field, name) in [
        ("livenessProbe", "Liveness"),
        ("readinessProbe", "Readiness"),
        ("startupProbe", "Startup"),
    ] {
        if container[field].is_object() {
            page.field(4, COLUMN, name, &probe(&container[field]));
        }
    }
    environment(page, container);
    mounts(page, container);
}

fn ports(page: &mut Page, container: &Value, name: &str, field: &str) {
    let ports: Vec<String> = container["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| {
            let number = port[field].as_u64().unwrap_or(0);
            format!("{number}/{}", port["protocol"].as_str().unwrap_or("TCP"))
        })
        .collect();
    let plural = if ports.len() > 1 { "s" } else { "" };
    let value = if ports.is_empty() { "<none>".to_owned() } else { ports.join(", ") };
    page.field(4, COLUMN, &format!("{name}{plural}"), &value);
}

fn state(page: &mut Page, name: &str, state: &Value) {
    let Some((kind, facts)) = state.as_object().and_then(|state| state.iter().next()) else {
        page.field(4, COLUMN, name, "Waiting");
        return;
    };
    let mut capitals = kind.clone();
    capitals[..1].make_ascii_uppercase();
    page.field(4, COLUMN, name, &capitals);
    let text = |field: &str| facts[field].as_str().unwrap_or_default().to_owned();
    for (field, name) in [("reason", "Reason"), ("message", "Message")] {
        if !text(field).is_empty() {
            page.field(6, COLUMN - 2, name, &text(field));
        }
    }
    if let Some(code) = facts["exitCode"].as_i64() {
        page.field(6, COLUMN - 2, "Exit Code", &code.to_string());
    }
    for (field, name) in [("startedAt", "Started"), ("finishedAt", "Finished")] {
        if let Some(at) = time(facts.get(field)) {
            page.field(6, COLUMN - 2, name, &at);
        }
    }
}

fn probe(probe: &Value) -> String {
    let number = |field: &str, default: u64| probe[field].as_u64().unwrap_or(default);
    let attributes = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number("initialDelaySeconds", 0),
        number("timeoutSeconds", 1),
        number("periodSeconds", 10),
        number("successThreshold", 1),
        number("failureThreshold", 3)
    );
    format!("{} {attributes}", handler(probe))
}

fn handler(probe: &Value) -> String {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Some(command) = probe["exec"]["command"].as_array() {
        let words: Vec<String> = command.iter().map(plain).collect();
        return format!("exec [{}]", words.join(" "));
    }
    if let Some(get) = probe["httpGet"].as_object() {
        let field = |name: &str| get.get(name).map(plain).unwrap_or_default();
        let scheme = field("scheme").to_lowercase();
        return format!("http-get {scheme}://{}:{}{}", field("host"), field("port"), field("path"));
    }
    if let Some(tcp) = probe["tcpSocket"].as_object() {
        let field = |name: &str| tcp.get(name).map(plain).unwrap_or_default();
        return format!("tcp-socket {}:{}", field("host"), field("port"));
    }
    let service = probe["grpc"]["service"].as_str().unwrap_or_default();
    format!("grpc <pod>:{} {service}", plain(&probe["grpc"]["port"]))
}

fn environment(page: &mut Page, container: &Value) {
    if let Some(sources) = container["envFrom"].as_array().filter(|all| !all.is_empty()) {
        page.line(4, "Environment Variables from:");
        for source in sources {
            let (kind, reference) = if source["configMapRef"].is_object() {
                ("ConfigMap", &source["configMapRef"])
            } else {
                ("Secret", &source["secretRef"])
            };
            let name = reference["name"].as_str().unwrap_or_default();
            let optional = reference["optional"].as_bool() == Some(true);
            page.line(6, &format!("{name}  {kind}  Optional: {optional}"));
        }
    }
    let variables = container["env"].as_array().map_or(&[][..], Vec::as_slice);
    if variables.is_empty() {
        page.field(4, COLUMN, "Environment", "<none>");
        return;
    }
    page.line(4, "Environment:");
    let name = |variable: &Value| variable["name"].as_str().unwrap_or_default().to_owned();
    let width = variables.iter().map(|v| name(v).len() + 3).max().unwrap_or(0);
    for variable in variables {
        page.field(6, width, &name(variable), &variable_value(variable));
    }
}

/// The value, or where it comes from; a secret's value is never shown.
fn variable_value(variable: &Value) -> String {
    let from = &variable["valueFrom"];
    let field = |source: &Value, name: &str| source[name].as_str().unwrap_or_default().to_owned();
    let key_of = |source: &Value, what: &str| {
        let optional = source["optional"].as_bool() == Some(true);
        let (key, name) = (field(source, "key"), field(source, "name"));
        format!("<set to the key '{key}' {what} '{name}'>  Optional: {optional}")
    };
    if from["configMapKeyRef"].is_object() {
        return key_of(&from["configMapKeyRef"], "of config map");
    }
    if from["secretKeyRef"].is_object() {
        return key_of(&from["secretKeyRef"], "in secret");
    }
    if from["fieldRef"].is_object() {
        let field = |name: &str| field(&from["fieldRef"], name);
        return format!(" ({}:{})", field("apiVersion"), field("fieldPath"));
    }
    if from["resourceFieldRef"].is_object() {
        return format!(" ({})", field(&from["resourceFieldRef"], "resource"));
    }
    variable["value"].as_str().unwrap_or_default().to_owned()
}

fn mounts(page: &mut Page, container: &Value) {
    let mounts = container["volumeMounts"].as_array().map_or(&[][..], Vec::as_slice);
    if mounts.is_empty() {
        page.field(4, COLUMN, "Mounts", "<none>");
        return;
    }
    page.line(4, "Mounts:");
    for mount in mounts {
        let text = |field: &str| mount[field].as_str().unwrap_or_default();
        let mut flags =
            if mount["readOnly"].as_bool() == Some(true) { "ro" } else { "rw" }.to_owned();
        if !text("subPath").is_empty() {
            flags.push_str(&format!(",path={:?}", text("subPath")));
        }
        page.line(6, &format!("{} from {} ({flags})", text("mountPath"), text("name")));
    }
}
