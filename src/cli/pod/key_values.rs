//! Where `create configmap` and `create secret` take keys and values from, by
//! kubectl's rules and in its words.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::cli::error::CliError;
use crate::manifest;

/// What the keys and values are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ConfigMap,
    Secret,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// Keys and values; a secret's are all bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) kind: Kind,
    name: String,
    pub(super) text: BTreeMap<String, String>,
    pub(super) binary: BTreeMap<String, Vec<u8>>,
}

/// All that the flags name.
///
/// # Errors
/// The first source that cannot be used.
pub(super) fn collect(
    kind: Kind,
    name: &str,
    files: &[String],
    literals: &[String],
    env_files: &[String],
) -> Result<Data, CliError> {
    let mut data =
        Data { kind, name: name.to_owned(), text: BTreeMap::new(), binary: BTreeMap::new() };
    files.iter().try_for_each(|source| data.add_file_or_folder(source))?;
    for source in literals {
        let (key, value) = literal(source)?;
        data.add(key, value.as_bytes().to_vec())?;
    }
    env_files.iter().try_for_each(|path| data.add_env_file(path))?;
    Ok(data)
}

fn refused<T>(text: String) -> Result<T, CliError> {
    Err(CliError::Refused(text))
}

/// `KEY=VALUE`.
fn literal(source: &str) -> Result<(&str, &str), CliError> {
    match source.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key, value)),
        _ => refused(format!("invalid literal source {source}, expected key=value")),
    }
}

/// `[KEY=]PATH`: the key is the file's name where none is given.
fn file_source(source: &str) -> Result<(&str, &str), CliError> {
    match source.split_once('=') {
        None => {
            let name = source.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            Ok((name, source))
        }
        Some((_, path)) if path.contains('=') => {
            refused("key names or file paths cannot contain '='".to_owned())
        }
        Some(("", path)) => refused(format!("key name for file path {path} missing")),
        Some((key, "")) => refused(format!("file path for key name {key} missing")),
        Some(pair) => Ok(pair),
    }
}

/// A line of an env file: nothing for one without a variable.
fn variable(line: &str) -> Result<Option<(&str, String)>, CliError> {
    let line = line.trim_start();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, value) = match line.split_once('=') {
        Some((name, value)) => (name, value.to_owned()),
        // A name alone stands for this command's own variable.
        None => (line, std::env::var(line).unwrap_or_default()),
    };
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let is_name = !name.is_empty()
        && name.bytes().all(is_allowed)
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_name && !matches!(name, "." | "..") && !name.starts_with("..") {
        return Ok(Some((name, value)));
    }
    refused(format!(
        "{name:?} is not a valid key name: a valid environment variable name must consist of \
         alphabetic characters, digits, '_', '-', or '.', and must not start with a digit (e.g. \
         'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is \
         '[-._a-zA-Z][-._a-zA-Z0-9]*')"
    ))
}

fn reading(path: &str, error: &std::io::Error) -> CliError {
    use nix::errno::Errno;
    let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    CliError::Refused(format!("error reading {path}: {}", crate::sys::error::describe(errno)))
}

impl Data {
    fn add_file_or_folder(&mut self, source: &str) -> Result<(), CliError> {
        let (key, path) = file_source(source)?;
        if !fs::metadata(path).map_err(|error| reading(path, &error))?.is_dir() {
            return self.add_file(key, Path::new(path));
        }
        if source.contains('=') {
            return refused("cannot give a key name for a directory path".to_owned());
        }
        let entries = fs::read_dir(path).map_err(|error| reading(path, &error))?;
        let mut names: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .map(|entry| entry.file_name())
            .collect();
        names.sort();
        names.iter().try_for_each(|name| {
            self.add_file(&name.to_string_lossy(), &Path::new(path).join(name))
        })
    }

    fn add_file(&mut self, key: &str, path: &Path) -> Result<(), CliError> {
        let bytes = fs::read(path).map_err(|error| reading(&path.to_string_lossy(), &error))?;
        self.add(key, bytes)
    }

