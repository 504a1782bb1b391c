//! `label` and `annotate`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cli::error::CliError;
use crate::manifest::Object;
use crate::model::{PodKey, Roots, Timestamp};
use crate::store::objects::{ObjectKey, ObjectStore};

use super::args::MetaArgs;
use super::selector::Selector;
use super::source;
use super::types::{ResourceType, resources};
use super::write::{Immutable, Writer, full_name};

/// Which of the two a verb changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Labels,
    Annotations,
}

impl What {
    fn word(self) -> &'static str {
        match self {
            Self::Labels => "label",
            Self::Annotations => "annotation",
        }
    }

    fn field(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Annotations => "annotations",
        }
    }

    fn of(self, object: &mut Object) -> &mut BTreeMap<String, String> {
        let metadata = object.metadata_mut();
        match self {
            Self::Labels => &mut metadata.labels,
            Self::Annotations => &mut metadata.annotations,
        }
    }
}

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    set: BTreeMap<String, String>,
    remove: Vec<String>,
}

/// Runs the verb: a line for each object.
///
/// # Errors
/// kubectl's words for a change it refuses; the first object that cannot be
/// changed.
pub fn run(what: What, args: &MetaArgs, roots: &Roots, now: Timestamp) -> Result<(), CliError> {
    let at = args.words.iter().position(|word| is_change(word)).unwrap_or(args.words.len());
    let (named, changes) = args.words.split_at(at);
    let changes = parse(what, changes)?;
    if changes == Changes::default() && !args.list {
        return Err(CliError::Refused(format!("at least one {} update is required", what.word())));
    }
    let writer = Writer::new(roots, now);
    for (kind, key) in targets(args, named, roots)? {
        let store = ObjectStore::new(roots.objects());
        let namespace = kind.is_namespaced().then_some(key.namespace.as_str());
        let stored = ObjectKey::new(namespace, kind.kind(), &key.name)
            .and_then(|key| store.get(&key))
            .map_err(|e| CliError::room(&e, e.kind()))?;
        let Some(stored) = stored else {
            return Err(CliError::NotFound { kind: kind.plural(), name: key.name });
        };
        one(what, args, &writer, &changes, &stored)?;
    }
    Ok(())
}

/// `KEY=VALUE` or `KEY-`; a type or a name has no `=` and ends in no dash.
fn is_change(word: &str) -> bool {
    word.contains('=') || word.ends_with('-')
}

fn parse(what: What, words: &[String]) -> Result<Changes, CliError> {
    let mut changes = Changes::default();
    for word in words {
        match (word.split_once('='), word.strip_suffix('-')) {
            (Some((key, value)), _) => {
                if what == What::Labels && value.contains('=') {
                    return Err(CliError::Refused(format!("invalid label spec: {word}")));
                }
                changes.set.insert(key.to_owned(), value.to_owned());
            }
            (None, Some(key)) => changes.remove.push(key.to_owned()),
            (None, None) => {
                return Err(CliError::Refused(format!("unknown {} spec: {word}", what.word())));
            }
        }
    }
    if changes.remove.iter().any(|key| changes.set.contains_key(key)) {
        let word = if what == What::Labels { "a label" } else { "an annotation" };
        return Err(CliError::Refused(format!(
            "can not both modify and remove {word} in the same command"
        )));
    }
    Ok(changes)
}

fn targets(
    args: &MetaArgs,
    named: &[String],
    roots: &Roots,
) -> Result<Vec<(ResourceType, PodKey)>, CliError> {
    if !args.files.names.is_empty() {
        let given = source::objects(&args.files, &args.scope.scope)?;
        return given.iter().map(source::Given::target).collect();
    }
    let mut targets = Vec::new();
    for (kind, name) in resources(named)? {
        match name {
            Some(name) => targets.push((kind, args.scope.key(&name))),
            None if args.all || !args.selector.is_empty() => {
                let selector = Selector::parse(&args.selector)?;
                let namespace = args.scope.query_namespace();
                targets.extend(selected(roots, kind, namespace.as_deref(), &selector)?);
            }
            None => {
                return Err(CliError::Refused(
                    "resource(s) were provided, but no name was specified".into(),
                ));
            }
        }
    }
    if targets.is_empty() && named.is_empty() {
        return Err(CliError::Refused("one or more resources must be specified".into()));
    }
    Ok(targets)
}

