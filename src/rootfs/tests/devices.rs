//! Device nodes and terminals.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;

use oci_spec::runtime::Spec;
use serde_json::json;

use super::super::*;
use super::support::*;

#[test]
fn a_device_that_is_something_else_already_is_refused() {
    for plant in [
        (|path: &Path| fs::write(path, "evil").unwrap()) as fn(&Path),
        |path| symlink("/etc/passwd", path).unwrap(),
        |path| fs::create_dir(path).unwrap(),
    ] {
        let bundle = Bundle::new();
        fs::create_dir(bundle.root().join("dev")).unwrap();
        plant(&bundle.root().join("dev/null"));
        let error = bundle.enter(&json!({}), || ()).unwrap_err();
        assert!(error.starts_with("create device \"/dev/null\""), "{error}");
        assert!(error.ends_with("file exists"), "{error}");
    }
}

#[test]
fn devices_of_the_spec_are_made_with_their_owners_and_modes() {
    let bundle = Bundle::new();
    let spec = json!({"linux": {"devices": [
        {"path": "/dev/deep/node", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 5, "gid": 6},
        {"path": "/fifo", "type": "p"},
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600},
    ]}});
    bundle
        .enter(&spec, || {
            let node = fs::metadata("/dev/deep/node").unwrap();
            assert_eq!((node.uid(), node.gid(), node.mode() & 0o7777), (5, 6, 0o640));
            assert_eq!(node.rdev(), nix::sys::stat::makedev(10, 229));
            assert!(fs::metadata("/fifo").unwrap().file_type().is_fifo());
            assert_eq!(fs::metadata("/dev/null").unwrap().mode() & 0o7777, 0o600);
        })
        .unwrap();
}

#[test]
fn in_a_user_namespace_devices_are_the_hosts_own() {
    let bundle = Bundle::new();
    let spec = json!({"mounts": default_mounts()});
    let adjust = |input: &mut RootfsInput<'_>| input.user_namespace = true;
    bundle
        .enter_with(&spec, adjust, || {
            let points: Vec<_> = mount_table().into_iter().map(|mount| mount.0).collect();
            for name in ["null", "zero", "full", "random", "urandom", "tty"] {
                assert!(points.contains(&format!("/dev/{name}")), "{name}: {points:?}");
            }
            fs::write("/dev/null", "x").unwrap();
        })
        .unwrap();
}

#[test]
fn the_hosts_own_dev_is_left_as_it_is() {
    let bundle = Bundle::new();
    let host = bundle.path("dev");
    fs::create_dir(&host).unwrap();
    let spec = json!({"mounts": [bind(&host, "/dev", &["rbind"])]});
    bundle.enter(&spec, || ()).unwrap();
    assert_eq!(fs::read_dir(&host).unwrap().count(), 0);
}

#[test]
fn a_terminal_is_the_containers_own() {
    let bundle = Bundle::new();
    let spec = json!({"mounts": default_mounts()});
    in_mount_namespace(|| {
        let spec: Spec = serde_json::from_value(with_root(&spec)).unwrap();
        let mut plan = RootfsPlan::prepare(input(&bundle, &spec, |input| input.console = true));
        let entered = plan.as_mut().unwrap().enter(&mut |_| {}).unwrap();
        let pty = entered.console.unwrap();
        let console = fs::metadata("/dev/console").unwrap();
        let slave = nix::sys::stat::fstat(&pty.slave).unwrap();
        assert_eq!(console.rdev(), slave.st_rdev);
        assert!(Path::new("/dev/pts/0").exists());
        nix::unistd::write(&pty.slave, b"hello").unwrap();
        let mut buffer = [0; 16];
        assert_eq!(nix::unistd::read(&pty.master, &mut buffer), Ok(5));
    });
}
