//! An image's own user files, and what a process must not keep of its caller's
//! identity.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::super::support::{Bundle, World, podrt_path, run};

/// What an image may have in place of `/etc/passwd`.
const HOSTILE: [&str; 9] = [
    "nothing",
    "a fifo that nobody ever writes to",
    "an endless device",
    "a terminal",
    "a link to itself",
    "a folder",
    "a terabyte",
    "the kernel's log",
    "a link to a file of the host",
];

fn put(what: &str, passwd: &Path, of_the_host: &Path) {
    let made = match what {
        "a fifo that nobody ever writes to" => {
            return nix::unistd::mkfifo(passwd, nix::sys::stat::Mode::S_IRWXU).expect("fifo");
        }
        "an endless device" => symlink("/dev/zero", passwd),
        "a terminal" => symlink("/dev/tty", passwd),
        "a link to itself" => symlink("passwd", passwd),
        "a folder" => fs::create_dir(passwd),
        "a terabyte" => fs::File::create(passwd).and_then(|file| file.set_len(1 << 40)),
        "the kernel's log" => symlink("/proc/kmsg", passwd),
        "a link to a file of the host" => symlink(of_the_host, passwd),
        _ => Ok(()),
    };
    made.expect(what);
}

#[test]
fn a_hostile_passwd_neither_stops_a_container_nor_shows_what_is_the_hosts() {
    let world = World::new();
    let of_the_host = world.file("passwd", "root:x:0:0::/leaked:/bin/sh\n");
    for what in HOSTILE {
        let mut bundle = Bundle::new(&world, "b", &["/bin/sh", "-c", "echo $HOME"]);
        bundle.config["process"]["env"] = json!(["PATH=/bin"]);
        let passwd = bundle.rootfs().join("etc/passwd");
        fs::remove_file(&passwd).expect("passwd");
        put(what, &passwd, &of_the_host);
        let path = bundle.write();
        // No memory to read without an end into.
        let limited = format!(
            "ulimit -v 600000; exec {} --root {} run -b {path} {}",
            podrt_path().display(),
            world.root().display(),
            world.name("c")
        );
        let ran =
            run(Command::new("timeout").args(["60", "sh", "-c", &limited]).stdin(Stdio::null()));
        assert_eq!(ran.stdout, "/\n", "{what}: {ran:?}");
        let id = world.name("d");
        bundle.config["process"]["args"] = json!(["sleep", "1000"]);
        let path = bundle.write();
        world.podrt(&["run", "-d", "-b", &path, &id]).ok();
        assert_eq!(world.podrt(&["exec", &id, "sh", "-c", "echo $HOME"]).ok(), "/\n", "{what}");
        world.podrt(&["delete", "-f", &id]).ok();
        fs::remove_dir_all(&bundle.path).expect("bundle");
    }
    world.assert_clean();
}

/// podrt started by root that is in groups which open doors.
fn in_groups(world: &World, args: &[&str]) -> String {
    let mut command = Command::new("setpriv");
    command.args(["--groups", "4242,4343", "--inh-caps", "+net_raw"]);
    command.arg(podrt_path()).arg("--root").arg(world.root()).args(args).stdin(Stdio::null());
    run(&mut command).ok()
}

#[test]
fn a_container_keeps_no_group_and_no_inheritable_capability_of_its_caller() {
    let world = World::new();
    let script = "grep -E '^(Groups|CapInh|CapAmb):' /proc/self/status | tr -d ' \\t\\n'";
    let want = "Groups:CapInh:0000000000000000CapAmb:0000000000000000";
    for user_namespace in [false, true] {
        let id = world.name("c");
        let mut bundle = Bundle::new(&world, "b", &["sh", "-c", script]);
        if user_namespace {
            let linux = &mut bundle.config["linux"];
            linux["namespaces"].as_array_mut().expect("list").push(json!({"type": "user"}));
            let map = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
            linux["uidMappings"] = map.clone();
            linux["gidMappings"] = map;
        }
        let path = bundle.write();
        assert_eq!(in_groups(&world, &["run", "-b", &path, &id]), want);
        bundle.config["process"]["args"] = json!(["sleep", "1000"]);
        let path = bundle.write();
        in_groups(&world, &["run", "-d", "-b", &path, &id]);
        assert_eq!(in_groups(&world, &["exec", &id, "sh", "-c", script]), want);
        world.podrt(&["delete", "-f", &id]).ok();
    }
    world.assert_clean();
}

/// A group can also take rights away; who could drop it would gain them. Where
/// the kernel trusts nobody with setgroups(2), podrt must not have allowed it.
#[test]
fn a_user_cannot_drop_a_group_that_denies_by_becoming_root_of_a_container() {
    let test = "a_user_cannot_drop_a_group_that_denies_by_becoming_root_of_a_container";
    let world = World::new();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(world.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    let (uid, gid) = (4_321_000, 4_321_001);
    let mut bundle =
        Bundle::new(&world, "b", &["sh", "-c", "cat /proc/self/setgroups; cat /denied"]);
    let config = &mut bundle.config;
    let linux = &mut config["linux"];
    linux["namespaces"].as_array_mut().expect("list").push(json!({"type": "user"}));
    linux["uidMappings"] = json!([{"containerID": 0, "hostID": uid, "size": 1}]);
    linux["gidMappings"] = json!([{"containerID": 0, "hostID": uid, "size": 1}]);
    linux["resources"] = json!({});
    let list = config["mounts"].as_array_mut().expect("mounts");
    for mount in list.iter_mut().filter(|mount| mount["destination"] == "/dev/pts") {
        mount["options"] = json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
    }
    let denied = bundle.rootfs().join("denied");
    fs::write(&denied, "secret\n").expect("a file");
    // Everybody may read it but this group.
    std::os::unix::fs::chown(&denied, Some(0), Some(gid)).expect("chown");
    fs::set_permissions(&denied, fs::Permissions::from_mode(0o604)).expect("chmod");
    let path = bundle.write();
    let root = world.path().join("own");
    fs::create_dir(&root).expect("root");
    std::os::unix::fs::chown(&root, Some(uid), Some(uid)).expect("chown");
    let as_user = |groups: &str, program: &[&str]| {
        let mut command = Command::new("setpriv");
        let (uid, program_text) = (uid.to_string(), program);
        command.args(["--reuid", &uid, "--regid", &uid, "--groups", groups]);
        run(command.args(program_text).stdin(Stdio::null()).current_dir("/"))
    };
    let denied_text = denied.to_str().expect("UTF-8");
    let group = gid.to_string();
    assert_eq!(as_user("4321005", &["cat", denied_text]).stdout, "secret\n", "others may");
    assert_ne!(as_user(&group, &["cat", denied_text]).code, 0, "the group may not");
    let (podrt, root) = (podrt_path(), root.to_str().expect("UTF-8").to_owned());
    let id = world.name("c");
    let podrt = ["--root", &root, "run", "-b", &path, &id].iter().fold(
        vec![podrt.to_str().expect("UTF-8").to_owned()],
        |mut all, one| {
            all.push((*one).to_owned());
            all
        },
    );
    let podrt: Vec<&str> = podrt.iter().map(String::as_str).collect();
    let ran = as_user(&group, &podrt);
    if !ran.stdout.starts_with("deny") && ran.stdout.is_empty() {
        return super::super::support::skip(
            test,
            &format!("no container of a user's: {}", ran.stderr.trim()),
        );
    }
    assert_eq!(ran.stdout, "deny\n", "{ran:?}");
    assert!(ran.stderr.to_lowercase().contains("permission denied"), "{ran:?}");
    world.assert_clean();
}
