//! `podrt ps`.

use super::flags::{Grammar, Typed, value};
use super::report::{Failure, Outcome};
use super::verb::{id, print};
use crate::cli::globals::Globals;
use crate::container;

pub const GRAMMAR: Grammar = Grammar {
    verb: "ps",
    words: "ID [PS OPTIONS]",
    about: "Show the processes of a container.",
    flags: &[value("format", "f", "table (default; by ps(1)) or json")],
    least: 1,
    most: usize::MAX,
};

pub fn run(globals: &Globals, typed: &Typed) -> Outcome {
    let id = id(typed)?;
    let pids = container::processes(&globals.roots.root, &id)
        .map_err(Failure::of("ps of", id.as_str()))?;
    let pids: Vec<i32> = pids.into_iter().map(nix::unistd::Pid::as_raw).collect();
    match typed.text("format")?.unwrap_or("table") {
        // runc's word for none.
        "json" if pids.is_empty() => Ok(print("null\n")),
        "json" => Ok(print(&format!("{}\n", serde_json::to_string(&pids).unwrap_or_default()))),
        "table" => table(&pids, &typed.words()[1..]),
        _ => Err(Failure::Contradiction("invalid format option".to_owned())),
    }
}

/// What ps(1) says about them, `-ef` unless told otherwise.
fn table(pids: &[i32], options: &[String]) -> Outcome {
    let default = ["-ef".to_owned()];
    let options = if options.is_empty() { &default[..] } else { options };
    let output = std::process::Command::new("ps").args(options).output();
    let output = output.map_err(|error| Failure::File {
        doing: "run",
        path: "ps".to_owned(),
        problem: error.to_string(),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::Contradiction(format!("ps: {}", said.trim())));
    }
    select(&String::from_utf8_lossy(&output.stdout), pids)
        .map(|text| print(&text))
        .ok_or_else(|| Failure::Contradiction("couldn't find PID field in ps output".to_owned()))
}

/// The head and the lines whose PID column holds one of `pids`.
fn select(table: &str, pids: &[i32]) -> Option<String> {
    let mut lines = table.lines();
    let head = lines.next()?;
    let column = head.split_whitespace().position(|name| name == "PID")?;
    let ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|text| text.parse().ok());
        pid.is_some_and(|pid: i32| pids.contains(&pid))
    };
    Some(std::iter::once(head).chain(lines.filter(ours)).map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_lines_of_ps_are_kept() {
        let table = "UID PID CMD\nroot 1 init\nroot 12 sh 1\n";
        assert_eq!(select(table, &[12]).as_deref(), Some("UID PID CMD\nroot 12 sh 1\n"));
        assert_eq!(select("UID CMD\n", &[1]), None);
    }
}