    fn add_env_file(&mut self, path: &str) -> Result<(), CliError> {
        if fs::metadata(path).map_err(|error| reading(path, &error))?.is_dir() {
            return refused(match self.kind {
                Kind::ConfigMap => "env config file cannot be a directory".to_owned(),
                Kind::Secret => "env secret file cannot be a directory".to_owned(),
            });
        }
        let bytes = fs::read(path).map_err(|error| reading(path, &error))?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let Ok(line) = std::str::from_utf8(line) else {
                let number = number + 1;
                return refused(format!(
                    "env file {path} contains invalid utf8 bytes at line {number}"
                ));
            };
            if let Some((name, value)) = variable(line)? {
                self.add(name, value.into_bytes())?;
            }
        }
        Ok(())
    }

    fn add(&mut self, key: &str, value: Vec<u8>) -> Result<(), CliError> {
        let broken = manifest::config_key_problems(key);
        if !broken.is_empty() {
            return refused(match self.kind {
                Kind::ConfigMap => {
                    format!("{key:?} is not a valid key name for a ConfigMap: {}", broken.join(","))
                }
                Kind::Secret => {
                    format!("{key:?} is not valid key name for a Secret {}", broken.join(";"))
                }
            });
        }
        let place = if self.text.contains_key(key) { "Data" } else { "BinaryData" };
        if self.text.contains_key(key) || self.binary.contains_key(key) {
            return refused(match self.kind {
                Kind::ConfigMap => format!(
                    "cannot add key {key:?}, another key by that name already exists in {place} \
                     for ConfigMap {:?}",
                    self.name
                ),
                Kind::Secret => {
                    format!("cannot add key {key}, another key by that name already exists")
                }
            });
        }
        match (self.kind, String::from_utf8(value)) {
            (Kind::ConfigMap, Ok(text)) => drop(self.text.insert(key.to_owned(), text)),
            (Kind::Secret, Ok(text)) => drop(self.binary.insert(key.to_owned(), text.into())),
            (_, Err(bytes)) => drop(self.binary.insert(key.to_owned(), bytes.into_bytes())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_split_as_kubectl_splits_them() {
        assert_eq!(literal("a=b=c").unwrap(), ("a", "b=c"));
        assert_eq!(literal("a=").unwrap(), ("a", ""));
        for bad in ["a", "=b", ""] {
            let text = format!("invalid literal source {bad}, expected key=value");
            assert_eq!(literal(bad).unwrap_err().to_string(), text);
        }
        assert_eq!(file_source("/etc/x.conf").unwrap(), ("x.conf", "/etc/x.conf"));
        assert_eq!(file_source("k=/etc/x.conf").unwrap(), ("k", "/etc/x.conf"));
        for (bad, text) in [
            ("=/x", "key name for file path /x missing"),
            ("k=", "file path for key name k missing"),
            ("a=b=c", "key names or file paths cannot contain '='"),
        ] {
            assert_eq!(file_source(bad).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn lines_of_an_env_file_are_names_and_values() {
        let read = |line| variable(line).map(|found| found.map(|(k, v)| (k.to_owned(), v)));
        let pair = |key: &str, value: &str| Some((key.to_owned(), value.to_owned()));
        assert_eq!(read("  A=b c ").unwrap(), pair("A", "b c "));
        assert_eq!(read("A.b-c='x'").unwrap(), pair("A.b-c", "'x'"));
        assert_eq!(read("NO_SUCH_VARIABLE_HERE").unwrap(), pair("NO_SUCH_VARIABLE_HERE", ""));
        for nothing in ["", "   ", "# A=b", "  #"] {
            assert_eq!(read(nothing).unwrap(), None);
        }
        for bad in ["1A=b", "=b", "A B=c", "..x=y"] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains("is not a valid key name: a valid environment"), "{error}");
        }
    }

    #[test]
    fn a_key_is_given_once_and_is_one() {
        let collect = |kind, literals: &[&str]| {
            let literals: Vec<String> = literals.iter().map(|&text| text.to_owned()).collect();
            collect(kind, "cm", &[], &literals, &[]).map_err(|error| error.to_string())
        };
        assert_eq!(
            collect(Kind::ConfigMap, &["a=1", "a=2"]).unwrap_err(),
            "cannot add key \"a\", another key by that name already exists in Data for ConfigMap \
             \"cm\""
        );
        assert_eq!(
            collect(Kind::Secret, &["a=1", "a=2"]).unwrap_err(),
            "cannot add key a, another key by that name already exists"
        );
        let error = collect(Kind::ConfigMap, &["a/b=1"]).unwrap_err();
        assert!(error.starts_with("\"a/b\" is not a valid key name for a ConfigMap: a valid"));
        let made = collect(Kind::Secret, &["a=1"]).unwrap();
        assert_eq!((made.text.len(), made.binary["a"].as_slice()), (0, &b"1"[..]));
    }
}
