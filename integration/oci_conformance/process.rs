//! `process`, `root` and the names.

use serde_json::{Value, json};

use super::case::{Case, Place, announced, by, leaf, put, same};
use super::table::Row;
use crate::support::Ran;

pub fn cases() -> Vec<Case> {
    [names(), root(), terminal(), user(), program(), limits(), capabilities(), scheduling()]
        .into_iter()
        .flatten()
        .collect()
}

fn names() -> Vec<Case> {
    vec![
        leaf("ociVersion", "1.1.0").looks(version),
        leaf("hostname", "leaf-host").prints("hostname", "leaf-host"),
        leaf("domainname", "leaf.domain").prints("cat /proc/sys/kernel/domainname", "leaf.domain"),
        leaf("annotations.*", Value::Null).looks(annotation),
    ]
}

fn version(place: &Place, row: &Row) -> Result<(), String> {
    let with = |version: &str| {
        let mut config = place.config("true", &no_change());
        put(&mut config, "ociVersion", json!(version));
        config
    };
    let told = place.created(&with("1.1.0"), |id| place.state(id)["ociVersion"].clone())?;
    same(told.as_str().unwrap_or_default(), "1.1.0")?;
    announced(row, &place.run(&with("2.0.0")))
}

fn annotation(place: &Place, _: &Row) -> Result<(), String> {
    let mut config = place.config("true", &no_change());
    config["annotations"] = json!({"leaf.example": "seen"});
    let told = place.created(&config, |id| place.state(id)["annotations"].clone())?;
    same(told["leaf.example"].as_str().unwrap_or_default(), "seen")
}

pub fn no_change() -> super::case::Change {
    Box::new(|_| ())
}

fn root() -> Vec<Case> {
    vec![
        leaf("root.path", "other").looks(other_root),
        leaf("root.readonly", true).prints("touch /tmp/x 2>/dev/null; echo $?", "1"),
    ]
}

/// The other root has a program that the usual one lacks.
fn other_root(place: &Place, _: &Row) -> Result<(), String> {
    crate::support::busybox_rootfs(&place.bundle.join("other"));
    std::fs::write(place.bundle.join("other/mark"), "other").map_err(|e| e.to_string())?;
    let mut config = place.config("cat /mark", &no_change());
    config["root"]["path"] = json!("other");
    same(&place.run(&config).stdout, "other")
}

fn terminal() -> Vec<Case> {
    let with_terminal = |config: &mut Value| put(config, "process.terminal", json!(true));
    let size = json!({"height": 12, "width": 34});
    let sized = move |config: &mut Value| put(config, "process.consoleSize", size.clone());
    vec![
        leaf("process.terminal", true).prints("test -t 1 && echo terminal; true", "terminal"),
        by("process.consoleSize.height", sized.clone())
            .given(with_terminal)
            .prints("stty size | cut -d' ' -f1", "12"),
        by("process.consoleSize.width", sized)
            .given(with_terminal)
            .prints("stty size | cut -d' ' -f2", "34"),
    ]
}

fn user() -> Vec<Case> {
    vec![
        leaf("process.user.uid", 1234).prints("id -u", 1234),
        leaf("process.user.gid", 1235).prints("id -g", 1235),
        leaf("process.user.umask", 0o27).prints("umask", "0027"),
        leaf("process.user.additionalGids", vec![7, 8]).prints("id -G", "0 7 8"),
    ]
}

fn program() -> Vec<Case> {
    let status = |key: &str| format!("grep {key}: /proc/self/status | cut -f2");
    vec![
        leaf("process.cwd", "/etc").prints("pwd", "/etc"),
        leaf("process.env", vec!["PATH=/bin", "LEAF=set"]).prints("echo $LEAF", "set"),
        leaf("process.args", vec!["echo", "of", "the", "leaf"]).prints("true", "of the leaf"),
        leaf("process.noNewPrivileges", false).prints(&status("NoNewPrivs"), 0),
        leaf("process.oomScoreAdj", 432).prints("cat /proc/self/oom_score_adj", 432),
        leaf("process.apparmorProfile", "podrt-no-such-profile"),
        leaf("process.selinuxLabel", "system_u:system_r:podrt_no_such_t:s0"),
    ]
}

