//! CRI logs: what a container writes comes out of its log again, however it was
//! cut; and any line at all can be offered to the reader.

use podrt::cli::logs::Entry;
use podrt::model::Timestamp;
use podrt::supervisor::log::entry::{Prefix, Stream};
use podrt::supervisor::log::split::next_piece;

pub fn check(bytes: &[u8]) {
    for line in bytes.split(|&byte| byte == b'\n') {
        if let Some(entry) = Entry::parse(line) {
            let mut out = Vec::new();
            entry.write(true, true, b"", &mut out);
            assert!(out.len() >= entry.content.len());
        }
    }
    let prefix = Prefix::new(Timestamp(1_769_903_999_123_456_789), Stream::Stdout);
    let (mut log, mut rest) = (Vec::new(), bytes);
    while let Some(piece) = next_piece(rest, true) {
        assert!(piece.length > 0 && piece.length <= rest.len());
        prefix.write(piece.tag, piece.content, &mut log);
        rest = &rest[piece.length..];
    }
    assert!(rest.is_empty(), "the end of a stream leaves nothing");
    let mut read = Vec::new();
    for line in log.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").expect("whole lines");
        let entry = Entry::parse(line).expect("an entry that was written");
        read.extend_from_slice(entry.content);
        if !entry.is_partial {
            read.push(b'\n');
        }
    }
    assert_eq!(read, without_returns(bytes));
}

/// The one change a log makes: `\r\n` becomes `\n`.
fn without_returns(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(text) => out.extend_from_slice(&[text, b"\n"].concat()),
            None => out.extend_from_slice(line),
        }
    }
    out
}
