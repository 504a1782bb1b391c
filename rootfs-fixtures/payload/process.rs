//! How processes live and end.

use std::fs;
use std::io::Write;
use std::time::Duration;

use crate::sys::{self, SIGCHLD, SIGINT, SIGTERM, Signals};
use crate::{Outcome, Words, parse, seconds};

pub fn exit(words: &[String]) -> Outcome {
    let words = Words::new(words, &[]);
    let code = parse(words.need(0, "CODE")?)?;
    if let Some(text) = words.flag("--after") {
        std::thread::sleep(seconds(text)?);
    }
    Ok(code)
}

/// Runs a command and writes to a file how many KiB of memory it had at most.
pub fn peak_memory(words: &[String]) -> Outcome {
    let [report, program, args @ ..] = words else { return Err("REPORT COMMAND".to_owned()) };
    let status = std::process::Command::new(program).args(args).status();
    let status = status.map_err(|error| format!("{program}: {error}"))?;
    let peak = sys::peak_of_children()?;
    fs::write(report, format!("{peak}\n")).map_err(|error| format!("{report}: {error}"))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

pub fn sleep(words: &[String]) -> Outcome {
    match words.first() {
        Some(text) => std::thread::sleep(seconds(text)?),
        None => sys::wait_for_ever(),
    }
    Ok(0)
}

/// Prints `ready`, then ends as told once TERM (or INT) comes; with `--ignore`
/// never by itself.
pub fn trap_term(words: &[String]) -> Outcome {
    let words = Words::new(words, &["--ignore"]);
    let code = words.parsed("--exit")?.unwrap_or(0);
    let delay = words.flag("--delay").map(seconds).transpose()?.unwrap_or_default();
    let signals = Signals::block(&[SIGTERM, SIGINT]);
    println!("ready");
    loop {
        let signal = signals.wait();
        let line = format!("signal {signal}");
        println!("{line}");
        if let Some(path) = words.flag("--log") {
            append_line(path, &line)?;
        }
        if !words.switch("--ignore") {
            std::thread::sleep(delay);
            return Ok(code);
        }
    }
}

pub fn kill_self(words: &[String]) -> Outcome {
    sys::signal_self(parse(Words::new(words, &[]).need(0, "SIGNAL")?)?)?;
    // As process 1 of a namespace a signal without a handler does nothing.
    std::thread::sleep(Duration::from_secs(1));
    Ok(0)
}

/// Counts its runs in FILE; fails with 1 until there were COUNT before this.
pub fn fail_until(words: &[String]) -> Outcome {
    let words = Words::new(words, &[]);
    let count: u32 = parse(words.need(0, "COUNT")?)?;
    let path = words.need(1, "FILE")?;
    let runs = fs::read_to_string(path).unwrap_or_default().lines().count();
    append_line(path, "run")?;
    Ok(u8::from(runs < count as usize))
}

/// Waits until FILE exists.
pub fn wait_for(words: &[String]) -> Outcome {
    let path = Words::new(words, &[]).need(0, "FILE")?;
    while !fs::exists(path).unwrap_or(false) {
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(0)
}

/// COUNT children that end and that nobody waits for; then sleeps for ever.
pub fn zombie(words: &[String]) -> Outcome {
    let count: u32 = parse(Words::new(words, &[]).need(0, "COUNT")?)?;
    let signals = Signals::block(&[SIGCHLD]);
    for _ in 0..count {
        sys::fork_child(|| 0)?;
        signals.wait();
    }
    println!("{count} zombies");
    sys::wait_for_ever()
}

/// A grandchild that outlives its parent by SECONDS: whoever adopts it has to
/// reap it.
pub fn orphan(words: &[String]) -> Outcome {
    let lives = seconds(Words::new(words, &[]).need(0, "SECONDS")?)?;
    let pid = sys::fork_child(|| {
        std::thread::sleep(lives);
        0
    })?;
    println!("orphan {pid}");
    Ok(0)
}

pub fn write_termination_log(words: &[String]) -> Outcome {
    let words = Words::new(words, &[]);
    let text = words.need(0, "TEXT")?;
    let path = words.flag("--path").unwrap_or("/dev/termination-log");
    fs::write(path, text).map_err(|error| format!("{path}: {error}"))?;
    Ok(words.parsed("--exit")?.unwrap_or(0))
}

fn append_line(path: &str, line: &str) -> Result<(), String> {
    fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|mut file| writeln!(file, "{line}"))
        .map_err(|error| format!("{path}: {error}"))
}