fn limits() -> Vec<Case> {
    let limit = |kind: &str, soft: u64, hard: u64| {
        let limit = json!([{"type": kind, "soft": soft, "hard": hard}]);
        move |config: &mut Value| put(config, "process.rlimits", limit.clone())
    };
    vec![
        by("process.rlimits.type", limit("RLIMIT_FSIZE", 51200, 51200)).prints("ulimit -f", 100),
        by("process.rlimits.soft", limit("RLIMIT_NOFILE", 78, 99)).prints("ulimit -S -n", 78),
        by("process.rlimits.hard", limit("RLIMIT_NOFILE", 78, 99)).prints("ulimit -H -n", 99),
    ]
}

const KILL: &str = "0000000000000020";

fn capabilities() -> Vec<Case> {
    let as_user = |config: &mut Value| {
        put(config, "process.user", json!({"uid": 1000, "gid": 1000}));
        put(config, "process.capabilities", json!({"bounding": ["CAP_KILL"]}));
    };
    let all_but = |missing: &'static str| {
        move |config: &mut Value| {
            as_user(config);
            for set in ["permitted", "inheritable", "ambient"] {
                if set != missing {
                    put(config, &format!("process.capabilities.{set}"), json!(["CAP_KILL"]));
                }
            }
        }
    };
    let set = |name: &str| leaf(&format!("process.capabilities.{name}"), vec!["CAP_KILL"]);
    let shown = |key: &str| format!("grep {key}: /proc/self/status | cut -f2");
    vec![
        leaf("process.capabilities.bounding", vec!["CAP_CHOWN"])
            .prints(&shown("CapBnd"), "0000000000000001"),
        set("inheritable").given(as_user).prints(&shown("CapInh"), KILL),
        set("permitted").given(all_but("permitted")).prints(&shown("CapPrm"), KILL),
        set("ambient").given(all_but("ambient")).prints(&shown("CapAmb"), KILL),
        leaf("process.capabilities.effective", Value::Null).looks(effective),
    ]
}

/// The effective set counts until the program is executed, and so for whether
/// it may be.
fn effective(place: &Place, _: &Row) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let secret = place.rootfs().join("secret");
    let io = |error: std::io::Error| error.to_string();
    std::fs::create_dir_all(&secret).map_err(io)?;
    std::fs::copy("/bin/busybox", secret.join("busybox")).map_err(io)?;
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o700)).map_err(io)?;
    let run = |effective: &[&str]| -> Ran {
        let caps = ["CAP_DAC_OVERRIDE"];
        let mut config = place.config("true", &no_change());
        put(&mut config, "process.user", json!({"uid": 1000, "gid": 1000}));
        put(&mut config, "process.args", json!(["/secret/busybox", "echo", "reached"]));
        put(
            &mut config,
            "process.capabilities",
            json!({"bounding": caps, "permitted": caps, "effective": effective}),
        );
        place.run(&config)
    };
    same(run(&["CAP_DAC_OVERRIDE"]).stdout.trim(), "reached")?;
    if run(&[]).code == 0 { Err("reached without the capability".to_owned()) } else { Ok(()) }
}

