//! Which entries of a log a user asked for: `--tail`, `--since`,
//! `--limit-bytes`, `--timestamps`.

use crate::model::Timestamp;

use super::Entry;

/// The reader's options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only the last lines of what is there.
    pub tail: Option<usize>,
    /// Only what was written at or after this time.
    pub since: Option<Timestamp>,
    /// Stop after so many bytes, in the middle of a line if need be.
    pub limit_bytes: Option<usize>,
    pub timestamps: bool,
    /// In front of each line.
    pub prefix: Vec<u8>,
}

/// Renders entries one after the other, joining the parts of long lines.
#[derive(Debug)]
pub struct Renderer {
    selection: Selection,
    /// The last entry of each stream was a part: stdout, stderr.
    inside_line: [bool; 2],
    written: usize,
}

impl Renderer {
    /// A renderer at the beginning of a log.
    #[must_use]
    pub fn new(selection: Selection) -> Self {
        Self { selection, inside_line: [false; 2], written: 0 }
    }

    /// Appends one line of the log to `out`, if the user asked for it.
    pub fn push(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let Some(entry) = Entry::parse(line) else { return };
        let inside = &mut self.inside_line[usize::from(entry.is_stderr)];
        let begins_line = !std::mem::replace(inside, entry.is_partial);
        if self.selection.since.is_some_and(|since| entry.time < since) {
            return;
        }
        let start = out.len();
        entry.write(begins_line, self.selection.timestamps, &self.selection.prefix, out);
        if let Some(limit) = self.selection.limit_bytes {
            out.truncate(start + (out.len() - start).min(limit - self.written.min(limit)));
        }
        self.written += out.len() - start;
    }

    /// True when nothing more will be printed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.selection.limit_bytes.is_some_and(|limit| self.written >= limit)
    }
}

/// Where the last `lines` lines of `log` begin. A line that was written in
/// parts counts once, by its last part.
#[must_use]
pub fn tail_start(log: &[u8], lines: usize) -> usize {
    let body = log.strip_suffix(b"\n").unwrap_or(log);
    if lines == 0 {
        return log.len();
    }
    let mut wanted = lines;
    let mut end = body.len();
    let mut start_of_wanted = log.len();
    loop {
        let start = body[..end].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let whole = Entry::parse(&body[start..end]).is_none_or(|entry| !entry.is_partial);
        // The open line at the very end counts as well.
        if whole || end == body.len() {
            if wanted == 0 {
                return start_of_wanted;
            }
            wanted -= 1;
        }
        start_of_wanted = start;
        if start == 0 {
            return 0;
        }
        end = start - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &[u8] = b"2026-01-01T00:00:01Z stdout F one\n\
        2026-01-01T00:00:02Z stdout P tw\n\
        2026-01-01T00:00:02Z stdout F o\n\
        2026-01-01T00:00:03Z stderr F three\n";

    fn render(selection: Selection) -> String {
        let start = selection.tail.map_or(0, |lines| tail_start(LOG, lines));
        let mut renderer = Renderer::new(selection);
        let mut out = Vec::new();
        for line in LOG[start..].split(|b| *b == b'\n') {
            renderer.push(line, &mut out);
        }
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_tail_counts_lines_not_entries() {
        let tail = |lines| render(Selection { tail: Some(lines), ..Selection::default() });
        assert_eq!(tail(0), "");
        assert_eq!(tail(1), "three\n");
        assert_eq!(tail(2), "two\nthree\n");
        assert_eq!(tail(3), "one\ntwo\nthree\n");
        assert_eq!(tail(9), "one\ntwo\nthree\n");
    }

    #[test]
    fn since_and_limit_cut_what_they_say() {
        let since = Timestamp::parse_rfc3339("2026-01-01T00:00:03Z");
        assert_eq!(render(Selection { since, ..Selection::default() }), "three\n");
        assert_eq!(render(Selection { limit_bytes: Some(5), ..Selection::default() }), "one\nt");
    }
}
