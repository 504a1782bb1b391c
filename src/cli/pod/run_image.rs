//! `run NAME --image=IMAGE`: kubectl's run.

use serde_json::{Map, Value, json};

use crate::cli::error::CliError;
use crate::cli::print::Output;
use crate::image::Reference;
use crate::manifest::{self, Object};
use crate::model::{Roots, Timestamp};

use super::args::RunImageArgs;
use super::source;
use super::start;
use super::write::{Writer, full_name};

/// Runs the verb: the exit code.
///
/// # Errors
/// kubectl's words for flags that do not go together; a pod that is not valid
/// or cannot be made.
pub fn run(args: &RunImageArgs, roots: &Roots, now: Timestamp) -> Result<u8, CliError> {
    check(args)?;
    let json = pod(args)?;
    // Validated as a manifest is, with kubectl's defaults for what was not typed.
    let mut objects = manifest::parse(&json.to_string(), "pod.json")
        .map_err(|report| CliError::Manifest(without_place(&report.to_string())))?;
    let Some(mut object) = objects.pop() else { return Ok(0) };
    source::set_namespace(&mut object, &args.scope)?;
    let output = Output::parse(&args.output)?;
    if args.dry_run.as_deref().is_some_and(|mode| mode != "none") {
        print(&output, &object.to_json(), "created (dry run)")?;
        return Ok(0);
    }
    let Object::Pod(_) = &object else { return Ok(0) };
    if args.attaches() {
        start::check_image(roots, &args.name, &args.image)?;
    }
    let made = Writer::new(roots, now).create(object)?;
    if !args.attaches() {
        print(&output, &made, "created")?;
        return Ok(0);
    }
    super::attach::to_new(args, roots, &made)
}

pub(super) fn print(output: &Output, object: &Value, verb: &str) -> Result<(), CliError> {
    if output.is_table() {
        println!("{} {verb}", full_name(object));
    } else {
        print!("{}", output.objects(vec![object.clone()], true, true)?);
    }
    Ok(())
}

/// The manifest was made here: its lines say nothing to the user.
pub(super) fn without_place(text: &str) -> String {
    let lines = text.lines().map(|line| match line.rfind(" (pod.json:") {
        Some(at) => &line[..at],
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn check(args: &RunImageArgs) -> Result<(), CliError> {
    let refuse = |text: String| Err(CliError::Refused(text));
    if let Err(error) = Reference::parse(&args.image) {
        return refuse(format!("Invalid image name {:?}: {error}", args.image));
    }
    if args.streams.tty && !args.streams.stdin {
        return refuse("-i/--stdin is required for containers with -t/--tty=true".into());
    }
    if args.rm && !args.attaches() {
        return refuse("--rm should only be used for attached containers".into());
    }
    let dry = args.dry_run.as_deref().unwrap_or("none");
    if !["none", "client", "server"].contains(&dry) {
        return refuse(format!(
            "Invalid dry-run value ({dry}). Must be \"none\", \"server\", or \"client\"."
        ));
    }
    if dry != "none" && args.attaches() {
        return refuse("--dry-run=client can't be used with attached containers options (--attach, --stdin, or --tty)".into());
    }
    if !["Always", "OnFailure", "Never"].contains(&args.restart.as_str()) {
        return refuse(format!("invalid restart policy: {}", args.restart));
    }
    Ok(())
}

fn pod(args: &RunImageArgs) -> Result<Value, CliError> {
    let mut container = json!({ "name": args.name, "image": args.image });
    if !args.command_line.is_empty() {
        let field = if args.command { "command" } else { "args" };
        container[field] = args.command_line.clone().into();
    }
    if !args.env.is_empty() {
        container["env"] = args.env.iter().map(|text| variable(text)).collect::<Result<_, _>>()?;
    }
    if let Some(port) = args.port {
        container["ports"] = json!([{ "containerPort": port }]);
    }
    if let Some(policy) = &args.image_pull_policy {
        container["imagePullPolicy"] = policy.clone().into();
    }
    if args.privileged {
        container["securityContext"] = json!({ "privileged": true });
    }
    if args.streams.stdin {
        container["stdin"] = true.into();
        container["stdinOnce"] = (!args.leave_stdin_open).into();
    }
    if args.streams.tty {
        container["tty"] = true.into();
    }
    let labels = match args.labels.as_str() {
        "" => json!({ "run": args.name }),
        text => Value::Object(text.split(',').map(label).collect::<Result<_, _>>()?),
    };
    let mut metadata = json!({ "name": args.name, "labels": labels });
    if !args.annotations.is_empty() {
        let pairs = args.annotations.iter().map(|text| label(text));
        metadata["annotations"] = Value::Object(pairs.collect::<Result<Map<_, _>, _>>()?);
    }
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": { "containers": [container], "restartPolicy": args.restart },
    });
    match &args.overrides {
        None => Ok(pod),
        Some(text) => {
            let overrides: Value = serde_json::from_str(text)
                .map_err(|e| CliError::Refused(format!("--overrides is no JSON object: {e}")))?;
            Ok(merge_patch(pod, overrides))
        }
    }
}

/// RFC 7386, kubectl's default for `--overrides`.
fn merge_patch(mut target: Value, patch: Value) -> Value {
    let Value::Object(patch) = patch else { return patch };
    if !target.is_object() {
        target = Value::Object(Map::new());
    }
    if let Some(fields) = target.as_object_mut() {
        for (key, value) in patch {
            if value.is_null() {
                fields.remove(&key);
            } else {
                let old = fields.remove(&key).unwrap_or_default();
                fields.insert(key, merge_patch(old, value));
            }
        }
    }
    target
}

fn variable(text: &str) -> Result<Value, CliError> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(json!({ "name": name, "value": value })),
        _ => Err(CliError::Refused(format!("invalid env: {text}"))),
    }
}

