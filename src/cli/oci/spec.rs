//! `podrt spec`.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::flags::{Grammar, Typed, switch, value};
use super::report::{Failure, Outcome};
use super::state::json;
use crate::cli::globals::Globals;
use crate::container;

pub const GRAMMAR: Grammar = Grammar {
    verb: "spec",
    words: "",
    about: "Write an example config.json to the current folder or the bundle.",
    flags: &[
        value("bundle", "b", "folder to write to"),
        switch("rootless", "", "for a user who is not root"),
    ],
    least: 0,
    most: 0,
};

pub fn run(_globals: &Globals, typed: &Typed) -> Outcome {
    let folder = typed.value("bundle").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let path = folder.join("config.json");
    let ids = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let spec = container::spec::example(typed.has("rootless").then_some(ids));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o666)
        .open(&path)
        .and_then(|mut file| file.write_all(format!("{}\n", json(&spec)).as_bytes()));
    match written {
        Ok(()) => Ok(0),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let name = "config.json";
            Err(Failure::Contradiction(format!("File {name} exists. Remove it first")))
        }
        Err(error) => Err(Failure::File {
            doing: "write",
            path: path.display().to_string(),
            problem: error.to_string(),
        }),
    }
}
