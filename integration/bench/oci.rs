//! create + start + delete of an OCI bundle, three commands, as callers of a
//! runtime do it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::timing::{Series, is_installed, time};
use super::{Place, spec, table};

/// A runtime with a state directory of its own.
#[derive(Debug)]
pub struct Contender {
    pub name: &'static str,
    program: PathBuf,
    root: PathBuf,
}

impl Contender {
    pub fn is_installed(&self) -> bool {
        self.program.is_absolute() || is_installed(self.name)
    }

    /// The runtime, to be given a verb.
    pub fn command(&self, bundle: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.root).current_dir(bundle);
        command
    }
}

/// Each contender's name, with empty series where it is installed.
pub fn rows(contenders: &[Contender], steps: usize) -> Vec<(String, Option<Vec<Series>>)> {
    let series = |c: &Contender| c.is_installed().then(|| vec![Series::default(); steps]);
    contenders.iter().map(|c| (c.name.to_owned(), series(c))).collect()
}

/// Prints one table for each bundle and pace.
pub fn compare(place: &Place, rounds: usize) {
    let contenders = contenders(place);
    let bundles = [
        ("default bundle", spec::default()),
        ("default seccomp profile", spec::with_seccomp()),
        ("user namespace", spec::with_user_namespace()),
    ];
    for (name, spec) in bundles {
        let bundle = bundle(place, name, &spec);
        for (pace, pause) in [("back to back", 0), ("250 ms of idle before each cycle", 250)] {
            let rounds = if pause == 0 { rounds } else { rounds.min(15) };
            let rows = run(&contenders, &bundle, rounds, Duration::from_millis(pause));
            let title = format!("create + start + delete, {name}, {pace}");
            table::print(&title, &["create", "start", "delete", "sum"], &rows, "crun");
        }
    }
}

pub fn contenders(place: &Place) -> Vec<Contender> {
    let root = |name: &str| place.work.path().join(format!("root-{name}"));
    let peer = |name: &'static str| Contender { name, program: name.into(), root: root(name) };
    vec![
        Contender { name: "podrt", program: place.podrt.clone(), root: root("podrt") },
        peer("crun"),
        peer("runc"),
        peer("youki"),
    ]
}

fn run(
    contenders: &[Contender],
    bundle: &Path,
    rounds: usize,
    pause: Duration,
) -> Vec<(String, Option<Vec<Series>>)> {
    let mut rows = rows(contenders, 4);
    for round in 0..=rounds {
        for (contender, (_, series)) in contenders.iter().zip(&mut rows) {
            let Some(series) = series else { continue };
            std::thread::sleep(pause);
            let times = cycle(contender, bundle, round);
            // The first round only warms the caches.
            if round > 0 {
                let sum = times.iter().sum();
                times.into_iter().chain([sum]).zip(series).for_each(|(time, s)| s.push(time));
            }
        }
    }
    rows
}

fn cycle(contender: &Contender, bundle: &Path, round: usize) -> [Duration; 3] {
    let id = format!("bench-{}-{}-{round}", contender.name, std::process::id());
    let verb = |args: &[&str]| {
        let mut command = contender.command(bundle);
        command.args(args).arg(&id);
        command
    };
    let create = time(&mut verb(&["create"]));
    let start = time(&mut verb(&["start"]));
    let delete = time(&mut verb(&["delete", "--force"]));
    [create, start, delete]
}

pub fn bundle(place: &Place, name: &str, spec: &Value) -> PathBuf {
    let path = place.work.path().join(name.replace(' ', "-"));
    fs::create_dir_all(&path).expect("bundle");
    let mut spec = spec.clone();
    spec["root"]["path"] = place.rootfs.to_string_lossy().into_owned().into();
    fs::write(path.join("config.json"), spec.to_string()).expect("config.json");
    path
}
