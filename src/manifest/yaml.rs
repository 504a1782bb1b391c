//! YAML documents → trees with positions, bounded in depth and in what
//! aliases may grow to.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::error::Position;
use super::node::{Entry, MAX_DEPTH, Node, Value};
use super::scalar;

/// Nodes plus bytes of text that anchors and aliases may add to a document.
const MAX_ALIASED: usize = 10 << 20;

/// Why a text is no YAML (or JSON), and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub message: String,
    pub at: Position,
}

impl SyntaxError {
    pub(super) fn at_start(message: String) -> Self {
        Self { message, at: Position { line: 1, column: 1 } }
    }
}

/// Reads every document of `text`; empty ones are left out.
///
/// # Errors
/// The first place that is no YAML, or is more than podrt reads.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, SyntaxError> {
    refuse_control_characters(text)?;
    let mut builder =
        Builder { parser: Parser::new_from_str(text), anchors: BTreeMap::new(), aliased: 0 };
    let mut documents = Vec::new();
    loop {
        let (event, span) = builder.next()?;
        match event {
            Event::StreamEnd => return Ok(documents),
            Event::DocumentStart(_) => {
                let (event, span) = builder.next()?;
                let node = builder.node(event, span, 0)?;
                if node.value != Value::Null {
                    documents.push(node);
                }
                builder.anchors.clear();
            }
            _ => {
                let _ = span;
            }
        }
    }
}

/// The scanner takes a NUL for the end of the text; YAML forbids it and its
/// like anyway.
fn refuse_control_characters(text: &str) -> Result<(), SyntaxError> {
    let is_forbidden = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let Some(offset) = text.find(is_forbidden) else { return Ok(()) };
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    Err(SyntaxError {
        message: "control characters are not allowed".to_owned(),
        at: position(line, column),
    })
}

fn position(line: usize, column: usize) -> Position {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: count(line), column: count(column) }
}

fn start(span: &Span) -> Position {
    position(span.start.line(), span.start.col() + 1)
}

impl From<ScanError> for SyntaxError {
    fn from(error: ScanError) -> Self {
        let marker = error.marker();
        Self { message: error.info().to_owned(), at: position(marker.line(), marker.col() + 1) }
    }
}

/// What an anchor names: nothing yet while its node is being read.
enum Anchor {
    Open,
    Closed { node: Node, weight: usize },
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: BTreeMap<usize, Anchor>,
    aliased: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), SyntaxError> {
        match self.parser.next_event() {
            Some(event) => Ok(event?),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, SyntaxError> {
        let at = start(&span);
        let fail = |message: &str| Err(SyntaxError { message: message.to_owned(), at });
        if depth > MAX_DEPTH {
            return fail("nested too deeply");
        }
        let (anchor, value) = match event {
            Event::Alias(anchor) => return self.alias(anchor, at),
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, scalar_value(&text, style, tag.as_deref(), at)?)
            }
            Event::SequenceStart(anchor, _) => {
                self.open(anchor);
                (anchor, self.list(depth)?)
            }
            Event::MappingStart(anchor, _) => {
                self.open(anchor);
                (anchor, self.map(depth)?)
            }
            _ => return fail("did not find expected node content"),
        };
        let node = Node { at: Some(at), value };
        self.close(anchor, &node, at)?;
        Ok(node)
    }

    fn open(&mut self, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, Anchor::Open);
        }
    }

    fn close(&mut self, anchor: usize, node: &Node, at: Position) -> Result<(), SyntaxError> {
        if anchor == 0 {
            return Ok(());
        }
        let weight = weight(node);
        self.charge(weight, at)?;
        self.anchors.insert(anchor, Anchor::Closed { node: node.clone(), weight });
        Ok(())
    }

    fn charge(&mut self, weight: usize, at: Position) -> Result<(), SyntaxError> {
        self.aliased = self.aliased.saturating_add(weight);
        if self.aliased > MAX_ALIASED {
            let message = "document contains excessive aliasing".to_owned();
            return Err(SyntaxError { message, at });
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<Node, SyntaxError> {
        let (message, weight) = match self.anchors.get(&anchor) {
            Some(Anchor::Closed { weight, .. }) => ("", *weight),
            Some(Anchor::Open) => ("anchor value contains itself", 0),
            None => ("unknown anchor", 0),
        };
        if !message.is_empty() {
            return Err(SyntaxError { message: message.to_owned(), at });
        }
        self.charge(weight, at)?;
        match self.anchors.get(&anchor) {
            Some(Anchor::Closed { node, .. }) => Ok(node.clone()),
            _ => Err(SyntaxError { message: "unknown anchor".to_owned(), at }),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::List(items));
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let mut entries = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                merge(&mut entries, merged);
                return Ok(Value::Map(entries));
            }
            let at = start(&span);
            let is_merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            if is_merge {
                merge_sources(value, at, &mut merged)?;
                continue;
            }
            entries.push(Entry { key: key_text(key, at)?, at: Some(at), value });
        }
    }
}

fn weight(node: &Node) -> usize {
    1 + match &node.value {
        Value::String(text) => text.len(),
        Value::List(items) => items.iter().map(weight).sum(),
        Value::Map(entries) => {
            entries.iter().map(|entry| entry.key.len() + weight(&entry.value)).sum()
        }
        _ => 0,
    }
}

/// A map key as JSON has it: a scalar's text.
fn key_text(key: Node, at: Position) -> Result<String, SyntaxError> {
    match key.value {
        Value::String(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) => {
            Err(SyntaxError { message: "unsupported map key".to_owned(), at })
        }
    }
}

