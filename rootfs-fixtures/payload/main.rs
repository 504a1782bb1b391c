//! The program that tests run inside containers: many small verbs, each doing
//! one thing that a pod's processes do, static and without dependencies.
//!
//! It is also linked under its verbs' names: `/bin/payload http-serve 80`.

mod grpc;
mod http;
mod ipc;
mod load;
mod placement;
mod process;
mod show;
mod sys;

use std::process::ExitCode;

/// What a verb ends with: an exit code, or a line for standard error and 1.
pub type Outcome = Result<u8, String>;

struct Verb {
    name: &'static str,
    usage: &'static str,
    run: fn(&[String]) -> Outcome,
}

const VERBS: &[Verb] = &[
    Verb { name: "append", usage: "FILE TEXT", run: show::append },
    Verb { name: "args", usage: "[ARG]...", run: show::args },
    Verb { name: "chown", usage: "FILE UID GID", run: show::chown },
    Verb { name: "cpu-burn", usage: "SECONDS", run: load::cpu_burn },
    Verb { name: "exit", usage: "CODE [--after SECONDS]", run: process::exit },
    Verb { name: "fail-until", usage: "COUNT FILE", run: process::fail_until },
    Verb { name: "fds", usage: "", run: show::fds },
    Verb { name: "forkbomb", usage: "COUNT", run: load::forkbomb },
    Verb { name: "grpc-serve", usage: "PORT [--status N] [--code N]", run: grpc::serve },
    Verb { name: "getpid32", usage: "", run: placement::getpid32 },
    Verb { name: "http-get", usage: "ADDRESS:PORT [PATH]", run: http::get },
    Verb {
        name: "http-serve",
        usage: "PORT [--status N] [--file-toggle FILE] [--redirect URL] [--delay SECONDS] \
                [--body TEXT] [--echo] [--log FILE]",
        run: http::serve,
    },
    Verb { name: "hugepages", usage: "BYTES", run: load::hugepages },
    Verb { name: "ids", usage: "", run: show::ids },
    Verb { name: "inject", usage: "TEXT", run: show::inject },
    Verb { name: "kill-self", usage: "SIGNAL", run: process::kill_self },
    Verb { name: "limits", usage: "", run: show::limits },
    Verb { name: "memhog", usage: "BYTES [--hold SECONDS]", run: load::memhog },
    Verb { name: "mountinfo", usage: "", run: show::mountinfo },
    Verb { name: "orphan", usage: "SECONDS", run: process::orphan },
    Verb { name: "peak-memory", usage: "REPORT COMMAND [ARG]...", run: process::peak_memory },
    Verb { name: "print-env", usage: "[NAME]", run: show::env },
    Verb { name: "print-ns", usage: "", run: show::namespaces },
    Verb { name: "read-file", usage: "FILE", run: show::read_file },
    Verb { name: "scheduling", usage: "", run: placement::scheduling },
    Verb { name: "shm-read", usage: "NAME", run: ipc::shm_read },
    Verb { name: "shm-write", usage: "NAME TEXT", run: ipc::shm_write },
    Verb { name: "sleep", usage: "[SECONDS]", run: process::sleep },
    Verb { name: "spam", usage: "LINES [--interval SECONDS] [--length BYTES]", run: load::spam },
    Verb { name: "stat", usage: "FILE...", run: show::stat },
    Verb { name: "stdin", usage: "", run: show::stdin },
    Verb { name: "sysctl", usage: "NAME", run: show::sysctl },
    Verb { name: "sysv-read", usage: "KEY", run: ipc::sysv_read },
    Verb { name: "sysv-write", usage: "KEY TEXT", run: ipc::sysv_write },
    Verb { name: "tcp-connect", usage: "ADDRESS:PORT", run: http::tcp_connect },
    Verb { name: "tcp-listen", usage: "PORT", run: http::tcp_listen },
    Verb {
        name: "trap-term",
        usage: "[--exit CODE] [--delay SECONDS] [--log FILE] [--ignore]",
        run: process::trap_term,
    },
    Verb { name: "tty", usage: "", run: show::tty },
    Verb { name: "wait-for", usage: "FILE", run: process::wait_for },
    Verb { name: "write-file", usage: "FILE TEXT", run: show::write_file },
    Verb { name: "write-stderr", usage: "TEXT [--no-newline]", run: show::write_stderr },
    Verb { name: "write-stdout", usage: "BYTES", run: load::write_stdout },
    Verb {
        name: "write-termination-log",
        usage: "TEXT [--path FILE] [--exit CODE]",
        run: process::write_termination_log,
    },
    Verb { name: "zombie", usage: "COUNT", run: process::zombie },
];

fn main() -> ExitCode {
    let mut words = std::env::args();
    let name = words.next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default().to_owned();
    let linked = VERBS.iter().find(|verb| verb.name == name);
    let verb = match linked {
        Some(verb) => Some(verb),
        None => words.next().and_then(|word| VERBS.iter().find(|verb| verb.name == word)),
    };
    let Some(verb) = verb else {
        for verb in VERBS {
            eprintln!("payload {} {}", verb.name, verb.usage);
        }
        return ExitCode::from(64);
    };
    match (verb.run)(&words.collect::<Vec<_>>()) {
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            eprintln!("payload {}: {why}", verb.name);
            ExitCode::FAILURE
        }
    }
}

/// The words that are no flags, and the flags' values.
pub struct Words<'a> {
    words: &'a [String],
    switches: &'static [&'static str],
}

impl<'a> Words<'a> {
    /// `switches` are the flags without a value.
    pub fn new(words: &'a [String], switches: &'static [&'static str]) -> Self {
        Self { words, switches }
    }

    /// The positional word at `index`.
    pub fn word(&self, index: usize) -> Option<&'a str> {
        let mut position = 0;
        let mut at = 0;
        while let Some(word) = self.words.get(at) {
            if word.starts_with("--") {
                at += if self.switches.contains(&word.as_str()) { 1 } else { 2 };
                continue;
            }
            if position == index {
                return Some(word);
            }
            (position, at) = (position + 1, at + 1);
        }
        None
    }

    /// The positional word at `index`, which must be there.
    pub fn need(&self, index: usize, what: &str) -> Result<&'a str, String> {
        self.word(index).ok_or_else(|| format!("{what} is missing"))
    }

    /// The value of `--NAME`.
    pub fn flag(&self, name: &str) -> Option<&'a str> {
        let at = self.words.iter().position(|word| word == name)?;
        self.words.get(at + 1).map(String::as_str)
    }

    /// Whether a flag without a value was given.
    pub fn switch(&self, name: &str) -> bool {
        self.words.iter().any(|word| word == name)
    }

    /// The value of `--NAME`, read.
    pub fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        self.flag(name).map(parse).transpose()
    }
}

/// A number, or what was wrong with it.
pub fn parse<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number of the right kind"))
}

/// Seconds with a fraction.
pub fn seconds(text: &str) -> Result<std::time::Duration, String> {
    std::time::Duration::try_from_secs_f64(parse(text)?).map_err(|error| error.to_string())
}
