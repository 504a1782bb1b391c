//! `linux.resources`: what the files of the container's cgroup hold.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::case::{Case, Place, announced, by, leaf, push, put, same};
use super::table::Row;

pub fn cases() -> Vec<Case> {
    [devices(), memory(), cpu(), io(), others()].into_iter().flatten().collect()
}

fn unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// The value that the hierarchy of this machine has.
fn pick<T>(v1: T, v2: T) -> T {
    if unified() { v2 } else { v1 }
}

/// Prints a file of the container's cgroup.
fn cat(v1: &str, v2: &str) -> String {
    format!("cat /sys/fs/cgroup/{}", pick(v1, v2))
}

fn resource(name: &str, value: impl Into<Value>) -> Case {
    leaf(&format!("linux.resources.{name}"), value)
}

/// A device that no container has unless it is allowed.
fn devices() -> Vec<Case> {
    let rule = |field: &str, value: Value| {
        let mut rule =
            json!({"allow": true, "type": "c", "major": 10, "minor": 200, "access": "rwm"});
        rule[field] = value;
        move |config: &mut Value| push(config, "linux.resources.devices", rule.clone())
    };
    let case = |field: &str, other: Value| {
        let (node, other) = (node(), rule(field, other));
        by(&format!("linux.resources.devices.{field}"), move |config| {
            node(config);
            rule("allow", json!(true))(config);
        })
        .given(move |config| {
            put(config, "linux.devices", json!([]));
            other(config);
            self::node()(config);
        })
        .prints("(: </dev/leaf) 2>/dev/null && echo open || echo shut", "open")
    };
    vec![
        case("allow", json!(false)),
        case("type", json!("b")),
        case("major", json!(11)),
        case("minor", json!(201)),
        case("access", json!("w")),
    ]
}

fn node() -> impl Fn(&mut Value) {
    |config| {
        let node = json!({"path": "/dev/leaf", "type": "c", "major": 10, "minor": 200});
        put(config, "linux.devices", json!([node]));
    }
}

fn memory() -> Vec<Case> {
    let limit = |config: &mut Value| put(config, "linux.resources.memory.limit", json!(64 << 20));
    let case = |name: &str, value: Value| resource(&format!("memory.{name}"), value);
    vec![
        case("limit", json!(64 << 20))
            .prints(&cat("memory/memory.limit_in_bytes", "memory.max"), 64 << 20),
        case("reservation", json!(32 << 20))
            .prints(&cat("memory/memory.soft_limit_in_bytes", "memory.low"), 32 << 20),
        case("swap", json!(96 << 20)).given(limit).prints(
            &cat("memory/memory.memsw.limit_in_bytes", "memory.swap.max"),
            pick(96, 32) << 20,
        ),
        case("kernel", json!(32 << 20)),
        case("kernelTCP", json!(32 << 20))
            .prints("cat /sys/fs/cgroup/memory/memory.kmem.tcp.limit_in_bytes", 32 << 20),
        case("swappiness", json!(7)).prints("cat /sys/fs/cgroup/memory/memory.swappiness", 7),
        case("disableOOMKiller", json!(true)).prints(
            "grep oom_kill_disable /sys/fs/cgroup/memory/memory.oom_control",
            "oom_kill_disable 1",
        ),
        case("useHierarchy", json!(false)),
        case("checkBeforeUpdate", json!(true)).looks(check_before_update),
    ]
}

/// A running container is given less than it uses.
fn check_before_update(place: &Place, _: &Row) -> Result<(), String> {
    let mut config = place.config("exec sleep 1000", &super::process::no_change());
    put(&mut config, "linux.resources.memory.limit", json!(64 << 20));
    let less =
        |check: bool| json!({"memory": {"limit": 8192, "checkBeforeUpdate": check}}).to_string();
    let file = place.world.file("resources.json", &less(true));
    place.created(&config, |id| {
        let ran = place.podrt(&["update", "--resources", &file.to_string_lossy(), id]);
        let told = ran.stderr.contains("below the current usage");
        if ran.code == 1 && told { Ok(()) } else { Err(format!("{ran:?}")) }
    })?
}

fn cpu() -> Vec<Case> {
    let quota = |config: &mut Value| put(config, "linux.resources.cpu.quota", json!(50_000));
    let case = |name: &str, value: Value| resource(&format!("cpu.{name}"), value);
    let max = |column: u8, v1: &str| {
        let script = cat(v1, "cpu.max");
        if unified() { format!("{script} | cut -d' ' -f{column}") } else { script }
    };
    vec![
        case("shares", json!(512)).prints(&cat("cpu/cpu.shares", "cpu.weight"), pick(512, 59)),
        case("quota", json!(50_000)).prints(&max(1, "cpu/cpu.cfs_quota_us"), 50_000),
        case("period", json!(20_000)).prints(&max(2, "cpu/cpu.cfs_period_us"), 20_000),
        case("burst", json!(10_000))
            .given(quota)
            .prints(&cat("cpu/cpu.cfs_burst_us", "cpu.max.burst"), 10_000),
        case("idle", json!(1)).prints(&cat("cpu/cpu.idle", "cpu.idle"), 1),
        case("cpus", json!("0")).prints(&cat("cpuset/cpuset.cpus", "cpuset.cpus"), 0),
        case("mems", json!("0")).looks(memory_nodes),
        case("realtimeRuntime", json!(5000))
            .prints("cat /sys/fs/cgroup/cpu/cpu.rt_runtime_us", 5000),
        case("realtimePeriod", json!(500_000))
            .prints("cat /sys/fs/cgroup/cpu/cpu.rt_period_us", 500_000),
    ]
}

