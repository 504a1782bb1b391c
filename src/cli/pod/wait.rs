//! `wait`: until objects are as they shall be.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::error::CliError;
use crate::cli::print::jsonpath::{Template, plain, relaxed};
use crate::cli::print::output::full_name;
use crate::model::{PodKey, Roots};
use crate::store::objects::{ObjectKey, ObjectStore};

use super::args::WaitArgs;
use super::changes::Changes;
use super::meta;
use super::selector::Selector;
use super::source;
use super::types::{ResourceType, resources};
use super::view;

/// What is waited for.
#[derive(Debug, Clone, PartialEq)]
enum Goal {
    Deleted,
    Created,
    Condition { name: String, value: String },
    Path { path: Template, value: Option<String> },
}

/// Runs the verb: a line for each object that has reached the goal.
///
/// # Errors
/// Nothing to wait for; an object that did not get there in time, after all
/// were waited for.
pub fn run(args: &WaitArgs, roots: &Roots) -> Result<(), CliError> {
    let goal = Goal::parse(&args.goal)?;
    let mut failures = Vec::new();
    let targets = targets(args, roots)?;
    if targets.is_empty() {
        return Err(CliError::Refused("no matching resources found".into()));
    }
    for (kind, key) in targets {
        match one(&goal, args, roots, kind, &key) {
            Ok(Some(object)) if args.output == "name" => println!("{}", full_name(&object)),
            Ok(Some(object)) => println!("{} condition met", full_name(&object)),
            Ok(None) => {}
            Err(error) => failures.push(error),
        }
    }
    let last = failures.pop();
    for error in &failures {
        eprintln!("podrt: {error}");
    }
    last.map_or(Ok(()), Err)
}

impl Goal {
    /// Reads `--for`.
    fn parse(text: &str) -> Result<Self, CliError> {
        let refuse = |text: String| Err(CliError::Refused(text));
        match text.to_ascii_lowercase().as_str() {
            "delete" => return Ok(Self::Deleted),
            "create" => return Ok(Self::Created),
            _ => {}
        }
        if let Some(condition) = text.strip_prefix("condition=") {
            let (name, value) = condition.split_once('=').unwrap_or((condition, "true"));
            return Ok(Self::Condition { name: name.to_owned(), value: value.to_owned() });
        }
        let Some(expression) = text.strip_prefix("jsonpath=") else {
            return refuse(format!("unrecognized condition: {text:?}"));
        };
        let expression = expression.trim_matches('\'');
        let (path, value) = split_path(expression);
        let value = value.map(|value| value.trim_matches(['\'', '"']).to_owned());
        if path.is_empty() || value.as_ref().is_some_and(String::is_empty) {
            return refuse(
                "jsonpath wait format must be --for=jsonpath='{.status.readyReplicas}'=3 or \
                 --for=jsonpath='{.status.readyReplicas}'"
                    .into(),
            );
        }
        match Template::parse(&relaxed(path.trim_end_matches('\''))) {
            Ok(path) => Ok(Self::Path { path, value }),
            Err(error) => refuse(error.to_string()),
        }
    }

    /// Whether an object is as it shall be.
    fn is_met(&self, object: Option<&Value>) -> Result<bool, CliError> {
        let Some(object) = object else { return Ok(*self == Self::Deleted) };
        match self {
            Self::Deleted => Ok(false),
            Self::Created => Ok(true),
            Self::Condition { name, value } => Ok(has_condition(object, name, value)),
            Self::Path { path, value } => {
                // What is not there yet may come.
                let Ok(found) = path.values(object) else { return Ok(false) };
                match (found.as_slice(), value) {
                    ([], _) => Ok(false),
                    ([_, _, ..], _) => Err(CliError::Refused(
                        "given jsonpath expression matches more than one value".into(),
                    )),
                    ([Value::Null], _) => Ok(false),
                    ([_], None) => Ok(true),
                    ([Value::Object(_) | Value::Array(_)], Some(_)) => Err(CliError::Refused(
                        "jsonpath leads to a nested object or list which is not supported".into(),
                    )),
                    ([found], Some(value)) => Ok(plain(found) == *value),
                }
            }
        }
    }
}

/// The path and the value behind it; an `=` in the braces is the path's own.
fn split_path(text: &str) -> (&str, Option<&str>) {
    if text.starts_with('{') {
        let mut depth = 0_u32;
        let mut quote = None;
        for (at, c) in text.char_indices() {
            match (quote, c) {
                (Some(open), c) if open == c => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') if depth > 0 => quote = Some(c),
                (None, '{') => depth += 1,
                (None, '}') => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        let (path, rest) = text.split_at(at + 1);
                        let rest = rest.strip_prefix('\'').unwrap_or(rest);
                        return (path, rest.strip_prefix('='));
                    }
                }
                _ => {}
            }
        }
    }
    text.split_once('=').map_or((text, None), |(path, value)| (path, Some(value)))
}

/// Without regard to case; a condition of an earlier generation does not
/// count.
fn has_condition(object: &Value, name: &str, value: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| {
        condition["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case(name))
    });
    let Some(condition) = found else { return false };
    let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
    let observed = condition["observedGeneration"].as_i64();
    observed.is_none_or(|observed| observed >= generation)
        && condition["status"].as_str().is_some_and(|status| status.eq_ignore_ascii_case(value))
}

