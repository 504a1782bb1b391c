//! Root file systems made for real, each in a thread with a mount namespace of
//! its own: unshare(CLONE_NEWNS) and pivot_root(2) reach no other thread.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use super::*;

/// A bundle with an empty rootfs below a temporary directory.
struct Bundle {
    dir: tempfile::TempDir,
}

impl Bundle {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("rootfs")).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn root(&self) -> PathBuf {
        self.path("rootfs")
    }

    /// Runs `inside` in the finished container's root, or gives the error.
    fn enter<T: Send>(&self, spec: &Value, inside: impl FnOnce() -> T + Send) -> Result<T, String> {
        self.enter_with(spec, |_| {}, inside)
    }

    fn enter_with<T: Send>(
        &self,
        spec: &Value,
        adjust: impl FnOnce(&mut RootfsInput<'_>) + Send,
        inside: impl FnOnce() -> T + Send,
    ) -> Result<T, String> {
        in_new_mount_namespace(|| {
            let spec: Spec = serde_json::from_value(with_root(spec)).unwrap();
            let mut plan = RootfsPlan::prepare(input(self, &spec, adjust))
                .map_err(|error| error.to_string())?;
            let _entered = plan.enter(&mut |_| {}).map_err(|error| error.to_string())?;
            Ok(inside())
        })
    }
}

fn input<'a>(
    bundle: &'a Bundle,
    spec: &'a Spec,
    adjust: impl FnOnce(&mut RootfsInput<'_>),
) -> RootfsInput<'a> {
    let mut input = RootfsInput {
        spec,
        bundle: bundle.dir.path(),
        root: RootSource::Path("rootfs".into()),
        sources: BTreeMap::new(),
        cgroup: CgroupView { path: "/", own_namespace: false },
        no_pivot: false,
        console: false,
        user_namespace: false,
    };
    adjust(&mut input);
    input
}

fn with_root(spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["ociVersion"] = json!("1.3.0");
    if spec.get("root").is_none() {
        spec["root"] = json!({"path": "rootfs"});
    }
    spec
}

/// Runs `body` in a thread with a mount table of its own, as a clone has it.
fn in_new_mount_namespace<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).unwrap();
            body()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The same, for tests that mount: nothing of it reaches the machine.
fn in_mount_namespace<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    in_new_mount_namespace(|| {
        make_private("/");
        body()
    })
}

/// Keeps what a test mounts from the machine.
fn make_private(mount_point: &str) {
    let none = None::<&str>;
    let flags = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
    nix::mount::mount(none, mount_point, none, flags, none).unwrap();
}

/// What `runc spec` writes, less the namespaces.
fn default_mounts() -> Value {
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
         "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
    ])
}

/// `mountinfo` as (mount point, per-mount options, type).
fn mount_table() -> Vec<(String, String, String)> {
    let text = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let field = |line: &str, index: usize| line.split(' ').nth(index).unwrap().to_owned();
    text.lines()
        .map(|line| {
            let (before, after) = line.split_once(" - ").unwrap();
            let tags: Vec<_> = before.split(' ').skip(6).collect();
            let options = format!("{},{}", field(before, 5), tags.join(","));
            (field(before, 4), options, field(after, 0))
        })
        .collect()
}

fn options_of(mount_point: &str) -> String {
    let found = mount_table().into_iter().rev().find(|(point, ..)| point == mount_point);
    found.unwrap_or_else(|| panic!("no mount at {mount_point}: {:?}", mount_table())).1
}

fn bind(source: &Path, destination: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": options})
}

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

/// A source directory with one file, as a mount of its own in the caller's
/// namespace; gone with the namespace.
fn mounted_tmpfs(path: &Path, options: &str) {
    fs::create_dir_all(path).unwrap();
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(Some("t"), path, Some("tmpfs"), flags, Some(options)).unwrap();
}

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
