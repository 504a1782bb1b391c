//! A pod up and down: `podrt run -d` and `delete` beside `podman kube play`
//! and `podman pod rm`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::podman::Podman;
use super::timing::{Series, is_installed, time};
use super::{Place, table};

/// A podrt with roots below the work folder and the fixture image loaded.
#[derive(Debug)]
pub struct Podrt {
    program: PathBuf,
    folder: PathBuf,
}

impl Podrt {
    /// One whose store is empty.
    pub fn empty(place: &Place, name: &str) -> Self {
        Self { program: place.podrt.clone(), folder: place.work.path().join(name) }
    }

    pub fn new(place: &Place, name: &str) -> Self {
        let podrt = Self::empty(place, name);
        time(podrt.command(&["image", "import"]).arg(&place.rootfs).arg("localhost/bench:latest"));
        podrt
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("PODRT_ROOT", self.folder.join("run"))
            .env("PODRT_DATA_ROOT", self.folder.join("data"))
            .env("PODRT_LOG_ROOT", self.folder.join("log"))
            .args(args);
        command
    }

    pub fn root(&self) -> PathBuf {
        self.folder.join("run")
    }
}

/// A pod of `containers` containers that wait for SIGTERM and end on it.
pub fn manifest(folder: &Path, name: &str, containers: usize) -> PathBuf {
    let mut text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{ name: {name} }}\nspec:\n  terminationGracePeriodSeconds: 10\n  containers:\n"
    );
    for index in 0..containers {
        let _ = writeln!(
            text,
            "    - {{ name: c{index}, image: localhost/bench:latest, imagePullPolicy: Never, command: [/bin/payload, trap-term] }}"
        );
    }
    let path = folder.join(format!("{name}.yaml"));
    fs::write(&path, text).expect("manifest");
    path
}

/// Prints one table for each number of containers and kind of network.
pub fn compare(place: &Place, rounds: usize) {
    let podrt = Podrt::new(place, "pods");
    let podman = is_installed("podman").then(|| Podman::new(place, "podman"));
    let rounds_of_podman = rounds.min(8);
    for (containers, pause) in [(1, 0), (3, 0), (1, 250)] {
        let file = manifest(place.work.path(), &format!("bench{containers}"), containers);
        let file = file.to_str().expect("UTF-8").to_owned();
        let name = format!("bench{containers}");
        let mut rows: Vec<(String, Vec<Series>)> =
            ["podrt, no network", "podrt, bridge", "podman kube play, no network"]
                .map(|name| (name.to_owned(), vec![Series::default(); 3]))
                .into();
        for round in 0..=rounds {
            let nap = || std::thread::sleep(Duration::from_millis(pause));
            for (index, network) in [(0, "--network=none"), (1, "--network=bridge")] {
                nap();
                let up = time(&mut podrt.command(&["run", "-d", network, &file]));
                let down = time(&mut podrt.command(&["delete", "pod", &name]));
                note(&mut rows[index].1, round, up, down);
            }
            if let Some(podman) = podman.as_ref().filter(|_| round <= rounds_of_podman) {
                nap();
                let up = time(&mut podman.command(&["kube", "play", "--network", "none", &file]));
                let down = time(&mut podman.command(&["pod", "rm", "-f", "-t", "10", &name]));
                note(&mut rows[2].1, round, up, down);
            }
        }
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(name, series)| (name, (!series[0].is_empty()).then_some(series)))
            .collect();
        let idle =
            if pause > 0 { format!(", {pause} ms of idle before each") } else { String::new() };
        let title = format!("a pod of {containers} up until started, and down{idle}");
        table::print(&title, &["up", "down", "sum"], &rows, "podman kube play, no network");
    }
}

/// The first round only warms the caches.
fn note(series: &mut [Series], round: usize, up: Duration, down: Duration) {
    if round > 0 {
        series[0].push(up);
        series[1].push(down);
        series[2].push(up + down);
    }
}
