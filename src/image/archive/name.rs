//! Names in archives.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::limits;

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadName {
    /// A `..`: no archiver of images writes one.
    Climbs,
    Nul,
    TooLong,
}

impl std::fmt::Display for BadName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Climbs => "name contains \"..\"",
            Self::Nul => "name contains a NUL byte",
            Self::TooLong => "name too long",
        })
    }
}

/// The components of an entry's name, relative to the root of its layer: `./`,
/// empty components and a leading `/` mean nothing there. No component is `.`,
/// `..` or empty; none at all is the root itself.
///
/// # Errors
/// A name that cannot mean a file of the layer.
pub fn components(name: &[u8]) -> Result<Vec<&OsStr>, BadName> {
    if name.len() > limits::NAME_MAX_BYTES {
        return Err(BadName::TooLong);
    }
    if name.contains(&0) {
        return Err(BadName::Nul);
    }
    let mut components = Vec::new();
    for component in name.split(|&b| b == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(BadName::Climbs),
            _ if component.len() > 255 => return Err(BadName::TooLong),
            _ => components.push(OsStr::from_bytes(component)),
        }
    }
    Ok(components)
}

/// What the last component of a name says about lower layers (image-spec,
/// layer.md, "Whiteouts").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning<'a> {
    /// An entry of this layer.
    Plain,
    /// `.wh.NAME`: NAME of the lower layers is gone.
    Whiteout(&'a OsStr),
    /// `.wh..wh..opq`: nothing of the lower layers shows in this folder.
    Opaque,
    /// Other `.wh..wh.` files are aufs's own.
    Ignored,
    /// `.wh.` of nothing, of `.` or of `..`.
    Nonsense,
}

/// Reads the last component of a name.
#[must_use]
pub fn meaning(name: &OsStr) -> Meaning<'_> {
    let Some(rest) = name.as_bytes().strip_prefix(b".wh.") else { return Meaning::Plain };
    match rest {
        b".wh..opq" => Meaning::Opaque,
        _ if rest.starts_with(b".wh.") => Meaning::Ignored,
        b"" | b"." | b".." => Meaning::Nonsense,
        _ => Meaning::Whiteout(OsStr::from_bytes(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_stay_below_the_root() {
        let parts = |name: &[u8]| components(name).map(|c| c.join(OsStr::new("|")));
        assert_eq!(parts(b"./a//b/").unwrap(), "a|b");
        assert_eq!(parts(b"/etc/passwd").unwrap(), "etc|passwd");
        assert_eq!(parts(b"./").unwrap(), "");
        assert_eq!(parts(b"a/../b"), Err(BadName::Climbs));
        assert_eq!(parts(b".."), Err(BadName::Climbs));
        assert_eq!(parts(b"a\0b"), Err(BadName::Nul));
        assert_eq!(parts(&[b'a'; 256]), Err(BadName::TooLong));
        assert_eq!(parts(&b"a/".repeat(2048)), Err(BadName::TooLong));
    }

    #[test]
    fn whiteouts_are_read_as_the_specification_says() {
        let table = [
            ("a", Meaning::Plain),
            (".wha", Meaning::Plain),
            ("x.wh.a", Meaning::Plain),
            (".wh.a", Meaning::Whiteout(OsStr::new("a"))),
            (".wh...", Meaning::Nonsense),
            (".wh.", Meaning::Nonsense),
            (".wh..", Meaning::Nonsense),
            (".wh..a", Meaning::Whiteout(OsStr::new(".a"))),
            (".wh..wh..opq", Meaning::Opaque),
            (".wh..wh.plnk", Meaning::Ignored),
            (".wh..wh..opqx", Meaning::Ignored),
        ];
        for (name, want) in table {
            assert_eq!(meaning(OsStr::new(name)), want, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_component_moves_up_or_stays(name in proptest::collection::vec(
            prop_oneof![Just(b'/'), Just(b'.'), any::<u8>()], 0..64
        )) {
            for component in components(&name).unwrap_or_default() {
                prop_assert!(!matches!(component.as_bytes(), b"" | b"." | b".."));
                prop_assert!(!component.as_bytes().contains(&b'/'));
            }
        }

        #[test]
        fn a_whiteout_names_one_plain_component(name in "\\.wh\\.[.wha/]{0,12}") {
            let name = name.replace('/', "");
            if let Meaning::Whiteout(target) = meaning(OsStr::new(&name)) {
                prop_assert!(!matches!(target.as_bytes(), b"" | b"." | b".."));
            }
        }
    }
}
