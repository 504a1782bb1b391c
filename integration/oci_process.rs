//! What the process of a container may and sees.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use serde_json::json;

use crate::support::{Bundle, World};

/// Runs `script` in a container shaped by `change`: what it printed.
#[track_caller]
fn printed(world: &World, script: &str, change: impl FnOnce(&mut serde_json::Value)) -> String {
    let id = world.name("c");
    let mut bundle = Bundle::new(world, "b", &["sh", "-c", script]);
    change(&mut bundle.config);
    let path = bundle.write();
    world.podrt(&["run", "-b", &path, &id]).ok()
}

#[test]
fn capabilities_are_exactly_those_of_the_spec() {
    let world = World::new();
    let out = printed(&world, "grep Cap /proc/self/status | cut -f2", |config| {
        config["process"]["capabilities"] = json!({
            "bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_NET_RAW"],
            "permitted": ["CAP_KILL", "CAP_CHOWN"],
            "effective": ["CAP_KILL", "CAP_CHOWN"],
            "inheritable": ["CAP_KILL"],
            "ambient": ["CAP_KILL", "CAP_CHOWN"],
        });
        // As another user, or exec as root would fill the sets again.
        config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    });
    let sets: Vec<u64> =
        out.lines().map(|line| u64::from_str_radix(line, 16).expect("hex")).collect();
    let (chown, kill, net_raw) = (1, 1 << 5, 1 << 13);
    assert_eq!(sets, [kill, kill, kill, chown | kill | net_raw, kill], "inh prm eff bnd amb");
    let none = printed(&world, "grep Cap /proc/self/status | cut -f2 | sort -u", |config| {
        config["process"].as_object_mut().unwrap().remove("capabilities");
    });
    assert_eq!(none.trim(), "0000000000000000");
    world.assert_clean();
}

#[test]
fn user_groups_umask_home_and_working_directory_are_the_specs() {
    let world = World::new();
    let script = "id -u; id -g; id -G; umask; pwd; echo $HOME";
    let out = printed(&world, script, |config| {
        config["process"]["user"] =
            json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 2000], "umask": 0o77});
        config["process"]["cwd"] = json!("/made/on/the/way");
    });
    assert_eq!(out, "1000\n1001\n1001 5 2000\n0077\n/made/on/the/way\n/\n");
    let root = printed(&world, "echo $HOME; umask", |_| ());
    assert_eq!(root, "/root\n0022\n");
    world.assert_clean();
}

