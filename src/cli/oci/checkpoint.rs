//! `podrt checkpoint` and `podrt restore`: refused, their `--help` too. Callers
//! ask by it whether a runtime can do this.

use super::report::Failure;

/// Why the verb cannot run; `None` for all other verbs.
pub fn refusal(verb: &str) -> Option<Failure> {
    ["checkpoint", "restore"].contains(&verb).then(|| {
        let why = if installed() {
            "not supported, though criu is installed"
        } else {
            "not supported: exec: \"criu\": executable file not found in $PATH"
        };
        Failure::Contradiction(format!("{verb}: {why}"))
    })
}

fn installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join("criu").is_file())
}
