//! The rooms of `src/` and who may import whom: the architecture as a test.
//!
//! Every path that begins with `crate::`, `podrt::` or `super::`, in use lines
//! and inline, in the library and in the executables, is resolved to the room
//! it names; an arrow that is not in [`ALLOWED`] fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const RESOURCES: [&str; 7] = ["cgroup", "image", "network", "rootfs", "seccomp", "store", "volume"];

/// Room → the rooms it may import. `cli` may import all.
fn allowed(room: &str) -> Vec<&'static str> {
    let with_resources = |more: &[&'static str]| {
        RESOURCES.iter().copied().chain(["sys", "model"]).chain(more.iter().copied()).collect()
    };
    match room {
        "model" => vec![],
        "manifest" | "lifecycle" | "sys" => vec!["model"],
        "store" | "tls" => vec!["model", "sys"],
        resource if RESOURCES.contains(&resource) => vec!["model", "sys", "store"],
        "container" => with_resources(&[]),
        "sandbox" => with_resources(&["container"]),
        "supervisor" => with_resources(&["container", "sandbox", "lifecycle"]),
        "cri" => vec!["supervisor", "image", "store", "manifest", "model"],
        "cli" => {
            with_resources(&["container", "sandbox", "lifecycle", "manifest", "supervisor", "cri"])
        }
        // The allocator of an executable is named in its own root.
        "main" => vec!["cli", "sys"],
        "podrt-shim" => vec!["supervisor"],
        "podrt-net" => vec!["tls"],
        other => panic!("room {other:?} is not in the table of integration/rooms.rs"),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow {
    from: String,
    to: String,
    file: PathBuf,
    line: usize,
}

#[test]
fn rooms_import_only_what_the_map_allows() {
    let arrows = arrows_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(arrows.len() > 5, "the scan found only {} imports", arrows.len());
    let forbidden: Vec<String> = arrows
        .iter()
        .filter(|arrow| {
            arrow.from != arrow.to && !allowed(&arrow.from).contains(&arrow.to.as_str())
        })
        .map(|a| format!("{}:{}: {} must not import {}", a.file.display(), a.line, a.from, a.to))
        .collect();
    assert!(forbidden.is_empty(), "\n{}", forbidden.join("\n"));
}

#[test]
fn every_room_but_sys_forbids_unsafe_code() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(&src).expect("src") {
        let path = entry.expect("entry").path();
        let room = path.file_name().expect("name").to_string_lossy().into_owned();
        if !path.is_dir() || room == "sys" || room == "bin" {
            continue;
        }
        let head = fs::read_to_string(path.join("mod.rs")).expect("mod.rs");
        assert!(head.contains("#![forbid(unsafe_code)]"), "{room} does not forbid unsafe code");
    }
}

#[test]
fn the_scan_sees_every_way_to_name_a_room() {
    let text = "
        use crate::{model::Signal, sys::{self, error}};
        // use crate::cli::run;
        fn f() { let s = \"crate::cli\"; super::super::volume::x(); podrt::image::y(); }
        mod tests { use super::super::super::network::z; }
    ";
    let found: BTreeSet<String> =
        imports(text, &["store".into(), "pods".into()]).into_iter().map(|(room, _)| room).collect();
    let want = ["image", "model", "network", "sys", "volume"].map(String::from);
    assert_eq!(found, BTreeSet::from(want));
}

fn arrows_of(src: &Path) -> BTreeSet<Arrow> {
    let mut arrows = BTreeSet::new();
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                scan(src, &path, &mut arrows);
            }
        }
    }
    arrows
}

fn scan(src: &Path, path: &Path, arrows: &mut BTreeSet<Arrow>) {
    let relative = path.strip_prefix(src).expect("below src");
    let mut module: Vec<String> = relative
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    // Programs that build.rs compiles on their own are no part of the library.
    if module.len() > 2 && module[0] == "sys" && ["pause", "keeper"].contains(&module[1].as_str()) {
        return;
    }
    let from = match module[0].as_str() {
        "bin" => module[1].clone(),
        "lib" => return,
        room => room.to_owned(),
    };
    let text = fs::read_to_string(path).expect("source");
    for (to, line) in imports(&text, &module) {
        arrows.insert(Arrow { from: from.clone(), to, file: relative.to_owned(), line });
    }
}

