//! A container's last words: its termination message.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::names::Places;
use crate::model::ExitStatus;
use crate::model::plan::{ContainerPlan, TerminationMessagePolicy};
use crate::supervisor::log::tail::tail;

const FILE_BYTES: u64 = 4096;
const LOG_LINES: usize = 80;
const LOG_BYTES: usize = 2048;

/// The end of the termination file; where that is empty and the container
/// failed, the end of its log if the policy says so.
#[must_use]
pub fn read(container: &ContainerPlan, places: &Places, status: ExitStatus) -> String {
    if container.termination_message_path.is_empty() {
        return String::new();
    }
    let text = match last_bytes(&places.termination_log, FILE_BYTES) {
        Ok(text) => text,
        Err(error) => {
            let path = places.termination_log.display();
            return format!("Error on reading termination log {path}: {error}");
        }
    };
    let falls_back = container.termination_message_policy
        == TerminationMessagePolicy::FallbackToLogsOnError
        && !status.success();
    if !text.is_empty() || !falls_back {
        return text;
    }
    tail(&places.log, LOG_LINES, LOG_BYTES)
        .unwrap_or_else(|error| format!("Error on reading termination message from logs: {error}"))
}

/// The last `count` bytes of a file; a missing one is empty.
fn last_bytes(path: &Path, count: u64) -> io::Result<String> {
    let mut file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        result => result?,
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(count)))?;
    let mut bytes = Vec::new();
    file.take(count).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::supervisor::testing::{container, pod};

    #[test]
    fn the_file_comes_first_and_the_log_only_when_it_shall_and_the_container_failed() {
        let dir = tempfile::tempdir().unwrap();
        let mut plan = pod();
        plan.roots.data_root = dir.path().join("data");
        plan.roots.log_root = dir.path().join("log");
        let places = Places::new(&plan, "main", 0);
        let mut container = container();
        let (ok, bad) = (ExitStatus::Exited(0), ExitStatus::Exited(1));
        assert_eq!(read(&container, &places, bad), "", "nothing is there");

        fs::create_dir_all(places.log.parent().unwrap()).unwrap();
        fs::write(&places.log, "T stdout F last words\n").unwrap();
        assert_eq!(read(&container, &places, bad), "");
        container.termination_message_policy = TerminationMessagePolicy::FallbackToLogsOnError;
        assert_eq!(read(&container, &places, bad), "last words\n");
        assert_eq!(read(&container, &places, ok), "");

        fs::create_dir_all(places.termination_log.parent().unwrap()).unwrap();
        fs::write(&places.termination_log, ["x".repeat(5000), "end".to_owned()].concat()).unwrap();
        let text = read(&container, &places, bad);
        assert_eq!(text.len(), 4096);
        assert!(text.ends_with("xend"));
    }
}
