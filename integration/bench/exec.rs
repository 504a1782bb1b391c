//! exec in a running container: a process started, run and waited for.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::oci::{self, Contender, bundle, contenders};
use super::timing::{Series, time};
use super::{Place, spec, table};

/// Prints one table for each pace.
pub fn compare(place: &Place, rounds: usize) {
    let contenders = contenders(place);
    let bundle = bundle(place, "exec", &spec::long_lived());
    for contender in contenders.iter().filter(|contender| contender.is_installed()) {
        time(&mut verb(contender, &bundle, &["create"], &[]));
        time(&mut verb(contender, &bundle, &["start"], &[]));
    }
    for (pace, pause) in [("back to back", 0), ("250 ms of idle before each", 250)] {
        let rounds = if pause == 0 { rounds } else { rounds.min(15) };
        let rows = run(&contenders, &bundle, rounds, Duration::from_millis(pause));
        table::print(&format!("exec of /bin/true, {pace}"), &["exec"], &rows, "crun");
    }
    for contender in contenders.iter().filter(|contender| contender.is_installed()) {
        time(&mut verb(contender, &bundle, &["delete", "--force"], &[]));
    }
}

fn run(
    contenders: &[Contender],
    bundle: &Path,
    rounds: usize,
    pause: Duration,
) -> Vec<(String, Option<Vec<Series>>)> {
    let mut rows = oci::rows(contenders, 1);
    for round in 0..=rounds {
        for (contender, (_, series)) in contenders.iter().zip(&mut rows) {
            let Some(series) = series else { continue };
            std::thread::sleep(pause);
            let took = time(&mut verb(contender, bundle, &["exec"], &["/bin/true"]));
            // The first round only warms the caches.
            if round > 0 {
                series[0].push(took);
            }
        }
    }
    rows
}

fn verb(contender: &Contender, bundle: &Path, args: &[&str], behind: &[&str]) -> Command {
    let id = format!("bench-exec-{}-{}", contender.name, std::process::id());
    let mut command = contender.command(bundle);
    command.args(args).arg(id).args(behind);
    command
}
