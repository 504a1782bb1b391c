//! Tests that need something this machine lacks.

use std::io::Write as _;
use std::path::Path;

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

/// Whether the machine has all of `controllers`, in whatever hierarchy; notes
/// that `test` is skipped where it has not.
pub fn has_controllers(test: &str, controllers: &[&str]) -> bool {
    let v1 = |name: &str| Path::new("/sys/fs/cgroup").join(name).is_dir();
    has(test, controllers, |name| v2_controllers().iter().any(|one| one == name) || v1(name))
}

/// The same in the one hierarchy of cgroup v2.
pub fn has_v2_controllers(test: &str, controllers: &[&str]) -> bool {
    has(test, controllers, |name| v2_controllers().iter().any(|one| one == name))
}

fn has(test: &str, controllers: &[&str], present: impl Fn(&str) -> bool) -> bool {
    let missing: Vec<_> = controllers.iter().copied().filter(|name| !present(name)).collect();
    if !missing.is_empty() {
        skip(test, &format!("no cgroup controller {}", missing.join(", ")));
    }
    missing.is_empty()
}

fn v2_controllers() -> Vec<String> {
    let text = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}
