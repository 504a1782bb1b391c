//! Which verb runs.

use std::ffi::OsString;
use std::io::Write;

use super::flags::{Grammar, Typed, UsageError};
use super::report::{Failure, Outcome, tell};
use super::{
    checkpoint, completion, create, delete, events, exec, features, kill, list, pause, ps, restore,
    resume, run as run_verb, spec, start, state, update,
};
use crate::cli::error::CliError;
use crate::cli::globals::Globals;
use crate::model::ContainerId;

/// A verb: its command line and what it does.
type Verb = (&'static Grammar, fn(&Globals, &Typed) -> Outcome);

/// The command lines of all verbs.
pub const GRAMMARS: [&Grammar; 18] = [
    &checkpoint::GRAMMAR,
    &completion::GRAMMAR,
    &create::GRAMMAR,
    &delete::GRAMMAR,
    &events::GRAMMAR,
    &exec::GRAMMAR,
    &features::GRAMMAR,
    &kill::GRAMMAR,
    &list::GRAMMAR,
    &pause::GRAMMAR,
    &ps::GRAMMAR,
    &restore::GRAMMAR,
    &resume::GRAMMAR,
    &run_verb::GRAMMAR,
    &spec::GRAMMAR,
    &start::GRAMMAR,
    &state::GRAMMAR,
    &update::GRAMMAR,
];

fn find(verb: &str) -> Option<Verb> {
    Some(match verb {
        "checkpoint" => (&checkpoint::GRAMMAR, checkpoint::run),
        "restore" => (&restore::GRAMMAR, restore::run),
        "completion" => (&completion::GRAMMAR, completion::run),
        "create" => (&create::GRAMMAR, create::run),
        "start" => (&start::GRAMMAR, start::run),
        "state" => (&state::GRAMMAR, state::run),
        "kill" => (&kill::GRAMMAR, kill::run),
        "delete" => (&delete::GRAMMAR, delete::run),
        "run" => (&run_verb::GRAMMAR, run_verb::run),
        "events" => (&events::GRAMMAR, events::run),
        "exec" => (&exec::GRAMMAR, exec::run),
        "list" => (&list::GRAMMAR, list::run),
        "ps" => (&ps::GRAMMAR, ps::run),
        "pause" => (&pause::GRAMMAR, pause::run),
        "resume" => (&resume::GRAMMAR, resume::run),
        "features" => (&features::GRAMMAR, features::run),
        "update" => (&update::GRAMMAR, update::run),
        "spec" => (&spec::GRAMMAR, spec::run),
        _ => return None,
    })
}

/// Runs an OCI verb with what was typed behind it: the exit code. Prints its
/// error, and writes it to the `--log` file, as the callers of a runtime read
/// it.
pub fn run(globals: &Globals, verb: &str, rest: Vec<OsString>) -> u8 {
    if let Some(refusal) = checkpoint::refusal(verb) {
        tell(globals, &refusal);
        return 1;
    }
    let Some((grammar, act)) = find(verb) else {
        eprintln!("podrt: {}", CliError::UnknownVerb(verb.to_owned()));
        return 1;
    };
    match grammar.parse(rest).map_err(Failure::from).and_then(|typed| act(globals, &typed)) {
        Ok(code) => code,
        Err(Failure::Usage(UsageError::Help)) => print(&grammar.help()),
        Err(failure) => {
            tell(globals, &failure);
            // runc's: a command that could not be run is none of its own codes.
            if verb == "exec" { 255 } else { 1 }
        }
    }
}

/// Writes to standard output; a reader who is gone is no error.
pub fn print(text: &str) -> u8 {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    0
}

/// The container that the first word names.
pub fn id(typed: &Typed) -> Result<ContainerId, Failure> {
    let word = typed.words().first().map_or("", String::as_str);
    Ok(ContainerId::new(word)?)
}
