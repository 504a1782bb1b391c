//! `podrt events`: runc's lines of JSON about a running container.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Map, Value, json};

use super::flags::{Grammar, Typed, UsageError, switch, value};
use super::report::{Failure, Outcome};
use super::verb::{id, print};
use crate::cgroup::{BlkioStats, CpusetStats, MemoryStats, Stats};
use crate::cli::globals::Globals;
use crate::container::Watch;
use crate::sys::SyscallError;

pub const GRAMMAR: Grammar = Grammar {
    verb: "events",
    words: "ID",
    about: "Print usage at an interval, and each lack of memory, until the container ends.",
    flags: &[
        value("interval", "", "time between two prints of the usage (default 5s)"),
        switch("stats", "", "print the usage once and end"),
    ],
    least: 1,
    most: 1,
};

pub fn run(globals: &Globals, typed: &Typed) -> Outcome {
    let id = id(typed)?;
    let interval = interval(typed)?;
    let failed = || Failure::of("events of", id.as_str());
    let mut watch = Watch::begin(&globals.roots.root, &id).map_err(failed())?;
    if typed.has("stats") {
        return tell_stats(&watch, id.as_str()).map(|()| 0);
    }
    let mut next = Instant::now() + interval;
    loop {
        let seen = wait(&mut watch, next)?;
        if seen.oom && is_oom(&mut watch, id.as_str())? {
            tell(&json!({"type": "oom", "id": id.as_str()}));
        }
        if seen.end {
            return Ok(0);
        }
        if Instant::now() >= next {
            next += interval;
            tell_stats(&watch, id.as_str())?;
        }
    }
}

fn is_oom(watch: &mut Watch, id: &str) -> Result<bool, Failure> {
    let Some(oom) = watch.oom() else { return Ok(false) };
    oom.happened().map_err(|error| Failure::Resource {
        doing: format!("events of container {id:?}"),
        problem: error.to_string(),
    })
}

fn tell_stats(watch: &Watch, id: &str) -> Result<(), Failure> {
    let (stats, cpuset) = watch.stats().map_err(Failure::of("events of", id))?;
    tell(&json!({"type": "stats", "id": id, "data": data(&stats, &cpuset)}));
    Ok(())
}

fn tell(event: &Value) {
    print(&format!("{event}\n"));
}

struct Seen {
    end: bool,
    oom: bool,
}

fn wait(watch: &mut Watch, until: Instant) -> Result<Seen, Failure> {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
    let process = watch.process().try_clone_to_owned().map_err(|error| Failure::Call {
        doing: "watch the container",
        source: SyscallError::from_io("fcntl", "F_DUPFD_CLOEXEC", &error),
    })?;
    let mut fds = vec![PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    fds.extend(watch.oom().map(|oom| PollFd::new(oom.fd(), PollFlags::POLLIN)));
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => {
            let source = SyscallError::new("poll", "", errno);
            return Err(Failure::Call { doing: "watch the container", source });
        }
    }
    let ready = |at: usize| fds.get(at).and_then(PollFd::any).unwrap_or(false);
    Ok(Seen { end: ready(0), oom: ready(1) })
}

fn interval(typed: &Typed) -> Result<Duration, Failure> {
    let text = typed.text("interval")?.unwrap_or("5s");
    let bad = || UsageError::BadValue { flag: "interval".to_owned(), value: text.to_owned() };
    let interval = duration(text).ok_or_else(bad)?;
    if interval.is_zero() {
        return Err(Failure::Contradiction("duration interval must be greater than 0".to_owned()));
    }
    Ok(interval)
}

/// As Go's `ParseDuration`: `1m30s`, `1.5h`, `100ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = number.parse::<f64>().ok()? * seconds;
        total = total.checked_add(Duration::try_from_secs_f64(part).ok()?)?;
        rest = behind;
    }
    (!text.is_empty()).then_some(total)
}