fn label(text: &str) -> Result<(String, Value), CliError> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.into())),
        _ => Err(CliError::Refused(format!("unexpected label spec: {text}"))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn made(line: &str) -> Result<Value, String> {
        let words = line.split(' ').filter(|word| !word.is_empty());
        let args = RunImageArgs::try_parse_from(words).expect("parses");
        check(&args).and_then(|()| pod(&args)).map_err(|e| e.to_string())
    }

    #[test]
    fn flags_become_the_pod_that_kubectl_makes() {
        assert_eq!(
            made(
                "web --image=busybox --port=80 --env=A=1 --env=B=x=y -l app=w,tier=f --restart=Never -- sleep 5"
            ),
            Ok(json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": { "name": "web", "labels": { "app": "w", "tier": "f" } },
                "spec": {
                    "containers": [{
                        "name": "web", "image": "busybox", "args": ["sleep", "5"],
                        "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "x=y" }],
                        "ports": [{ "containerPort": 80 }],
                    }],
                    "restartPolicy": "Never",
                },
            }))
        );
        let command = made("web --image=busybox --command -- sh -c x").expect("a pod");
        assert_eq!(command["spec"]["containers"][0]["command"], json!(["sh", "-c", "x"]));
        assert_eq!(command["metadata"]["labels"], json!({ "run": "web" }));
        let changed = made("web --image=a --overrides={\"spec\":{\"hostNetwork\":true}}");
        assert_eq!(changed.expect("a pod")["spec"]["hostNetwork"], true);
    }

    #[test]
    fn flags_that_do_not_go_together_are_refused() {
        let table = [
            ("web --image=a -t", "-i/--stdin is required for containers with -t/--tty=true"),
            ("web --image=a --rm", "--rm should only be used for attached containers"),
            ("web --image=a --restart=Maybe", "invalid restart policy: Maybe"),
            ("web --image=a --env=A", "invalid env: A"),
        ];
        for (line, want) in table {
            assert_eq!(made(line).unwrap_err(), want, "{line}");
        }
        assert!(made("web --image=UPPER").unwrap_err().starts_with("Invalid image name \"UPPER\""));
    }
}
