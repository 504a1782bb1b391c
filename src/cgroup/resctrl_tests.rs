//! No kernel here has the hardware: a folder with the same files stands for it.

use std::fs;

use serde_json::{Value, json};

use super::*;

/// A resctrl of plain files. The kernel makes a group's files with its folder;
/// here a test does.
struct Fake {
    dir: tempfile::TempDir,
}

impl Fake {
    fn new() -> Self {
        let fake = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(fake.path("info")).unwrap();
        fake.fill("", "");
        fake
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn resctrl(&self) -> Resctrl {
        Resctrl { root: self.dir.path().to_owned() }
    }

    /// A group as the kernel makes it.
    fn fill(&self, name: &str, tasks: &str) {
        fs::create_dir_all(self.path(name).join(MONITORS)).unwrap();
        fs::write(self.path(name).join("schemata"), "L3:0=fff;1=fff\nMB:0=100\n").unwrap();
        fs::write(self.path(name).join("tasks"), tasks).unwrap();
    }

    fn make(&self, spec: Value) -> Result<Group, Error> {
        self.resctrl().make(&wish(spec)?)
    }

    fn error(&self, spec: Value) -> String {
        self.make(spec).unwrap_err().to_string()
    }
}

fn wish(spec: Value) -> Result<Wish, Error> {
    Wish::new(&serde_json::from_value(spec).unwrap(), "box")
}

#[test]
fn without_a_name_the_container_has_a_group_of_its_own() {
    let fake = Fake::new();
    let group = fake.make(json!({})).unwrap();
    assert!(fake.path("box").is_dir() && group.made);
    group.remove().unwrap();
    assert!(!fake.path("box").exists());
    group.remove().unwrap();

    fake.fill("box", "");
    assert!(fake.make(json!({})).unwrap().made, "left by a crash, and taken");
    fake.fill("box", "17\n");
    assert!(fake.error(json!({})).contains("has processes already"));
}

#[test]
fn a_named_group_must_exist_unless_it_is_told_what_to_be() {
    let fake = Fake::new();
    let error = fake.error(json!({"closID": "gold"}));
    assert!(error.contains("gold") && error.contains("does not exist"), "{error}");
    fake.fill("gold", "");
    let group = fake.make(json!({"closID": "gold"})).unwrap();
    assert!(!group.made);
    group.remove().unwrap();
    assert!(fake.path("gold").is_dir(), "it is not podrt's");
    let top = fake.make(json!({"closID": "/"})).unwrap();
    assert_eq!((top.folder.as_path(), top.made), (fake.dir.path(), false));
}

#[test]
fn an_existing_group_with_other_limits_is_an_error() {
    let fake = Fake::new();
    fake.fill("gold", "");
    fake.make(json!({"closID": "gold", "l3CacheSchema": "L3:0=0fff"})).unwrap();
    for other in [
        json!({"closID": "gold", "l3CacheSchema": "L3:0=f"}),
        json!({"closID": "gold", "memBwSchema": "MB:0=10"}),
        json!({"closID": "gold", "schemata": ["L3:1=fff", "L2:0=f"]}),
    ] {
        assert!(fake.error(other.clone()).contains("the existing group has not"), "{other}");
    }
    let unchanged = fs::read_to_string(fake.path("gold/schemata")).unwrap();
    assert_eq!(unchanged, "L3:0=fff;1=fff\nMB:0=100\n");
}

#[test]
fn a_limit_that_is_refused_leaves_no_group_and_tells_the_kernels_words() {
    let fake = Fake::new();
    fs::write(fake.path("info/last_cmd_status"), "Mask f000 has non-consecutive 1-bits\n").unwrap();
    // The folder has no schemata to write to: the kernel's refusal.
    let error = fake.error(json!({"closID": "gold", "l3CacheSchema": "L3:0=f000"}));
    assert!(error.ends_with("Mask f000 has non-consecutive 1-bits"), "{error}");
    assert!(!fake.path("gold").exists());
}

#[test]
fn limits_are_written_at_once_and_again_on_update() {
    let fake = Fake::new();
    fake.fill("box", "");
    let wanted = json!({"l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20"});
    let group = fake.make(wanted).unwrap();
    let written = || fs::read_to_string(fake.path("box/schemata")).unwrap();
    assert!(written().starts_with("L3:0=f\nMB:0=20\n"), "{}", written());
    let other = wish(json!({"memBwSchema": "MB:0=30"})).unwrap();
    fake.resctrl().update(&group, &other).unwrap();
    assert!(written().starts_with("MB:0=30\n"), "{}", written());
}

#[test]
fn monitoring_makes_a_group_below_and_removes_only_that() {
    let fake = Fake::new();
    let group = fake.make(json!({"closID": "/", "enableMonitoring": true})).unwrap();
    let monitor = fake.path("mon_groups/box");
    assert!(monitor.is_dir());
    fs::write(monitor.join("tasks"), "").unwrap();
    assert_eq!(group.entry().unwrap().len(), 2);
    group.take(17).unwrap();
    for tasks in [fake.path("tasks"), monitor.join("tasks")] {
        assert_eq!(fs::read_to_string(tasks).unwrap(), "17");
    }
    fs::remove_file(monitor.join("tasks")).unwrap();
    group.remove().unwrap();
    assert!(!monitor.exists() && fake.dir.path().exists());
    let fake = Fake::new();
    fs::remove_dir(fake.path("mon_groups")).unwrap();
    assert!(fake.error(json!({"closID": "/", "enableMonitoring": true})).contains("no monitoring"));
}

#[test]
fn a_group_that_others_have_entered_stays() {
    let fake = Fake::new();
    let group = fake.make(json!({})).unwrap();
    fs::write(fake.path("box/tasks"), "99\n").unwrap();
    group.remove().unwrap();
    assert!(fake.path("box").is_dir());
}

#[test]
fn names_that_leave_the_file_system_or_are_its_own_are_refused() {
    for name in ["..", ".", "a/b", "/a", "info", "mon_groups", "mon_data", "a\nb"] {
        let error = wish(json!({"closID": name})).unwrap_err().to_string();
        assert!(error.contains("linux.intelRdt.closID"), "{name:?}: {error}");
    }
}

#[test]
fn a_folder_that_is_no_resctrl_is_not_taken_for_one() {
    assert!(!is_resctrl(Path::new("/")));
    assert!(!is_resctrl(Path::new("/no/such")));
}
