//! What a process sees of its container: one `key value` a line, so that tests
//! can look for lines.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use crate::sys;
use crate::{Outcome, Words, parse};

/// Types into the terminal of standard input, as a user would.
pub fn inject(words: &[String]) -> Outcome {
    let text = words.first().map_or("", String::as_str);
    text.bytes().try_for_each(|byte| sys::type_into(0, byte))?;
    println!("injected {}", text.len());
    Ok(0)
}

pub fn args(words: &[String]) -> Outcome {
    words.iter().for_each(|word| println!("{word}"));
    Ok(0)
}

/// All variables, sorted, or one; 1 when that is not set.
pub fn env(words: &[String]) -> Outcome {
    if let Some(name) = words.first() {
        let value = std::env::var_os(name);
        if let Some(value) = &value {
            println!("{}", value.display());
        }
        return Ok(u8::from(value.is_none()));
    }
    let mut all: Vec<_> = std::env::vars_os().collect();
    all.sort();
    all.iter().for_each(|(name, value)| println!("{}={}", name.display(), value.display()));
    Ok(0)
}

/// `mnt mnt:[4026531841]` for each namespace.
pub fn namespaces(_: &[String]) -> Outcome {
    for name in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
        let path = format!("/proc/self/ns/{name}");
        match fs::read_link(&path) {
            Ok(link) => println!("{name} {}", link.display()),
            Err(error) => println!("{name} {error}"),
        }
    }
    Ok(0)
}

/// Owner, groups, capabilities, no_new_privs and seccomp mode.
pub fn ids(_: &[String]) -> Outcome {
    let wanted = [
        "Uid:",
        "Gid:",
        "Groups:",
        "CapInh:",
        "CapPrm:",
        "CapEff:",
        "CapBnd:",
        "CapAmb:",
        "NoNewPrivs:",
        "Seccomp:",
    ];
    for line in read("/proc/self/status")?.lines() {
        if let Some(key) = wanted.iter().find(|key| line.starts_with(**key)) {
            let values: Vec<&str> = line[key.len()..].split_whitespace().collect();
            println!("{} {}", key.trim_end_matches(':'), values.join(" "));
        }
    }
    for (name, path) in
        [("OomScoreAdj", "oom_score_adj"), ("Cgroup", "cgroup"), ("UidMap", "uid_map")]
    {
        for line in read(&format!("/proc/self/{path}"))?.lines() {
            println!("{name} {}", line.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    println!("Pid {}", std::process::id());
    println!("Cwd {}", std::env::current_dir().map_err(|error| error.to_string())?.display());
    println!("Hostname {}", read("/proc/sys/kernel/hostname")?.trim());
    Ok(0)
}

pub fn limits(_: &[String]) -> Outcome {
    copy("/proc/self/limits")
}

pub fn mountinfo(_: &[String]) -> Outcome {
    copy("/proc/self/mountinfo")
}

pub fn read_file(words: &[String]) -> Outcome {
    copy(Words::new(words, &[]).need(0, "FILE")?)
}

/// The value of a kernel parameter, by its name with dots.
pub fn sysctl(words: &[String]) -> Outcome {
    let name = Words::new(words, &[]).need(0, "NAME")?;
    println!("{}", read(&format!("/proc/sys/{}", name.replace('.', "/")))?.trim_end());
    Ok(0)
}

/// `NUMBER TARGET` for each open file but the one used for looking.
pub fn fds(_: &[String]) -> Outcome {
    let entries = fs::read_dir("/proc/self/fd").map_err(|error| error.to_string())?;
    let mut open: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    open.sort();
    for path in open {
        let Ok(target) = fs::read_link(&path) else { continue };
        if !target.starts_with("/proc") {
            let number = path.file_name().unwrap_or_default();
            println!("{} {}", number.display(), target.display());
        }
    }
    Ok(0)
}

/// `TYPE MODE UID GID SIZE FILE` for each file, not following symlinks.
pub fn stat(words: &[String]) -> Outcome {
    for path in words {
        let file = fs::symlink_metadata(path).map_err(|error| format!("{path}: {error}"))?;
        let kind = file.file_type();
        let kind = match () {
            () if kind.is_dir() => "dir",
            () if kind.is_symlink() => "symlink",
            () if kind.is_char_device() => "char",
            () if kind.is_block_device() => "block",
            () if kind.is_fifo() => "fifo",
            () if kind.is_socket() => "socket",
            () => "file",
        };
        let mode = file.mode() & 0o7777;
        println!("{kind} {mode:04o} {} {} {} {path}", file.uid(), file.gid(), file.len());
    }
    Ok(0)
}

pub fn write_file(words: &[String]) -> Outcome {
    let words = Words::new(words, &[]);
    let path = words.need(0, "FILE")?;
    fs::write(path, words.need(1, "TEXT")?).map_err(|error| format!("{path}: {error}"))?;
    Ok(0)
}

pub fn append(words: &[String]) -> Outcome {
    let words = Words::new(words, &[]);
    let path = words.need(0, "FILE")?;
    let text = words.need(1, "TEXT")?;
    let file = fs::OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| writeln!(file, "{text}")).map_err(|e| format!("{path}: {e}"))?;
    Ok(0)
}

pub fn chown(words: &[String]) -> Outcome {
    let words = Words::new(words, &[]);
    let path = words.need(0, "FILE")?;
    let (uid, gid) = (parse(words.need(1, "UID")?)?, parse(words.need(2, "GID")?)?);
    std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(|e| format!("{path}: {e}"))?;
    Ok(0)
}

pub fn write_stderr(words: &[String]) -> Outcome {
    let words = Words::new(words, &["--no-newline"]);
    let text = words.need(0, "TEXT")?;
    eprint!("{text}{}", if words.switch("--no-newline") { "" } else { "\n" });
    Ok(0)
}

/// Copies standard input to standard output until it ends.
pub fn stdin(_: &[String]) -> Outcome {
    let copied = io::copy(&mut io::stdin().lock(), &mut io::stdout().lock());
    eprintln!("{} bytes", copied.map_err(|error| error.to_string())?);
    Ok(0)
}

/// Which of the three standard files are terminals.
pub fn tty(_: &[String]) -> Outcome {
    for (fd, name) in ["stdin", "stdout", "stderr"].into_iter().enumerate() {
        println!("{name} {}", sys::is_terminal(fd as i32));
    }
    Ok(0)
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

fn copy(path: &str) -> Outcome {
    let bytes = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    io::stdout().lock().write_all(&bytes).map_err(|error| error.to_string())?;
    Ok(0)
}