/// The stored objects of a type that a selector selects.
///
/// # Errors
/// The store's.
pub fn selected(
    roots: &Roots,
    kind: ResourceType,
    namespace: Option<&str>,
    selector: &Selector,
) -> Result<Vec<(ResourceType, PodKey)>, CliError> {
    let listing = ObjectStore::new(roots.objects())
        .list(namespace, kind.kind())
        .map_err(|e| CliError::room(&e, e.kind()))?;
    let matching = listing.objects.into_iter().filter(|(_, object)| {
        let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
        selector.matches(labels.map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default())))
    });
    let keys = matching.map(|(key, _)| PodKey {
        namespace: key.namespace().unwrap_or_default().to_owned(),
        name: key.name().to_owned(),
    });
    Ok(keys.map(|key| (kind, key)).collect())
}

fn one(
    what: What,
    args: &MetaArgs,
    writer: &Writer<'_>,
    changes: &Changes,
    stored: &Value,
) -> Result<(), CliError> {
    let mut object = Object::from_json(stored).map_err(|e| CliError::Manifest(e.to_string()))?;
    let values = what.of(&mut object);
    if !args.overwrite {
        refuse_overwriting(what, changes, values)?;
    }
    let before = values.clone();
    for key in &changes.remove {
        if values.remove(key).is_none() {
            println!("{} {key:?} not found.", what.word());
        }
    }
    values.extend(changes.set.clone());
    let is_changed = *values != before;
    let mut shown = stored.clone();
    if is_changed {
        // Validated as a new object would be.
        let checked = Object::from_json(&object.to_json());
        let checked = checked.map_err(|e| CliError::Manifest(e.to_string()))?;
        shown = writer.update(checked, stored, Immutable::Refuse)?.object;
    }
    report(what, args, changes, &shown, is_changed);
    Ok(())
}

fn report(what: What, args: &MetaArgs, changes: &Changes, object: &Value, is_changed: bool) {
    let name = full_name(object);
    if args.list {
        if !changes.set.is_empty() || !changes.remove.is_empty() {
            println!("{name} {}", done(what, changes, is_changed));
        }
        let values = object["metadata"][what.field()].as_object();
        for (key, value) in values.into_iter().flatten() {
            println!("{key}={}", value.as_str().unwrap_or_default());
        }
        return;
    }
    println!("{name} {}", done(what, changes, is_changed));
}

fn done(what: What, changes: &Changes, is_changed: bool) -> &'static str {
    match (what, is_changed) {
        (What::Annotations, _) => "annotated",
        (What::Labels, false) => "not labeled",
        (What::Labels, true) if changes.set.is_empty() => "unlabeled",
        (What::Labels, true) => "labeled",
    }
}

fn refuse_overwriting(
    what: What,
    changes: &Changes,
    values: &BTreeMap<String, String>,
) -> Result<(), CliError> {
    let taken = changes.set.iter().filter_map(|(key, new)| {
        let old = values.get(key).filter(|old| *old != new)?;
        Some(format!("'{key}' already has a value ({old})"))
    });
    let taken: Vec<String> = taken.collect();
    if taken.is_empty() {
        return Ok(());
    }
    Err(CliError::Refused(match what {
        What::Labels => {
            let each: Vec<String> =
                taken.iter().map(|one| format!("{one}, and --overwrite is false")).collect();
            match each.as_slice() {
                [one] => one.clone(),
                several => format!("[{}]", several.join(", ")),
            }
        }
        What::Annotations => format!(
            "--overwrite is false but found the following declared annotation(s): {}",
            taken.join("; ")
        ),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(words: &str) -> Result<Changes, String> {
        let words: Vec<String> = words.split(' ').map(String::from).collect();
        parse(What::Labels, &words).map_err(|e| e.to_string())
    }

    #[test]
    fn changes_are_read_as_kubectl_reads_them() {
        let read = changes("a=1 b- c=").expect("reads");
        assert_eq!(read.set, [("a", "1"), ("c", "")].map(|(k, v)| (k.into(), v.into())).into());
        assert_eq!(read.remove, ["b"]);
        assert_eq!(changes("a=b=c").unwrap_err(), "invalid label spec: a=b=c");
        assert_eq!(
            changes("a=1 a-").unwrap_err(),
            "can not both modify and remove a label in the same command"
        );
    }

    #[test]
    fn a_value_is_not_overwritten_unasked() {
        let values = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let refused = |what, words| {
            let changes = changes(words).expect("reads");
            refuse_overwriting(what, &changes, &values).map_err(|e| e.to_string())
        };
        assert_eq!(refused(What::Labels, "a=1 b=2"), Ok(()));
        assert_eq!(
            refused(What::Labels, "a=2").unwrap_err(),
            "'a' already has a value (1), and --overwrite is false"
        );
        assert_eq!(
            refused(What::Annotations, "a=2").unwrap_err(),
            "--overwrite is false but found the following declared annotation(s): 'a' already has a value (1)"
        );
    }
}
