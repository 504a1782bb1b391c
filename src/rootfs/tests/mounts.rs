//! Bind mounts, their options, mappings and propagation.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use serde_json::json;

use super::super::*;
use super::support::*;

#[test]
fn bind_mounts_keep_their_options_for_one_mount_or_the_whole_tree() {
    let bundle = Bundle::new();
    let source = bundle.path("source");
    let options = in_mount_namespace(|| {
        mounted_tmpfs(&source, "size=1m");
        mounted_tmpfs(&source.join("sub"), "size=1m");
        fs::write(source.join("file"), "x").unwrap();
        let spec = json!({"mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            bind(&source, "/top", &["rbind", "ro", "nosuid", "noatime"]),
            bind(&source, "/all", &["rbind", "rro", "rnodev", "rslave"]),
            bind(&source, "/flat", &["bind", "noexec", "private"]),
            bind(&source, "/shared", &["rbind", "rshared"]),
            bind(&source.join("file"), "/etc/one file", &["bind", "ro"]),
            bind(Path::new("source"), "/relative", &["rbind"]),
            {"destination": "/top", "options": ["bind", "remount", "nodev"]},
        ]});
        bundle.enter(&spec, || {
            assert_eq!(fs::read("/etc/one file").unwrap(), b"x");
            assert!(Path::new("/relative/file").exists() && Path::new("/flat/sub").exists());
            ["/top", "/top/sub", "/all", "/all/sub", "/flat", "/shared", "/shared/sub"]
                .map(|point| (point, options_of(point)))
        })
    })
    .unwrap();
    let has = |point: &str, words: &str, not: &str| {
        let (_, found) = options.iter().find(|(name, _)| *name == point).unwrap();
        let found: Vec<&str> = found.split(',').collect();
        for word in words.split(' ').filter(|word| !word.is_empty()) {
            assert!(found.contains(&word), "{point} lacks {word}: {found:?}");
        }
        for word in not.split(' ').filter(|word| !word.is_empty()) {
            assert!(
                !found.iter().any(|one| one.starts_with(word)),
                "{point} has {word}: {found:?}"
            );
        }
    };
    has("/top", "ro nosuid nodev noatime", "shared");
    has("/top/sub", "rw relatime", "nosuid shared");
    has("/all", "ro nodev", "shared");
    has("/all/sub", "ro nodev", "shared");
    has("/flat", "rw noexec", "shared master");
    has("/shared", "rw", "master ro");
}

