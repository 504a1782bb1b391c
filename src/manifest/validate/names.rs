//! What names may look like. Each function returns one message for each part
//! of its rule that is broken.

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_UNDERSCORE: &str =
    "[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const MAX_LABEL: usize = 63;
const MAX_SUBDOMAIN: usize = 253;

fn no_more_than(characters: usize) -> String {
    format!("must be no more than {characters} characters")
}

/// A rule with its examples and its regular expression.
fn by_pattern(rule: &str, pattern: &str, examples: &[&str]) -> String {
    let examples: Vec<_> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{rule} (e.g. {}regex used for validation is '{pattern}')", examples.join(" or "))
}

fn is_lower_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// `first` for both ends, `inner` between them.
fn is_enclosed(text: &str, end: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    match bytes {
        [] => false,
        [first, .., last] => {
            end(*first) && end(*last) && bytes.iter().all(|byte| end(*byte) || inner(*byte))
        }
        [only] => end(*only),
    }
}

fn is_label(text: &str) -> bool {
    is_enclosed(text, is_lower_alphanumeric, |byte| byte == b'-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// RFC 1123 label.
pub(super) fn label(text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if text.len() > MAX_LABEL {
        broken.push(no_more_than(MAX_LABEL));
    }
    if !is_label(text) {
        broken.push(if is_subdomain(text) {
            "must not contain dots".to_owned()
        } else {
            by_pattern(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters \
                 or '-', and must start and end with an alphanumeric character",
                LABEL,
                &["my-name", "123-abc"],
            )
        });
    }
    broken
}

/// RFC 1123 subdomain: labels joined by dots.
pub(super) fn subdomain(text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if text.len() > MAX_SUBDOMAIN {
        broken.push(no_more_than(MAX_SUBDOMAIN));
    }
    if !is_subdomain(text) {
        broken.push(by_pattern(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
             '-' or '.', and must start and end with an alphanumeric character",
            SUBDOMAIN,
            &["example.com"],
        ));
    }
    broken
}

/// A subdomain for resolver search lists, where `_` occurs.
pub(super) fn subdomain_with_underscore(text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if text.len() > MAX_SUBDOMAIN {
        broken.push(no_more_than(MAX_SUBDOMAIN));
    }
    let is_part =
        |part: &str| is_enclosed(part, is_lower_alphanumeric, |byte| matches!(byte, b'-' | b'_'));
    if !text.split('.').all(is_part) {
        broken.push(by_pattern(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
             '-', '_' or '.', and must start and end with an alphanumeric character",
            SUBDOMAIN_UNDERSCORE,
            &["example.com"],
        ));
    }
    broken
}

/// A name of which a generated one is made: it may end in dashes.
pub(super) fn as_prefix(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(rest) if text.len() > 1 => format!("{rest}a"),
        _ => text.to_owned(),
    }
}

fn is_qualified(text: &str) -> bool {
    is_enclosed(text, |b| b.is_ascii_alphanumeric(), |b| matches!(b, b'-' | b'_' | b'.'))
}

/// A label key, a condition type: `[prefix/]name`.
pub(super) fn qualified_name(text: &str) -> Vec<String> {
    let rule = || {
        by_pattern(
            "must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
             with an alphanumeric character",
            QUALIFIED,
            &["MyName", "my.name", "123-abc"],
        )
    };
    let mut broken = Vec::new();
    let parts: Vec<_> = text.split('/').collect();
    let name = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                broken.push("prefix part must be non-empty".to_owned());
            } else {
                broken.extend(subdomain(prefix).into_iter().map(|m| format!("prefix part {m}")));
            }
            *name
        }
        _ => {
            let tail = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a qualified name {}{tail}", rule())];
        }
    };
    if name.is_empty() {
        broken.push("name part must be non-empty".to_owned());
    } else if name.len() > MAX_LABEL {
        broken.push(format!("name part {}", no_more_than(MAX_LABEL)));
    }
    if !is_qualified(name) {
        broken.push(format!("name part {}", rule()));
    }
    broken
}

