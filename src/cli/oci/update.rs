//! `podrt update`.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;

use oci_spec::runtime::{LinuxIntelRdt, LinuxResources};
use serde_json::{Map, Value, json};

use super::flags::{Flag, Grammar, Typed, UsageError, value};
use super::process::file;
use super::report::{Failure, Outcome};
use super::verb::id;
use crate::cli::globals::Globals;
use crate::container;

pub const GRAMMAR: Grammar = Grammar {
    verb: "update",
    words: "ID",
    about: "Give a container new limits; those that are not named stay.",
    flags: &[
        value("resources", "r", "file with the resources as JSON, - for standard input"),
        value("blkio-weight", "", "weight of block I/O, 10 to 1000"),
        value("cpu-period", "", "CFS period in microseconds"),
        value("cpu-quota", "", "CFS quota in microseconds"),
        value("cpu-burst", "", "CFS burst in microseconds"),
        value("cpu-share", "", "CPU shares"),
        value("cpu-rt-period", "", "realtime period in microseconds"),
        value("cpu-rt-runtime", "", "realtime runtime in microseconds"),
        value("cpuset-cpus", "", "CPUs to use"),
        value("cpuset-mems", "", "memory nodes to use"),
        value("cpu-idle", "", "1 to run only when nobody else does"),
        value("kernel-memory", "", "obsolete: refused unless 0"),
        value("kernel-memory-tcp", "", "limit of TCP buffers in bytes"),
        MEMORY,
        value("memory-reservation", "", "memory reservation in bytes"),
        value("memory-swap", "", "limit of memory and swap in bytes, -1 for none"),
        value("pids-limit", "", "most processes"),
        value("l3-cache-schema", "", "share of the L3 cache, by Intel RDT"),
        value("mem-bw-schema", "", "share of memory bandwidth, by Intel RDT"),
    ],
    least: 1,
    most: 1,
};

const MEMORY: Flag = value("memory", "m", "memory limit in bytes (suffixes k, m, g)");

/// Where each flag's number goes in the specification's resources.
const NUMBERS: [(&str, &str, &str); 9] = [
    ("blkio-weight", "blockIO", "weight"),
    ("cpu-period", "cpu", "period"),
    ("cpu-quota", "cpu", "quota"),
    ("cpu-burst", "cpu", "burst"),
    ("cpu-share", "cpu", "shares"),
    ("cpu-rt-period", "cpu", "realtimePeriod"),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime"),
    ("cpu-idle", "cpu", "idle"),
    ("pids-limit", "pids", "limit"),
];

const SIZES: [(&str, &str); 5] = [
    ("kernel-memory", "kernel"),
    ("kernel-memory-tcp", "kernelTCP"),
    ("memory", "limit"),
    ("memory-reservation", "reservation"),
    ("memory-swap", "swap"),
];

const TEXTS: [(&str, &str); 2] = [("cpuset-cpus", "cpus"), ("cpuset-mems", "mems")];

pub fn run(globals: &Globals, typed: &Typed) -> Outcome {
    let id = id(typed)?;
    // As in runc: with a file, no other flag counts.
    let resources = match typed.value("resources") {
        Some(path) => from_file(path)?,
        None => from_flags(typed)?,
    };
    container::update(&globals.roots.root, &id, resources)
        .map_err(Failure::of("update", id.as_str()))?;
    if let Some(share) = share(typed)? {
        container::update_rdt(&globals.roots.root, &id, &share)
            .map_err(Failure::of("update", id.as_str()))?;
    }
    Ok(0)
}

/// What of cache and memory bandwidth, where one is given.
fn share(typed: &Typed) -> Result<Option<LinuxIntelRdt>, Failure> {
    let (cache, bandwidth) = (typed.text("l3-cache-schema")?, typed.text("mem-bw-schema")?);
    if cache.is_none() && bandwidth.is_none() {
        return Ok(None);
    }
    let mut share = LinuxIntelRdt::default();
    share.set_l3_cache_schema(cache.map(str::to_owned));
    share.set_mem_bw_schema(bandwidth.map(str::to_owned));
    Ok(Some(share))
}

fn from_file(path: &OsStr) -> Result<LinuxResources, Failure> {
    let path = Path::new(path);
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::read(path).map(|content| bytes = content)
    };
    read.map_err(|error| file("read", path, &error))?;
    parse(&bytes, path)
}

fn parse(bytes: &[u8], path: &Path) -> Result<LinuxResources, Failure> {
    serde_json::from_slice(bytes).map_err(|error| Failure::File {
        doing: "parse",
        path: path.display().to_string(),
        problem: error.to_string(),
    })
}

fn from_flags(typed: &Typed) -> Result<LinuxResources, Failure> {
    let mut parts = Map::new();
    let mut put = |part: &str, field: &str, value: Value| {
        parts.entry(part).or_insert_with(|| json!({}))[field] = value;
    };
    for (flag, part, field) in NUMBERS {
        if let Some(number) = typed.text(flag)? {
            put(part, field, json!(number.parse::<i64>().map_err(|_| bad(flag, number))?));
        }
    }
    for (flag, field) in SIZES {
        if let Some(text) = typed.text(flag)? {
            put("memory", field, json!(size(text).ok_or_else(|| bad(flag, text))?));
        }
    }
    for (flag, field) in TEXTS {
        if let Some(text) = typed.text(flag)? {
            put("cpu", field, json!(text));
        }
    }
    parse(Value::Object(parts).to_string().as_bytes(), Path::new("flags"))
}

fn bad(flag: &str, value: &str) -> UsageError {
    UsageError::BadValue { flag: flag.to_owned(), value: value.to_owned() }
}

/// Bytes, with runc's suffixes: `64m`, `1.5GiB`, `-1` for no limit.
fn size(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let lower = text.to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let unit = unit.trim_start().trim_end_matches('b').trim_end_matches('i');
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * 1024_f64.powi(power);
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    (bytes < 9e18).then_some(bytes as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_suffixes_of_runc() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("4096", Some(4096)),
            ("64m", Some(64 << 20)),
            ("64MB", Some(64 << 20)),
            ("1.5GiB", Some(3 << 29)),
            ("1 k", Some(1024)),
            ("", None),
            ("m", None),
            ("-2", None),
            ("1x", None),
        ] {
            assert_eq!(size(text), bytes, "{text:?}");
        }
    }

    #[test]
    fn flags_become_the_resources_of_the_specification() {
        let line = ["--cpu-quota", "50000", "--memory=64m", "--cpuset-cpus", "0-1", "x"];
        let typed = GRAMMAR.parse(line.map(Into::into).to_vec()).unwrap();
        let resources = from_flags(&typed).unwrap();
        assert_eq!(resources.cpu().as_ref().unwrap().quota(), Some(50_000));
        assert_eq!(resources.cpu().as_ref().unwrap().cpus().as_deref(), Some("0-1"));
        assert_eq!(resources.memory().unwrap().limit(), Some(64 << 20));
        let typed = GRAMMAR.parse(["--cpu-quota", "x", "y"].map(Into::into).to_vec()).unwrap();
        let error = from_flags(&typed).unwrap_err().to_string();
        assert_eq!(error, "invalid value \"x\" for flag -cpu-quota");
    }
}
