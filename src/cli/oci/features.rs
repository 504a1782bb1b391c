//! `podrt features`.

use super::flags::{Grammar, Typed};
use super::report::Outcome;
use super::state::json;
use super::verb::print;
use crate::cli::globals::Globals;
use crate::container;

pub const GRAMMAR: Grammar = Grammar {
    verb: "features",
    words: "",
    about: "Print what this runtime can do, as JSON.",
    flags: &[],
    least: 0,
    most: 0,
};

pub fn run(_globals: &Globals, _typed: &Typed) -> Outcome {
    Ok(print(&format!("{}\n", json(&container::features::features()))))
}