/// The maps that `<<` names, first ones first.
fn merge_sources(value: Node, at: Position, merged: &mut Vec<Entry>) -> Result<(), SyntaxError> {
    match value.value {
        Value::Map(entries) => merged.extend(entries),
        Value::List(items) if items.iter().all(|item| matches!(item.value, Value::Map(_))) => {
            for item in items {
                if let Value::Map(entries) = item.value {
                    merged.extend(entries);
                }
            }
        }
        _ => {
            let message = "map merge requires map or sequence of maps as the value".to_owned();
            return Err(SyntaxError { message, at });
        }
    }
    Ok(())
}

/// Adds what `<<` brought where the map itself has no such key.
fn merge(entries: &mut Vec<Entry>, merged: Vec<Entry>) {
    if merged.is_empty() {
        return;
    }
    let mut known: std::collections::HashSet<String> =
        entries.iter().map(|entry| entry.key.clone()).collect();
    entries.extend(merged.into_iter().filter(|entry| known.insert(entry.key.clone())));
}

fn scalar_value(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    at: Position,
) -> Result<Value, SyntaxError> {
    let Some(tag) = tag else {
        return Ok(match style {
            ScalarStyle::Plain => scalar::resolve(text),
            _ => Value::String(text.to_owned()),
        });
    };
    let string = || Value::String(text.to_owned());
    if !tag.is_yaml_core_schema() {
        return Ok(string());
    }
    let value = match (tag.suffix.as_str(), scalar::resolve(text)) {
        ("null", value @ Value::Null)
        | ("bool", value @ Value::Bool(_))
        | ("int" | "float", value @ Value::Number(_)) => value,
        ("binary", _) => match STANDARD.decode(text).map(String::from_utf8) {
            Ok(Ok(decoded)) => Value::String(decoded),
            _ => return Err(cannot_decode("!!binary", text, at)),
        },
        (suffix @ ("null" | "bool" | "int" | "float"), _) => {
            return Err(cannot_decode(&format!("!!{suffix}"), text, at));
        }
        _ => string(),
    };
    Ok(value)
}

fn cannot_decode(tag: &str, text: &str, at: Position) -> SyntaxError {
    let shown: String = text.chars().take(40).collect();
    SyntaxError { message: format!("cannot decode {shown:?} as a {tag}"), at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn json_of(text: &str) -> serde_json::Value {
        documents(text).expect(text)[0].to_json()
    }

    #[test]
    fn yaml_reads_as_kubectl_reads_it() {
        let table = [
            ("a: 0644\nb: yes\nc: \"yes\"\n", json!({"a": 420, "b": true, "c": "yes"})),
            ("a: &x {k: 1}\nb: *x\n", json!({"a": {"k": 1}, "b": {"k": 1}})),
            (
                "b: &x {k: 1, l: 2}\na:\n  <<: *x\n  k: 3\n",
                json!({"b": {"k": 1, "l": 2}, "a": {"k": 3, "l": 2}}),
            ),
            ("a: {<<: [{k: 1}, {k: 2, m: 3}]}", json!({"a": {"k": 1, "m": 3}})),
            (
                "a: !!str 5\nb: !!int \"7\"\nc: !!binary aGk=\n",
                json!({"a": "5", "b": 7, "c": "hi"}),
            ),
            ("1: a\ntrue: b\n", json!({"1": "a", "true": "b"})),
            ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", json!({"a": "x\ny\n", "b": "x y"})),
            ("{a: [1, 'b', \"c\\n\"]}", json!({"a": [1, "b", "c\n"]})),
            ("a:\nb: ~\n", json!({"a": null, "b": null})),
        ];
        for (text, want) in table {
            assert_eq!(json_of(text), want, "{text}");
        }
    }

    #[test]
    fn documents_are_kept_apart_and_empty_ones_left_out() {
        let found = documents("---\n# nothing\n---\na: 1\n---\n---\nb: 2\n...\n").expect("valid");
        let found: Vec<_> = found.iter().map(Node::to_json).collect();
        assert_eq!(found, [json!({"a": 1}), json!({"b": 2})]);
        assert_eq!(documents("").expect("valid"), []);
        assert_eq!(documents("# only a comment\n").expect("valid"), []);
    }

    #[test]
    fn every_node_knows_its_place() {
        let node = &documents("a:\n  - b: 1\n    c: x\n").expect("valid")[0];
        let item = match &node.get("a").expect("a").value {
            Value::List(items) => &items[0],
            other => panic!("{other:?}"),
        };
        assert_eq!(item.at, Some(Position { line: 2, column: 5 }));
        let value = item.get("c").expect("c");
        assert_eq!(value.at, Some(Position { line: 3, column: 8 }));
    }

    #[test]
    fn bad_yaml_names_the_place() {
        let table = [
            ("a: b: c\n", 1),
            ("a: [1\n", 2),
            ("a: *nope\n", 1),
            ("a: 1\n\u{0}b: 2", 2),
            ("a: &x [*x]", 1),
            ("? [a]\n: b", 1),
            ("<<: 5", 1),
            ("a: !!int x", 1),
        ];
        for (text, line) in table {
            let error = documents(text).expect_err(text);
            assert_eq!(error.at.line, line, "{text}: {}", error.message);
        }
    }

    #[test]
    fn growth_by_aliases_and_depth_is_bounded() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let item = format!("*a{}", level - 1);
            let items = vec![item; 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        let error = documents(&bomb).expect_err("a bomb");
        assert_eq!(error.message, "document contains excessive aliasing");

        let big = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 50].join(","));
        assert!(documents(&big).is_err());
        for open in ["[", "{a: ", "- ", "? "] {
            assert!(documents(&open.repeat(50_000)).is_err(), "{open}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "[-?:,\\[\\]{}#&*!|>'\"%@`a-c0-9 \\n\\t<~]{0,80}|\\PC{0,60}") {
            let _ = documents(&text);
        }
    }
}
