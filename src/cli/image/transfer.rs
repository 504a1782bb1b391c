//! `image import`, `load` and `save`.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal};
use std::os::fd::AsFd;
use std::path::Path;

use super::args::{ImportArgs, LoadArgs, SaveArgs};
use super::config::config;
use super::verbs::{failed, parse_name};
use crate::cli::error::CliError;
use crate::image::Store;
use crate::image::load::Source;

pub(super) fn import(store: &Store, args: &ImportArgs) -> Result<String, CliError> {
    let name = parse_name(&args.name)?;
    let config = config(args)?;
    let imported = if args.source == Path::new("-") {
        store.import_tar(standard_input()?, &name, &config)
    } else if args.source.is_dir() {
        store.import_dir(&args.source, &name, &config)
    } else {
        store.import_tar(open(&args.source)?, &name, &config)
    };
    let imported = imported.map_err(|error| failed(&error))?;
    Ok(if args.quiet {
        format!("{}\n", imported.id)
    } else {
        format!("Imported image: {} ({})\n", name, imported.id)
    })
}

pub(super) fn load(store: &Store, args: &LoadArgs) -> Result<String, CliError> {
    let name = args.name.as_deref().map(parse_name).transpose()?;
    let path = args.source.as_ref().or(args.input.as_ref());
    let source = match path {
        Some(path) if path != Path::new("-") => Source::Path(path),
        _ => Source::Stream(standard_input()?),
    };
    let loaded = store.load(source, name.as_ref()).map_err(|error| failed(&error))?;
    let mut text = String::new();
    for image in loaded {
        if args.quiet {
            text += &format!("{}\n", image.id);
        } else if image.names.is_empty() {
            text += &format!("Loaded image ID: {}\n", image.id);
        } else {
            text.extend(image.names.iter().map(|name| format!("Loaded image: {name}\n")));
        }
    }
    Ok(text)
}

pub(super) fn save(store: &Store, args: &SaveArgs) -> Result<(), CliError> {
    let Some(path) = &args.output else {
        let out = io::stdout();
        if out.is_terminal() {
            let refusal = "save image: standard output is a terminal, use -o FILE";
            return Err(CliError::Refused(refusal.into()));
        }
        return store.save(&args.images, out.lock()).map_err(|error| failed(&error));
    };
    let file = File::create(path).map_err(|error| unusable(path, &error))?;
    let out = BufWriter::with_capacity(1 << 20, file);
    store.save(&args.images, out).map_err(|error| {
        // Half an archive helps nobody; a device stays.
        if path.is_file() {
            let _ = fs::remove_file(path);
        }
        failed(&error)
    })
}

fn open(path: &Path) -> Result<File, CliError> {
    File::open(path).map_err(|error| unusable(path, &error))
}

fn standard_input() -> Result<File, CliError> {
    let input = io::stdin();
    if input.is_terminal() {
        return Err(CliError::Refused("read image: standard input is a terminal".into()));
    }
    let fd = input.as_fd().try_clone_to_owned();
    fd.map(File::from).map_err(|error| unusable(Path::new("-"), &error))
}

fn unusable(path: &Path, error: &io::Error) -> CliError {
    CliError::File { path: path.display().to_string(), cause: error.to_string() }
}