/// The form of runc's `types.Stats`; what is zero is left out where runc does.
fn data(stats: &Stats, cpuset: &CpusetStats) -> Value {
    let cpu = &stats.cpu;
    json!({
        "cpu": {
            "usage": nonzero(
                json!({"kernel": cpu.kernel_ns, "user": cpu.user_ns}),
                &[("total", json!(cpu.usage_ns)), ("percpu", json!(cpu.per_cpu_ns))],
            ),
            "throttling": nonzero(json!({}), &[
                ("periods", json!(cpu.periods)),
                ("throttledPeriods", json!(cpu.throttled_periods)),
                ("throttledTime", json!(cpu.throttled_ns)),
            ]),
        },
        "cpuset": cpuset_data(cpuset),
        "memory": memory(&stats.memory),
        "pids": nonzero(json!({}), &[
            ("current", json!(stats.pids.current)),
            ("limit", json!(stats.pids.limit.unwrap_or(0))),
        ]),
        "blkio": nonzero(json!({}), &[
            ("ioServiceBytesRecursive", blkio(&stats.blkio, |one| one.bytes)),
            ("ioServicedRecursive", blkio(&stats.blkio, |one| one.operations)),
        ]),
        "hugetlb": hugetlb(stats),
        "intel_rdt": {},
        "network_interfaces": null,
    })
}

fn cpuset_data(cpuset: &CpusetStats) -> Value {
    let switches = json!({
        "cpu_exclusive": cpuset.cpu_exclusive,
        "mem_hardwall": cpuset.mem_hardwall,
        "mem_exclusive": cpuset.mem_exclusive,
        "memory_migrate": cpuset.memory_migrate,
        "memory_spread_page": cpuset.memory_spread_page,
        "memory_spread_slab": cpuset.memory_spread_slab,
        "memory_pressure": cpuset.memory_pressure,
        "sched_load_balance": cpuset.sched_load_balance,
        "sched_relax_domain_level": cpuset.sched_relax_domain_level,
    });
    nonzero(switches, &[("cpus", json!(cpuset.cpus)), ("mems", json!(cpuset.mems))])
}

fn memory(memory: &MemoryStats) -> Value {
    let entry = |limit: Option<u64>, usage: u64, max: u64, failures: u64| {
        nonzero(
            json!({"limit": limit.unwrap_or(u64::MAX), "failcnt": failures}),
            &[("usage", json!(usage)), ("max", json!(max))],
        )
    };
    nonzero(
        json!({
            "usage": entry(memory.limit, memory.usage, memory.peak, memory.failures),
            "swap": entry(memory.swap_limit, memory.swap_usage, 0, 0),
            "kernel": entry(None, memory.kernel_usage, 0, 0),
            "kernelTCP": {"limit": 0, "failcnt": 0},
        }),
        &[("cache", json!(memory.cache)), ("raw", json!(memory.raw))],
    )
}

fn blkio(all: &[BlkioStats], value: impl Fn(&BlkioStats) -> u64) -> Value {
    let entry = |one: &BlkioStats| {
        nonzero(
            json!({}),
            &[
                ("major", json!(one.major)),
                ("minor", json!(one.minor)),
                ("op", json!(one.operation)),
                ("value", json!(value(one))),
            ],
        )
    };
    all.iter().map(entry).collect()
}

fn hugetlb(stats: &Stats) -> Value {
    let sizes = stats.hugetlb.iter().map(|(size, one)| {
        let entry = nonzero(
            json!({"failcnt": one.failures}),
            &[("usage", json!(one.usage)), ("max", json!(one.peak))],
        );
        (size.clone(), entry)
    });
    Value::Object(sizes.collect::<Map<_, _>>())
}

/// `object` with those fields that are not zero or empty.
fn nonzero(mut object: Value, fields: &[(&str, Value)]) -> Value {
    for (name, value) in fields {
        let empty = match value {
            Value::Number(number) => number.as_u64() == Some(0),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::String(text) => text.is_empty(),
            _ => false,
        };
        if !empty {
            object[*name] = value.clone();
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_as_go_reads_them() {
        for (text, milliseconds) in [
            ("5s", Some(5000)),
            ("100ms", Some(100)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1500)),
        ] {
            assert_eq!(duration(text).map(|d| d.as_millis()), milliseconds, "{text}");
        }
        for bad in ["", "5", "s", "5x", "-5s"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn usage_has_the_form_of_runc() {
        let mut stats = Stats::default();
        stats.cpu.usage_ns = 7;
        stats.memory.usage = 4096;
        stats.memory.limit = Some(8192);
        let data = data(&stats, &CpusetStats::default());
        assert_eq!(data["cpu"]["usage"], json!({"total": 7, "kernel": 0, "user": 0}));
        assert_eq!(data["memory"]["usage"], json!({"limit": 8192, "usage": 4096, "failcnt": 0}));
        assert_eq!(data["memory"]["swap"]["limit"], json!(u64::MAX));
        assert_eq!(data["pids"], json!({}));
        assert!(data["network_interfaces"].is_null());
    }
}
