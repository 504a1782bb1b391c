//! `linux` but for resources and seccomp.

use serde_json::{Value, json};

use super::case::{Case, Place, announced, by, leaf, push, put};
use super::process::no_change;
use super::table::Row;
use crate::support::run;

pub fn cases(place: &Place) -> Vec<Case> {
    [
        namespaces(),
        mappings("uid"),
        mappings("gid"),
        time(),
        devices(),
        paths(place),
        memory_policy(),
        rest(),
        hardware(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn namespaces() -> Vec<Case> {
    let kinds = "readlink /proc/self/ns/time";
    let own = std::fs::read_link("/proc/self/ns/uts").unwrap_or_default();
    vec![
        by("linux.namespaces.type", |config| {
            push(config, "linux.namespaces", json!({"type": "time"}))
        })
        .prints(&format!("test \"$({kinds})\" = {} || echo new", link("time")), "new"),
        by("linux.namespaces.path", |config| {
            config["linux"]["namespaces"][3]["path"] = json!("/proc/self/ns/uts");
            config.as_object_mut().expect("an object").remove("hostname");
        })
        .prints("readlink /proc/self/ns/uts", own.display()),
    ]
}

fn link(kind: &str) -> String {
    let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default();
    format!("'{}'", link.display())
}

/// A user namespace whose ids are the host's, but for what a case changes.
fn user(config: &mut Value) {
    push(config, "linux.namespaces", json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
    put(config, "linux.uidMappings", map.clone());
    put(config, "linux.gidMappings", map);
}

fn mappings(kind: &str) -> Vec<Case> {
    let list = format!("linux.{kind}Mappings");
    let case = |field: &str, maps: Value, column: u8, want: u32| {
        let list = list.clone();
        let script = format!(
            "while read a b c; do set -- $a $b $c; done </proc/self/{kind}_map; echo ${column}"
        );
        by(&format!("{list}.{field}"), move |config| {
            put(config, &list, maps.clone());
        })
        .given(user)
        .prints(&script, want)
    };
    let first = json!({"containerID": 0, "hostID": 0, "size": 1000});
    let second = |inside: u32, outside: u32| json!([first, {"containerID": inside, "hostID": outside, "size": 500}]);
    vec![
        case("containerID", second(2000, 1000), 1, 2000),
        case("hostID", second(1000, 3000), 2, 3000),
        case("size", second(1000, 1000), 3, 500),
    ]
}

fn time() -> Vec<Case> {
    let given = |config: &mut Value| push(config, "linux.namespaces", json!({"type": "time"}));
    let offset = |field: &'static str, value: u64| {
        by(&format!("linux.timeOffsets.*.{field}"), move |config| {
            put(config, &format!("linux.timeOffsets.boottime.{field}"), json!(value));
        })
        .given(given)
    };
    let column = |n: u8| format!("grep boottime /proc/self/timens_offsets | awk '{{print ${n}}}'");
    vec![
        offset("secs", 1_000_000).prints(&busybox(&column(2)), 1_000_000),
        offset("nanosecs", 12345).prints(&busybox(&column(3)), 12345),
    ]
}

/// Scripts use applets that the bundle has no links for.
fn busybox(script: &str) -> String {
    script.replace("awk", "busybox awk")
}

fn devices() -> Vec<Case> {
    let device = |field: &str, value: Value| {
        let mut device = json!({"path": "/dev/leaf", "type": "c", "major": 1, "minor": 3,
                                "fileMode": 0o600, "uid": 0, "gid": 0});
        device[field] = value;
        move |config: &mut Value| put(config, "linux.devices", json!([device]))
    };
    let case = |field: &str, value: Value, format: &str, want: &str| {
        let at = if field == "path" { "/dev/other" } else { "/dev/leaf" };
        by(&format!("linux.devices.{field}"), device(field, value))
            .given(device("gid", json!(0)))
            .prints(&format!("stat -c {format} {at} 2>/dev/null; true"), want)
    };
    vec![
        case("path", json!("/dev/other"), "%n", "/dev/other"),
        case("type", json!("p"), "%F", "fifo"),
        case("major", json!(5), "%t", "5"),
        case("minor", json!(5), "%T", "5"),
        case("fileMode", json!(0o640), "%a", "640"),
        case("uid", json!(11), "%u", "11"),
        case("gid", json!(12), "%g", "12"),
    ]
}

fn paths(place: &Place) -> Vec<Case> {
    let name = format!("/{}", place.world.name("leaf"));
    let without = |config: &mut Value| {
        let list = config["linux"]["namespaces"].as_array_mut().expect("a list");
        list.retain(|one| one["type"] != "cgroup");
    };
    let path = name.clone();
    vec![
        by("linux.cgroupsPath", move |config| {
            without(config);
            put(config, "linux.cgroupsPath", json!(path));
        })
        .given(without)
        .prints("cut -d: -f3 /proc/self/cgroup | sort -u | tail -1", name),
        leaf("linux.maskedPaths", vec!["/etc/passwd", "/etc/none"])
            .prints("cat /etc/passwd | wc -l", 0),
        leaf("linux.readonlyPaths", vec!["/etc", "/none"])
            .prints("touch /etc/x 2>/dev/null; echo $?", 1),
        leaf("linux.rootfsPropagation", "shared")
            .prints("grep -E '^[0-9]+ [0-9]+ [0-9:]+ [^ ]+ / ' /proc/self/mountinfo | grep -c shared: ; true", 1),
    ]
}

fn memory_policy() -> Vec<Case> {
    let shown = |key: &str| format!("payload scheduling | grep '^{key} ' | cut -d' ' -f2");
    let policy =
        |value: Value| move |config: &mut Value| put(config, "linux.memoryPolicy", value.clone());
    let bind = json!({"mode": "MPOL_BIND", "nodes": "0"});
    let fixed = json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]});
    vec![
        by("linux.memoryPolicy.mode", policy(bind.clone())).prints(&shown("memory-policy"), 2),
        by("linux.memoryPolicy.nodes", policy(bind.clone())).prints(&shown("memory-nodes"), "0x1"),
        by("linux.memoryPolicy.flags", policy(fixed))
            .given(policy(bind))
            .prints(&shown("memory-flags"), "0x8000"),
    ]
}

