//! The default bundle, the change of root, and what a container sees of it all.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use oci_spec::runtime::Spec;
use serde_json::json;

use super::super::*;
use super::support::*;

#[test]
fn the_default_bundle_has_what_a_container_expects() {
    let bundle = Bundle::new();
    let spec = json!({"mounts": default_mounts(), "linux": {
        "maskedPaths": ["/proc/keys", "/proc/fs", "/proc/driver", "/sys/kernel", "/none"],
        "readonlyPaths": ["/proc/sys", "/proc/bus", "/none"],
    }});
    bundle
        .enter(&spec, || {
            assert_eq!(fs::read_link("/dev/fd").unwrap(), Path::new("/proc/self/fd"));
            assert_eq!(fs::read_link("/dev/ptmx").unwrap(), Path::new("pts/ptmx"));
            let null = fs::metadata("/dev/null").unwrap();
            assert!(null.file_type().is_char_device());
            assert_eq!(null.permissions().mode() & 0o7777, 0o666);
            assert_eq!(null.rdev(), nix::sys::stat::makedev(1, 3));
            fs::write("/dev/null", "gone").unwrap();
            assert!(options_of("/dev").starts_with("rw,nosuid"), "{}", options_of("/dev"));
            assert!(options_of("/sys").starts_with("ro,nosuid,nodev,noexec"));
            assert!(options_of("/proc/sys").starts_with("ro"));
            assert!(options_of("/sys/fs/cgroup").starts_with("ro,nosuid,nodev,noexec"));
            assert_eq!(fs::read("/proc/keys").unwrap(), b"");
            assert_eq!(fs::read_dir("/sys/kernel").unwrap().count(), 0);
            let refused = fs::write("/sys/kernel/x", "").unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
            let refused = fs::write("/proc/sys/kernel/ctrl-alt-del", "0").unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
            assert_eq!(std::env::current_dir().unwrap(), Path::new("/"));
            assert!(fs::create_dir("/made").is_ok());
        })
        .unwrap();
    assert!(bundle.root().join("made").is_dir());
    assert!(!bundle.root().join("dev/null").exists(), "devices belong to the tmpfs");
}

