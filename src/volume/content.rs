//! What is in configMap, secret, downwardAPI and projected volumes.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Error, Result};
use crate::model::object::ObjectData;
use crate::model::plan::{
    DownwardFile, DownwardValue, FieldRef, FilesSource, FilesVolume, KeyToPath, ObjectKind,
    ObjectRef, ResourceRef,
};

/// One file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Relative, without `..`.
    pub path: String,
    pub data: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// Where the caller finds what a volume refers to.
pub trait ContentSource {
    /// An object of the pod's namespace; `None` when it does not exist.
    fn object(&self, kind: ObjectKind, name: &str) -> Option<ObjectData>;
    /// A field of the pod as a downward API file has it; whole maps as
    /// [`format_map`] prints them.
    fn field(&self, field: &FieldRef) -> String;
    /// A container's request or limit, divided and rounded up.
    fn resource(&self, resource: &ResourceRef) -> String;
}

/// The files of the volume `name`, by path. Of two sources with one path the
/// later wins.
///
/// # Errors
/// A missing object or key that is not optional, in the kubelet's words;
/// several of them as a list.
pub fn content(
    name: &str,
    volume: &FilesVolume,
    source: &dyn ContentSource,
) -> Result<Vec<FileEntry>> {
    let (mut files, mut errors) = (BTreeMap::new(), Vec::new());
    for part in &volume.sources {
        match part_content(name, part, volume.default_mode, source) {
            Ok(entries) => files.extend(entries.into_iter().map(|e| (e.path.clone(), e))),
            Err(e) if !errors.contains(&e) => errors.push(e),
            Err(_) => {}
        }
    }
    match errors.len() {
        0 => Ok(files.into_values().collect()),
        1 => Err(errors.remove(0)),
        _ => Err(Error::Several(errors)),
    }
}

fn part_content(
    volume: &str,
    part: &FilesSource,
    default_mode: u32,
    source: &dyn ContentSource,
) -> Result<Vec<FileEntry>> {
    match part {
        FilesSource::Object { object, items } => {
            let Some(data) = source.object(object.kind, &object.name) else {
                return if object.optional { Ok(Vec::new()) } else { Err(not_found(object)) };
            };
            object_files(object, items, &data.files(), default_mode)
        }
        FilesSource::Downward { items } => {
            Ok(items.iter().map(|item| downward_file(item, default_mode, source)).collect())
        }
        FilesSource::ServiceAccountToken { .. } => {
            Err(Error::NoApiServer { volume: volume.to_owned() })
        }
    }
}

fn not_found(object: &ObjectRef) -> Error {
    Error::ObjectNotFound { kind: object.kind, name: object.name.clone() }
}

fn object_files(
    object: &ObjectRef,
    items: &[KeyToPath],
    data: &BTreeMap<&str, &[u8]>,
    default_mode: u32,
) -> Result<Vec<FileEntry>> {
    if items.is_empty() {
        let all = data.iter().map(|(key, value)| entry(key, value, None, default_mode));
        return Ok(all.collect());
    }
    let mut files = Vec::new();
    for item in items {
        match data.get(item.key.as_str()) {
            Some(value) => files.push(entry(&item.path, value, item.mode, default_mode)),
            None if object.optional => {}
            None => {
                return Err(Error::KeyNotFound { kind: object.kind, key: item.key.clone() });
            }
        }
    }
    Ok(files)
}

fn entry(path: &str, data: &[u8], mode: Option<u32>, default_mode: u32) -> FileEntry {
    FileEntry { path: path.into(), data: data.into(), mode: mode.unwrap_or(default_mode) }
}

fn downward_file(item: &DownwardFile, default_mode: u32, source: &dyn ContentSource) -> FileEntry {
    let value = match &item.value {
        DownwardValue::Field(field) => source.field(field),
        DownwardValue::Resource(resource) => source.resource(resource),
    };
    entry(&item.path, value.as_bytes(), item.mode, default_mode)
}

/// Labels or annotations as a downward API file has them: a line
/// `key="value"` each, by key, the value quoted as Go does; no newline at the
/// end.
#[must_use]
pub fn format_map(map: &BTreeMap<String, String>) -> String {
    let lines: Vec<_> = map.iter().map(|(key, value)| format!("{key}={}", quote(value))).collect();
    lines.join("\n")
}

/// Go's `strconv.Quote`.
fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            c if is_printable(c) => quoted.push(c),
            c => drop(match u32::from(c) {
                code @ ..0x20 | code @ 0x7f => write!(quoted, "\\x{code:02x}"),
                code @ ..0x1_0000 => write!(quoted, "\\u{code:04x}"),
                code => write!(quoted, "\\U{code:08x}"),
            }),
        }
    }
    quoted.push('"');
    quoted
}

