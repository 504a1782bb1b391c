//! Tests that need something this machine lacks.

use std::io::Write as _;

/// Notes that `test` is skipped and why; `make test` prints and counts the
/// notes. Use as `return skip("name", "reason")`.
pub fn skip(test: &str, reason: &str) {
    eprintln!("skipped: {test}: {reason}");
    let Some(path) = std::env::var_os("PODRT_SKIP_LOG") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    if let Ok(mut file) = file {
        let _ = writeln!(file, "{test}: {reason}");
    }
}
