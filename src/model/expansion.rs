//! `$(VAR)` references in commands, arguments and environment values, by the
//! rules of Kubernetes: one pass, `$$` escapes, unknown names stay literal.

/// Replaces every `$(NAME)` in `input` that `lookup` knows. `$$` becomes `$`
/// and is not looked at again; an unknown reference, an unclosed `$(` and a
/// lone `$` stay as they are. A replaced value is not scanned again.
#[must_use]
pub fn expand<'a>(input: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut output = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(dollar) = rest.find('$') {
        output.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            output.push('$');
            rest = after;
            continue;
        }
        let reference = rest.strip_prefix('(').and_then(|inner| {
            let end = inner.find(')')?;
            Some((&inner[..end], &inner[end + 1..]))
        });
        let Some((name, after)) = reference else {
            output.push('$');
            continue;
        };
        match lookup(name) {
            Some(value) => output.push_str(value),
            None => {
                output.push_str("$(");
                output.push_str(name);
                output.push(')');
            }
        }
        rest = after;
    }
    output.push_str(rest);
    output
}

#[cfg(test)]
mod tests {
    use super::expand;
    use proptest::prelude::*;

    fn with_a(input: &str) -> String {
        expand(input, |name| match name {
            "A" => Some("1"),
            "EMPTY" => Some(""),
            _ => None,
        })
    }

    #[test]
    fn references_expand_as_in_kubernetes() {
        let table = [
            ("$(A)", "1"),
            ("$(MISSING)", "$(MISSING)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$$$(A)", "$$(A)"),
            ("$$", "$"),
            ("$A", "$A"),
            ("${A}", "${A}"),
            ("$", "$"),
            ("a$", "a$"),
            ("$(A", "$(A"),
            ("$()", "$()"),
            ("$(A))", "1)"),
            ("$($(A))", "$($(A))"),
            ("x$(EMPTY)y", "xy"),
            ("", ""),
            ("ä$(A)ö", "ä1ö"),
        ];
        for (input, want) in table {
            assert_eq!(with_a(input), want, "{input}");
        }
    }

    proptest! {
        #[test]
        fn text_without_a_dollar_is_unchanged(text in "[^$]{0,60}") {
            prop_assert_eq!(with_a(&text), text);
        }

        #[test]
        fn expansion_never_panics(text in "[$()Aaé]{0,60}") {
            let _ = with_a(&text);
        }
    }
}
