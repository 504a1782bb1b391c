//! `podrt image`: sources of every kind in, images listed, named, saved and
//! removed, and nothing left of what is refused.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{World, fixture_rootfs};

/// How the layer of a layout is stored.
#[derive(Debug, Clone, Copy)]
enum Packed {
    Plain,
    Gzip,
    Zstd,
}

impl Packed {
    fn pack(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => bytes.to_vec(),
            Self::Gzip => {
                let mut writer =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                writer.write_all(bytes).expect("gzip");
                writer.finish().expect("gzip")
            }
            Self::Zstd => zstd::stream::encode_all(bytes, 1).expect("zstd"),
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn add(tar: &mut tar::Builder<Vec<u8>>, name: &str, mode: u32, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    // Names that the crate itself would refuse are wanted too.
    header.as_gnu_mut().expect("gnu").name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    tar.append(&header, bytes).expect("tar");
}

/// A layer with busybox and one file.
fn layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let busybox = fs::read(fixture_rootfs().join("bin/busybox")).expect("make fixtures");
    add(&mut tar, "bin/busybox", 0o755, &busybox);
    add(&mut tar, "hello", 0o644, b"from a layer\n");
    tar.into_inner().expect("tar")
}

fn config(diff_id: &str) -> Vec<u8> {
    let config = json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
        "os": "linux",
        "config": { "Env": ["PATH=/bin", "MADE=yes"], "Cmd": ["/bin/busybox", "cat", "/hello"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
    });
    config.to_string().into_bytes()
}

/// An OCI layout of one image in `dir`; `stored` is its layer as it is stored.
fn layout(dir: &Path, name: &str, media_type: &str, stored: &[u8], diff_id: &str) {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("mkdir");
    let blob = |bytes: &[u8]| {
        fs::write(blobs.join(hex(bytes)), bytes).expect("write");
        (format!("sha256:{}", hex(bytes)), bytes.len())
    };
    let (layer, layer_size) = blob(stored);
    let (config, config_size) = blob(&config(diff_id));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config, "size": config_size,
        },
        "layers": [{ "mediaType": media_type, "digest": layer, "size": layer_size }],
    });
    let (manifest, manifest_size) = blob(manifest.to_string().as_bytes());
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": manifest, "size": manifest_size,
            "annotations": { "org.opencontainers.image.ref.name": name },
        }],
    });
    fs::write(dir.join("index.json"), index.to_string()).expect("write");
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("write");
}

/// What `docker save` writes.
fn docker_archive(name: &str, layer: &[u8]) -> Vec<u8> {
    let config = config(&hex(layer));
    let config_name = format!("{}.json", hex(&config));
    let manifest =
        json!([{ "Config": config_name, "RepoTags": [name], "Layers": ["one/layer.tar"] }]);
    let mut tar = tar::Builder::new(Vec::new());
    add(&mut tar, "one/layer.tar", 0o644, layer);
    add(&mut tar, &config_name, 0o644, &config);
    add(&mut tar, "manifest.json", 0o644, manifest.to_string().as_bytes());
    tar.into_inner().expect("tar")
}

/// Runs the image's own command in a pod.
#[track_caller]
fn run(world: &World, image: &str) -> String {
    let image = format!("--image={image}");
    let args = ["run", "try", &image, "--restart=Never", "--attach", "--rm", "-q"];
    world.podrt(&args).ok()
}

