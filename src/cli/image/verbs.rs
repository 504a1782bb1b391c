//! Which verb does what, and the short ones.

use std::io::Write as _;

use super::args::{ImageArgs, RemoveArgs, Verb};
use super::list::size;
use super::{list, transfer};
use crate::cli::error::CliError;
use crate::image::remove::Removed;
use crate::image::{Error, Reference, Store};
use crate::model::{Roots, Timestamp};

/// Runs `podrt image …`; what goes to standard output.
///
/// # Errors
/// The store's errors, and names outside the grammar.
pub fn run(args: &ImageArgs, roots: &Roots, now: Timestamp) -> Result<String, CliError> {
    let store = || Store::open(&roots.images()).map_err(|error| failed(&error));
    match &args.verb {
        Verb::Import(args) => transfer::import(&store()?, args),
        Verb::Load(args) => transfer::load(&store()?, args),
        Verb::Save(args) => transfer::save(&store()?, args).map(|()| String::new()),
        Verb::List(args) => list::list(&store()?, args, now),
        Verb::Inspect { images } => list::inspect(&store()?, images),
        Verb::Tag { image, name } => {
            store()?.tag(image, &parse_name(name)?).map_err(|error| failed(&error))?;
            Ok(String::new())
        }
        Verb::Rm(args) => remove(&store()?, args),
        Verb::Prune { all } => prune(&store()?, *all),
        Verb::Pull { name } => Err(pull(&parse_name(name)?)),
    }
}

fn pull(name: &Reference) -> CliError {
    let what = format!("pull image {name}: pulling from a registry is not supported yet");
    failed(&Error::Unsupported { what })
}

/// Removes what can be removed; the first that cannot is the error.
fn remove(store: &Store, args: &RemoveArgs) -> Result<String, CliError> {
    let mut text = String::new();
    let mut refused = None;
    for image in &args.images {
        match store.remove(image, args.force) {
            Ok(removed) => text += &lines(&removed),
            Err(error) => refused = refused.or(Some(failed(&error))),
        }
    }
    let Some(error) = refused else { return Ok(text) };
    // What was done is told, although the command fails.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Err(error)
}

fn prune(store: &Store, all: bool) -> Result<String, CliError> {
    let pruned = store.prune(all).map_err(|error| failed(&error))?;
    let total = size(pruned.reclaimed_bytes);
    Ok(format!("{}Total reclaimed space: {total}\n", lines(&pruned.removed)))
}

fn lines(removed: &[Removed]) -> String {
    let line = |removed: &Removed| match removed {
        Removed::Untagged(name) => format!("Untagged: {}\n", name.familiar()),
        Removed::Deleted(id) => format!("Deleted: {id}\n"),
    };
    removed.iter().map(line).collect()
}

pub(super) fn parse_name(text: &str) -> Result<Reference, CliError> {
    Reference::parse(text)
        .map_err(|problem| failed(&Error::Reference { text: text.to_owned(), problem }))
}

pub(super) fn failed(error: &Error) -> CliError {
    CliError::room(error, error.kind())
}
