//! The inputs that fuzzing found worth keeping, and those it failed on, through
//! the same checks: `make fuzz` needs a fuzzer, this does not.

use std::fs;
use std::path::Path;

#[path = "fuzz/checks/config.rs"]
mod config;
#[path = "fuzz/checks/control.rs"]
mod control;
#[path = "fuzz/checks/env_file.rs"]
mod env_file;
#[path = "fuzz/checks/expansion.rs"]
mod expansion;
#[path = "fuzz/checks/grpc.rs"]
mod grpc;
#[path = "fuzz/checks/http.rs"]
mod http;
#[path = "fuzz/checks/image.rs"]
mod image;
#[path = "fuzz/checks/layer.rs"]
mod layer;
#[path = "fuzz/checks/log.rs"]
mod log;
#[path = "fuzz/checks/manifest.rs"]
mod manifest;
#[path = "fuzz/checks/quantity.rs"]
mod quantity;
#[path = "fuzz/checks/reference.rs"]
mod reference;
#[path = "fuzz/checks/seccomp.rs"]
mod seccomp;
#[path = "fuzz/checks/users.rs"]
mod users;

type Check = fn(&[u8]);

const CHECKS: [(&str, Check); 14] = [
    ("config", config::check),
    ("control", control::check),
    ("env_file", env_file::check),
    ("expansion", expansion::check),
    ("grpc", grpc::check),
    ("http", http::check),
    ("image", image::check),
    ("layer", layer::check),
    ("log", log::check),
    ("manifest", manifest::check),
    ("quantity", quantity::check),
    ("reference", reference::check),
    ("seccomp", seccomp::check),
    ("users", users::check),
];

#[test]
fn every_kept_input_passes_its_check() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/fuzz/corpus");
    for (name, check) in CHECKS {
        let entries = fs::read_dir(corpus.join(name)).expect("a corpus");
        let files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        assert!(files.len() > 3, "{name} has next to no corpus");
        for file in files {
            // The name of the input is what a panic inside lacks.
            eprintln!("{}", file.display());
            check(&fs::read(&file).expect("an input"));
        }
    }
    let folders = fs::read_dir(&corpus).expect("corpora").count();
    assert_eq!(folders, CHECKS.len(), "a corpus without a check");
}

#[test]
fn every_check_is_a_target_of_the_fuzzer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/fuzz");
    let names = |below: &str| {
        let entries = fs::read_dir(folder.join(below)).expect("folder").flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names("checks"), names("targets"));
    assert_eq!(names("checks").len(), CHECKS.len());
}