/// The rooms named in `text`, a file of `module`, with their lines.
fn imports(text: &str, module: &[String]) -> Vec<(String, usize)> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    // Modules opened inside the file, with the brace depth at which each ends.
    let mut inner: Vec<usize> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        let word = tokens[at].0.as_str();
        let follows_path = at > 0 && tokens[at - 1].0 == "::";
        match word {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if inner.last() == Some(&depth) {
                    inner.pop();
                }
            }
            "mod" if tokens.get(at + 2).is_some_and(|t| t.0 == "{") => inner.push(depth),
            "crate" | "podrt" if !follows_path && is_path(&tokens, at) => {
                first_names(&tokens, at + 2, &mut found);
            }
            "super" if !follows_path => {
                let mut supers = 1;
                while is_path(&tokens, at) && tokens.get(at + 2).is_some_and(|t| t.0 == "super") {
                    supers += 1;
                    at += 2;
                }
                let level = (module.len() + inner.len()).saturating_sub(supers);
                if level == 0 && is_path(&tokens, at) {
                    first_names(&tokens, at + 2, &mut found);
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn is_path(tokens: &[(String, usize)], at: usize) -> bool {
    tokens.get(at + 1).is_some_and(|t| t.0 == "::")
}

/// The name at `at`, or the first name of each element of a braced list.
fn first_names(tokens: &[(String, usize)], at: usize, found: &mut Vec<(String, usize)>) {
    let Some((word, line)) = tokens.get(at) else { return };
    if word != "{" {
        let is_room = word.starts_with(|c: char| c.is_ascii_lowercase());
        if is_room && word != "self" {
            found.push((word.clone(), *line));
        }
        return;
    }
    let (mut depth, mut first) = (1, true);
    for (word, line) in &tokens[at + 1..] {
        match word.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => {
                first = true;
                continue;
            }
            name if depth == 1 && first => found.push((name.to_owned(), *line)),
            _ => {}
        }
        first = false;
        if depth == 0 {
            return;
        }
    }
}

/// Words, `::`, braces and commas with their lines; comments and literals are
/// passed over.
fn tokens(text: &str) -> Vec<(String, usize)> {
    let bytes = text.as_bytes();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = literal(rest) {
            length
        } else if rest.starts_with("::") {
            tokens.push(("::".to_owned(), line));
            2
        } else if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            tokens.push((rest[..end].to_owned(), line));
            end
        } else {
            let c = rest.chars().next().expect("not empty");
            if "{},".contains(c) {
                tokens.push((c.to_string(), line));
            }
            c.len_utf8()
        };
        line += rest[..length].matches('\n').count();
        at += length;
    }
    tokens
}

/// The length of the string or character literal that `rest` begins with.
fn literal(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('b').unwrap_or(rest);
    let prefix = rest.len() - body.len();
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.bytes().take_while(|b| *b == b'#').count();
        if !raw[hashes..].starts_with('"') {
            return None;
        }
        let close = format!("\"{}", "#".repeat(hashes));
        let start = hashes + 1;
        let end = raw[start..].find(&close).map_or(raw.len(), |e| start + e + close.len());
        return Some(prefix + 1 + end);
    }
    let quote = body.chars().next().filter(|c| *c == '"' || *c == '\'')?;
    // A lifetime is no literal: 'a without a closing quote right after.
    if quote == '\'' && !body[1..].starts_with('\\') {
        let c = body[1..].chars().next()?;
        return body[1 + c.len_utf8()..].starts_with('\'').then_some(prefix + 2 + c.len_utf8());
    }
    let mut escaped = false;
    for (index, c) in body.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(prefix + index + 1),
            _ => {}
        }
    }
    Some(rest.len())
}
