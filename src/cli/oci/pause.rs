//! `podrt pause`.

use super::flags::{Grammar, Typed};
use super::report::{Failure, Outcome};
use super::verb::id;
use crate::cli::globals::Globals;
use crate::container;

pub const GRAMMAR: Grammar = Grammar {
    verb: "pause",
    words: "ID",
    about: "Freeze all processes of a container.",
    flags: &[],
    least: 1,
    most: 1,
};

pub fn run(globals: &Globals, typed: &Typed) -> Outcome {
    let id = id(typed)?;
    container::pause(&globals.roots.root, &id).map_err(Failure::of("pause", id.as_str()))?;
    Ok(0)
}
