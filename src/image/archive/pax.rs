//! PAX extended headers (POSIX pax, "pax Header Block").

use super::limits;

/// What extended headers add to an entry; they win over its plain header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    /// Seconds since 1970 and nanoseconds.
    pub mtime: Option<(i64, i64)>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: SparseKeys,
}

/// GNU tar's `GNU.sparse.*` records, in its formats 0.0, 0.1 and 1.0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SparseKeys {
    pub major: Option<u64>,
    pub minor: Option<u64>,
    pub name: Option<Vec<u8>>,
    pub real_size: Option<u64>,
    /// Offsets and lengths in turns.
    pub numbers: Vec<u64>,
    /// Any record of the kind was there.
    pub present: bool,
}

/// Reads the records of one extended header into `into`.
///
/// # Errors
/// What is wrong with them.
pub fn parse(mut text: &[u8], into: &mut Extensions) -> Result<(), &'static str> {
    while !text.is_empty() {
        let (key, value, rest) = record(text).ok_or("malformed pax record")?;
        text = rest;
        apply(key, value, into)?;
    }
    Ok(())
}

/// `LENGTH KEY=VALUE\n`, the length counting everything.
fn record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = text.iter().take(20).position(|&b| b == b' ')?;
    let length = usize::try_from(decimal(&text[..space])?).ok()?;
    if length <= space + 1 || length > text.len() {
        return None;
    }
    let (record, rest) = text.split_at(length);
    let body = record[space + 1..].strip_suffix(b"\n")?;
    let equals = body.iter().position(|&b| b == b'=')?;
    Some((&body[..equals], &body[equals + 1..], rest))
}

fn apply(key: &[u8], value: &[u8], into: &mut Extensions) -> Result<(), &'static str> {
    let number = |what| decimal(value).map(Some).ok_or(what);
    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
        into.xattrs.push((name.to_vec(), value.to_vec()));
        return Ok(());
    }
    if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
        return apply_sparse(key, value, &mut into.sparse);
    }
    match key {
        // An empty value takes the plain header's back.
        b"path" => into.path = Some(value.to_vec()).filter(|v| !v.is_empty()),
        b"linkpath" => into.link = Some(value.to_vec()).filter(|v| !v.is_empty()),
        b"size" => into.size = number("malformed pax size")?,
        b"uid" => into.uid = number("malformed pax uid")?,
        b"gid" => into.gid = number("malformed pax gid")?,
        b"mtime" => into.mtime = Some(time(value).ok_or("malformed pax mtime")?),
        _ => {}
    }
    Ok(())
}

fn apply_sparse(key: &[u8], value: &[u8], into: &mut SparseKeys) -> Result<(), &'static str> {
    const WRONG: &str = "malformed sparse record";
    into.present = true;
    let number = || decimal(value).ok_or(WRONG);
    match key {
        b"major" => into.major = Some(number()?),
        b"minor" => into.minor = Some(number()?),
        b"name" => into.name = Some(value.to_vec()),
        b"size" | b"realsize" => into.real_size = Some(number()?),
        b"offset" | b"numbytes" => into.numbers.push(number()?),
        b"map" => {
            for text in value.split(|&b| b == b',').filter(|text| !text.is_empty()) {
                into.numbers.push(decimal(text).ok_or(WRONG)?);
            }
        }
        _ => {}
    }
    if into.numbers.len() > 2 * limits::SPARSE_PIECES_MAX { Err("too many holes") } else { Ok(()) }
}

/// Digits only, at least one.
#[must_use]
pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `-1.5` → one and a half second before 1970, with nanoseconds above the
/// second as timespec wants them.
fn time(text: &[u8]) -> Option<(i64, i64)> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let dot = text.iter().position(|&b| b == b'.').unwrap_or(text.len());
    let seconds = i64::try_from(decimal(&text[..dot])?).ok()?;
    let fraction = text.get(dot + 1..).unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |index: usize| fraction.get(index).map_or(0, |b| i64::from(b - b'0'));
    let nanoseconds = (0..9).fold(0, |sum, index| sum * 10 + digit(index));
    match (negative, nanoseconds) {
        (false, _) => Some((seconds, nanoseconds)),
        (true, 0) => Some((-seconds, 0)),
        (true, _) => Some((-seconds - 1, 1_000_000_000 - nanoseconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_fill_what_they_name() {
        let mut found = Extensions::default();
        let text = b"12 path=a/b\n30 mtime=1350244992.02396001\n30 SCHILY.xattr.user.a=x=\ny\n\n";
        parse(&text[..12], &mut found).unwrap();
        assert_eq!(found.path.as_deref(), Some(&b"a/b"[..]));
        parse(b"30 mtime=1350244992.023960012\n", &mut found).unwrap();
        assert_eq!(found.mtime, Some((1_350_244_992, 23_960_012)));
        parse(b"28 SCHILY.xattr.user.a=x=\ny\n", &mut found).unwrap();
        assert_eq!(found.xattrs, [(b"user.a".to_vec(), b"x=\ny".to_vec())]);
    }

    #[test]
    fn malformed_records_are_refused() {
        let table: [&[u8]; 9] = [
            b"12 path=a/b",
            b"99 path=a/b\n",
            b"3 =\n",
            b"0 a=b\n",
            b"x",
            b"-5 a=b\n",
            b"99999999999999999999999 a=b\n",
            b"12 path.a.b.\n",
            b"10 uid=-1\n",
        ];
        for text in table {
            let shown = String::from_utf8_lossy(text);
            assert!(parse(text, &mut Extensions::default()).is_err(), "{shown}");
        }
    }

    #[test]
    fn times_before_1970_count_up_from_the_second_before() {
        assert_eq!(time(b"-1.5"), Some((-2, 500_000_000)));
        assert_eq!(time(b"-3"), Some((-3, 0)));
        assert_eq!(time(b"7.1234567899"), Some((7, 123_456_789)));
        assert_eq!(time(b"1.x"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&text, &mut Extensions::default());
        }

        #[test]
        fn a_record_reads_back(key in "[a-zA-Z.]{1,20}", value in "[^\\x00]{0,40}") {
            let body = format!(" {key}={value}\n");
            let mut length = body.len() + 1;
            while format!("{length}").len() + body.len() != length {
                length = format!("{length}").len() + body.len();
            }
            let text = format!("{length}{body}");
            let (got_key, got_value, rest) = record(text.as_bytes()).unwrap();
            prop_assert_eq!((got_key, got_value, rest), (key.as_bytes(), value.as_bytes(), &b""[..]));
        }
    }
}
