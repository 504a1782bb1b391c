//! Entries in the log format of CRI:
//! `2026-01-31T23:59:59.123456789Z stdout F text`.

use super::split::Tag;
use crate::model::Timestamp;

/// Which of a container's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// What stands before the content of every entry of one moment.
#[derive(Debug)]
pub struct Prefix {
    full: Vec<u8>,
    partial: Vec<u8>,
}

impl Prefix {
    /// The prefixes of entries read at `time`.
    #[must_use]
    pub fn new(time: Timestamp, stream: Stream) -> Self {
        let stream = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let time = time.rfc3339_nanos();
        let with = |tag| format!("{time} {stream} {tag} ").into_bytes();
        Self { full: with('F'), partial: with('P') }
    }

    /// Appends one entry to `output`.
    pub fn write(&self, tag: Tag, content: &[u8], output: &mut Vec<u8>) {
        output.extend_from_slice(match tag {
            Tag::Full => &self.full,
            Tag::Partial => &self.partial,
        });
        output.extend_from_slice(content);
        output.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_time_stream_tag_and_content() {
        let time = Timestamp(1_769_903_999_123_456_789);
        let mut output = Vec::new();
        Prefix::new(time, Stream::Stdout).write(Tag::Full, b"a b", &mut output);
        Prefix::new(time, Stream::Stderr).write(Tag::Partial, b"", &mut output);
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "2026-01-31T23:59:59.123456789Z stdout F a b\n\
             2026-01-31T23:59:59.123456789Z stderr P \n"
        );
    }
}
