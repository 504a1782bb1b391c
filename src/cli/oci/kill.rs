//! `podrt kill`.

use super::flags::{Grammar, Typed, switch};
use super::report::{Failure, Outcome};
use super::verb::id;
use crate::cli::globals::Globals;
use crate::container;
use crate::model::Signal;

pub const GRAMMAR: Grammar = Grammar {
    verb: "kill",
    words: "ID [SIGNAL]",
    about: "Send a signal (TERM) to a container's first process.",
    flags: &[switch("all", "a", "to all processes of the container")],
    least: 1,
    most: 2,
};

pub fn run(globals: &Globals, typed: &Typed) -> Outcome {
    let id = id(typed)?;
    let signal = signal(typed.words().get(1).map_or("TERM", String::as_str))?;
    container::kill(&globals.roots.root, &id, signal, typed.has("all"))
        .map_err(Failure::of("kill", id.as_str()))?;
    Ok(0)
}

/// 0 only asks whether the process is there.
fn signal(text: &str) -> Result<Option<Signal>, Failure> {
    if text == "0" {
        return Ok(None);
    }
    let known = Signal::parse(text);
    known.map(Some).ok_or_else(|| Failure::Contradiction(format!("unknown signal {text:?}")))
}
