//! One entry of a CRI log: `TIME STREAM TAG content`.

use crate::model::Timestamp;

/// A parsed entry, borrowing from the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    pub time: Timestamp,
    pub is_stderr: bool,
    /// The line goes on in the next entry of the stream.
    pub is_partial: bool,
    pub content: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Reads one line without its newline; `None` for anything that is no
    /// entry (a line that a crash cut short).
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let (time, rest) = word(line)?;
        let (stream, rest) = word(rest)?;
        let (tags, content) = word(rest)?;
        let time = Timestamp::parse_rfc3339(std::str::from_utf8(time).ok()?)?;
        let is_stderr = match stream {
            b"stdout" => false,
            b"stderr" => true,
            _ => return None,
        };
        let tag = tags.split(|b| *b == b':').next().unwrap_or_default();
        let is_partial = match tag {
            b"P" => true,
            b"F" => false,
            _ => return None,
        };
        Some(Self { time, is_stderr, is_partial, content })
    }

    /// Appends the entry as users read it; a whole line gets its newline.
    pub fn write(&self, begins_line: bool, timestamps: bool, prefix: &[u8], out: &mut Vec<u8>) {
        if begins_line {
            out.extend_from_slice(prefix);
            if timestamps {
                out.extend_from_slice(self.time.rfc3339_nanos().as_bytes());
                out.push(b' ');
            }
        }
        out.extend_from_slice(self.content);
        if !self.is_partial {
            out.push(b'\n');
        }
    }
}

/// Up to the next blank, and what follows it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|b| *b == b' ')?;
    Some((&text[..at], &text[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn entries_read_as_the_format_says() {
        let entry = Entry::parse(b"2026-01-31T23:59:59.123456789Z stdout F a b ").expect("entry");
        assert_eq!(entry.content, b"a b ");
        assert!(!entry.is_partial && !entry.is_stderr);
        let entry = Entry::parse(b"2026-01-31T23:59:59Z stderr P:x ").expect("entry");
        assert!(entry.is_partial && entry.is_stderr && entry.content.is_empty());
        for bad in [
            "",
            "x",
            "2026-01-31T23:59:59Z stdout F",
            "2026-01-31T23:59:59Z out F x",
            "t stdout F x",
        ] {
            assert_eq!(Entry::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn parts_of_a_line_join_without_a_separator_and_with_one_time() {
        let mut out = Vec::new();
        let first = Entry::parse(b"2026-01-31T23:59:59.5Z stdout P ab").expect("entry");
        let last = Entry::parse(b"2026-01-31T23:59:59.6Z stdout F cd").expect("entry");
        first.write(true, true, b"> ", &mut out);
        last.write(false, true, b"> ", &mut out);
        assert_eq!(out, b"> 2026-01-31T23:59:59.500000000Z abcd\n");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Entry::parse(&line);
        }
    }
}