fn rest() -> Vec<Case> {
    vec![
        by("linux.sysctl.*", |config| {
            put(config, "linux.sysctl", json!({"net.ipv4.ip_forward": "1"}))
        })
        .prints("cat /proc/sys/net/ipv4/ip_forward", 1),
        leaf("linux.personality.domain", "LINUX32")
            .prints("payload scheduling | grep personality", "personality 0x8"),
        by("linux.personality.flags", |config| {
            put(
                config,
                "linux.personality",
                json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}),
            );
        }),
        leaf("linux.mountLabel", "system_u:object_r:podrt_no_such_t:s0"),
    ]
}

/// One end of a pair of devices, which the kernel removes with the container.
fn net_device(place: &Place, _: &Row) -> Result<(), String> {
    let host = format!("pd{}a", std::process::id());
    let ip = |args: &str| {
        let mut command = std::process::Command::new("ip");
        run(command.args(args.split(' ')))
    };
    ip(&format!("link add {host} type veth peer name pd{}b", std::process::id())).ok();
    ip(&format!("address add 192.0.2.7/28 dev {host}")).ok();
    let mut config = place.config("ip -o addr show leaf0; ip link show leaf0", &no_change());
    put(&mut config, "linux.netDevices", json!({host.clone(): {"name": "leaf0"}}));
    let ran = place.run(&config);
    let left = ip(&format!("link delete {host}"));
    if left.code == 0 {
        return Err(format!("the device is still the host's: {ran:?}"));
    }
    let seen = ran.stdout.contains("192.0.2.7/28") && ran.stdout.contains("UP");
    if seen { Ok(()) } else { Err(format!("{ran:?}")) }
}

fn hardware() -> Vec<Case> {
    let mut cases = vec![leaf("linux.netDevices.*.name", Value::Null).looks(net_device)];
    for (field, value) in [
        ("closID", json!("leaf")),
        ("schemata", json!(["L3:0=f"])),
        ("l3CacheSchema", json!("L3:0=f")),
        ("memBwSchema", json!("MB:0=10")),
        ("enableCMT", json!(true)),
        ("enableMBM", json!(true)),
        ("enableMonitoring", json!(true)),
    ] {
        cases.push(cache_share(&format!("linux.intelRdt.{field}"), value));
    }
    cases
}

/// Needs hardware: where there is some, whether this very share can be had is
/// the kernel's to say.
fn cache_share(field: &str, value: Value) -> Case {
    let path = field.to_owned();
    leaf(field, value.clone()).looks(move |place, row| {
        let mut config = place.config("true", &no_change());
        put(&mut config, &path, value.clone());
        let ran = place.run(&config);
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let told = ran.code == 0 || ran.stderr.contains("set linux.intelRdt");
        if mounts.contains(" resctrl ") && told { Ok(()) } else { announced(row, &ran) }
    })
}
