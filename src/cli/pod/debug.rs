//! `debug`: one more container in a pod that runs.

use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::manifest::{self, Object};
use crate::model::{Roots, Timestamp};
use crate::store::objects::{ObjectKey, ObjectStore};

use super::args::DebugArgs;
use super::attach::{self, Attachment};
use super::settings;
use super::start;
use super::view;
use super::write::Writer;

/// Runs the verb: 0 once the container is ordered, or, attached to it, has
/// ended or was left.
///
/// # Errors
/// A pod that does not run, a container that is not valid; kubectl's words for
/// flags that do not go together.
pub fn run(args: &DebugArgs, roots: &Roots, now: Timestamp) -> Result<u8, CliError> {
    if args.streams.tty && !args.streams.stdin {
        let text = "-i/--stdin is required for containers with -t/--tty=true";
        return Err(CliError::Refused(text.into()));
    }
    let view = view::get(roots, &args.scope.key(&args.pod))?;
    let name = &view.key.name;
    if let Some(status) = view.status().filter(|status| status.phase.is_terminal()) {
        return Err(CliError::Refused(format!(
            "cannot debug a completed pod; current phase is {}",
            status.phase.as_str()
        )));
    }
    let key = ObjectKey::new(Some(&view.key.namespace), "Pod", name);
    let stored = key
        .and_then(|key| ObjectStore::new(roots.objects()).get(&key))
        .map_err(|e| CliError::room(&e, e.kind()))?;
    let Some(stored) = stored else {
        return Err(CliError::NotFound { kind: "pods", name: name.clone() });
    };
    let container = container(args)?;
    let container_name = container["name"].as_str().unwrap_or_default().to_owned();
    start::check_image(roots, &container_name, &args.image)?;
    let writer = Writer::new(roots, now);
    let plan = writer.add_ephemeral(with_container(&stored, container)?)?;
    let is_attached = args.attach.unwrap_or(args.streams.stdin);
    if !is_attached {
        return Ok(0);
    }
    if let Some(target) = &args.target
        && !args.streams.quiet
    {
        eprintln!("Targeting container {target:?}.");
    }
    let ended = || CliError::Refused(format!("pod {name:?} has ended"));
    let mut added = plan.ephemeral_containers.iter();
    let added = added.find(|container| container.name == container_name).ok_or_else(ended)?;
    let client = attach::connect(roots, &plan.uid)?.ok_or_else(ended)?;
    Attachment::from_args(&args.streams, true)?.attach_to_new(client, &plan, added).map(|_| 0)
}

/// The stored pod with the container behind the others.
fn with_container(stored: &Value, container: Value) -> Result<Object, CliError> {
    let mut json = stored.clone();
    let list = &mut json["spec"]["ephemeralContainers"];
    if !list.is_array() {
        *list = json!([]);
    }
    let all = list.as_array().into_iter().flatten();
    if all.clone().any(|other| other["name"] == container["name"]) {
        let name = container["name"].as_str().unwrap_or_default();
        return Err(CliError::Refused(format!(
            "existing ephemeral containers {name:?} may not be changed"
        )));
    }
    if let Some(list) = list.as_array_mut() {
        list.push(container);
    }
    Object::from_json(&json).map_err(|report| CliError::Manifest(report.to_string()))
}

fn container(args: &DebugArgs) -> Result<Value, CliError> {
    let name = match &args.container {
        Some(name) => name.clone(),
        None => {
            let name = manifest::generated_name("debugger-", settings::random()?);
            if !args.streams.quiet {
                eprintln!("Defaulting debug container name to {name}.");
            }
            name
        }
    };
    let mut container = json!({ "name": name, "image": args.image });
    if !args.command.is_empty() {
        let field = if args.arguments_only { "args" } else { "command" };
        container[field] = args.command.clone().into();
    }
    let env = args.env.iter().map(|text| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(json!({ "name": name, "value": value })),
        _ => Err(CliError::Refused(format!("invalid env: {text}"))),
    });
    let env = env.collect::<Result<Vec<_>, _>>()?;
    if !env.is_empty() {
        container["env"] = env.into();
    }
    let optional = [
        ("targetContainerName", args.target.clone().map(Value::from)),
        ("imagePullPolicy", args.image_pull_policy.clone().map(Value::from)),
        ("stdin", args.streams.stdin.then_some(true.into())),
        // Or what is piped in would have no end.
        ("stdinOnce", (args.streams.stdin && !args.streams.tty).then_some(true.into())),
        ("tty", args.streams.tty.then_some(true.into())),
        ("securityContext", profile(&args.profile)?),
    ];
    for (field, value) in optional {
        if let Some(value) = value {
            container[field] = value;
        }
    }
    Ok(container)
}

/// What kubectl's profiles give an ephemeral container.
fn profile(name: &str) -> Result<Option<Value>, CliError> {
    let adds = |capabilities: &[&str]| Some(json!({ "capabilities": { "add": capabilities } }));
    Ok(match name {
        "legacy" | "baseline" => None,
        "general" => adds(&["SYS_PTRACE"]),
        "netadmin" => adds(&["NET_ADMIN", "NET_RAW"]),
        "sysadmin" => Some(json!({ "privileged": true })),
        "restricted" => Some(json!({
            "runAsNonRoot": true,
            "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] },
            "seccompProfile": { "type": "RuntimeDefault" },
        })),
        other => return Err(CliError::Refused(format!("unknown profile: {other}"))),
    })
}
