//! `podrt resume`.

use super::flags::{Grammar, Typed};
use super::report::{Failure, Outcome};
use super::verb::id;
use crate::cli::globals::Globals;
use crate::container;

pub const GRAMMAR: Grammar = Grammar {
    verb: "resume",
    words: "ID",
    about: "Let the processes of a paused container run again.",
    flags: &[],
    least: 1,
    most: 1,
};

pub fn run(globals: &Globals, typed: &Typed) -> Outcome {
    let id = id(typed)?;
    container::resume(&globals.roots.root, &id).map_err(Failure::of("resume", id.as_str()))?;
    Ok(0)
}
