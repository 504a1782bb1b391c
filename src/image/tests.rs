//! The store as its callers use it, across commands, crashes and roots.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::load::Source;
use super::remove::Removed;
use super::{Digest, Error, ImageConfig, Reference, Store, lease};
use crate::model::{ErrorKind, Signal};

struct World {
    dir: tempfile::TempDir,
    store: Store,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("images")).unwrap();
        Self { dir, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Imports a folder with one file of that text.
    fn import(&self, name: &str, text: &str) -> Digest {
        let rootfs = self.path(&format!("rootfs-{text}"));
        fs::create_dir_all(&rootfs).unwrap();
        fs::write(rootfs.join("file"), text).unwrap();
        let config = ImageConfig { cmd: vec![text.into()], ..ImageConfig::default() };
        self.store.import_dir(&rootfs, &reference(name), &config).unwrap().id
    }

    fn count(&self, folder: &str) -> usize {
        fs::read_dir(self.path("images").join(folder)).unwrap().count()
    }

    fn load(&self, path: &Path) -> Result<Vec<super::load::Loaded>, Error> {
        self.store.load(Source::Path(path), None)
    }
}

fn reference(name: &str) -> Reference {
    Reference::parse(name).unwrap()
}

/// A folder in OCI's image layout, shaped by the test.
struct Layout {
    path: PathBuf,
}

