//! `podrt start`.

use super::flags::{Grammar, Typed};
use super::report::{Failure, Outcome};
use super::verb::id;
use crate::cli::globals::Globals;
use crate::container;

pub const GRAMMAR: Grammar = Grammar {
    verb: "start",
    words: "ID",
    about: "Execute the program of a created container.",
    flags: &[],
    least: 1,
    most: 1,
};

pub fn run(globals: &Globals, typed: &Typed) -> Outcome {
    let id = id(typed)?;
    container::start(&globals.roots.root, &id).map_err(Failure::of("start", id.as_str()))?;
    Ok(0)
}
