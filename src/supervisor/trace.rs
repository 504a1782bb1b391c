//! `shim.log`: what the shim says of itself, one line for each event, bounded.

use std::fmt::{self, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::sys::clock;

/// When the log has grown to this, it becomes `shim.log.old`.
const LIMIT_BYTES: u64 = 1 << 20;

/// Sends `tracing` to `shim.log` in the pod's folder; what is told is at least
/// of the level that `PODRT_LOG` names (`info` by default).
pub fn install(pod_run: &Path) {
    let level = std::env::var("PODRT_LOG").ok().and_then(|name| name.parse().ok());
    let path = pod_run.join("shim.log");
    let log = Log { level: level.unwrap_or(Level::INFO), path, file: Mutex::new(None) };
    // Fails when there is one already, as in tests: that one goes on.
    let _ = tracing::subscriber::set_global_default(log);
}

struct Log {
    level: Level,
    path: PathBuf,
    file: Mutex<Option<(File, u64)>>,
}

impl Log {
    /// Losing a line of this log must not stop the pod.
    fn write(&self, line: &str) {
        let Ok(mut slot) = self.file.lock() else { return };
        if slot.as_ref().is_none_or(|(_, length)| *length >= LIMIT_BYTES) {
            *slot = self.open();
        }
        if let Some((file, length)) = slot.as_mut()
            && file.write_all(line.as_bytes()).is_ok()
        {
            *length += line.len() as u64;
        }
    }

    fn open(&self) -> Option<(File, u64)> {
        let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path);
        let mut file = open().ok()?;
        let mut length = file.metadata().map_or(0, |metadata| metadata.len());
        if length >= LIMIT_BYTES {
            fs::rename(&self.path, self.path.with_extension("log.old")).ok()?;
            (file, length) = (open().ok()?, 0);
        }
        Some((file, length))
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::from_level(self.level))
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line { message: String::new(), fields: String::new() };
        event.record(&mut line);
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let time = clock::now().wall.rfc3339_nanos();
        self.write(&format!("{time} {level} {}{}\n", line.message, line.fields));
    }

    // There are no spans.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The message, and ` name=value` for each field.
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A String takes every write; a line break would make two lines of one.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_keeps_what_was_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shim.log");
        let log = Log { level: Level::INFO, path: path.clone(), file: Mutex::new(None) };
        tracing::subscriber::with_default(log, || {
            tracing::debug!("not told");
            tracing::info!(pod = "web", attempt = 1, "said");
        });
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with(" info said pod=\"web\" attempt=1\n"), "{text}");

        fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
        let log = Log { level: Level::INFO, path: path.clone(), file: Mutex::new(None) };
        log.write("new\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(fs::metadata(dir.path().join("shim.log.old")).unwrap().len(), 1 << 20);
    }
}
