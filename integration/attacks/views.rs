//! Masks, consoles and procfs files that are something else than they seem
//! (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881), and images whose folders
//! are symlinks to the host's.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use super::super::support::{Bundle, World};
use super::runtime_file::unconfined;

/// A path that leads from anywhere below to the host's `target`.
fn upwards(target: &Path) -> std::path::PathBuf {
    Path::new("../../../../../../../../../../..").join(target.strip_prefix("/").expect("absolute"))
}

#[test]
fn a_null_device_that_is_a_link_masks_with_nothing_of_the_hosts() {
    let world = World::new();
    let hostname = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("core_pattern");
    let dev = world.path().join("dev");
    fs::create_dir(&dev).expect("a folder");
    let script = "cat /secret; echo harmless >/secret; stat -c %t:%T /secret; \
                  grep -c ' /secret ' /proc/self/mountinfo";
    let mut bundle = Bundle::new(&world, "b", &["/bin/sh", "-c", script]);
    unconfined(&mut bundle.config);
    fs::write(bundle.rootfs().join("secret"), "secret\n").expect("a file");
    bundle.config["linux"]["maskedPaths"] = json!(["/secret"]);
    bundle.config["linux"]["readonlyPaths"] = json!(["/proc/sys"]);
    let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
    mounts.retain(|mount| !mount["destination"].as_str().expect("text").starts_with("/dev"));
    mounts.push(json!({"destination": "/dev", "type": "bind", "source": dev, "options": ["bind"]}));
    let path = bundle.write();
    for target in [Path::new("/proc/sys/kernel/core_pattern"), Path::new("/proc/sysrq-trigger")] {
        symlink(target, dev.join("null")).expect("link");
        let ran = world.podrt(&["run", "-b", &path, &world.name("c")]);
        // The host's null device, which swallows what is written.
        assert_eq!(ran.ok(), "1:3\n1\n", "{target:?}");
        fs::remove_file(dev.join("null")).expect("remove");
    }
    let now = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("core_pattern");
    assert_eq!(now, hostname);
    world.assert_clean();
}

#[test]
fn a_console_that_is_a_link_uncovers_and_covers_nothing_but_itself() {
    let world = World::new();
    let script = "stat -c %t /dev/console; grep -c core_pattern /proc/self/mountinfo; \
                  (cat /proc/sys/kernel/core_pattern >/proc/sys/kernel/core_pattern) 2>&1 | grep -c Read-only; echo end";
    let mut bundle = Bundle::new(&world, "b", &["/bin/sh", "-c", script]);
    unconfined(&mut bundle.config);
    bundle.config["linux"]["readonlyPaths"] = json!(["/proc/sys"]);
    bundle.config["process"]["terminal"] = json!(true);
    // The image's own /dev, with a devpts in it.
    let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
    mounts.retain(|mount| mount["destination"] != "/dev");
    symlink("/proc/sys/kernel/core_pattern", bundle.rootfs().join("dev/console")).expect("link");
    let path = bundle.write();
    let ran = world.podrt(&["run", "-b", &path, &world.name("c")]);
    let text = ran.stdout.replace('\r', "");
    // The console is a terminal (major 136), or there is no container.
    assert!(ran.code != 0 || text == "88\n0\n1\nend\n", "{ran:?}");
    world.assert_clean();
}

