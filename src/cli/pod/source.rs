//! `-f`: the manifests of files, folders and standard input.

use std::path::{Path, PathBuf};

use crate::cli::error::CliError;
use crate::manifest::{self, Object};
use crate::model::PodKey;

use super::args::{Files, Scope};
use super::start;
use super::types::ResourceType;

const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// An object and where it was read.
#[derive(Debug)]
pub struct Given {
    /// What errors call the manifest.
    pub file: String,
    pub object: Object,
}

impl Given {
    /// What the object is called.
    ///
    /// # Errors
    /// A kind that no verb knows.
    pub fn target(&self) -> Result<(ResourceType, PodKey), CliError> {
        let kind = self.object.kind();
        let kind =
            ResourceType::parse(kind).ok_or_else(|| CliError::UnknownKind(kind.to_owned()))?;
        let metadata = self.object.metadata();
        let (namespace, name) = (metadata.namespace.clone(), metadata.name.clone());
        Ok((kind, PodKey { namespace, name }))
    }
}

/// Every object of the files, with its namespace.
///
/// # Errors
/// All that is wrong with the manifests, at once; a file that cannot be read.
pub fn objects(files: &Files, scope: &Scope) -> Result<Vec<Given>, CliError> {
    if files.names.is_empty() {
        return Err(CliError::Refused("must specify -f".into()));
    }
    let mut given = Vec::new();
    let mut problems = Vec::new();
    for file in expand(files)? {
        match manifest::parse(&start::read(&file)?, &file) {
            Ok(objects) => {
                let with_file = |object| Given { file: file.clone(), object };
                given.extend(objects.into_iter().map(with_file));
            }
            Err(report) => problems.push(report.to_string()),
        }
    }
    if !problems.is_empty() {
        return Err(CliError::Manifest(problems.join("\n")));
    }
    if given.is_empty() {
        return Err(CliError::Refused("no objects passed".into()));
    }
    for given in &mut given {
        set_namespace(&mut given.object, scope)?;
    }
    Ok(given)
}

/// An object without a namespace gets the one that was typed, or `default`.
///
/// # Errors
/// kubectl's, when the typed one is another than the object's.
pub fn set_namespace(object: &mut Object, scope: &Scope) -> Result<(), CliError> {
    if !object.is_namespaced() {
        return Ok(());
    }
    let metadata = object.metadata_mut();
    if metadata.namespace.is_empty() {
        scope.namespace().clone_into(&mut metadata.namespace);
    }
    let own = &metadata.namespace;
    match scope.given() {
        Some(typed) if typed != own => Err(CliError::Refused(format!(
            "the namespace from the provided object {own:?} does not match the namespace \
             {typed:?}. You must pass '--namespace={own}' to perform this operation."
        ))),
        _ => Ok(()),
    }
}

/// The files behind the names, those of a folder in their order.
fn expand(files: &Files) -> Result<Vec<String>, CliError> {
    let mut all = Vec::new();
    for name in &files.names {
        if name.starts_with("http://") || name.starts_with("https://") {
            return Err(CliError::Refused(format!("{name}: manifests are read from files only")));
        }
        let path = Path::new(name);
        if name != "-" && !path.exists() {
            return Err(CliError::Refused(format!("the path {name:?} does not exist")));
        }
        if name == "-" || !path.is_dir() {
            all.push(name.clone());
            continue;
        }
        let before = all.len();
        folder(path, files.recursive, &mut all)?;
        if all.len() == before {
            return Err(CliError::Refused(format!(
                "error reading [{name}]: recognized file extensions are [.json .yaml .yml]"
            )));
        }
    }
    Ok(all)
}

fn folder(dir: &Path, recursive: bool, all: &mut Vec<String>) -> Result<(), CliError> {
    let failed = |e: std::io::Error| CliError::File {
        path: dir.display().to_string(),
        cause: e.to_string(),
    };
    let entries = std::fs::read_dir(dir).map_err(failed)?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>().map_err(failed)?;
    paths.sort();
    for path in paths {
        let is_manifest =
            path.extension().is_some_and(|end| EXTENSIONS.iter().any(|known| end == *known));
        if path.is_dir() {
            if recursive {
                folder(&path, true, all)?;
            }
        } else if is_manifest {
            all.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(())
}
