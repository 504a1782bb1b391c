//! `podrt delete`.

use super::flags::{Grammar, Typed, switch};
use super::report::{Failure, Outcome};
use super::verb::id;
use crate::cli::globals::Globals;
use crate::container;

pub const GRAMMAR: Grammar = Grammar {
    verb: "delete",
    words: "ID",
    about: "Remove a stopped container with all that belongs to it.",
    flags: &[switch("force", "f", "kill it first; a missing one is no error")],
    least: 1,
    most: 1,
};

pub fn run(globals: &Globals, typed: &Typed) -> Outcome {
    let id = id(typed)?;
    container::delete(&globals.roots.root, &id, typed.has("force"))
        .map_err(Failure::of("delete", id.as_str()))?;
    Ok(0)
}