/// A container whose root puts what it likes in front of later processes.
fn hostile(world: &World, script: &str) -> String {
    let id = world.name("c");
    let script = format!("{script} && touch /ready; sleep 1000");
    let mut bundle = Bundle::new(world, "b", &["/bin/sh", "-c", &script]);
    unconfined(&mut bundle.config);
    let path = bundle.write();
    world.podrt(&["run", "-d", "-b", &path, &id]).ok();
    let begin = std::time::Instant::now();
    while !bundle.rootfs().join("ready").exists() {
        assert!(begin.elapsed().as_secs() < 60, "the trap is never set");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    id
}

#[test]
fn an_exec_writes_to_no_procfs_that_the_container_has_put_in_place() {
    let world = World::new();
    let trap = "mount -t tmpfs trap /proc && mkdir -p /proc/self/attr /proc/self/fd /proc/thread-self/attr /proc/1/ns && \
                for name in self/oom_score_adj self/attr/exec thread-self/attr/exec self/uid_map self/loginuid; do \
                echo untouched >/proc/$name || exit 1; done";
    let id = hostile(&world, trap);
    let pid_file = world.path().join("pid");
    let process = json!({"args": ["/bin/sleep", "1000"], "cwd": "/", "oomScoreAdj": 321,
        "user": {"uid": 0, "gid": 0}});
    let file = world.file("process.json", &process.to_string());
    let (file, pid_path) = (file.to_str().expect("UTF-8"), pid_file.to_str().expect("UTF-8"));
    world.podrt(&["exec", "-d", "-p", file, "--pid-file", pid_path, &id]).ok();
    let pid = fs::read_to_string(&pid_file).expect("a pid");
    let adjustment = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("adjustment");
    assert_eq!(adjustment, "321\n", "the kernel's file was written");
    let script = "cat /proc/self/oom_score_adj /proc/self/attr/exec /proc/thread-self/attr/exec \
                  /proc/self/uid_map /proc/self/loginuid | sort -u";
    assert_eq!(world.podrt(&["exec", &id, "sh", "-c", script]).ok(), "untouched\n");
    world.podrt(&["delete", "-f", &id]).ok();
    world.assert_clean();
}

#[test]
fn an_exec_takes_its_terminal_from_a_devpts_or_does_not_run() {
    let world = World::new();
    for (name, trap) in [
        ("a link to a file", "ln -s /victim /trap/ptmx"),
        ("a link to the kernel's", "ln -s /proc/sys/kernel/domainname /trap/ptmx"),
        ("a file", "touch /trap/ptmx"),
        ("the host's multiplexer", "mknod /trap/ptmx c 5 2"),
    ] {
        let id = hostile(
            &world,
            &format!(
                "echo untouched >/victim; mkdir -p /trap && rm -f /trap/ptmx && {trap} && mount --bind /trap /dev/pts"
            ),
        );
        let ran = world.podrt(&["exec", "-t", &id, "tty"]);
        assert_eq!(ran.code, 255, "{name}: {ran:?}");
        let rootfs = world.path().join("bundle-b/rootfs");
        assert_eq!(fs::read(rootfs.join("victim")).expect("victim"), b"untouched\n", "{name}");
        world.podrt(&["delete", "-f", &id]).ok();
        fs::remove_file(rootfs.join("ready")).expect("ready");
    }
    world.assert_clean();
}

#[test]
fn folders_of_an_image_that_are_links_to_the_hosts_lead_there_for_no_mount() {
    let world = World::new();
    let victim = world.path().join("victim");
    fs::create_dir(&victim).expect("a folder of the host");
    fs::write(victim.join("hosts"), "the host's\n").expect("a file of the host");
    let source = world.file("source", "mounted\n");
    for target in [victim.clone(), upwards(&victim)] {
        for name in ["etc", "sys", "run"] {
            let bundle_name = format!("{name}-{}", target.is_absolute());
            let mut bundle = Bundle::new(&world, &bundle_name, &["cat", &format!("/{name}/hosts")]);
            let folder = bundle.rootfs().join(name);
            let _ = fs::remove_dir_all(&folder);
            symlink(&target, &folder).expect("link");
            let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
            mounts
                .retain(|mount| !mount["destination"].as_str().expect("text").starts_with("/sys"));
            for file in ["hosts", "made/hosts"] {
                mounts.push(json!({"destination": format!("/{name}/{file}"), "type": "bind",
                    "source": source, "options": ["bind"]}));
            }
            let path = bundle.write();
            let ran = world.podrt(&["run", "-b", &path, &world.name("c")]);
            assert_eq!(ran.ok(), "mounted\n", "{name} to {target:?}");
        }
    }
    assert_eq!(fs::read(victim.join("hosts")).expect("hosts"), b"the host's\n");
    assert_eq!(fs::read_dir(&victim).expect("victim").count(), 1, "nothing was made outside");
    world.assert_clean();
}

#[test]
fn a_pod_of_such_an_image_writes_its_files_inside() {
    let world = World::new();
    let victim = world.path().join("victim");
    fs::create_dir(&victim).expect("a folder of the host");
    for name in ["hosts", "hostname", "resolv.conf"] {
        fs::write(victim.join(name), "the host's\n").expect("a file of the host");
    }
    let rootfs = world.path().join("image");
    super::super::support::busybox_rootfs(&rootfs);
    for (name, target) in
        [("etc", upwards(&victim)), ("dev", victim.clone()), ("var", victim.clone())]
    {
        let _ = fs::remove_dir_all(rootfs.join(name));
        symlink(target, rootfs.join(name)).expect("link");
    }
    world
        .podrt(&["image", "import", rootfs.to_str().expect("UTF-8"), "podrt.local/evil:latest"])
        .ok();
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: NAME}\nspec:\n  restartPolicy: Never\n  containers:\n  \
        - name: main\n    image: podrt.local/evil:latest\n    imagePullPolicy: Never\n    \
        command: [sh, -c, 'grep -c localhost$ /etc/hosts; test -c /dev/null && echo device']\n    \
        terminationMessagePath: /var/made/termination-log\n";
    let name = world.name("evil");
    world
        .run_pod(&manifest.replace("NAME", &name), &["--network=none", "-d", "--wait=completed"])
        .ok();
    assert_eq!(world.podrt(&["logs", &name]).ok(), "1\ndevice\n");
    let left: Vec<_> = fs::read_dir(&victim).expect("victim").flatten().collect();
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left.iter().all(|file| fs::read(file.path()).expect("a file") == b"the host's\n"));
    world.podrt(&["delete", "pod", &name]).ok();
    world.assert_clean();
}
