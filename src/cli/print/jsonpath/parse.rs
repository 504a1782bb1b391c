//! The template's text → its nodes.

use std::fmt;

/// A template that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    pub(super) nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    Values(Vec<Step>),
    Range(Vec<Step>, Vec<Node>),
}

/// One step from values to values.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// `$`: back to the whole object.
    Root,
    Field(String),
    /// `.*` and `[*]`
    All,
    /// `..`: the value and everything below it.
    Below,
    Index(i64),
    Slice(Option<i64>, Option<i64>, i64),
    /// `[0,2]`, `['a','b']`
    Union(Vec<Vec<Step>>),
    Filter(Filter),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Filter {
    pub left: Operand,
    /// Without one: whether `left` is there.
    pub test: Option<(Operator, Operand)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Path(Vec<Step>),
    Literal(serde_json::Value),
}

/// Why a template cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadTemplate {
    template: String,
    cause: String,
}

impl fmt::Display for BadTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error parsing jsonpath {}, {}", self.template, self.cause)
    }
}

impl std::error::Error for BadTemplate {}

/// `x.y`, `.x.y` or `{.x.y}` → `{.x.y}`, as `custom-columns` and `wait` take
/// it.
#[must_use]
pub fn relaxed(expression: &str) -> String {
    let inner = expression.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let inner = inner.unwrap_or(expression);
    match inner.chars().next() {
        Some('.' | '[' | '$' | '@') | None => format!("{{{inner}}}"),
        Some(_) => format!("{{.{inner}}}"),
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`BadTemplate`].
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let mut reader = Reader { rest: text };
        let nodes = reader.nodes(false);
        let failed = |cause| BadTemplate { template: text.to_owned(), cause };
        nodes.map(|nodes| Self { nodes }).map_err(failed)
    }
}

struct Reader<'a> {
    rest: &'a str,
}

type Parsed<T> = Result<T, String>;