impl Layout {
    fn new(path: PathBuf) -> Self {
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { path }
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        fs::write(self.path.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    fn json(&self, media_type: &str, value: &Value) -> Value {
        self.blob(media_type, value.to_string().as_bytes())
    }

    /// An image of these layers (blob and plain tar).
    fn image(&self, layers: &[(Vec<u8>, Vec<u8>)]) -> Value {
        let diff_ids: Vec<_> = layers.iter().map(|(_, plain)| Digest::of(plain)).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "created": "2024-01-02T03:04:05Z",
            "config": { "Entrypoint": ["/e"], "Env": ["A=1"], "StopSignal": "SIGINT", "User": "7" },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = self.json(super::manifest::OCI_CONFIG, &config);
        let blobs = layers.iter().map(|(blob, _)| self.blob(super::manifest::OCI_LAYER, blob));
        let manifest = json!({
            "schemaVersion": 2, "config": config, "layers": blobs.collect::<Vec<_>>(),
        });
        self.json(super::manifest::OCI_MANIFEST, &manifest)
    }

    fn index(&self, manifests: &[Value]) {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        fs::write(self.path.join("index.json"), index.to_string()).unwrap();
    }
}

fn named(mut descriptor: Value, name: &str) -> Value {
    descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
    descriptor
}

fn on(mut descriptor: Value, architecture: &str) -> Value {
    descriptor["platform"] = json!({ "architecture": architecture, "os": "linux" });
    descriptor
}

/// A plain tar of files.
fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

#[test]
fn an_imported_folder_is_an_image_ready_to_run() {
    let world = World::new();
    world.import("app", "one");
    let image = world.store.resolve(&reference("docker.io/library/app")).unwrap().unwrap();
    assert_eq!(image.name, "docker.io/library/app:latest");
    assert_eq!(image.config.cmd, ["one"]);
    assert_eq!(image.size_bytes, 3);
    assert_eq!(fs::read_to_string(image.layers[0].join("file")).unwrap(), "one");
    assert_eq!(world.store.resolve(&reference("app:other")).unwrap(), None);
    let pinned = reference("app").with_digest(image.manifest);
    assert_eq!(world.store.resolve(&pinned).unwrap().map(|image| image.id), Some(image.id));
}

#[test]
fn the_same_folder_is_the_same_image() {
    let world = World::new();
    assert_eq!(world.import("a", "one"), world.import("b", "one"));
    assert_eq!((world.count("layers"), world.count("records"), world.count("tmp")), (1, 1, 0));
    assert_eq!(world.store.list().unwrap()[0].names.len(), 2);
}

#[test]
fn images_are_found_by_name_id_and_the_start_of_an_id() {
    let world = World::new();
    let id = world.import("app:v1", "one");
    world.import("other", "two");
    for text in ["app:v1", &id.to_string(), &id.hex(), &id.short()] {
        assert_eq!(world.store.find(text).unwrap().id, id.to_string(), "{text}");
    }
    assert_eq!(world.store.find("app").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(world.store.find("sha256:").unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(world.store.find("A").unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn layers_of_every_compression_stack_in_order() {
    let world = World::new();
    let layout = Layout::new(world.path("layout"));
    let plain = [
        layer(&[("a", "1"), ("b", "1")]),
        layer(&[("b", "2"), (".wh.a", "")]),
        layer(&[("c", "3")]),
    ];
    let layers = [
        (plain[0].clone(), plain[0].clone()),
        (gzip(&plain[1]), plain[1].clone()),
        (zstd(&plain[2]), plain[2].clone()),
    ];
    layout.index(&[named(layout.image(&layers), "app:v1")]);
    let loaded = world.load(&layout.path).unwrap();
    assert_eq!(loaded[0].names, [reference("app:v1")]);
    let image = world.store.find("app:v1").unwrap();
    assert_eq!(image.config.stop_signal, Some(Signal::INT));
    assert_eq!(
        (image.config.user.as_str(), image.config.entrypoint.as_slice()),
        ("7", &["/e".to_owned()][..])
    );

    let mounted = super::overlay::mount(&image.layers, None).unwrap();
    use std::os::fd::AsRawFd;
    let root = PathBuf::from(format!("/proc/self/fd/{}", mounted.as_raw_fd()));
    assert_eq!(fs::read_to_string(root.join("b")).unwrap(), "2");
    assert_eq!(fs::read_to_string(root.join("c")).unwrap(), "3");
    assert!(!root.join("a").exists());
}

#[test]
fn of_many_platforms_the_hosts_is_loaded() {
    let world = World::new();
    let layout = Layout::new(world.path("layout"));
    let (one, two) = (layer(&[("a", "1")]), layer(&[("a", "2")]));
    let foreign = on(layout.image(&[(one.clone(), one)]), "s390x");
    let host = super::manifest::Platform::host().architecture;
    let ours = on(layout.image(&[(two.clone(), two)]), &host);
    let attestation = on(foreign.clone(), "unknown");
    let list = json!({ "schemaVersion": 2, "manifests": [attestation, foreign, ours] });
    layout.index(&[named(layout.json(super::manifest::OCI_INDEX, &list), "x.io/multi:1")]);
    world.load(&layout.path).unwrap();
    let image = world.store.find("x.io/multi:1").unwrap();
    assert_eq!(fs::read_to_string(image.layers[0].join("a")).unwrap(), "2");

    let only = json!({ "schemaVersion": 2, "manifests": [foreign] });
    layout.index(&[layout.json(super::manifest::OCI_INDEX, &only)]);
    let error = world.load(&layout.path).unwrap_err();
    assert!(error.to_string().contains("no image for platform linux/"), "{error}");
}

#[test]
fn content_with_another_digest_is_refused_and_leaves_nothing() {
    let world = World::new();
    let plain = layer(&[("a", "1")]);
    let other = layer(&[("a", "2")]);
    let spoil = |what: &str, layers: &[(Vec<u8>, Vec<u8>)], spoiled: Option<(&[u8], &[u8])>| {
        let layout = Layout::new(world.path(what));
        layout.index(&[named(layout.image(layers), "app")]);
        if let Some((blob, with)) = spoiled {
            fs::write(layout.path.join("blobs/sha256").join(Digest::of(blob).hex()), with).unwrap();
        }
        let error = world.load(&layout.path).unwrap_err();
        assert!(world.store.list().unwrap().is_empty(), "{what}");
        assert_eq!((world.count("tmp"), world.count("layers")), (0, 0), "{what}");
        error.to_string()
    };
    let honest = [(plain.clone(), plain.clone())];
    let error = spoil("blob", &honest, Some((&plain, &other)));
    assert!(error.starts_with("verify layer sha256:"), "{error}");
    let error = spoil("short", &honest, Some((&plain, &plain[..512])));
    assert!(error.contains("want 2048 bytes") || error.contains("bytes, got 512"), "{error}");
    let error = spoil("diff id", &[(gzip(&plain), other)], None);
    assert!(error.contains("unpacked: want"), "{error}");
}

#[test]
fn a_layout_cannot_make_us_read_other_files_or_hang() {
    let world = World::new();
    let layout = Layout::new(world.path("layout"));
    std::os::unix::fs::symlink("/etc/passwd", layout.path.join("index.json")).unwrap();
    assert!(world.load(&layout.path).is_err());
    fs::remove_file(layout.path.join("index.json")).unwrap();
    nix::unistd::mkfifo(&layout.path.join("index.json"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let error = world.load(&layout.path).unwrap_err();
    assert!(error.to_string().ends_with("not a regular file"), "{error}");
    fs::remove_file(layout.path.join("index.json")).unwrap();
    let error = world.load(&layout.path).unwrap_err();
    assert!(error.to_string().contains("neither index.json"), "{error}");
}

#[test]
fn an_image_may_have_no_layers_at_all() {
    let world = World::new();
    let layout = Layout::new(world.path("layout"));
    layout.index(&[named(layout.image(&[]), "scratch:1")]);
    world.load(&layout.path).unwrap();
    let image = world.store.find("scratch:1").unwrap();
    assert_eq!(image.layers.len(), 1);
    assert_eq!(fs::read_dir(&image.layers[0]).unwrap().count(), 0);
}

/// An archive as `docker save` wrote it for years.
fn docker_archive(world: &World, link: bool) -> PathBuf {
    let folder = world.path("docker");
    let plain = layer(&[("a", "1")]);
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": ["x"] },
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&plain), Digest::of(&plain)] },
    });
    let config = config.to_string();
    let config_name = format!("{}.json", Digest::of(config.as_bytes()).hex());
    fs::create_dir_all(folder.join("one")).unwrap();
    fs::create_dir_all(folder.join("two")).unwrap();
    fs::write(folder.join(&config_name), config).unwrap();
    fs::write(folder.join("one/layer.tar"), &plain).unwrap();
    if link {
        std::os::unix::fs::symlink("../one/layer.tar", folder.join("two/layer.tar")).unwrap();
    } else {
        fs::write(folder.join("two/layer.tar"), &plain).unwrap();
    }
    let manifest = json!([{
        "Config": config_name, "RepoTags": ["app:v1", "x.io/app:v2"],
        "Layers": ["one/layer.tar", "two/layer.tar"],
    }]);
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    let archive = world.path("docker.tar");
    let status =
        Command::new("tar").arg("-C").arg(&folder).arg("-cf").arg(&archive).arg(".").status();
    assert!(status.unwrap().success());
    archive
}

#[test]
fn dockers_archives_load_with_all_their_names_also_twice() {
    for link in [false, true] {
        let world = World::new();
        let archive = docker_archive(&world, link);
        for _ in 0..2 {
            let loaded = world.load(&archive).unwrap();
            assert_eq!(loaded[0].names, [reference("app:v1"), reference("x.io/app:v2")]);
        }
        assert_eq!(world.store.find("app:v1").unwrap().layers.len(), 2);
        assert_eq!((world.count("layers"), world.count("records")), (2, 1));
    }
}

#[test]
fn a_compressed_archive_loads_from_a_pipe_too() {
    let world = World::new();
    let archive = docker_archive(&world, false);
    let packed = world.path("docker.tar.gz");
    fs::write(&packed, gzip(&fs::read(&archive).unwrap())).unwrap();
    assert_eq!(world.load(&packed).unwrap().len(), 1);
    let mut cat =
        Command::new("cat").arg(&packed).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let pipe = File::from(std::os::fd::OwnedFd::from(cat.stdout.take().unwrap()));
    let name = reference("from/pipe:1");
    let loaded = world.store.load(Source::Stream(pipe), Some(&name)).unwrap();
    assert_eq!(loaded[0].names, [name]);
    cat.wait().unwrap();
    assert_eq!(world.count("tmp"), 0);
}

#[test]
fn what_is_saved_loads_elsewhere_as_the_same_image() {
    let world = World::new();
    let id = world.import("app:v1", "one");
    world.import("other", "two");
    let save = || {
        let mut bytes = Vec::new();
        world.store.save(&["app:v1".into(), "other".into()], &mut bytes).unwrap();
        bytes
    };
    let bytes = save();
    assert_eq!(bytes, save(), "the same images give the same bytes");
    let archive = world.path("saved.tar");
    fs::write(&archive, bytes).unwrap();
    let elsewhere = World::new();
    assert_eq!(elsewhere.load(&archive).unwrap().len(), 2);
    let image = elsewhere.store.find("app:v1").unwrap();
    assert_eq!(image.id, id.to_string());
    assert_eq!(image.manifest, world.store.find("app:v1").unwrap().manifest);
    let missing = world.store.save(&["nope".into()], Vec::new()).unwrap_err();
    assert_eq!(missing.to_string(), "image \"nope\" not found");
}

#[test]
fn the_last_name_takes_the_image_and_its_content_along() {
    let world = World::new();
    let id = world.import("app", "one");
    world.store.tag("app", &reference("alias:2")).unwrap();
    let by_id = world.store.remove(&id.short(), false).unwrap_err();
    assert!(by_id.to_string().contains("several names"), "{by_id}");
    let removed = world.store.remove("app", false).unwrap();
    assert_eq!(removed, [Removed::Untagged(reference("app"))]);
    let removed = world.store.remove("alias:2", false).unwrap();
    assert_eq!(removed, [Removed::Untagged(reference("alias:2")), Removed::Deleted(id)]);
    for folder in ["layers", "blobs/sha256", "records", "references", "leases", "tmp"] {
        assert_eq!(world.count(folder), 0, "{folder}");
    }
    assert_eq!(world.store.remove("app", false).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn content_that_another_image_needs_stays() {
    let world = World::new();
    let layout = Layout::new(world.path("layout"));
    let (base, top) = (layer(&[("a", "1")]), layer(&[("b", "2")]));
    let base = (gzip(&base), base);
    let (small, large) =
        (layout.image(std::slice::from_ref(&base)), layout.image(&[base, (top.clone(), top)]));
    layout.index(&[named(small, "small:1"), named(large, "large:1")]);
    assert_eq!(world.load(&layout.path).unwrap().len(), 2);
    assert_eq!(world.count("layers"), 2);
    world.store.remove("large:1", false).unwrap();
    assert_eq!(world.count("layers"), 1);
    assert!(world.store.find("small:1").unwrap().layers[0].join("a").exists());
}

#[test]
fn an_image_in_use_stays_until_its_user_is_gone() {
    let world = World::new();
    let id = world.import("app", "one");
    let image = world.store.find("app").unwrap();
    let pod = world.path("run/pods/1234");
    fs::create_dir_all(&pod).unwrap();
    lease::take(&world.store, &image, &pod).unwrap();
    lease::take(&world.store, &image, &pod).unwrap();

    let error = world.store.remove("app", false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongState);
    assert!(error.to_string().contains("in use by"), "{error}");
    assert!(world.store.prune(true).unwrap().removed.is_empty());
    let forced = world.store.remove("app", true).unwrap();
    assert_eq!(forced, [Removed::Untagged(reference("app"))]);
    assert!(world.store.prune(false).unwrap().removed.is_empty());
    assert!(image.layers[0].join("file").exists());

    // A reboot empties /run.
    fs::remove_dir_all(world.path("run")).unwrap();
    let pruned = world.store.prune(false).unwrap();
    assert_eq!(pruned.removed, [Removed::Deleted(id)]);
    assert!(pruned.reclaimed_bytes > 0);
    let late = lease::take(&world.store, &image, &pod).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::NotFound);
}

#[test]
fn a_lease_given_back_lets_the_image_go() {
    let world = World::new();
    world.import("app", "one");
    let image = world.store.find("app").unwrap();
    lease::take(&world.store, &image, world.dir.path()).unwrap();
    lease::drop(&world.store, Path::new("/somebody/else")).unwrap();
    assert!(world.store.remove("app", false).is_err());
    lease::drop(&world.store, world.dir.path()).unwrap();
    lease::drop(&world.store, world.dir.path()).unwrap();
    assert!(world.store.remove("app", false).is_ok());
}

#[test]
fn a_name_that_moves_on_leaves_its_image_to_prune() {
    let world = World::new();
    let old = world.import("app", "one");
    let new = world.import("app", "two");
    let listed = world.store.list().unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!((listed[0].record.id, listed[1].names.len()), (new, 0));
    assert_eq!(world.store.prune(false).unwrap().removed, [Removed::Deleted(old)]);
    assert_eq!(world.store.list().unwrap().len(), 1);
}

#[test]
fn what_an_interrupted_command_left_is_cleared_by_the_next() {
    let world = World::new();
    let left = world.path("images/tmp/123-456-0/layer-0/diff");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("half"), "half").unwrap();
    world.import("app", "one");
    assert_eq!(world.count("tmp"), 0);
}

#[test]
fn work_of_another_command_is_left_alone() {
    let world = World::new();
    let other = super::ingest::Ingest::begin(&world.store).unwrap();
    fs::write(other.scratch("theirs"), "").unwrap();
    world.import("app", "one");
    assert!(other.scratch("theirs").exists());
    drop(other);
    assert_eq!(world.count("tmp"), 0);
}

#[test]
fn many_commands_at_once_agree() {
    let world = World::new();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let world = &world;
            scope.spawn(move || {
                for round in 0..5 {
                    world.import(&format!("w{worker}"), &format!("text-{}", round % 2));
                    let _ = world.store.prune(false);
                    if round % 2 == 0 {
                        let _ = world.store.remove(&format!("w{worker}"), false);
                    }
                }
            });
        }
    });
    for listed in world.store.list().unwrap() {
        for name in &listed.names {
            let image = world.store.resolve(&name.name).unwrap().unwrap();
            assert!(image.layers[0].join("file").exists(), "{}", name.name);
        }
    }
    world.store.prune(true).unwrap();
    assert_eq!((world.count("layers"), world.count("blobs/sha256"), world.count("tmp")), (0, 0, 0));
}

#[test]
fn a_record_of_another_version_or_damage_is_named_in_the_error() {
    let world = World::new();
    let id = world.import("app", "one");
    let record = world.store.record_file(&id);
    fs::write(&record, r#"{"version":99}"#).unwrap();
    let error = world.store.resolve(&reference("app")).unwrap_err().to_string();
    assert!(error.contains("version 99") && error.contains(&id.hex()), "{error}");
    fs::remove_file(&record).unwrap();
    let error = world.store.resolve(&reference("app")).unwrap_err().to_string();
    assert!(error.contains("missing, but docker.io/library/app:latest names it"), "{error}");
}
