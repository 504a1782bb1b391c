//! Images and neighbours that mean harm.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use super::super::*;
use super::support::*;

#[test]
fn symlinks_of_the_image_are_followed_inside_it_dangling_or_not() {
    let bundle = Bundle::new();
    let root = bundle.root();
    let outside = bundle.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir(root.join("etc")).unwrap();
    fs::create_dir(root.join("real")).unwrap();
    fs::write(bundle.path("file"), "bound").unwrap();
    symlink("../run/resolve/stub.conf", root.join("etc/resolv.conf")).unwrap();
    symlink(&outside, root.join("away")).unwrap();
    symlink("../../../../..", root.join("up")).unwrap();
    symlink("/real", root.join("alias")).unwrap();
    let file = bundle.path("file");
    let spec = json!({"mounts": [
        bind(&file, "/etc/resolv.conf", &["bind"]),
        bind(&file, "/away/in", &["bind"]),
        bind(&file, "/up/escape", &["bind"]),
        bind(&file, "/../../escape2", &["bind"]),
        bind(&file, "/alias/in", &["bind"]),
        bind(&file, "relative", &["bind"]),
    ]});
    let inside = outside.clone();
    bundle
        .enter(&spec, move || {
            for path in [
                Path::new("/run/resolve/stub.conf"),
                &inside.join("in"),
                Path::new("/escape"),
                Path::new("/escape2"),
                Path::new("/real/in"),
                Path::new("/relative"),
            ] {
                assert_eq!(fs::read(path).unwrap(), b"bound", "{path:?}");
            }
        })
        .unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing went outside");
    assert!(!bundle.path("escape").exists() && !Path::new("/escape").exists());
}

#[test]
fn a_dev_that_is_a_symlink_of_the_image_writes_nothing_outside() {
    let bundle = Bundle::new();
    let outside = bundle.path("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, bundle.root().join("dev")).unwrap();
    bundle.enter(&json!({}), || assert!(Path::new("/dev/null").exists())).unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let inside = bundle.root().join(outside.strip_prefix("/").unwrap());
    assert!(inside.join("null").exists() && inside.join("fd").is_symlink());
    // Once more over what the first run left.
    bundle.enter(&json!({}), || ()).unwrap();
}

#[test]
fn nothing_but_a_procfs_goes_to_proc_and_little_into_it() {
    let bundle = Bundle::new();
    let file = bundle.path("file");
    fs::write(&file, "fake").unwrap();
    fs::create_dir(bundle.path("directory")).unwrap();
    let directory = bundle.path("directory");
    symlink("/proc", bundle.root().join("alias")).unwrap();
    let proc = json!({"destination": "/proc", "type": "proc", "source": "proc"});
    for refused in [
        bind(&directory, "/proc", &["bind"]),
        bind(&directory, "/x/../proc", &["bind"]),
        json!({"destination": "/proc", "type": "tmpfs", "source": "tmpfs"}),
        bind(&file, "/proc/self/attr/exec", &["bind"]),
        bind(&file, "/alias/self/attr/exec", &["bind"]),
        bind(&directory, "/proc/sys", &["bind"]),
        json!({"destination": "/proc/sys", "type": "tmpfs", "source": "tmpfs"}),
        bind(&file, "/proc/self/fd/0", &["bind"]),
    ] {
        let spec = json!({"mounts": [proc, refused]});
        let error = bundle.enter(&spec, || ()).unwrap_err();
        assert!(error.starts_with("mount "), "{error}");
    }
    let allowed = json!({"mounts": [
        proc, bind(&file, "/proc/uptime", &["bind"]), bind(Path::new("/proc"), "/proc", &["rbind"]),
    ]});
    bundle.enter(&allowed, || ()).unwrap();
}

#[test]
fn proc_is_not_mounted_through_a_symlink() {
    let bundle = Bundle::new();
    fs::create_dir(bundle.root().join("elsewhere")).unwrap();
    symlink("elsewhere", bundle.root().join("proc")).unwrap();
    let spec = json!({"mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}]});
    let error = bundle.enter(&spec, || ()).unwrap_err();
    assert!(error.ends_with("too many symbolic links encountered"), "{error}");
}

#[test]
fn a_mask_never_uses_the_containers_own_null_device() {
    let bundle = Bundle::new();
    fs::create_dir(bundle.root().join("secret")).unwrap();
    fs::write(bundle.root().join("secret/file"), "secret").unwrap();
    fs::write(bundle.root().join("plain"), "secret").unwrap();
    fs::create_dir(bundle.root().join("other")).unwrap();
    symlink("plain", bundle.root().join("link")).unwrap();
    let dev = bundle.path("dev");
    fs::create_dir(&dev).unwrap();
    fs::write(dev.join("null"), "attacker's").unwrap();
    let spec = json!({"mounts": [bind(&dev, "/dev", &["bind"])],
        "linux": {"maskedPaths": ["/secret", "/link", "/other"], "readonlyPaths": ["/other"]}});
    bundle
        .enter(&spec, || {
            assert_eq!(fs::read("/plain").unwrap(), b"");
            assert_eq!(fs::read_dir("/secret").unwrap().count(), 0);
            let refused = fs::write("/other/x", "").unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
        })
        .unwrap();
    assert_eq!(fs::read(dev.join("null")).unwrap(), b"attacker's");
}

#[test]
fn a_false_ptmx_is_no_terminal() {
    let bundle = Bundle::new();
    let pts = bundle.path("pts");
    fs::create_dir(&pts).unwrap();
    let numbers = nix::sys::stat::makedev(5, 2);
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o666);
    nix::sys::stat::mknod(&pts.join("ptmx"), nix::sys::stat::SFlag::S_IFCHR, mode, numbers)
        .unwrap();
    let spec = json!({"mounts": [bind(&pts, "/dev/pts", &["bind"])]});
    let adjust = |input: &mut RootfsInput<'_>| input.console = true;
    let error = bundle.enter_with(&spec, adjust, || ()).unwrap_err();
    assert!(error.starts_with("set up console \"/dev/console\""), "{error}");
    assert!(error.contains("no terminal of a devpts"), "{error}");
}

/// While the mounts are made, another thread exchanges a directory of the
/// rootfs with a symlink to the outside, again and again.
#[test]
fn no_exchange_of_a_directory_with_a_symlink_leads_outside() {
    let bundle = Bundle::new();
    let outside = bundle.path("outside");
    let (victim, link) = (bundle.root().join("victim"), bundle.root().join("link"));
    fs::create_dir_all(outside.join("deep")).unwrap();
    fs::create_dir_all(victim.join("deep")).unwrap();
    symlink(&outside, &link).unwrap();
    fs::write(bundle.path("file"), "bound").unwrap();
    let spec = json!({"mounts": [
        bind(&bundle.path("file"), "/victim/deep/made/file", &["bind"]),
        {"destination": "/victim/deep/tmp", "type": "tmpfs", "source": "tmpfs"},
        bind(&outside, "/victim/deep/dir", &["rbind"])],
        "linux": {"devices": [{"path": "/victim/deep/node", "type": "p"}],
            "maskedPaths": ["/victim/deep/dir"], "readonlyPaths": ["/victim/deep"]}});
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (mut whole, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                crate::sys::path::exchange(&victim, &link).unwrap();
            }
        });
        for _ in 0..200 {
            match bundle.enter(&spec, || ()) {
                Ok(()) => whole += 1,
                Err(_) => refused += 1,
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let names: Vec<_> = fs::read_dir(outside.join("deep")).unwrap().collect();
    assert_eq!(names.len(), 0, "{names:?} after {whole} starts and {refused} refusals");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert!(whole > 0);
}
