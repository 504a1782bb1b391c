//! Files of `fileKeyRef`: `KEY='value'` lines (KEP-3721). Pure.

/// Why a file cannot be used, whatever key is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The value of `key`; the first match ends the search, so that what follows
/// it is not looked at.
///
/// # Errors
/// [`Malformed`] for anything before the match that is neither empty, a
/// comment, nor `NAME='value'`.
pub fn find(text: &str, key: &str) -> Result<Option<String>, Malformed> {
    let mut rest = text;
    while !rest.is_empty() {
        let line = rest.split('\n').next().unwrap_or_default();
        let trimmed = trim(line);
        if trimmed.is_empty() || trimmed.starts_with('#') {
            rest = rest.get(line.len() + 1..).unwrap_or_default();
            continue;
        }
        let (name, after) = rest.split_once('=').ok_or(Malformed)?;
        let name = name.trim_start_matches(is_blank);
        if name.is_empty() || name.contains(|c: char| is_blank(c) || c == '\n') {
            return Err(Malformed);
        }
        let (value, after) = value(after)?;
        if name == key {
            return Ok(Some(value.to_owned()));
        }
        rest = after;
    }
    Ok(None)
}

/// The quoted value at the front, and what follows its line. A blank between
/// `=` and the quote makes the value empty.
fn value(text: &str) -> Result<(&str, &str), Malformed> {
    if text.starts_with(is_blank) {
        let end = text.find('\n').map_or(text.len(), |newline| newline + 1);
        return Ok(("", &text[end..]));
    }
    let quoted = text.strip_prefix('\'').ok_or(Malformed)?;
    let (value, after) = quoted.split_once('\'').ok_or(Malformed)?;
    let tail = after.split('\n').next().unwrap_or_default();
    let trimmed = trim(tail);
    if !trimmed.is_empty() && !trimmed.starts_with('#') {
        return Err(Malformed);
    }
    Ok((value, after.get(tail.len() + 1..).unwrap_or_default()))
}

fn trim(line: &str) -> &str {
    line.trim_matches(|c| is_blank(c) || c == '\r')
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_match_is_the_value() {
        let file = "# comment\n\n  A='1'\nB='two\nlines' # note\nC=''\nA='again'\nD= 'x'\n";
        let table = [
            ("A", Some("1")),
            ("B", Some("two\nlines")),
            ("C", Some("")),
            ("D", Some("")),
            ("E", None),
        ];
        for (key, want) in table {
            assert_eq!(find(file, key), Ok(want.map(str::to_owned)), "{key}");
        }
    }

    #[test]
    fn what_comes_before_the_match_must_be_well_formed_and_what_follows_need_not() {
        let broken = ["no equals", "='x'", "A ='x'", "A=x", "A='x' y", "A='x", "A=\"x\"", "A=\n"];
        for text in broken {
            assert_eq!(find(text, "Z"), Err(Malformed), "{text:?}");
            assert_eq!(find(&format!("Z='1'\n{text}"), "Z"), Ok(Some("1".to_owned())), "{text:?}");
        }
    }
}