#[test]
fn nothing_of_the_host_stays_below_the_new_root() {
    let bundle = Bundle::new();
    let spec = json!({"mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}]});
    let points = bundle.enter(&spec, mount_table).unwrap();
    let points: Vec<_> = points.into_iter().map(|(point, ..)| point).collect();
    assert_eq!(points, ["/", "/proc"]);
}

#[test]
fn a_read_only_root_still_gets_its_mount_points() {
    let bundle = Bundle::new();
    let spec = json!({"root": {"path": "rootfs", "readonly": true}, "mounts": default_mounts()});
    bundle
        .enter(&spec, || {
            let refused = fs::write("/new", "").unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
            fs::write("/dev/shm/new", "").unwrap();
        })
        .unwrap();
}

#[test]
fn without_pivot_the_root_is_changed_all_the_same() {
    let bundle = Bundle::new();
    fs::write(bundle.root().join("mark"), "").unwrap();
    let spec = json!({"mounts": default_mounts(), "root": {"path": "rootfs", "readonly": true}});
    let adjust = |input: &mut RootfsInput<'_>| input.no_pivot = true;
    bundle
        .enter_with(&spec, adjust, || {
            assert!(Path::new("/mark").exists());
            assert!(!Path::new("/usr").exists());
            let kernel_views =
                mount_table().into_iter().filter(|(_, _, kind)| kind == "proc" || kind == "sysfs");
            assert_eq!(kernel_views.count(), 2, "only the container's own");
        })
        .unwrap();
}

#[test]
fn a_mount_over_the_root_is_the_root() {
    let bundle = Bundle::new();
    let other = bundle.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("mark"), "").unwrap();
    let spec = json!({"mounts": [bind(&other, "/", &["rbind"]),
        {"destination": "/proc", "type": "proc", "source": "proc"}]});
    bundle.enter(&spec, || assert!(Path::new("/mark").exists())).unwrap();
    assert!(other.join("proc").is_dir());
}

#[test]
fn a_detached_overlay_is_a_root_and_shows_in_no_mount_table() {
    let bundle = Bundle::new();
    for name in ["lower", "upper", "work"] {
        fs::create_dir(bundle.path(name)).unwrap();
    }
    fs::write(bundle.path("lower/mark"), "").unwrap();
    let made = in_mount_namespace(|| {
        // The overlay's upper must not be an overlay itself, as /tmp may be.
        let context = crate::sys::mount::FsContext::open("overlay").unwrap();
        for (key, name) in [("lowerdir", "lower"), ("upperdir", "upper"), ("workdir", "work")] {
            context.set(key, bundle.path(name).to_str().unwrap()).unwrap();
        }
        context.create().and_then(|()| context.mount(0))
    });
    let overlay = match made {
        Ok(overlay) => overlay,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let before = mount_table().len();
    let adjust = |input: &mut RootfsInput<'_>| input.root = RootSource::Detached(overlay);
    bundle
        .enter_with(&json!({"mounts": default_mounts()}), adjust, || {
            assert!(Path::new("/mark").exists());
            fs::write("/written", "").unwrap();
        })
        .unwrap();
    assert!(bundle.path("upper/written").exists());
    assert_eq!(mount_table().len(), before);
}

#[test]
fn the_stages_are_told_in_order_and_a_failing_one_is_named() {
    let bundle = Bundle::new();
    in_mount_namespace(|| {
        let spec = json!({"mounts": default_mounts()});
        let spec: Spec = serde_json::from_value(with_root(&spec)).unwrap();
        let mut plan =
            RootfsPlan::prepare(input(&bundle, &spec, |input| input.console = true)).unwrap();
        let mut told = Vec::new();
        plan.enter(&mut |stage| told.push(stage)).unwrap();
        assert_eq!(told, Stage::ALL);
    });
    let spec = json!({"mounts": [{"destination": "/x", "type": "nofs", "source": "nofs"}]});
    let error = bundle.enter(&spec, || ()).unwrap_err();
    assert_eq!(error, "mount \"/x\": fsopen(\"nofs\"): no such device");
    let spec = json!({"mounts": [
        {"destination": "/x", "type": "tmpfs", "source": "t", "options": ["colour=red"]}]});
    let error = bundle.enter(&spec, || ()).unwrap_err();
    assert!(error.starts_with("mount \"/x\": fsconfig(tmpfs, colour=\"red\""), "{error}");
}

#[test]
fn cgroups_are_shown_for_the_containers_own_namespace() {
    let bundle = Bundle::new();
    let spec = json!({"mounts": [{"destination": "/sys/fs/cgroup", "type": "cgroup",
        "source": "cgroup", "options": ["ro", "nosuid"]}]});
    let kinds = in_mount_namespace(|| {
        unshare(CloneFlags::CLONE_NEWCGROUP).unwrap();
        let adjust = |input: &mut RootfsInput<'_>| {
            input.cgroup = CgroupView { path: "/", own_namespace: true };
        };
        bundle.enter_with(&spec, adjust, || {
            let names: Vec<_> = fs::read_dir("/sys/fs/cgroup")
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            let refused = fs::create_dir("/sys/fs/cgroup/new").unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
            names
        })
    })
    .unwrap();
    let unified = crate::sys::cgroupfs::is_cgroup2(Path::new("/sys/fs/cgroup"));
    let expected = if unified { "cgroup.procs" } else { "memory" };
    assert!(kinds.iter().any(|name| name == expected), "{kinds:?}");
}

#[test]
fn on_a_unified_machine_the_hosts_mount_is_cloned_and_its_flags_stay() {
    in_mount_namespace(|| {
        let detach = nix::mount::MntFlags::MNT_DETACH;
        while nix::mount::umount2("/sys/fs/cgroup", detach).is_ok() {}
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("none"), "/sys/fs/cgroup", Some("cgroup2"), flags, None::<&str>)
            .unwrap();
        for own_namespace in [false, true] {
            let bundle = Bundle::new();
            let spec = json!({"mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro", "noexec"]}]});
            let adjust = |input: &mut RootfsInput<'_>| {
                input.cgroup = CgroupView { path: "/", own_namespace };
            };
            bundle
                .enter_with(&spec, adjust, || {
                    assert!(Path::new("/sys/fs/cgroup/cgroup.procs").exists());
                    let options = options_of("/sys/fs/cgroup");
                    assert!(options.starts_with("ro,noexec"), "{options}");
                })
                .unwrap();
        }
    });
}
