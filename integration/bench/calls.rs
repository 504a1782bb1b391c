//! How many system calls each verb makes, the container's process included, and
//! how much memory it peaks at.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::oci::{Contender, bundle, contenders};
use super::timing::{is_installed, time};
use super::{Place, spec};

const VERBS: [&str; 4] = ["create", "start", "exec", "delete"];

/// Prints both tables.
pub fn count(place: &Place) {
    let bundle = bundle(place, "calls", &spec::long_lived());
    let contenders = contenders(place);
    println!("### system calls, of a long-lived container with the default bundle\n");
    print_rows(&contenders, is_installed("strace").then_some("strace"), |contender, verb| {
        calls(place, contender, &bundle, verb)
    });
    println!("### peak memory of the command, ru_maxrss in KiB\n");
    print_rows(&contenders, Some("payload"), |contender, verb| {
        peak(place, contender, &bundle, verb)
    });
}

fn print_rows(
    contenders: &[Contender],
    tool: Option<&str>,
    measure: impl Fn(&Contender, &str) -> usize,
) {
    println!("| | {} |", VERBS.join(" | "));
    println!("|---|{}", "---|".repeat(VERBS.len()));
    for contender in contenders {
        if !contender.is_installed() || tool.is_none() {
            let missing = if contender.is_installed() { "no strace" } else { "not installed" };
            println!("| {} | not measured: {missing} | | | |", contender.name);
            continue;
        }
        let cells: Vec<String> =
            VERBS.iter().map(|verb| measure(contender, verb).to_string()).collect();
        println!("| {} | {} |", contender.name, cells.join(" | "));
    }
    println!();
}

fn id(contender: &Contender, verb: &str) -> Vec<String> {
    let id = format!("bench-calls-{}-{}", contender.name, std::process::id());
    match verb {
        "exec" => vec![id, "/bin/true".to_owned()],
        "delete" => vec!["--force".to_owned(), id],
        _ => vec![id],
    }
}

/// `tool TOOL_ARGS RUNTIME VERB …`.
fn under(tool: &mut Command, contender: &Contender, bundle: &Path, verb: &str) {
    let command = contender.command(bundle);
    tool.arg(command.get_program()).args(command.get_args()).arg(verb).args(id(contender, verb));
    tool.current_dir(bundle).stdin(Stdio::null()).stdout(Stdio::null());
}

/// Traces the command and what it starts until the command has ended: a created
/// container's process lives on.
fn calls(place: &Place, contender: &Contender, bundle: &Path, verb: &str) -> usize {
    let log = place.work.path().join("strace");
    let _ = fs::remove_file(&log);
    let mut strace = Command::new("strace");
    // Without -I2 a strace that writes to a file cannot be ended.
    strace.args(["-f", "-q", "-I2", "-o"]).arg(&log);
    under(&mut strace, contender, bundle, verb);
    let mut strace = strace.spawn().expect("strace");
    let deadline = Instant::now() + Duration::from_secs(60);
    let ended = || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let first = text.split_whitespace().next().unwrap_or("none").to_owned();
        text.lines().any(|line| line.starts_with(&first) && line.contains("+++ exited with"))
    };
    while !ended() {
        assert!(Instant::now() < deadline, "{} {verb} does not end", contender.name);
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(strace.id()).expect("a pid"));
    // It detaches from what still runs.
    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    let _ = strace.wait();
    let text = fs::read_to_string(&log).expect("strace's log");
    let is_call = |line: &&str| line.contains('(') && !line.contains(" resumed>");
    text.lines().filter(is_call).count()
}

/// The payload's small process starts the command, so that its own memory does
/// not count.
fn peak(place: &Place, contender: &Contender, bundle: &Path, verb: &str) -> usize {
    let report = place.work.path().join("peak");
    let mut payload = Command::new(place.rootfs.join("bin/payload"));
    payload.arg("peak-memory").arg(&report);
    under(&mut payload, contender, bundle, verb);
    time(&mut payload);
    let text = fs::read_to_string(&report).expect("the payload's report");
    text.trim().parse().expect("a number")
}
