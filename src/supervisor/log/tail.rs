//! The end of a log, as text: what a container that failed said last.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The contents of the last `entries` entries in `path`, and of that the last
/// `bytes` bytes. A missing log is empty.
///
/// # Errors
/// Those of reading.
pub fn tail(path: &Path, entries: usize, bytes: usize) -> io::Result<String> {
    let mut file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        result => result?,
    };
    // Every entry has at least one byte beside its prefix, so this holds as
    // many bytes of content as can be asked for.
    let window = (entries as u64) * ENTRY_BYTES;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(window)))?;
    let mut end = Vec::new();
    file.take(window).read_to_end(&mut end)?;
    Ok(contents(&end, entries, bytes))
}

/// A prefix and 16 KiB.
const ENTRY_BYTES: u64 = 17 * 1024;

fn contents(log: &[u8], entries: usize, bytes: usize) -> String {
    let log = log.strip_suffix(b"\n").unwrap_or(log);
    let lines: Vec<&[u8]> = log.split(|&byte| byte == b'\n').collect();
    let mut text = Vec::new();
    for line in lines.iter().skip(lines.len().saturating_sub(entries)) {
        // Time, stream, tags, content.
        let mut fields = line.splitn(4, |&byte| byte == b' ').skip(2);
        let (Some(tags), Some(content)) = (fields.next(), fields.next()) else { continue };
        text.extend_from_slice(content);
        if tags.split(|&byte| byte == b':').next() == Some(b"F") {
            text.push(b'\n');
        }
    }
    let end = &text[text.len().saturating_sub(bytes)..];
    String::from_utf8_lossy(end).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entries_are_joined_without_their_prefixes() {
        let log = b"T stdout F one\nT stderr P tw\nT stderr F o\nT stdout F \nT stdout F a b  c\n";
        assert_eq!(contents(log, 80, 2048), "one\ntwo\n\na b  c\n");
        assert_eq!(contents(log, 2, 2048), "\na b  c\n");
        assert_eq!(contents(log, 80, 4), "  c\n");
        assert_eq!(contents(b"", 80, 2048), "");
        assert_eq!(contents(b"cut off\nT stdout F x\n", 80, 2048), "x\n");
    }

    #[test]
    fn a_missing_log_is_empty() {
        assert_eq!(tail(Path::new("/nonexistent/0.log"), 80, 2048).unwrap(), "");
    }
}
