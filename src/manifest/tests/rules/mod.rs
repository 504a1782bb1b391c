//! Every row of the API server's rules: exact path, text and place.

mod containers;
mod objects;
mod pod;
mod volumes;

use super::{pod, refused, with_container, with_spec};

/// The lines of a report without its heading.
fn lines(text: &str) -> Vec<String> {
    let report = refused(text);
    let rest = report.strip_prefix("The Pod \"web\" is invalid: ").unwrap_or(&report);
    match rest.strip_prefix("\n* ") {
        Some(list) => list.split("\n* ").map(str::to_owned).collect(),
        None => vec![rest.to_owned()],
    }
}

/// Checks manifests against the lines that refuse them; `@` stands for the
/// file's name.
fn check(table: &[(String, &[&str])]) {
    let mut differences = Vec::new();
    for (text, want) in table {
        let want: Vec<_> = want.iter().map(|line| line.replace("(@", "(pod.yaml")).collect();
        let found = lines(text);
        if found != want {
            differences.push(format!("{text}\nfound {found:#?}\nwant {want:#?}\n"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric \
    characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
    '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
    'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