impl Reader<'_> {
    /// Up to the end of the text, or of the range that was begun.
    fn nodes(&mut self, in_range: bool) -> Parsed<Vec<Node>> {
        let mut nodes = Vec::new();
        while !self.rest.is_empty() {
            let Some(open) = self.rest.find('{') else {
                nodes.push(Node::Text(std::mem::take(&mut self.rest).to_owned()));
                break;
            };
            if open > 0 {
                nodes.push(Node::Text(self.rest[..open].to_owned()));
            }
            self.rest = self.rest[open + 1..].trim_start();
            if let Some(after) = self.rest.strip_prefix("end").filter(|r| closes(r)) {
                self.rest = after.trim_start().strip_prefix('}').unwrap_or_default();
                return if in_range {
                    Ok(nodes)
                } else {
                    Err("not in range, nothing to end".into())
                };
            }
            if let Some(after) = self.rest.strip_prefix("range ") {
                self.rest = after;
                let steps = self.action()?;
                nodes.push(Node::Range(steps, self.nodes(true)?));
            } else if self.rest.starts_with(['"', '\'']) {
                let text = self.quoted()?;
                self.close()?;
                nodes.push(Node::Text(text));
            } else {
                nodes.push(Node::Values(self.action()?));
            }
        }
        if in_range { Err("unclosed range".into()) } else { Ok(nodes) }
    }

    /// A path and the brace that closes it.
    fn action(&mut self) -> Parsed<Vec<Step>> {
        self.rest = self.rest.trim_start();
        let steps = self.steps()?;
        self.close()?;
        Ok(steps)
    }

    fn close(&mut self) -> Parsed<()> {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix('}') {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None if self.rest.is_empty() => Err("unclosed action".into()),
            None => Err(format!("unrecognized character in action: {:?}", first(self.rest))),
        }
    }

    fn steps(&mut self) -> Parsed<Vec<Step>> {
        let mut steps = Vec::new();
        loop {
            let rest = self.rest;
            if let Some(after) = rest.strip_prefix("..") {
                self.rest = after;
                steps.push(Step::Below);
                if !after.starts_with(['.', '[', '*']) && !is_end(after) {
                    steps.push(self.field()?);
                }
            } else if let Some(after) = rest.strip_prefix('.') {
                self.rest = after;
                // `.` alone is the value itself; `.[0]` is `[0]`.
                if !is_end(after) && !after.starts_with('[') {
                    steps.push(self.field()?);
                }
            } else if let Some(after) = rest.strip_prefix('[') {
                self.rest = after;
                steps.push(self.bracket()?);
            } else if let Some(after) = rest.strip_prefix('$') {
                self.rest = after;
                steps.push(Step::Root);
            } else if let Some(after) = rest.strip_prefix('@') {
                self.rest = after;
            } else if let Some(after) = rest.strip_prefix('*') {
                self.rest = after;
                steps.push(Step::All);
            } else {
                return Ok(steps);
            }
        }
    }

    /// A name; a backslash takes the next character as it is.
    fn field(&mut self) -> Parsed<Step> {
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => name.extend(chars.next().map(|(_, c)| c)),
                '.' | '[' | ']' | '{' | '}' | ' ' | '=' | '!' | '<' | '>' | ')' | ',' | '\t'
                | '\n' => {
                    end = at;
                    break;
                }
                c => name.push(c),
            }
        }
        if end == 0 {
            return Err(format!("unexpected {:?} where a field name belongs", first(self.rest)));
        }
        self.rest = &self.rest[end..];
        Ok(if name == "*" { Step::All } else { Step::Field(name) })
    }

    fn bracket(&mut self) -> Parsed<Step> {
        self.rest = self.rest.trim_start();
        if let Some(after) = self.rest.strip_prefix("?(") {
            self.rest = after;
            let filter = self.filter()?;
            self.rest = self.rest.trim_start();
            return match self.rest.strip_prefix(")]") {
                Some(rest) => {
                    self.rest = rest;
                    Ok(Step::Filter(filter))
                }
                None => Err("unterminated filter".into()),
            };
        }
        let mut parts = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            parts.push(self.element()?);
            self.rest = self.rest.trim_start();
            if let Some(after) = self.rest.strip_prefix(',') {
                self.rest = after;
            } else if let Some(after) = self.rest.strip_prefix(']') {
                self.rest = after;
                break;
            } else {
                return Err("unterminated array".into());
            }
        }
        match parts.pop() {
            Some(mut only) if parts.is_empty() && only.len() == 1 => Ok(only.remove(0)),
            last => {
                parts.extend(last);
                Ok(Step::Union(parts))
            }
        }
    }

    /// What stands between commas in brackets.
    fn element(&mut self) -> Parsed<Vec<Step>> {
        if self.rest.starts_with(['"', '\'']) {
            return Ok(vec![Step::Field(self.quoted()?)]);
        }
        if let Some(after) = self.rest.strip_prefix('*') {
            self.rest = after;
            return Ok(vec![Step::All]);
        }
        let end = self.rest.find([',', ']']).ok_or("unterminated array")?;
        let text = self.rest[..end].trim();
        self.rest = &self.rest[end..];
        let number = |text: &str| -> Parsed<Option<i64>> {
            match text.trim() {
                "" => Ok(None),
                text => text.parse().map(Some).map_err(|_| format!("invalid array index {text}")),
            }
        };
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            [one] => number(one)?
                .map(|index| vec![Step::Index(index)])
                .ok_or_else(|| "invalid array index".into()),
            [from, to] => Ok(vec![Step::Slice(number(from)?, number(to)?, 1)]),
            [from, to, step] => {
                let step = number(step)?.unwrap_or(1);
                if step < 1 {
                    return Err("step must be > 0".into());
                }
                Ok(vec![Step::Slice(number(from)?, number(to)?, step)])
            }
            _ => Err(format!("invalid array index {text}")),
        }
    }

    fn filter(&mut self) -> Parsed<Filter> {
        let left = self.operand()?;
        self.rest = self.rest.trim_start();
        let operators = [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        let found = operators
            .into_iter()
            .find_map(|(text, operator)| Some((self.rest.strip_prefix(text)?, operator)));
        let Some((rest, operator)) = found else { return Ok(Filter { left, test: None }) };
        self.rest = rest;
        let right = self.operand()?;
        Ok(Filter { left, test: Some((operator, right)) })
    }

    fn operand(&mut self) -> Parsed<Operand> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with(['@', '.', '$']) {
            return self.steps().map(Operand::Path);
        }
        if self.rest.starts_with(['"', '\'']) {
            return self.quoted().map(|text| Operand::Literal(text.into()));
        }
        let end = self.rest.find([')', ' ', '=', '!', '<', '>']).unwrap_or(self.rest.len());
        let text = &self.rest[..end];
        self.rest = &self.rest[end..];
        serde_json::from_str(text)
            .map(Operand::Literal)
            .map_err(|_| format!("unrecognized filter operand {text:?}"))
    }

    /// A string in either quotes, with Go's escapes.
    fn quoted(&mut self) -> Parsed<String> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        let quote = chars.next().map(|(_, c)| c);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, c)) => text.push(c),
                    None => break,
                },
                c if Some(c) == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err("unterminated quoted string".into())
    }
}

fn first(text: &str) -> String {
    text.chars().take(1).collect()
}

fn is_end(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['}', ')', ' ', ',', ']', '=', '!', '<', '>'])
}

fn closes(rest: &str) -> bool {
    rest.trim_start().starts_with('}')
}