#[test]
fn mounts_travel_as_the_propagation_says() {
    let bundle = Bundle::new();
    let host = bundle.path("host");
    fs::create_dir(&host).unwrap();
    for (options, to_container, to_host) in [
        (&["rbind"][..], true, false),
        (&["rbind", "rslave"], true, false),
        (&["rbind", "rprivate"], false, false),
        (&["rbind", "rshared"], true, true),
    ] {
        in_mount_namespace(|| {
            mounted_tmpfs(&host, "size=1m");
            let none = None::<&str>;
            let shared = nix::mount::MsFlags::MS_SHARED;
            nix::mount::mount(none, &host, none, shared, none).unwrap();
            fs::create_dir_all(host.join("a")).unwrap();
            fs::create_dir_all(host.join("b")).unwrap();
            let spec = json!({"mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                bind(&host, "/data", options)]});
            let ready = std::sync::Barrier::new(2);
            std::thread::scope(|scope| {
                let container = scope.spawn(|| {
                    bundle.enter(&spec, || {
                        ready.wait();
                        ready.wait();
                        let arrived = mount_table().iter().any(|m| m.0 == "/data/a");
                        mounted_tmpfs(Path::new("/data/b"), "size=1m");
                        ready.wait();
                        ready.wait();
                        arrived
                    })
                });
                ready.wait();
                mounted_tmpfs(&host.join("a"), "size=1m");
                ready.wait();
                ready.wait();
                let point = host.join("b").display().to_string();
                let came = mount_table().iter().any(|m| m.0 == point);
                ready.wait();
                assert_eq!(container.join().unwrap(), Ok(to_container), "{options:?}");
                assert_eq!(came, to_host, "{options:?}");
            });
        });
    }
}

#[test]
fn an_idmapped_mount_shows_files_under_other_owners() {
    let bundle = Bundle::new();
    let source = bundle.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "").unwrap();
    let ids = |size: u32| json!([{"containerID": 0, "hostID": 5000, "size": size}]);
    let mut own = bind(&source, "/own", &["bind"]);
    own["uidMappings"] = ids(10);
    own["gidMappings"] = ids(10);
    let spec = json!({
        "mounts": [own, bind(&source, "/plain", &["bind"]), bind(&source, "/like", &["rbind", "ridmap"])],
        "linux": {"uidMappings": ids(65536), "gidMappings": ids(65536)},
    });
    let owners = bundle.enter(&spec, || {
        ["/own/file", "/plain/file", "/like/file"].map(|path| {
            let found = fs::metadata(path).unwrap();
            (found.uid(), found.gid())
        })
    });
    match owners {
        // A tmpfs can be idmapped since Linux 6.3.
        Err(error) if error.contains("mount_setattr") && error.ends_with("invalid argument") => {
            eprintln!("skipped: the file system of {source:?} cannot be idmapped");
        }
        owners => assert_eq!(owners, Ok([(5000, 5000), (0, 0), (5000, 5000)])),
    }
    let mut broken = bind(&source, "/x", &["bind"]);
    broken["uidMappings"] = ids(1);
    let error = bundle.enter(&json!({ "mounts": [broken] }), || ()).unwrap_err();
    assert!(error.contains("needs uid and gid mappings"), "{error}");
    let tmpfs = json!({"destination": "/x", "type": "tmpfs", "options": ["idmap"]});
    let error = bundle.enter(&json!({ "mounts": [tmpfs] }), || ()).unwrap_err();
    assert!(error.contains("only bind mounts"), "{error}");
}

#[test]
fn a_tmpfs_can_start_with_what_it_covers_and_be_read_only_at_last() {
    let bundle = Bundle::new();
    let root = bundle.root();
    fs::create_dir_all(root.join("data/deep")).unwrap();
    fs::write(root.join("data/deep/file"), "content").unwrap();
    fs::set_permissions(root.join("data"), fs::Permissions::from_mode(0o1750)).unwrap();
    fs::set_permissions(root.join("data/deep/file"), fs::Permissions::from_mode(0o4711)).unwrap();
    std::os::unix::fs::chown(root.join("data/deep"), Some(7), Some(8)).unwrap();
    symlink("deep/file", root.join("data/link")).unwrap();
    nix::unistd::mkfifo(&root.join("data/fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let spec = json!({"mounts": [
        {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "ro"]},
        {"destination": "/data/below", "type": "tmpfs", "source": "tmpfs", "options": ["mode=700"]},
    ]});
    bundle
        .enter(&spec, || {
            assert_eq!(fs::read("/data/link").unwrap(), b"content");
            assert_eq!(fs::metadata("/data").unwrap().mode() & 0o7777, 0o1750);
            assert_eq!(fs::metadata("/data/deep/file").unwrap().mode() & 0o7777, 0o4711);
            assert_eq!(fs::metadata("/data/below").unwrap().mode() & 0o7777, 0o700);
            let deep = fs::metadata("/data/deep").unwrap();
            assert_eq!((deep.uid(), deep.gid()), (7, 8));
            assert!(fs::symlink_metadata("/data/fifo").unwrap().file_type().is_fifo());
            let refused = fs::write("/data/new", "").unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
            fs::write("/data/below/new", "").unwrap();
        })
        .unwrap();
    assert!(!root.join("data/below").exists());
}

#[test]
fn the_root_spreads_mounts_as_asked() {
    for (word, expected) in [
        ("shared", "shared:"),
        ("rslave", "master:"),
        ("unbindable", "unbindable"),
        ("private", ""),
    ] {
        let bundle = Bundle::new();
        let spec = json!({"mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"rootfsPropagation": word}});
        let found = in_mount_namespace(|| {
            let root = bundle.root();
            mounted_tmpfs(&root, "size=1m");
            let none = None::<&str>;
            let shared = nix::mount::MsFlags::MS_SHARED;
            nix::mount::mount(none, &root, none, shared, none).unwrap();
            bundle.enter(&spec, || options_of("/"))
        })
        .unwrap();
        assert!(found.contains(expected), "{word}: {found}");
        if word == "private" {
            assert!(!found.contains("master") && !found.contains("shared"), "{found}");
        }
    }
    let spec = json!({"linux": {"rootfsPropagation": "upwards"}});
    let error = Bundle::new().enter(&spec, || ()).unwrap_err();
    assert_eq!(error, "read rootfsPropagation \"upwards\": unknown value");
}

#[test]
fn the_callers_own_trees_are_used_for_the_mounts_they_belong_to() {
    let bundle = Bundle::new();
    let secret = bundle.path("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("key"), "k").unwrap();
    let spec = json!({"mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        bind(Path::new("/does/not/exist"), "/given", &["rbind", "ro"])]});
    let tree: OwnedFd =
        crate::sys::mount::clone_tree(crate::sys::mount::at_cwd(), &secret, false).unwrap();
    let adjust = |input: &mut RootfsInput<'_>| {
        input.sources.insert(1, tree);
    };
    let options = bundle.enter_with(&spec, adjust, || {
        assert_eq!(fs::read("/given/key").unwrap(), b"k");
        options_of("/given")
    });
    assert!(options.unwrap().starts_with("ro"));
    let error = bundle.enter(&spec, || ()).unwrap_err();
    assert!(error.starts_with("open source of mount \"/given\""), "{error}");
    assert!(error.ends_with("no such file or directory"), "{error}");
}