/// Letters, marks, numbers, punctuation, symbols and the space. Rust's Debug
/// form of a string escapes the others too; the `a` in front keeps it from
/// escaping a mark that would stand alone.
fn is_printable(c: char) -> bool {
    let text: String = ['a', c].into_iter().collect();
    matches!(c, '\'' | '"' | '\\') || text.escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::FilesPlugin;

    struct Source;

    impl ContentSource for Source {
        fn object(&self, kind: ObjectKind, name: &str) -> Option<ObjectData> {
            let text = |pairs: &[(&str, &str)]| {
                pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
            };
            match (kind, name) {
                (ObjectKind::ConfigMap, "map") => Some(ObjectData {
                    text: text(&[("a", "1"), ("b", "2")]),
                    binary: BTreeMap::from([("bin".into(), vec![0, 255])]),
                }),
                (ObjectKind::Secret, "secret") => Some(ObjectData {
                    text: BTreeMap::new(),
                    binary: BTreeMap::from([("a".into(), b"hidden".to_vec())]),
                }),
                _ => None,
            }
        }
        fn field(&self, _: &FieldRef) -> String {
            "web".into()
        }
        fn resource(&self, _: &ResourceRef) -> String {
            "64".into()
        }
    }

    fn object(kind: ObjectKind, name: &str, optional: bool, items: &[(&str, &str)]) -> FilesSource {
        let items = items.iter().map(|(key, path)| KeyToPath {
            key: (*key).into(),
            path: (*path).into(),
            mode: None,
        });
        let object = ObjectRef { kind, name: name.into(), optional };
        FilesSource::Object { object, items: items.collect() }
    }

    fn files(sources: Vec<FilesSource>) -> Result<Vec<(String, Vec<u8>)>> {
        let plugin = FilesPlugin::Projected;
        let volume = FilesVolume { plugin, default_mode: 0o644, sources };
        let files = content("v", &volume, &Source)?;
        Ok(files.into_iter().map(|file| (file.path, file.data)).collect())
    }

    fn text(sources: Vec<FilesSource>) -> String {
        files(sources).unwrap_err().to_string()
    }

    use ObjectKind::{ConfigMap, Secret};

    #[test]
    fn without_items_every_key_is_a_file_binary_data_too() {
        let got = files(vec![object(ConfigMap, "map", false, &[])]).unwrap();
        let paths: Vec<_> = got.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["a", "b", "bin"]);
        assert_eq!(got[2].1, [0, 255]);
    }

    #[test]
    fn items_choose_keys_and_paths() {
        let got = files(vec![object(ConfigMap, "map", false, &[("b", "sub/x")])]).unwrap();
        assert_eq!(got, [("sub/x".to_owned(), b"2".to_vec())]);
    }

    #[test]
    fn missing_objects_and_keys_are_told_in_the_kubelets_words() {
        assert_eq!(text(vec![object(ConfigMap, "x", false, &[])]), "configmap \"x\" not found");
        assert_eq!(text(vec![object(Secret, "x", false, &[])]), "secret \"x\" not found");
        assert_eq!(
            text(vec![object(ConfigMap, "map", false, &[("k", "k")])]),
            "configmap references non-existent config key: k"
        );
        assert_eq!(
            text(vec![object(Secret, "secret", false, &[("k", "k")])]),
            "references non-existent secret key: k"
        );
        let two = vec![object(ConfigMap, "x", false, &[]), object(Secret, "y", false, &[])];
        assert_eq!(text(two), "[configmap \"x\" not found, secret \"y\" not found]");
        let token = FilesSource::ServiceAccountToken {
            path: "token".into(),
            audience: None,
            expiration_seconds: 3600,
        };
        assert_eq!(
            text(vec![token]),
            "cannot setup projected volume v because kube client is not configured"
        );
    }

    #[test]
    fn optional_objects_and_keys_are_left_out() {
        let sources = vec![
            object(Secret, "x", true, &[]),
            object(ConfigMap, "map", true, &[("k", "k"), ("a", "a")]),
        ];
        assert_eq!(files(sources).unwrap().len(), 1);
    }

    #[test]
    fn of_two_sources_with_one_path_the_later_wins() {
        let sources =
            vec![object(ConfigMap, "map", false, &[]), object(Secret, "secret", false, &[])];
        assert_eq!(files(sources).unwrap()[0].1, b"hidden");
    }

    #[test]
    fn modes_come_from_the_item_else_from_the_volume() {
        let item = |mode| DownwardFile {
            path: format!("{mode:?}"),
            mode,
            value: DownwardValue::Field(FieldRef::Name),
        };
        let sources = vec![FilesSource::Downward { items: vec![item(Some(0o400)), item(None)] }];
        let volume = FilesVolume { plugin: FilesPlugin::DownwardApi, default_mode: 0o640, sources };
        let modes: Vec<_> =
            content("v", &volume, &Source).unwrap().iter().map(|file| file.mode).collect();
        assert_eq!(modes, [0o640, 0o400]);
    }

    #[test]
    fn maps_are_quoted_as_go_does() {
        let quoted = [
            ("plain é ü 漢 e\u{301}", "\"plain é ü 漢 e\u{301}\""),
            ("a\"b\\c'd", "\"a\\\"b\\\\c'd\""),
            ("\u{7}\u{8}\u{c}\n\r\t\u{b}\0\u{7f}", "\"\\a\\b\\f\\n\\r\\t\\v\\x00\\x7f\""),
            ("\u{a0}\u{200b}\u{e0001}", "\"\\u00a0\\u200b\\U000e0001\""),
        ];
        for (text, expected) in quoted {
            assert_eq!(quote(text), expected);
        }
        let map = BTreeMap::from([("b".into(), "2".into()), ("a".into(), "1".into())]);
        assert_eq!(format_map(&map), "a=\"1\"\nb=\"2\"");
    }
}
