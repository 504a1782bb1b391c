//! `mounts`. The options have a test of their own, `oci_mounts`.

use std::fs;
use std::os::unix::fs::chown;

use serde_json::{Value, json};

use super::case::{Case, Place, by, push};

pub fn cases(place: &Place) -> Vec<Case> {
    let source = place.world.path().join("source");
    fs::create_dir_all(&source).expect("a folder");
    fs::write(source.join("mark"), "of the source\n").expect("a file");
    chown(source.join("mark"), Some(10), Some(20)).expect("chown");
    let source = source.to_string_lossy().into_owned();
    [plain(source.clone()), owners(&source)].into_iter().flatten().collect()
}

fn mount(mount: Value) -> impl Fn(&mut Value) {
    move |config| push(config, "mounts", mount.clone())
}

fn plain(source: String) -> Vec<Case> {
    let tmpfs = json!({"destination": "/leaf", "type": "tmpfs", "source": "tmpfs"});
    let sized = json!({"destination": "/leaf", "type": "tmpfs", "source": "tmpfs",
                       "options": ["size=64k", "nosuid"]});
    let bound = json!({"destination": "/leaf", "type": "bind", "source": source,
                       "options": ["rbind"]});
    let options = "grep ' /leaf ' /proc/self/mountinfo | grep -c 'nosuid.*size=64k'; true";
    let kind = "grep ' /leaf ' /proc/self/mountinfo | sed 's/.* - //' | cut -d' ' -f1; true";
    let at = "grep -c ' /leaf ' /proc/self/mountinfo; true";
    vec![
        by("mounts.destination", mount(tmpfs.clone())).prints(at, 1),
        by("mounts.type", mount(tmpfs.clone())).prints(kind, "tmpfs"),
        by("mounts.source", mount(bound))
            .given(mount(tmpfs.clone()))
            .prints("cat /leaf/mark; true", "of the source"),
        by("mounts.options", mount(sized)).given(mount(tmpfs)).prints(options, 1),
    ]
}

/// The file's owner is 10:20 on disk.
fn owners(source: &str) -> Vec<Case> {
    let mapped = |uids: Value, gids: Value| {
        mount(json!({
            "destination": "/leaf", "type": "bind", "source": source, "options": ["bind"],
            "uidMappings": [uids], "gidMappings": [gids],
        }))
    };
    let map = |container: u32, host: u32, size: u32| json!({"containerID": container, "hostID": host, "size": size});
    let identity = || map(0, 0, 65536);
    let uid = "stat -c %u /leaf/mark";
    let gid = "stat -c %g /leaf/mark";
    let given = || mapped(identity(), identity());
    vec![
        by("mounts.uidMappings.containerID", mapped(map(9, 109, 5), identity()))
            .given(given())
            .prints(uid, 110),
        by("mounts.uidMappings.hostID", mapped(map(10, 500, 5), identity()))
            .given(given())
            .prints(uid, 500),
        by("mounts.uidMappings.size", mapped(map(0, 0, 5), identity()))
            .given(given())
            .prints(uid, 65534),
        by("mounts.gidMappings.containerID", mapped(identity(), map(19, 119, 5)))
            .given(given())
            .prints(gid, 120),
        by("mounts.gidMappings.hostID", mapped(identity(), map(20, 500, 5)))
            .given(given())
            .prints(gid, 500),
        by("mounts.gidMappings.size", mapped(identity(), map(0, 0, 5)))
            .given(given())
            .prints(gid, 65534),
    ]
}
