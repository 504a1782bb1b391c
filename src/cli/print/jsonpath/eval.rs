//! Nodes and an object → text.

use serde_json::Value;

use super::parse::{Filter, Node, Operand, Operator, Step, Template};

impl Template {
    /// The text the template makes of `object`. What is not there prints as
    /// nothing.
    ///
    /// # Errors
    /// An array index out of bounds, in kubectl's words.
    pub fn render(&self, object: &Value) -> Result<String, String> {
        let mut text = String::new();
        nodes(&self.nodes, object, object, &mut text)?;
        Ok(text)
    }

    /// The values of every path of the template, in order.
    ///
    /// # Errors
    /// As for [`Template::render`].
    pub fn values<'a>(&self, object: &'a Value) -> Result<Vec<&'a Value>, String> {
        let mut all = Vec::new();
        for node in &self.nodes {
            if let Node::Values(path) = node {
                all.extend(walk(path, object, object)?);
            }
        }
        Ok(all)
    }
}

/// A value as kubectl prints it: strings as they are, the rest as JSON.
#[must_use]
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

fn nodes(list: &[Node], root: &Value, at: &Value, text: &mut String) -> Result<(), String> {
    for node in list {
        match node {
            Node::Text(literal) => text.push_str(literal),
            Node::Values(path) => {
                let values: Vec<String> = walk(path, root, at)?.into_iter().map(plain).collect();
                text.push_str(&values.join(" "));
            }
            Node::Range(path, body) => {
                for value in walk(path, root, at)? {
                    nodes(body, root, value, text)?;
                }
            }
        }
    }
    Ok(())
}

fn walk<'a>(path: &[Step], root: &'a Value, at: &'a Value) -> Result<Vec<&'a Value>, String> {
    let mut values = vec![at];
    for step in path {
        let mut next = Vec::new();
        for value in values {
            take(step, root, value, &mut next)?;
        }
        values = next;
    }
    Ok(values)
}

fn take<'a>(
    step: &Step,
    root: &'a Value,
    value: &'a Value,
    next: &mut Vec<&'a Value>,
) -> Result<(), String> {
    match step {
        Step::Root => next.push(root),
        Step::Field(name) => next.extend(value.get(name)),
        Step::All => next.extend(children(value)),
        Step::Below => below(value, next),
        Step::Index(index) => {
            if let Some(items) = value.as_array() {
                next.push(&items[in_bounds(*index, items.len())?]);
            }
        }
        Step::Slice(from, to, by) => {
            if let Some(items) = value.as_array() {
                let bound = |bound: Option<i64>, otherwise: usize| match bound {
                    None => otherwise,
                    Some(at) => absolute(at, items.len()).min(items.len()),
                };
                let (from, to) = (bound(*from, 0), bound(*to, items.len()));
                let by = usize::try_from(*by).unwrap_or(1).max(1);
                next.extend(items.iter().take(to).skip(from).step_by(by));
            }
        }
        Step::Union(paths) => {
            for path in paths {
                next.extend(walk(path, root, value)?);
            }
        }
        Step::Filter(filter) => {
            for item in children(value) {
                if passes(filter, root, item)? {
                    next.push(item);
                }
            }
        }
    }
    Ok(())
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

fn below<'a>(value: &'a Value, next: &mut Vec<&'a Value>) {
    next.push(value);
    for child in children(value) {
        below(child, next);
    }
}

/// A negative index counts from the end.
fn absolute(index: i64, length: usize) -> usize {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let index = if index < 0 { (index + length).max(0) } else { index };
    usize::try_from(index).unwrap_or(0)
}

fn in_bounds(index: i64, length: usize) -> Result<usize, String> {
    let from_end = i64::try_from(length).is_ok_and(|length| index + length >= 0);
    let absolute = absolute(index, length);
    if absolute < length && (index >= 0 || from_end) {
        return Ok(absolute);
    }
    Err(format!("array index out of bounds: index {index}, length {length}"))
}

fn passes(filter: &Filter, root: &Value, item: &Value) -> Result<bool, String> {
    let left = operand(&filter.left, root, item)?;
    let Some((operator, right)) = &filter.test else { return Ok(left.is_some()) };
    let right = operand(right, root, item)?;
    let (Some(left), Some(right)) = (left, right) else { return Ok(false) };
    let order = match (&left, &right) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b))
        }
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    };
    Ok(match operator {
        Operator::Equal => left == right || order.is_some_and(std::cmp::Ordering::is_eq),
        Operator::NotEqual => left != right && !order.is_some_and(std::cmp::Ordering::is_eq),
        Operator::Less => order.is_some_and(std::cmp::Ordering::is_lt),
        Operator::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
        Operator::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
        Operator::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
    })
}

fn operand(operand: &Operand, root: &Value, item: &Value) -> Result<Option<Value>, String> {
    match operand {
        Operand::Literal(value) => Ok(Some(value.clone())),
        Operand::Path(path) => Ok(walk(path, root, item)?.first().copied().cloned()),
    }
}