fn scheduling() -> Vec<Case> {
    let shown = |key: &str| format!("payload scheduling | grep '^{key} ' | cut -d' ' -f2");
    let own = |key: &str| format!("exec {}", shown(key));
    let scheduler = |value: Value| move |c: &mut Value| put(c, "process.scheduler", value.clone());
    let fifo = json!({"policy": "SCHED_FIFO", "priority": 7});
    let nice = json!({"policy": "SCHED_OTHER", "nice": -5});
    let reset = json!({"policy": "SCHED_OTHER", "nice": -5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
    let io = json!({"class": "IOPRIO_CLASS_BE", "priority": 2});
    let mut cases = vec![
        leaf("process.scheduler.policy", "SCHED_BATCH").prints(&shown("policy"), 3),
        by("process.scheduler.nice", scheduler(nice.clone())).prints(&own("nice"), -5),
        by("process.scheduler.priority", scheduler(fifo)).prints(&shown("priority"), 7),
        by("process.scheduler.flags", scheduler(reset))
            .given(scheduler(nice))
            .prints(&shown("nice"), 0),
        by("process.ioPriority.class", |c| {
            put(c, "process.ioPriority", json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0}))
        })
        .prints(&shown("io-class"), 3),
        by("process.ioPriority.priority", move |c| put(c, "process.ioPriority", io.clone()))
            .prints(&shown("io-level"), 2),
        leaf("process.execCPUAffinity.initial", "1000").looks(first_cpus),
        leaf("process.execCPUAffinity.final", "0").looks(last_cpus),
    ];
    for (key, value) in [("runtime", 2_000_000), ("deadline", 8_000_000), ("period", 16_000_000)] {
        cases.push(
            by(&format!("process.scheduler.{key}"), |config| {
                put(
                    config,
                    "process.scheduler",
                    json!({"policy": "SCHED_DEADLINE", "flags": ["SCHED_FLAG_RESET_ON_FORK"],
                           "runtime": 2_000_000, "deadline": 8_000_000, "period": 16_000_000}),
                );
                put(config, "process.args", json!(["payload", "scheduling"]));
            })
            .looks(move |place, row| deadline(place, row, key, value)),
        );
    }
    cases
}

/// A process with a deadline may not fork: the payload is process 1.
fn deadline(place: &Place, row: &Row, key: &str, value: u64) -> Result<(), String> {
    let mut config = place.config("true", &no_change());
    put(
        &mut config,
        "process.scheduler",
        json!({"policy": "SCHED_DEADLINE", "runtime": 2_000_000, "deadline": 8_000_000,
               "period": 16_000_000}),
    );
    put(&mut config, "process.args", json!(["payload", "scheduling"]));
    let ran = place.run(&config);
    if ran.code != 0 {
        return announced(row, &ran);
    }
    let line = format!("{key} {value}");
    if ran.stdout.lines().any(|seen| seen == line) { Ok(()) } else { Err(ran.stdout) }
}

/// What an exec prints in a container with this affinity.
fn exec(place: &Place, affinity: Value, args: &[&str]) -> Result<Ran, String> {
    let mut config = place.config("exec sleep 1000", &no_change());
    put(&mut config, "process.execCPUAffinity", affinity);
    place.created(&config, |id| {
        let all: Vec<&str> = ["exec", id].into_iter().chain(args.iter().copied()).collect();
        place.podrt(&all)
    })
}

/// Where the maker runs shows only by its error for a CPU that is not there.
fn first_cpus(place: &Place, _: &Row) -> Result<(), String> {
    let ran = exec(place, json!({"initial": "1000"}), &["true"])?;
    if !ran.stderr.contains("run on the CPUs of execCPUAffinity") {
        return Err(format!("a CPU that is not there: {ran:?}"));
    }
    let ran = exec(place, json!({"initial": "0"}), &["payload", "scheduling"])?;
    let all = format!("cpus {}", cpus_of("/proc/self/status"));
    if ran.stdout.lines().any(|line| line == all) { Ok(()) } else { Err(format!("{ran:?}")) }
}

fn last_cpus(place: &Place, _: &Row) -> Result<(), String> {
    let ran = exec(place, json!({"final": "0"}), &["payload", "scheduling"])?;
    if ran.stdout.lines().any(|line| line == "cpus 0") { Ok(()) } else { Err(format!("{ran:?}")) }
}

fn cpus_of(status: &str) -> String {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap_or_default().trim().to_owned()
}