fn targets(args: &WaitArgs, roots: &Roots) -> Result<Vec<(ResourceType, PodKey)>, CliError> {
    if !args.files.names.is_empty() {
        let given = source::objects(&args.files, &args.scope.scope)?;
        return given.iter().map(source::Given::target).collect();
    }
    if args.what.is_empty() {
        return Err(CliError::Refused(
            "You must provide one or more resources by argument or filename.".into(),
        ));
    }
    let mut targets = Vec::new();
    for (kind, name) in resources(&args.what)? {
        match name {
            Some(name) => targets.push((kind, args.scope.key(&name))),
            None if args.all || !args.selector.is_empty() => {
                let selector = Selector::parse(&args.selector)?;
                let namespace = args.scope.query_namespace();
                targets.extend(meta::selected(roots, kind, namespace.as_deref(), &selector)?);
            }
            None => {
                return Err(CliError::Refused(
                    "resource(s) were provided, but no name was specified".into(),
                ));
            }
        }
    }
    Ok(targets)
}

/// Waits for one object; its last state, `None` where there is none to show.
fn one(
    goal: &Goal,
    args: &WaitArgs,
    roots: &Roots,
    kind: ResourceType,
    key: &PodKey,
) -> Result<Option<Value>, CliError> {
    let deadline = deadline(args);
    let changes = Changes::new(roots, kind)?;
    let mut last = find(roots, kind, key)?;
    if last.is_none() && *goal != Goal::Created {
        return match goal {
            Goal::Deleted => Ok(None),
            _ => Err(CliError::NotFound { kind: kind.plural(), name: key.name.clone() }),
        };
    }
    let uid = last.as_ref().map(|object| object["metadata"]["uid"].clone());
    loop {
        let current = find(roots, kind, key)?;
        // Another object of the same name is not the one that was there.
        let current = current.filter(|object| {
            *goal != Goal::Deleted || uid.as_ref() == Some(&object["metadata"]["uid"])
        });
        if goal.is_met(current.as_ref())? {
            return Ok(current.or(last));
        }
        last = current.or(last);
        if !changes.wait(deadline)? {
            return Err(CliError::Refused(format!(
                "timed out waiting for the condition on {}/{}",
                kind.plural(),
                key.name
            )));
        }
    }
}

/// No time at all is one look; a negative one is a week, as kubectl has it.
fn deadline(args: &WaitArgs) -> Option<Instant> {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
    let time = match args.timeout {
        super::args::Timeout::Within(time) => time,
        super::args::Timeout::Unlimited => WEEK,
    };
    Instant::now().checked_add(time)
}

fn find(roots: &Roots, kind: ResourceType, key: &PodKey) -> Result<Option<Value>, CliError> {
    if kind == ResourceType::Pod {
        return match view::get(roots, key) {
            Ok(view) => Ok(Some(view.json)),
            Err(CliError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        };
    }
    let namespace = kind.is_namespaced().then_some(key.namespace.as_str());
    ObjectKey::new(namespace, kind.kind(), &key.name)
        .and_then(|key| ObjectStore::new(roots.objects()).get(&key))
        .map_err(|e| CliError::room(&e, e.kind()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn met(goal: &str, object: &Value) -> Result<bool, String> {
        Goal::parse(goal).and_then(|goal| goal.is_met(Some(object))).map_err(|e| e.to_string())
    }

    #[test]
    fn goals_are_met_as_kubectl_meets_them() {
        let pod = json!({
            "metadata": {"generation": 2},
            "spec": {"containers": [{"name": "a"}, {"name": "b"}]},
            "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True", "observedGeneration": 2},
                {"type": "Old", "status": "True", "observedGeneration": 1},
                {"type": "Off", "status": "False"},
            ]},
        });
        let table = [
            ("condition=Ready", Ok(true)),
            ("condition=ready=TRUE", Ok(true)),
            ("condition=Ready=false", Ok(false)),
            ("condition=Old", Ok(false)),
            ("condition=Off=False", Ok(true)),
            ("condition=Missing", Ok(false)),
            ("delete", Ok(false)),
            ("create", Ok(true)),
            ("jsonpath={.status.phase}=Running", Ok(true)),
            ("jsonpath='{.status.phase}'=Running", Ok(true)),
            ("jsonpath=.status.phase=Pending", Ok(false)),
            ("jsonpath={.status.podIP}", Ok(false)),
            ("jsonpath={.status.phase}", Ok(true)),
            ("jsonpath={.status.conditions[?(@.type==\"Ready\")].status}=True", Ok(true)),
            (
                "jsonpath={.spec.containers[*].name}=a",
                Err("given jsonpath expression matches more than one value"),
            ),
            (
                "jsonpath={.metadata}=a",
                Err("jsonpath leads to a nested object or list which is not supported"),
            ),
            ("ready", Err("unrecognized condition: \"ready\"")),
        ];
        for (goal, want) in table {
            assert_eq!(met(goal, &pod), want.map_err(String::from), "{goal}");
        }
        assert!(met("jsonpath={.a}=", &pod).unwrap_err().starts_with("jsonpath wait format"));
    }
}