fn list(world: &World) -> Vec<Value> {
    let text = world.podrt(&["image", "list", "-o", "json"]).ok();
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn an_oci_layout_loads_from_a_folder_and_a_tar_however_its_layer_is_packed() {
    let layer = layer();
    for packed in [Packed::Plain, Packed::Gzip, Packed::Zstd] {
        let world = World::new();
        let dir = world.path().join("layout");
        let name = "podrt.local/made:v1";
        layout(&dir, name, packed.media_type(), &packed.pack(&layer), &hex(&layer));
        let loaded = world.podrt(&["image", "load", &dir.to_string_lossy()]).ok();
        assert_eq!(loaded, format!("Loaded image: {name}\n"), "{packed:?}");
        assert_eq!(run(&world, name), "from a layer\n", "{packed:?}");
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_dir_all(".", &dir).expect("tar");
        let archive = world.path().join("layout.tar");
        fs::write(&archive, tar.into_inner().expect("tar")).expect("write");
        world.podrt(&["image", "rm", name]).ok();
        let again = ["image", "load", "-i", &archive.to_string_lossy(), "-t", "podrt.local/again"];
        assert_eq!(world.podrt(&again).ok(), "Loaded image: podrt.local/again:latest\n");
        assert_eq!(list(&world).len(), 1);
        world.assert_clean();
    }
}

#[test]
fn a_docker_archive_loads_from_a_file_and_packed_from_standard_input() {
    let world = World::new();
    let archive = docker_archive("podrt.local/docker:v1", &layer());
    let file = world.path().join("docker.tar");
    fs::write(&file, &archive).expect("write");
    let loaded = world.podrt(&["image", "load", &file.to_string_lossy()]).ok();
    assert_eq!(loaded, "Loaded image: podrt.local/docker:v1\n");
    assert_eq!(run(&world, "podrt.local/docker:v1"), "from a layer\n");
    for packed in [Packed::Gzip, Packed::Zstd] {
        let mut command = world.command(&["image", "load", "-q", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("spawn");
        let mut stdin = child.stdin.take().expect("stdin");
        stdin.write_all(&packed.pack(&archive)).expect("write");
        drop(stdin);
        let output = child.wait_with_output().expect("wait");
        let id = String::from_utf8(output.stdout).expect("text");
        assert_eq!(id.trim_end(), format!("sha256:{}", hex(&config(&hex(&layer())))));
    }
    assert_eq!(list(&world).len(), 1);
    world.assert_clean();
}

#[test]
fn an_import_keeps_files_and_takes_its_configuration_from_the_flags() {
    let world = World::new();
    let tree = world.path().join("tree");
    fs::create_dir_all(tree.join("bin")).expect("mkdir");
    fs::copy(fixture_rootfs().join("bin/busybox"), tree.join("bin/busybox")).expect("copy");
    fs::write(tree.join("note"), "imported\n").expect("write");
    let flags = ["--entrypoint", r#"["/bin/busybox"]"#, "--cmd", r#"["cat","/note"]"#, "-e", "A=b"];
    let mut args = vec!["image", "import"];
    args.extend(flags);
    let source = tree.to_string_lossy().into_owned();
    args.extend([source.as_str(), "podrt.local/tree"]);
    let imported = world.podrt(&args).ok();
    assert!(imported.starts_with("Imported image: podrt.local/tree:latest (sha256:"), "{imported}");
    assert_eq!(run(&world, "podrt.local/tree"), "imported\n");
    let inspected = world.podrt(&["image", "inspect", "podrt.local/tree"]).ok();
    assert!(inspected.contains("A=b") && inspected.contains("/bin/busybox"), "{inspected}");

    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all(".", &tree).expect("tar");
    let bytes = Packed::Gzip.pack(&tar.into_inner().expect("tar"));
    let file = world.path().join("tree.tar.gz");
    fs::write(&file, bytes).expect("write");
    let path = file.to_string_lossy().into_owned();
    let mut args = vec!["image", "import"];
    args.extend(flags);
    args.extend([path.as_str(), "podrt.local/tar"]);
    world.podrt(&args).ok();
    assert_eq!(run(&world, "podrt.local/tar"), "imported\n");
    world.assert_clean();
}

#[test]
fn names_come_and_go_and_an_image_stays_until_its_last_one_is_gone() {
    let world = World::with_fixture();
    let image = |args: &[&str]| world.podrt(&[&["image"], args].concat());
    let one = crate::support::FIXTURE_IMAGE;
    image(&["tag", one, "podrt.local/other:v2"]).ok();
    let table = image(&["list"]).ok();
    let lines: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]);
    assert_eq!(lines.len(), 3, "{table}");
    assert_eq!(list(&world).len(), 1);
    assert_eq!(image(&["rm", one]).ok(), format!("Untagged: {one}\n"));
    let id = image(&["list", "-q", "--no-trunc"]).ok();
    let last = image(&["rm", "podrt.local/other:v2"]).ok();
    assert_eq!(last, format!("Untagged: podrt.local/other:v2\nDeleted: {id}"));
    assert!(list(&world).is_empty());
    assert!(image(&["rm", one]).error(1).ends_with("not found"));
    assert!(image(&["inspect", "gone"]).error(1).ends_with("image \"gone\" not found"));
    assert!(image(&["tag", "gone", "UPPER:x"]).error(1).contains("parse image name \"UPPER:x\""));
    assert!(image(&["prune"]).ok().starts_with("Total reclaimed space: "));
    world.assert_clean();
}

#[test]
fn an_image_in_use_is_kept_and_a_prune_of_all_takes_the_others() {
    let world = World::with_fixture();
    let one = crate::support::FIXTURE_IMAGE;
    let image = format!("--image={one}");
    world.podrt(&["run", "user", &image, "--", "sh", "-c", "sleep 1000"]).ok();
    world.podrt(&["wait", "pod/user", "--for=condition=Ready"]).ok();
    let refused = world.podrt(&["image", "rm", one]).error(1);
    assert!(refused.contains("is in use by"), "{refused}");
    world.podrt(&["image", "prune", "--all"]).ok();
    assert_eq!(list(&world).len(), 1);
    world.podrt(&["delete", "pod", "user", "--now"]).ok();
    let pruned = world.podrt(&["image", "prune", "--all"]).ok();
    assert!(pruned.contains(&format!("Untagged: {one}\nDeleted: sha256:")), "{pruned}");
    assert!(list(&world).is_empty());
    world.assert_clean();
}

#[test]
fn a_saved_image_loads_elsewhere_with_the_same_id() {
    let (here, there) = (World::with_fixture(), World::new());
    let file = here.path().join("saved.tar");
    let path = file.to_string_lossy().into_owned();
    here.podrt(&["image", "save", crate::support::FIXTURE_IMAGE, "-o", &path]).ok();
    let ids = |world: &World| world.podrt(&["image", "list", "-q", "--no-trunc"]).ok();
    there.podrt(&["image", "load", &path]).ok();
    assert_eq!(ids(&here), ids(&there));
    let nowhere = here.path().join("none.tar");
    here.podrt(&["image", "save", "gone", "-o", &nowhere.to_string_lossy()]).error(1);
    assert!(!nowhere.exists(), "half an archive is left");
}

/// Everything below the store that holds content.
fn contents(world: &World) -> Vec<String> {
    let images = world.data_root().join("images");
    let mut found = Vec::new();
    for folder in ["blobs/sha256", "layers", "records"] {
        let Ok(entries) = fs::read_dir(images.join(folder)) else { continue };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        found.extend(names.filter(|name| !name.starts_with('.')).map(|n| format!("{folder}/{n}")));
    }
    found
}

#[test]
fn a_hostile_archive_is_refused_with_one_line_and_leaves_nothing() {
    let world = World::new();
    let outside = world.path().join("outside");
    fs::create_dir(&outside).expect("mkdir");
    let evil = |build: &dyn Fn(&mut tar::Builder<Vec<u8>>)| {
        let mut tar = tar::Builder::new(Vec::new());
        build(&mut tar);
        tar.into_inner().expect("tar")
    };
    let link = |tar: &mut tar::Builder<Vec<u8>>, kind, name: &str, target: &Path| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        tar.append_link(&mut header, name, target).expect("tar");
    };
    let good = layer();
    let cut = {
        let whole = Packed::Gzip.pack(&docker_archive("podrt.local/cut:v1", &good));
        whole[..whole.len() / 2].to_vec()
    };
    let without_layer = evil(&|tar| {
        let manifest = json!([{ "Config": "c.json", "RepoTags": null, "Layers": ["gone.tar"] }]);
        add(tar, "c.json", 0o644, &config(&hex(b"x")));
        add(tar, "manifest.json", 0o644, manifest.to_string().as_bytes());
    });
    let up = evil(&|tar| add(tar, "../outside/evil", 0o644, b"x"));
    let hard = evil(&|tar| link(tar, tar::EntryType::Link, "passwd", Path::new("/etc/passwd")));
    let cases: [(&str, Vec<u8>); 6] = [
        ("no archive", b"this is no archive at all".to_vec()),
        ("cut off", cut),
        ("no layer", without_layer),
        ("wrong digest", docker_archive_with_wrong_digest(&good)),
        ("dots", docker_archive("podrt.local/dots:v1", &up)),
        ("hard link", docker_archive("podrt.local/hard:v1", &hard)),
    ];
    for (what, bytes) in cases {
        let file = world.path().join("hostile.tar");
        fs::write(&file, bytes).expect("write");
        let line = world.podrt(&["image", "load", &file.to_string_lossy()]).error(1);
        assert!(line.starts_with("podrt: "), "{what}: {line}");
        assert!(list(&world).is_empty(), "{what}");
        assert_eq!(contents(&world), Vec::<String>::new(), "{what}: {line}");
    }
    assert_eq!(fs::read_dir(&outside).expect("outside").count(), 0);

    // A link out of the image is kept as it is, and leads nowhere outside.
    let through = evil(&|tar| {
        link(tar, tar::EntryType::Symlink, "door", &outside);
        add(tar, "door/evil", 0o644, b"x");
    });
    let file = world.path().join("through.tar");
    fs::write(&file, docker_archive("podrt.local/through:v1", &through)).expect("write");
    world.podrt(&["image", "load", &file.to_string_lossy()]);
    assert_eq!(fs::read_dir(&outside).expect("outside").count(), 0);
    world.assert_clean();
}

/// The config names another layer than the one that comes along.
fn docker_archive_with_wrong_digest(layer: &[u8]) -> Vec<u8> {
    let config = config(&hex(b"another layer"));
    let config_name = format!("{}.json", hex(&config));
    let manifest =
        json!([{ "Config": config_name, "RepoTags": ["a.b/wrong:v1"], "Layers": ["layer.tar"] }]);
    let mut tar = tar::Builder::new(Vec::new());
    add(&mut tar, "layer.tar", 0o644, layer);
    add(&mut tar, &config_name, 0o644, &config);
    add(&mut tar, "manifest.json", 0o644, manifest.to_string().as_bytes());
    tar.into_inner().expect("tar")
}
