//! What a test may have left on the machine.

use std::fs;
use std::path::Path;

/// Processes, mounts, cgroups, container state and machine-wide records that
/// belong to the world in `dir` or bear one of its `marks`.
pub fn find(dir: &Path, marks: &[String], root: &Path) -> Vec<String> {
    let dir = dir.to_string_lossy();
    let mut left = processes(&dir, marks);
    left.extend(mounts(&dir));
    left.extend(cgroups(Path::new("/sys/fs/cgroup"), marks, 0));
    left.extend(states(root));
    left.extend(machine_records(Path::new("/run/podrt-machine"), &dir));
    left
}

/// True when `text` has `mark` in it as a whole: the world `t7x2` is not in
/// the names of `t7x25`.
fn names(text: &str, mark: &str) -> bool {
    text.match_indices(mark).any(|(at, _)| {
        !text[at + mark.len()..].starts_with(|next: char| next.is_ascii_alphanumeric())
    })
}

#[test]
fn a_world_is_not_taken_for_one_whose_name_begins_alike() {
    assert!(names("/sys/fs/cgroup/t7x2-c", "t7x2"));
    assert!(names("t7x25 t7x2", "t7x2"));
    assert!(!names("/sys/fs/cgroup/t7x25-c", "t7x2"));
}

fn processes(dir: &str, marks: &[String]) -> Vec<String> {
    let mut left = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|b| b.is_ascii_digit()) || name == std::process::id().to_string() {
            continue;
        }
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        // An orphan that has ended is process 1's to reap, whenever it does.
        let stat = String::from_utf8_lossy(&read("stat")).into_owned();
        if stat.rsplit(") ").next().is_some_and(|behind| behind.starts_with("Z 1 ")) {
            continue;
        }
        let of_the_test = stat
            .rsplit(") ")
            .next()
            .and_then(|behind| behind.split(' ').nth(1))
            .is_some_and(|parent| parent == std::process::id().to_string());
        // The machine's, whosever pod was the last: it ends when the bridge has
        // been without a pod for a while, or another pod comes.
        if read("comm") == b"podrt-house\n" {
            continue;
        }
        let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let cgroup = String::from_utf8_lossy(&read("cgroup")).into_owned();
        let environment = String::from_utf8_lossy(&read("environ")).into_owned();
        let ours = names(&command, dir)
            // A command that the test itself still runs is no leftover.
            || (!of_the_test && names(&environment, dir))
            || marks.iter().any(|mark| names(&cgroup, mark));
        if ours {
            left.push(format!("process {name}: {command}"));
        }
    }
    left
}

/// Lines of the mount table that name `dir`.
pub fn mounts(dir: &str) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    table.lines().filter(|line| names(line, dir)).map(|line| format!("mount {line}")).collect()
}

fn cgroups(folder: &Path, marks: &[String], depth: usize) -> Vec<String> {
    let mut left = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return left };
    for entry in entries.flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        if marks.iter().any(|mark| names(&name, mark)) {
            left.push(format!("cgroup {}", entry.path().display()));
        }
        if depth < 6 {
            left.extend(cgroups(&entry.path(), marks, depth + 1));
        }
    }
    left
}

fn states(root: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name() != "pods")
        .map(|entry| format!("state {}", entry.path().display()))
        .chain(pod_states(root))
        .collect()
}

/// Folders of pods that have no record any more, and the folder of records
/// when it has none.
fn pod_states(root: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.join("pods")) else { return Vec::new() };
    let entries: Vec<_> = entries.flatten().collect();
    if entries.iter().all(|entry| entry.file_name().as_encoded_bytes()[0] == b'.') {
        return vec![format!("pods' folder without pods {}", root.join("pods").display())];
    }
    entries
        .into_iter()
        .filter(|entry| entry.path().is_dir() && entry.file_name().len() == 36)
        .filter(|entry| !entry.path().join("plan.json").exists())
        .map(|entry| format!("pod state without a record {}", entry.path().display()))
        .collect()
}

/// Files of the machine's, at any depth, that name `dir`: an address that is
/// still taken has one.
fn machine_records(folder: &Path, dir: &str) -> Vec<String> {
    let mut left = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            left.extend(machine_records(&entry.path(), dir));
        } else if fs::read_to_string(entry.path()).is_ok_and(|text| names(&text, dir)) {
            left.push(format!("machine record in {}", entry.path().display()));
        }
    }
    left
}
