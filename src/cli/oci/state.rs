//! `podrt state`.

use super::flags::{Grammar, Typed};
use super::report::{Failure, Outcome};
use super::verb::{id, print};
use crate::cli::globals::Globals;
use crate::container::State;

pub const GRAMMAR: Grammar = Grammar {
    verb: "state",
    words: "ID",
    about: "Print the state of a container as JSON.",
    flags: &[],
    least: 1,
    most: 1,
};

pub fn run(globals: &Globals, typed: &Typed) -> Outcome {
    let id = id(typed)?;
    let state =
        State::load(&globals.roots.root, &id).map_err(Failure::of("state of", id.as_str()))?;
    Ok(print(&format!("{}\n", json(&state))))
}

/// Indented, as runc prints it.
pub fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
