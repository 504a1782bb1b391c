//! `get`: objects as tables, JSON, YAML or what a template makes of them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cli::error::CliError;
use crate::cli::print::{Output, Table};
use crate::model::{Roots, Timestamp};
use crate::store::objects::{Listing, ObjectKey, ObjectStore};
use crate::sys::clock;

use super::args::GetArgs;
use super::changes::Changes;
use super::events;
use super::rows::{self, Look};
use super::selector::Selector;
use super::types::{ResourceType, resources};
use super::view::{self, PodView, Query};

/// One object, as its table needs it.
#[derive(Clone)]
enum Item {
    Pod(Box<PodView>),
    Object(Value),
}

impl Item {
    fn json(&self) -> &Value {
        match self {
            Self::Pod(view) => &view.json,
            Self::Object(value) => value,
        }
    }

    /// What tells it from the others of its type.
    fn key(&self) -> (String, String) {
        let text = |field: &str| self.json()["metadata"][field].as_str().unwrap_or_default();
        (text("namespace").to_owned(), text("name").to_owned())
    }
}

/// What was asked for.
struct Question<'a> {
    args: &'a GetArgs,
    roots: &'a Roots,
    output: Output,
    selector: Selector,
    wanted: Vec<(ResourceType, Option<String>)>,
}

/// Runs the verb.
///
/// # Errors
/// A type or an object that is not there, once all others were printed; the
/// store's errors.
pub fn run(args: &GetArgs, roots: &Roots, now: Timestamp) -> Result<(), CliError> {
    let question = Question {
        args,
        roots,
        output: Output::parse(&args.output)?,
        selector: Selector::parse(&args.selector)?,
        wanted: resources(&args.what)?,
    };
    let is_named = question.wanted.iter().any(|(_, name)| name.is_some());
    if is_named && !args.selector.is_empty() {
        return Err(CliError::Refused(
            "selectors and the all flag cannot be used when passing resource/name arguments".into(),
        ));
    }
    if args.watch || args.watch_only {
        return question.watch(now);
    }
    let mut missing = Vec::new();
    let mut found = Vec::new();
    for kind in question.kinds() {
        found.push((kind, question.items(kind, &mut missing)?));
    }
    print!("{}", question.print(&found, now)?);
    failures(missing)
}

/// All but the last are told here.
fn failures(mut missing: Vec<CliError>) -> Result<(), CliError> {
    let last = missing.pop();
    for error in &missing {
        eprintln!("podrt: {error}");
    }
    last.map_or(Ok(()), Err)
}

