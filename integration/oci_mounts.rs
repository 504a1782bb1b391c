//! Every mount option that `features` names, by what mountinfo shows of it.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Bundle, World, run};

/// Options of one mount, and what its line says then; `r` before one means the
/// mounts below it too.
const SHOWN: [(&str, &str); 16] = [
    ("ro", "ro"),
    ("rw", "rw"),
    ("nosuid", "nosuid"),
    ("suid", "!nosuid"),
    ("nodev", "nodev"),
    ("dev", "!nodev"),
    ("noexec", "noexec"),
    ("exec", "!noexec"),
    ("noatime", "noatime"),
    ("strictatime", "!relatime"),
    ("relatime", "relatime"),
    ("atime", "!noatime"),
    ("nodiratime", "nodiratime"),
    ("diratime", "!nodiratime"),
    ("nosymfollow", "nosymfollow"),
    ("symfollow", "!nosymfollow"),
];

/// How each propagation shows among the optional fields.
const PROPAGATION: [(&str, &str); 8] = [
    ("private", ""),
    ("rprivate", ""),
    ("slave", "master:"),
    ("rslave", "master:"),
    ("shared", "shared:"),
    ("rshared", "shared:"),
    ("unbindable", "unbindable"),
    ("runbindable", "unbindable"),
];

/// What shows elsewhere or nowhere, and is taken by a tmpfs: flags of the file
/// system, and what is the kernel's default.
const OF_THE_FILE_SYSTEM: [&str; 13] = [
    "async",
    "defaults",
    "dirsync",
    "lazytime",
    "loud",
    "mand",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "rnorelatime",
    "rnostrictatime",
];

/// Tested with the fields of config.json, or by the other options here.
const ELSEWHERE: [&str; 5] = ["bind", "rbind", "remount", "idmap", "ridmap"];

/// A folder with a mount below it, both shared, gone when dropped.
struct Tree(std::path::PathBuf);

impl Tree {
    fn new(world: &World) -> Self {
        let top = world.path().join("tree");
        fs::create_dir_all(&top).expect("a folder");
        let tree = Self(top);
        let mount = |args: &[&str]| run(Command::new("mount").args(args)).ok();
        let (top, sub) = (tree.at(""), tree.at("sub"));
        mount(&["-t", "tmpfs", "podrt-test", &top]);
        fs::create_dir(&sub).expect("a folder");
        mount(&["-t", "tmpfs", "podrt-test", &sub]);
        mount(&["--make-rshared", &top]);
        tree
    }

    fn at(&self, below: &str) -> String {
        self.0.join(below).to_string_lossy().trim_end_matches('/').to_owned()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        run(Command::new("umount").args(["-R", &self.at("")]));
    }
}

/// The lines of mountinfo for /leaf and below, in a container with this mount.
fn lines(world: &World, mount: &Value) -> Result<Vec<String>, String> {
    let mut bundle = Bundle::new(world, "b", &["grep", " /leaf", "/proc/self/mountinfo"]);
    bundle.config["mounts"].as_array_mut().expect("mounts").push(mount.clone());
    let path = bundle.write();
    let ran = world.podrt(&["run", "-b", &path, &world.name("c")]);
    if ran.code == 0 {
        Ok(ran.stdout.lines().map(str::to_owned).collect())
    } else {
        Err(ran.stderr)
    }
}

fn has(line: &str, want: &str) -> bool {
    let options = line.split(' ').nth(5).unwrap_or_default();
    let given = |name: &str| options.split(',').any(|one| one == name);
    want.strip_prefix('!').map_or_else(|| given(want), |not| !given(not))
}

#[test]
fn every_option_of_the_features_document_shows_in_the_mount_table() {
    let world = World::new();
    let tree = Tree::new(&world);
    let features: Value = serde_json::from_str(&world.podrt(&["features"]).ok()).expect("JSON");
    let options = features["mountOptions"].as_array().expect("a list").clone();
    let mut wrong = Vec::new();
    for option in options.iter().filter_map(Value::as_str) {
        if let Err(problem) = check(&world, &tree, option) {
            wrong.push(format!("{option}: {problem}"));
        }
    }
    drop(tree);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    world.assert_clean();
}

fn check(world: &World, tree: &Tree, option: &str) -> Result<(), String> {
    let bind = |options: &[&str]| {
        lines(
            world,
            &json!({"destination": "/leaf", "type": "bind", "source": tree.at(""),
                             "options": options}),
        )
    };
    let two = |lines: Vec<String>| -> Result<[String; 2], String> {
        lines.try_into().map_err(|lines| format!("not two mounts: {lines:?}"))
    };
    let found = |table: &[(&str, &'static str)], name: &str| {
        table.iter().find(|(known, _)| *known == name).map(|(_, want)| *want)
    };
    if ELSEWHERE.contains(&option) {
        return Ok(());
    }
    if OF_THE_FILE_SYSTEM.contains(&option) {
        let mount = json!({"destination": "/leaf", "type": "tmpfs", "options": [option]});
        return lines(world, &mount).map(drop);
    }
    if let Some(want) = found(&PROPAGATION, option) {
        let [top, sub] = two(bind(&["rbind", option])?)?;
        let shown = |line: &str| {
            let fields: Vec<&str> = line.split(' ').skip(6).take_while(|f| *f != "-").collect();
            if want.is_empty() {
                fields.is_empty()
            } else {
                fields.iter().any(|f| f.starts_with(want))
            }
        };
        let below = !option.starts_with('r') || shown(&sub);
        return if shown(&top) && below { Ok(()) } else { Err(format!("{top}\n{sub}")) };
    }
    if let Some(want) = found(&SHOWN, option) {
        let opposite = SHOWN.iter().find(|(_, one)| want.strip_prefix('!') == Some(one));
        let before = opposite.map_or("rbind", |(name, _)| name);
        let [top, sub] = two(bind(&["rbind", before, option])?)?;
        let alone = want.starts_with('!') || want == "rw" || want == "relatime" || !has(&sub, want);
        return if has(&top, want) && alone { Ok(()) } else { Err(format!("{top}\n{sub}")) };
    }
    let Some(want) = option.strip_prefix('r').and_then(|plain| found(&SHOWN, plain)) else {
        return Err("no row in this test".to_owned());
    };
    let [top, sub] = two(bind(&["rbind", option])?)?;
    if has(&top, want) && has(&sub, want) { Ok(()) } else { Err(format!("{top}\n{sub}")) }
}