/// Most machines have one node, which every container has anyway.
fn memory_nodes(place: &Place, row: &Row) -> Result<(), String> {
    let script = cat("cpuset/cpuset.mems", "cpuset.mems");
    let mut config = place.config(&script, &super::process::no_change());
    put(&mut config, "linux.resources.cpu.mems", json!("0"));
    let ran = place.run(&config);
    if ran.code != 0 {
        return announced(row, &ran);
    }
    same(ran.stdout.trim(), "0")?;
    put(&mut config, "linux.resources.cpu.mems", json!("63"));
    let ran = place.run(&config);
    let told = ran.code != 0 && ran.stderr.contains("cpuset.mems");
    if told { Ok(()) } else { Err(format!("a node that is not there: {ran:?}")) }
}

/// Major and minor number of a disk.
fn disk() -> (u32, u32) {
    let disks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let mut names: Vec<_> =
        disks.map(|disk| disk.file_name().into_string().unwrap_or_default()).collect();
    names.sort_by_key(|name| (!name.starts_with("vd") && !name.starts_with("sd"), name.clone()));
    let name = names.first().expect("a block device");
    let text = fs::read_to_string(format!("/sys/block/{name}/dev")).expect("its numbers");
    let (major, minor) = text.trim().split_once(':').expect("two numbers");
    (major.parse().expect("a number"), minor.parse().expect("a number"))
}

fn io() -> Vec<Case> {
    let (major, minor) = disk();
    let mut cases = vec![
        resource("blockIO.weight", 500).prints(
            "cat /sys/fs/cgroup/blkio/blkio.bfq.weight /sys/fs/cgroup/io.weight 2>/dev/null | head -1",
            pick("500", "default 4950"),
        ),
        resource("blockIO.leafWeight", 500).prints("cat /sys/fs/cgroup/blkio/blkio.leaf_weight", 500),
    ];
    for (field, file) in [
        ("major", "weight_device"),
        ("minor", "weight_device"),
        ("weight", "weight_device"),
        ("leafWeight", "leaf_weight_device"),
    ] {
        let weight = if field == "leafWeight" { "leafWeight" } else { "weight" };
        let device = json!([{"major": major, "minor": minor, weight: 500}]);
        cases.push(
            by(&format!("linux.resources.blockIO.weightDevice.{field}"), move |config| {
                put(config, "linux.resources.blockIO.weightDevice", device.clone());
            })
            .prints(
                &format!(
                    "cat /sys/fs/cgroup/blkio/blkio.{file} /sys/fs/cgroup/blkio/blkio.bfq.{file} \
                     /sys/fs/cgroup/io.weight 2>/dev/null | grep '^{major}:{minor} '; true"
                ),
                format!("{major}:{minor} {}", pick(500, 4950)),
            ),
        );
    }
    for (list, v1, v2) in [
        ("throttleReadBpsDevice", "read_bps", "rbps"),
        ("throttleWriteBpsDevice", "write_bps", "wbps"),
        ("throttleReadIOPSDevice", "read_iops", "riops"),
        ("throttleWriteIOPSDevice", "write_iops", "wiops"),
    ] {
        let file = format!("blkio/blkio.throttle.{v1}_device");
        let script = pick(
            format!("cat /sys/fs/cgroup/{file}"),
            format!(
                "grep -o '^{major}:{minor} .*' /sys/fs/cgroup/io.max | tr ' ' '\\n' | grep -E ':|{v2}=' | tr '\\n' ' '; true"
            ),
        );
        let want =
            pick(format!("{major}:{minor} 1048576"), format!("{major}:{minor} {v2}=1048576"));
        for field in ["major", "minor", "rate"] {
            let device = json!([{"major": major, "minor": minor, "rate": 1_048_576}]);
            let path = format!("linux.resources.blockIO.{list}");
            cases.push(
                by(&format!("{path}.{field}"), move |config| put(config, &path, device.clone()))
                    .prints(&script, &want),
            );
        }
    }
    cases
}

fn others() -> Vec<Case> {
    let huge = |config: &mut Value| {
        let limit = json!([{"pageSize": "2MB", "limit": 4_194_304}]);
        put(config, "linux.resources.hugepageLimits", limit);
    };
    let shown = cat("unified/hugetlb.2MB.max", "hugetlb.2MB.max");
    let priority = |config: &mut Value| {
        let list = json!([{"name": "lo", "priority": 3}]);
        put(config, "linux.resources.network.priorities", list);
    };
    let prio = "grep '^lo ' /sys/fs/cgroup/net_prio/net_prio.ifpriomap";
    let rdma = |field: &'static str| {
        by(&format!("linux.resources.rdma.*.{field}"), move |config| {
            put(config, &format!("linux.resources.rdma.mlx5_1.{field}"), json!(3));
        })
        .prints(&format!("{} | grep -c '=3'; true", cat("rdma/rdma.max", "rdma.max")), 1)
    };
    vec![
        resource("pids.limit", 55).prints(&cat("pids/pids.max", "pids.max"), 55),
        by("linux.resources.hugepageLimits.pageSize", huge).prints(&shown, 4_194_304),
        by("linux.resources.hugepageLimits.limit", huge).prints(&shown, 4_194_304),
        resource("network.classID", 1_048_577)
            .prints("cat /sys/fs/cgroup/net_cls/net_cls.classid", 1_048_577),
        by("linux.resources.network.priorities.name", priority).prints(prio, "lo 3"),
        by("linux.resources.network.priorities.priority", priority).prints(prio, "lo 3"),
        rdma("hcaHandles"),
        rdma("hcaObjects"),
        by("linux.resources.unified.*", |config| {
            put(config, "linux.resources.unified", json!({"hugetlb.2MB.max": "4194304"}));
        })
        .prints(&shown, 4_194_304),
    ]
}
