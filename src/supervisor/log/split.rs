//! Bytes of a stream → log entries. Pure.

/// The longest content of one entry, bytes; a longer line becomes several.
pub const MAX_ENTRY_BYTES: usize = 16 * 1024;

/// Whether an entry ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// `F`: the line ends here.
    Full,
    /// `P`: it goes on in the next entry, or the stream ended without a
    /// newline.
    Partial,
}

/// One entry, and how many bytes of the stream it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    pub tag: Tag,
    /// Without the newline, and without one carriage return before it.
    pub content: &'a [u8],
    pub length: usize,
}

/// The first entry of `bytes`, which begin where the last entry ended. `None`:
/// more bytes are needed to tell. At the end of the stream what is left is an
/// entry too.
#[must_use]
pub fn next_piece(bytes: &[u8], at_end: bool) -> Option<Piece<'_>> {
    // The longest line in one entry: its content, `\r` and `\n`.
    let window = &bytes[..bytes.len().min(MAX_ENTRY_BYTES + 2)];
    if let Some(newline) = memchr(window) {
        let content = &window[..newline];
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        if content.len() <= MAX_ENTRY_BYTES {
            return Some(Piece { tag: Tag::Full, content, length: newline + 1 });
        }
    }
    let cut = match bytes.len() {
        0 => return None,
        _ if is_too_long(window) => MAX_ENTRY_BYTES,
        left if at_end => left.min(MAX_ENTRY_BYTES),
        _ => return None,
    };
    Some(Piece { tag: Tag::Partial, content: &bytes[..cut], length: cut })
}

/// True when no newline that may still come could make one entry of this.
fn is_too_long(window: &[u8]) -> bool {
    match window.len().saturating_sub(MAX_ENTRY_BYTES) {
        0 => false,
        1 => window[MAX_ENTRY_BYTES] != b'\r',
        _ => true,
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(mut bytes: &[u8], at_end: bool) -> (Vec<(Tag, Vec<u8>)>, usize) {
        let mut found = Vec::new();
        while let Some(piece) = next_piece(bytes, at_end) {
            found.push((piece.tag, piece.content.to_vec()));
            bytes = &bytes[piece.length..];
        }
        (found, bytes.len())
    }

    fn full(text: &[u8]) -> (Tag, Vec<u8>) {
        (Tag::Full, text.to_vec())
    }

    fn partial(text: &[u8]) -> (Tag, Vec<u8>) {
        (Tag::Partial, text.to_vec())
    }

    #[test]
    fn lines_become_entries_without_their_newline_and_one_carriage_return() {
        #[expect(clippy::type_complexity)]
        let table: [(&[u8], Vec<(Tag, Vec<u8>)>); 6] = [
            (b"a\nb\n", vec![full(b"a"), full(b"b")]),
            (b"\n", vec![full(b"")]),
            (b"a\r\n", vec![full(b"a")]),
            (b"a\r\r\n", vec![full(b"a\r")]),
            (b"a\rb\n", vec![full(b"a\rb")]),
            (b"\0\xff\n", vec![full(b"\0\xff")]),
        ];
        for (input, want) in table {
            assert_eq!(pieces(input, false), (want, 0), "{input:?}");
        }
    }

    #[test]
    fn an_unfinished_line_waits_and_is_a_partial_entry_at_the_end() {
        assert_eq!(pieces(b"a\nrest", false), (vec![full(b"a")], 4));
        assert_eq!(pieces(b"a\nrest", true), (vec![full(b"a"), partial(b"rest")], 0));
        assert_eq!(pieces(b"", true), (vec![], 0));
    }

    #[test]
    fn a_line_of_the_longest_content_is_one_entry_and_a_longer_one_is_cut() {
        let line = |length: usize, end: &[u8]| [&vec![b'x'; length][..], end].concat();
        let x = |length: usize| vec![b'x'; length];
        let max = MAX_ENTRY_BYTES;
        for end in [&b"\n"[..], b"\r\n"] {
            assert_eq!(pieces(&line(max, end), false), (vec![full(&x(max))], 0));
            let cut = vec![partial(&x(max)), full(&x(1))];
            assert_eq!(pieces(&line(max + 1, end), false), (cut, 0));
        }
        assert_eq!(pieces(&line(max, b""), false), (vec![], max));
        assert_eq!(pieces(&line(max, b"\r"), false), (vec![], max + 1));
        assert_eq!(pieces(&line(max + 1, b""), false), (vec![partial(&x(max))], 1));
        assert_eq!(
            pieces(&line(2 * max, b"\n"), false),
            (vec![partial(&x(max)), full(&x(max))], 0)
        );
        assert_eq!(pieces(&line(2 * max + 1, b""), false).1, 1);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_however_the_stream_is_cut(
            text in proptest::collection::vec(
                prop_oneof![4 => Just(b'x'), 1 => Just(b'\n'), 1 => Just(b'\r')], 0..400),
            cuts in proptest::collection::vec(0_usize..400, 0..8),
        ) {
            let whole = pieces(&text, true).0;
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.push(text.len());
            cuts.sort_unstable();
            let (mut from, mut found) = (0, Vec::new());
            for cut in cuts {
                while let Some(piece) = next_piece(&text[from..cut], false) {
                    found.push((piece.tag, piece.content.to_vec()));
                    from += piece.length;
                }
            }
            found.extend(pieces(&text[from..], true).0);
            prop_assert_eq!(found, whole);
        }

        #[test]
        fn every_entry_covers_something_and_fits(
            text in proptest::collection::vec(any::<u8>(), 0..40_000), at_end: bool,
        ) {
            let mut rest = &text[..];
            while let Some(piece) = next_piece(rest, at_end) {
                prop_assert!(piece.length > 0 && piece.content.len() <= MAX_ENTRY_BYTES);
                rest = &rest[piece.length..];
            }
            prop_assert!(rest.len() <= MAX_ENTRY_BYTES + 1);
            prop_assert!(!at_end || rest.is_empty());
        }
    }
}