#[test]
fn limits_and_no_new_privs_hold() {
    let world = World::new();
    let script = "ulimit -n; ulimit -c; grep NoNewPrivs /proc/self/status | cut -f2; \
                  cat /proc/self/oom_score_adj";
    let out = printed(&world, script, |config| {
        config["process"]["rlimits"] = json!([
            {"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        ]);
        config["process"]["oomScoreAdj"] = json!(321);
        config["process"]["noNewPrivileges"] = json!(true);
    });
    assert_eq!(out, "77\n0\n1\n321\n");
    let out = printed(&world, "grep NoNewPrivs /proc/self/status | cut -f2", |config| {
        config["process"]["noNewPrivileges"] = json!(false);
    });
    assert_eq!(out, "0\n");
    world.assert_clean();
}

#[test]
fn masked_and_readonly_paths_and_a_readonly_root_are_out_of_reach() {
    let world = World::new();
    let script = "cat /proc/keys | wc -c; ls /sys/firmware | wc -l; \
                  (echo 1 >/proc/sys/kernel/panic) 2>&1 | grep -c -i 'read-only'; \
                  (echo 1 >/file) 2>&1 | grep -c -i 'read-only'";
    let out = printed(&world, script, |config| config["root"]["readonly"] = json!(true));
    assert_eq!(out, "0\n0\n1\n1\n");
    world.assert_clean();
}

#[test]
fn sysctls_and_names_are_set_inside_and_nowhere_else() {
    let world = World::new();
    let host = fs::read_to_string("/proc/sys/kernel/shmmni").unwrap();
    let script = "cat /proc/sys/kernel/shmmni /proc/sys/net/ipv4/ip_unprivileged_port_start \
                  /proc/sys/kernel/hostname /proc/sys/kernel/domainname; \
                  ip addr show lo | grep -c 127.0.0.1";
    let out = printed(&world, script, |config| {
        config["linux"]["sysctl"] =
            json!({"kernel.shmmni": "123", "net.ipv4.ip_unprivileged_port_start": "0"});
        config["hostname"] = json!("inside");
        config["domainname"] = json!("domain");
    });
    assert_eq!(out, "123\n0\ninside\ndomain\n1\n");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/shmmni").unwrap(), host);
    world.assert_clean();
}

#[test]
fn nothing_of_the_callers_is_open_inside_but_what_is_preserved() {
    let world = World::new();
    let id = world.name("c");
    let bundle = Bundle::new(&world, "b", &["sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"]);
    let path = bundle.write();
    let root = world.root();
    let run = |flags: &str| {
        let script = format!(
            "exec 3</etc/hostname 4</etc/hostname 9</; exec {} --root {} run {flags} -b {path} {id}",
            crate::support::podrt_path().display(),
            root.display(),
        );
        let mut command = std::process::Command::new("sh");
        crate::support::run(command.arg("-c").arg(script)).ok()
    };
    // One more is the folder that ls itself reads.
    assert_eq!(run(""), "0 1 2 3 ");
    assert_eq!(run("--preserve-fds 2"), "0 1 2 3 4 5 ");
    world.assert_clean();
}

#[test]
fn a_working_directory_is_never_outside_of_the_container() {
    let world = World::new();
    let id = world.name("c");
    let mut bundle = Bundle::new(&world, "b", &["sh", "-c", "pwd; ls -d bin/busybox"]);
    for fd in 0..20 {
        // One of the maker's folders, if one is open by that number.
        for path in [format!("/proc/self/fd/{fd}"), format!("/proc/self/fd/{fd}/..")] {
            bundle.config["process"]["cwd"] = json!(path);
            let bundle = bundle.write();
            let ran = world.podrt(&["run", "-b", &bundle, &id]);
            let inside = ran.stdout == "/\nbin/busybox\n";
            assert!(ran.code != 0 || inside, "{path}: {ran:?}");
        }
    }
    world.assert_clean();
}

#[test]
fn an_image_whose_dev_is_a_symlink_writes_nothing_outside() {
    let world = World::new();
    let victim = world.path().join("victim");
    fs::create_dir(&victim).unwrap();
    for target in ["victim", "../victim"] {
        let id = world.name("c");
        let bundle = Bundle::new(&world, "b", &["true"]);
        let dev = bundle.rootfs().join("dev");
        if dev.is_symlink() {
            fs::remove_file(&dev).unwrap();
        } else {
            fs::remove_dir(&dev).unwrap();
        }
        let target = if target == "victim" {
            victim.clone()
        } else {
            std::path::PathBuf::from("../../../../../../../../../../../..")
                .join(victim.strip_prefix("/").unwrap())
        };
        symlink(target, &dev).unwrap();
        let path = bundle.write();
        // Whether it runs or is refused is another question.
        world.podrt(&["run", "-b", &path, &id]);
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
    }
    world.assert_clean();
}

#[test]
fn the_runtime_in_memory_and_on_disk_is_out_of_the_containers_reach() {
    let world = World::new();
    let before = fs::metadata(crate::support::podrt_path()).unwrap();
    let id = world.name("c");
    // An entrypoint that executes the runtime's own file, which then has the
    // container's process write to it.
    let bundle = Bundle::new(&world, "b", &["/proc/self/exe", "--version"]);
    let path = bundle.write();
    let ran = world.podrt(&["run", "-b", &path, &id]);
    assert!(ran.stdout.starts_with("podrt version") || ran.code != 0, "{ran:?}");
    let script = "exec 7</proc/self/exe; (echo x >/proc/self/fd/7) 2>&1; true";
    fs::write(bundle.rootfs().join("bin/evil"), format!("#!/proc/self/exe\n{script}\n")).unwrap();
    world.assert_clean();
    let after = fs::metadata(crate::support::podrt_path()).unwrap();
    assert_eq!((before.mtime(), before.size()), (after.mtime(), after.size()));
}

#[test]
fn a_forged_mark_leads_to_a_refusal_and_never_past_the_protection() {
    let world = World::new();
    let id = world.name("c");
    let path = Bundle::new(&world, "b", &["true"]).write();
    let mut command = world.command(&["run", "-b", &path, &id]);
    command.env("_PODRT_VIEW", "1");
    let error = crate::support::run(&mut command).error(1);
    assert!(error.contains("protect own file"), "{error}");
    world.assert_clean();
}
