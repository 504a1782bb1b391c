//! Collects field errors and finds where their fields stand.

use serde_json::Value as Json;

use crate::manifest::error::{FieldError, FieldErrorKind};
use crate::manifest::node::Node;
use crate::manifest::path::Path;
use crate::model::Quantity;
use crate::model::quote::go_quoted;

/// The rules of one object as they are checked.
#[derive(Debug)]
pub(in crate::manifest) struct Check<'a> {
    source: Option<&'a Node>,
    pub errors: Vec<FieldError>,
}

/// A value as field errors show it: strings quoted, numbers plain, else JSON.
pub(in crate::manifest) trait Shown {
    fn shown(&self) -> String;
}

impl Shown for &str {
    fn shown(&self) -> String {
        go_quoted(self)
    }
}

impl Shown for String {
    fn shown(&self) -> String {
        go_quoted(self)
    }
}

impl Shown for &String {
    fn shown(&self) -> String {
        go_quoted(self)
    }
}

impl Shown for i32 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for i64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for bool {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for &Quantity {
    fn shown(&self) -> String {
        go_quoted(&self.to_string())
    }
}

impl Shown for Json {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for &[String] {
    fn shown(&self) -> String {
        Json::from(self.to_vec()).to_string()
    }
}

impl<'a> Check<'a> {
    pub(in crate::manifest) fn new(source: Option<&'a Node>) -> Self {
        Self { source, errors: Vec::new() }
    }

    fn push(&mut self, path: &Path<'_>, kind: FieldErrorKind, value: Option<String>, detail: &str) {
        let position = self.source.and_then(|source| source.locate(path));
        let detail = detail.to_owned();
        self.errors.push(FieldError { path: path.to_string(), kind, value, detail, position });
    }

    pub(super) fn required(&mut self, path: &Path<'_>, detail: &str) {
        self.push(path, FieldErrorKind::Required, None, detail);
    }

    pub(in crate::manifest) fn invalid(
        &mut self,
        path: &Path<'_>,
        value: impl Shown,
        detail: &str,
    ) {
        self.push(path, FieldErrorKind::Invalid, Some(value.shown()), detail);
    }

    /// One error for each broken part of a rule.
    pub(super) fn invalid_each(&mut self, path: &Path<'_>, value: &str, details: Vec<String>) {
        for detail in details {
            self.invalid(path, value, &detail);
        }
    }

    pub(super) fn not_supported(&mut self, path: &Path<'_>, value: &str, supported: &[&str]) {
        let list: Vec<_> = supported.iter().map(|value| go_quoted(value)).collect();
        let detail = format!("supported values: {}", list.join(", "));
        self.push(path, FieldErrorKind::NotSupported, Some(value.shown()), &detail);
    }

    pub(super) fn not_found(&mut self, path: &Path<'_>, value: &str, detail: &str) {
        self.push(path, FieldErrorKind::NotFound, Some(value.shown()), detail);
    }

    pub(super) fn duplicate(&mut self, path: &Path<'_>, value: &str) {
        self.push(path, FieldErrorKind::Duplicate, Some(value.shown()), "");
    }

    pub(in crate::manifest) fn forbidden(&mut self, path: &Path<'_>, detail: &str) {
        self.push(path, FieldErrorKind::Forbidden, None, detail);
    }

    pub(super) fn too_long(&mut self, path: &Path<'_>, max: usize) {
        let detail = format!("may not be more than {max} bytes");
        self.push(path, FieldErrorKind::TooLong, None, &detail);
    }

    pub(super) fn too_many(&mut self, path: &Path<'_>, count: usize, max: usize) {
        let detail = format!("must have at most {max} items");
        self.push(path, FieldErrorKind::TooMany, Some(count.to_string()), &detail);
    }

    /// Valid, but nothing on this machine can do it.
    pub(in crate::manifest) fn cannot_honour(&mut self, path: &Path<'_>, why: &str) {
        self.push(path, FieldErrorKind::CannotHonour, None, why);
    }

    /// A required enumeration: empty or unknown is an error.
    pub(super) fn one_of(&mut self, path: &Path<'_>, value: &str, supported: &[&str]) {
        if value.is_empty() {
            self.required(path, "");
        } else {
            self.one_of_if_set(path, value, supported);
        }
    }

    /// An enumeration where the empty string is just another unknown value.
    pub(super) fn one_of_if_set(&mut self, path: &Path<'_>, value: &str, supported: &[&str]) {
        if !supported.contains(&value) {
            self.not_supported(path, value, supported);
        }
    }

    pub(super) fn not_negative(&mut self, path: &Path<'_>, value: i64) {
        if value < 0 {
            self.invalid(path, value, "must be greater than or equal to 0");
        }
    }

    /// Runs `check` for rules that the API server reports at another path than
    /// the field's own; the position stays the field's.
    pub(super) fn at(&mut self, field: &Path<'_>, check: impl FnOnce(&mut Self)) {
        let first = self.errors.len();
        check(self);
        let position = self.source.and_then(|source| source.locate(field));
        for error in &mut self.errors[first..] {
            error.position = position.or(error.position);
        }
    }
}
