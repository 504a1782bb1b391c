//! `podrt list`.

use super::flags::{Grammar, Typed, switch, value};
use super::report::{Failure, Outcome};
use super::verb::print;
use crate::cli::globals::Globals;
use crate::container::State;

pub const GRAMMAR: Grammar = Grammar {
    verb: "list",
    words: "",
    about: "List the containers below the root.",
    flags: &[value("format", "f", "table (default) or json"), switch("quiet", "q", "only the ids")],
    least: 0,
    most: 0,
};

pub fn run(globals: &Globals, typed: &Typed) -> Outcome {
    let states = State::list(&globals.roots.root)
        .map_err(|source| Failure::Container { doing: "list".to_owned(), source })?;
    if typed.has("quiet") {
        let ids: String = states.iter().map(|state| format!("{}\n", state.id)).collect();
        return Ok(print(&ids));
    }
    match typed.text("format")?.unwrap_or("table") {
        "table" => Ok(print(&table(&states))),
        // runc prints `null` for none.
        "json" if states.is_empty() => Ok(print("null\n")),
        "json" => Ok(print(&format!("{}\n", serde_json::to_string(&states).unwrap_or_default()))),
        _ => Err(Failure::Contradiction("invalid format option".to_owned())),
    }
}

fn table(states: &[State]) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows = states.iter().map(|state| {
        [
            state.id.to_string(),
            state.pid.to_string(),
            state.status.as_str().to_owned(),
            state.bundle.display().to_string(),
            state.created.clone(),
            state.owner.clone(),
        ]
    });
    columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

/// As Go's tabwriter with runc's settings: at least 12 wide, one blank between,
/// and behind the last column too.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (cell.chars().count() + 1).max(12).max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate();
        let padded = cells.map(|(at, (cell, width))| match at + 1 == N {
            true => cell.clone(),
            false => format!("{cell:<width$}"),
        });
        padded.collect::<String>() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["ID", "X"], ["a-rather-long-id", "1"]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows), "ID               X\na-rather-long-id 1\n");
    }
}
