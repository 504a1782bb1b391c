//! Names that become file names.

use super::{Error, Result};

/// Refuses what is not one plain path component: empty, over 255 bytes, with
/// `/`, NUL or control characters, or beginning with a dot (`.`, `..`, and the
/// store's own files).
pub(super) fn check<'a>(what: &'static str, name: &'a str) -> Result<&'a str> {
    let why = if name.is_empty() {
        "is empty"
    } else if name.len() > 255 {
        "is longer than 255 bytes"
    } else if name.starts_with('.') {
        "begins with a dot"
    } else if name.contains('/') || name.chars().any(char::is_control) {
        "has a character that no name may have"
    } else {
        return Ok(name);
    };
    Err(Error::Name { what, name: name.chars().take(300).collect(), why })
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_name_is_one_plain_path_component() {
        for good in ["a", "kube-root-ca.crt", "a..b", "ConfigMap", &"x".repeat(253)] {
            assert_eq!(check("name", good), Ok(good));
        }
        for bad in ["", ".", "..", ".lock", "a/b", "/", "a\0", "a\nb", &"x".repeat(256)] {
            assert!(check("name", bad).is_err(), "{bad:?}");
        }
    }
}