impl Question<'_> {
    /// The types in the order they were typed.
    fn kinds(&self) -> Vec<ResourceType> {
        let mut kinds = Vec::new();
        for (kind, _) in &self.wanted {
            if !kinds.contains(kind) {
                kinds.push(*kind);
            }
        }
        kinds
    }

    fn look(&self) -> Look {
        Look {
            wide: self.output == Output::Wide,
            namespaces: self.args.scope.all_namespaces,
            labels: self.args.show_labels,
            headings: !self.args.no_headers,
            types: self.kinds().len() > 1,
        }
    }

    /// The objects of one type; those that were named and are not there are
    /// `missing`.
    fn items(
        &self,
        kind: ResourceType,
        missing: &mut Vec<CliError>,
    ) -> Result<Vec<Item>, CliError> {
        let wanted = self.wanted.iter().filter(|(k, _)| *k == kind);
        let names: Vec<&str> = wanted.filter_map(|(_, name)| name.as_deref()).collect();
        if names.is_empty() {
            return self.all(kind);
        }
        let mut items = Vec::new();
        for name in names {
            match self.one(kind, name)? {
                Some(item) => items.push(item),
                None if self.args.ignore_not_found => {}
                None => {
                    missing.push(CliError::NotFound { kind: kind.plural(), name: name.to_owned() })
                }
            }
        }
        Ok(items)
    }

    fn all(&self, kind: ResourceType) -> Result<Vec<Item>, CliError> {
        let namespace = self.args.scope.query_namespace();
        let namespace = namespace.filter(|_| kind.is_namespaced());
        match kind {
            ResourceType::Pod => {
                let query = Query { namespace, selector: self.selector.clone() };
                let views = view::list(self.roots, &query)?;
                Ok(views.into_iter().map(|view| Item::Pod(Box::new(view))).collect())
            }
            ResourceType::Event => {
                let query = Query { namespace, selector: Selector::default() };
                let views = view::list(self.roots, &query)?;
                Ok(events::objects(&views).into_iter().map(Item::Object).collect())
            }
            kind => self.stored(kind, namespace.as_deref()),
        }
    }

    fn stored(&self, kind: ResourceType, namespace: Option<&str>) -> Result<Vec<Item>, CliError> {
        let Listing { objects, broken } = ObjectStore::new(self.roots.objects())
            .list(namespace, kind.kind())
            .map_err(|e| CliError::room(&e, e.kind()))?;
        for error in &broken {
            eprintln!("podrt: {error}, ignoring");
        }
        let mut all: Vec<Value> = objects.into_iter().map(|(_, object)| object).collect();
        all.retain(|object| {
            let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
            let labels = labels.map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default()));
            self.selector.matches(labels)
        });
        Ok(all.into_iter().map(Item::Object).collect())
    }

    fn one(&self, kind: ResourceType, name: &str) -> Result<Option<Item>, CliError> {
        let key = self.args.scope.key(name);
        if kind == ResourceType::Pod {
            return match view::get(self.roots, &key) {
                Ok(view) => Ok(Some(Item::Pod(Box::new(view)))),
                Err(CliError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            };
        }
        if kind == ResourceType::Event {
            let is_it = |item: &Item| item.key().1 == name;
            return Ok(self.all(kind)?.into_iter().find(is_it));
        }
        let namespace = kind.is_namespaced().then_some(key.namespace.as_str());
        let object = ObjectKey::new(namespace, kind.kind(), &key.name)
            .and_then(|key| ObjectStore::new(self.roots.objects()).get(&key))
            .map_err(|e| CliError::room(&e, e.kind()))?;
        Ok(object.map(Item::Object))
    }

    fn print(
        &self,
        found: &[(ResourceType, Vec<Item>)],
        now: Timestamp,
    ) -> Result<String, CliError> {
        if !self.output.is_table() {
            let single = matches!(self.wanted.as_slice(), [(_, Some(_))]);
            let values = found.iter().flat_map(|(_, items)| items).map(|item| item.json().clone());
            return self.output.objects(values.collect(), single, !self.args.no_headers);
        }
        let filled = found.iter().filter(|(_, items)| !items.is_empty());
        let tables: Vec<String> =
            filled.map(|(kind, items)| self.table(*kind, items, true, now).render()).collect();
        let is_named = self.wanted.iter().any(|(_, name)| name.is_some());
        if tables.is_empty() && !is_named {
            // kubectl says so on standard error and succeeds.
            match self.args.scope.query_namespace() {
                Some(namespace) if self.kinds().iter().any(|kind| kind.is_namespaced()) => {
                    eprintln!("No resources found in {namespace} namespace.");
                }
                _ => eprintln!("No resources found"),
            }
        }
        Ok(tables.join("\n"))
    }

    fn table(&self, kind: ResourceType, items: &[Item], headings: bool, now: Timestamp) -> Table {
        let look = Look { headings: headings && !self.args.no_headers, ..self.look() };
        let views = items.iter().filter_map(|item| match item {
            Item::Pod(view) => Some(&**view),
            Item::Object(_) => None,
        });
        let values: Vec<&Value> = items.iter().map(Item::json).collect();
        match kind {
            ResourceType::Pod => rows::pods(views, look, now),
            ResourceType::Event => events::table(&values, look, now),
            kind => rows::objects(kind, &values, look, now),
        }
    }

    /// Prints what is there, and then every change, for as long as somebody
    /// reads it.
    fn watch(&self, now: Timestamp) -> Result<(), CliError> {
        let [kind] = self.kinds()[..] else {
            return Err(CliError::Refused(
                "you may only specify a single resource type when watching".into(),
            ));
        };
        let changes = Changes::new(self.roots, kind)?;
        let mut missing = Vec::new();
        let mut known = by_key(self.items(kind, &mut missing)?);
        failures(missing)?;
        let mut widths = Vec::new();
        let mut headings = true;
        if !self.args.watch_only {
            let items: Vec<Item> = known.values().cloned().collect();
            self.print_change(kind, &items, &mut headings, &mut widths, now)?;
        }
        loop {
            changes.wait(None)?;
            let fresh = by_key(self.items(kind, &mut Vec::new())?);
            let mut changed: Vec<Item> = Vec::new();
            for (key, item) in &fresh {
                if known.get(key).map(Item::json) != Some(item.json()) {
                    changed.push(item.clone());
                }
            }
            // The last state of what is gone is shown once more.
            let gone = known.iter().filter(|(key, _)| !fresh.contains_key(*key));
            changed.extend(gone.map(|(_, item)| item.clone()));
            self.print_change(kind, &changed, &mut headings, &mut widths, clock::now().wall)?;
            known = fresh;
        }
    }

    fn print_change(
        &self,
        kind: ResourceType,
        items: &[Item],
        headings: &mut bool,
        widths: &mut Vec<usize>,
        now: Timestamp,
    ) -> Result<(), CliError> {
        use std::io::Write as _;
        if items.is_empty() {
            return Ok(());
        }
        let text = if self.output.is_table() {
            self.table(kind, items, *headings, now).render_below(widths)
        } else {
            let each = items.iter().map(|item| {
                let heads = *headings && !self.args.no_headers;
                self.output.objects(vec![item.json().clone()], true, heads)
            });
            each.collect::<Result<Vec<_>, _>>()?.concat()
        };
        *headings = false;
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|e| CliError::File { path: "standard output".into(), cause: e.to_string() })
    }
}

type Known = BTreeMap<(String, String), Item>;

fn by_key(items: Vec<Item>) -> Known {
    items.into_iter().map(|item| (item.key(), item)).collect()
}
