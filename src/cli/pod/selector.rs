//! Label selectors: `a=b,c!=d,e in (f,g),h,!i`.

use crate::cli::error::CliError;

/// Requirements that must all hold; none selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    /// True as well where the label is missing.
    NotIn(Vec<String>),
}

impl Selector {
    /// Reads a selector as `-l` takes it.
    ///
    /// # Errors
    /// One that does not follow the syntax.
    pub fn parse(text: &str) -> Result<Self, CliError> {
        let requirements = split(text).into_iter().map(requirement).collect::<Option<_>>();
        requirements
            .map(|requirements| Self { requirements })
            .ok_or_else(|| CliError::Refused(format!("unable to parse label selector {text:?}")))
    }

    /// True when nothing is required.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether the labels fulfil every requirement.
    pub fn matches<'a>(&self, labels: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
        let labels: Vec<_> = labels.collect();
        self.requirements.iter().all(|requirement| {
            let value = labels.iter().find(|(key, _)| *key == requirement.key).map(|(_, v)| *v);
            match &requirement.test {
                Test::Exists => value.is_some(),
                Test::Missing => value.is_none(),
                Test::In(values) => value.is_some_and(|v| values.iter().any(|want| want == v)),
                Test::NotIn(values) => value.is_none_or(|v| values.iter().all(|not| not != v)),
            }
        })
    }
}

/// Splits at the commas outside of brackets.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    text.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
    .collect()
}

fn requirement(text: &str) -> Option<Requirement> {
    let one = |key: &str, test: Test| {
        let key = key.trim();
        let plain = !key.is_empty() && !key.contains([' ', '(', ')', '=', '!']);
        plain.then(|| Requirement { key: key.to_owned(), test })
    };
    let value = |value: &str| vec![value.trim().to_owned()];
    if let Some((key, not)) = text.split_once("!=") {
        return one(key, Test::NotIn(value(not)));
    }
    if let Some((key, is)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return one(key, Test::In(value(is)));
    }
    if let Some((head, list)) = text.split_once('(') {
        let values = list.strip_suffix(')')?.split(',').map(|v| v.trim().to_owned()).collect();
        let (key, word) = head.trim().rsplit_once(' ')?;
        return match word {
            "in" => one(key, Test::In(values)),
            "notin" => one(key, Test::NotIn(values)),
            _ => None,
        };
    }
    match text.strip_prefix('!') {
        Some(key) => one(key, Test::Missing),
        None => one(text, Test::Exists),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_select_as_kubectl_selects() {
        let labels = [("app", "web"), ("tier", "front")];
        let table = [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            ("app=db", false),
            ("app!=db", true),
            ("missing!=x", true),
            ("app,tier", true),
            ("!app", false),
            ("!missing", true),
            ("app in (db, web)", true),
            ("app notin (db,web)", false),
            ("app=web,tier=back", false),
            ("missing in (a)", false),
        ];
        for (text, want) in table {
            let selector = Selector::parse(text).expect(text);
            assert_eq!(selector.matches(labels.into_iter()), want, "{text}");
        }
        for bad in ["a b", "app in web", "app within (a)", "=x", "app in (a"] {
            assert!(Selector::parse(bad).is_err(), "{bad}");
        }
    }
}