pub(super) fn label_value(text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if text.len() > MAX_LABEL {
        broken.push(no_more_than(MAX_LABEL));
    }
    if !text.is_empty() && !is_qualified(text) {
        broken.push(by_pattern(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', \
             '_' or '.', and must start and end with an alphanumeric character",
            "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
            &["MyValue", "my_value", "12345"],
        ));
    }
    broken
}

/// What is wrong with a key of a `ConfigMap` or `Secret`.
pub fn config_key(text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if text.len() > MAX_SUBDOMAIN {
        broken.push(no_more_than(MAX_SUBDOMAIN));
    }
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if text.is_empty() || !text.bytes().all(is_allowed) {
        broken.push(by_pattern(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match text {
        "." => broken.push("must not be '.'".to_owned()),
        ".." => broken.push("must not be '..'".to_owned()),
        _ if text.starts_with("..") => broken.push("must not start with '..'".to_owned()),
        _ => {}
    }
    broken
}

/// An environment variable's name by the rule since 1.34.
pub(super) fn env_name(text: &str) -> Vec<String> {
    let is_allowed = |b: u8| matches!(b, 0x20..=0x7e) && b != b'=';
    if !text.is_empty() && text.bytes().all(is_allowed) {
        return Vec::new();
    }
    vec![
        "a valid environment variable name must consist only of printable ASCII characters other \
         than '='"
            .to_owned(),
    ]
}

pub(super) fn port_name(text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let mut rule = |is_kept: bool, message: &str| {
        if !is_kept {
            broken.push(message.to_owned());
        }
    };
    rule(text.len() <= 15, "must be no more than 15 characters");
    rule(
        !text.is_empty() && text.bytes().all(|b| is_lower_alphanumeric(b) || b == b'-'),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    rule(text.bytes().any(|b| b.is_ascii_lowercase()), "must contain at least one letter (a-z)");
    rule(!text.contains("--"), "must not contain consecutive hyphens");
    rule(!text.starts_with('-') && !text.ends_with('-'), "must not begin or end with a hyphen");
    broken
}

pub(super) fn http_header(text: &str) -> Vec<String> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Vec::new();
    }
    vec![by_pattern(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )]
}

/// A sysctl's name, with dots or slashes between its parts.
pub(super) fn is_sysctl(text: &str) -> bool {
    let is_part =
        |part: &str| is_enclosed(part, is_lower_alphanumeric, |byte| matches!(byte, b'-' | b'_'));
    text.len() <= MAX_SUBDOMAIN && text.split(['.', '/']).all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broken_part_has_its_own_message() {
        type Rule = fn(&str) -> Vec<String>;
        let table: [(&str, Rule, usize); 30] = [
            ("my-name", label, 0),
            ("a", label, 0),
            ("123", label, 0),
            ("a.b", label, 1),
            ("", label, 1),
            ("-a", label, 1),
            ("A", label, 1),
            ("a.b-c.1", subdomain, 0),
            ("a..b", subdomain, 1),
            (".", subdomain, 1),
            ("_tcp.x", subdomain, 1),
            ("a_b.x", subdomain_with_underscore, 0),
            ("app", qualified_name, 0),
            ("example.com/App_1", qualified_name, 0),
            ("/x", qualified_name, 1),
            ("a/b/c", qualified_name, 1),
            ("Example.com/x", qualified_name, 1),
            ("", qualified_name, 2),
            ("", label_value, 0),
            ("My.Value", label_value, 0),
            ("-x", label_value, 1),
            ("key.name", config_key, 0),
            ("..", config_key, 1),
            ("..x", config_key, 1),
            ("a b", config_key, 1),
            ("MY VAR", env_name, 0),
            ("A=B", env_name, 1),
            ("http", port_name, 0),
            ("-8-", port_name, 2),
            ("X Y", http_header, 1),
        ];
        for (text, rule, broken) in table {
            assert_eq!(rule(text).len(), broken, "{text}: {:?}", rule(text));
        }
        assert_eq!(label(&format!("Bad_{}", "a".repeat(60))).len(), 2);
    }

    #[test]
    fn texts_are_the_api_servers() {
        assert_eq!(
            label("A_b"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(
            subdomain("A"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(
            config_key("a b"),
            [
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
            ]
        );
    }
}
