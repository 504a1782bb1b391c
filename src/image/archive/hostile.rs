//! Archives as an enemy would write them, and honest ones with everything an
//! image may hold.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tar::{EntryType, Header};

use super::attributes::OPAQUE;
use super::lower::Lower;
use super::unpack::unpack;
use crate::image::Error;
use crate::sys::xattr::{self, Target};

/// A tar in the making, with any nonsense.
#[derive(Default)]
struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    fn member(mut self, kind: EntryType, name: &str, link: &str, data: &[u8]) -> Self {
        self.bytes.extend(Self::header(kind, name, link, data.len() as u64).as_bytes());
        self.data(data)
    }

    fn header(kind: EntryType, name: &str, link: &str, size: u64) -> Header {
        let mut header = Header::new_gnu();
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(size);
        header.set_cksum();
        header
    }

    fn data(mut self, data: &[u8]) -> Self {
        self.bytes.extend(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    fn raw(mut self, header: &Header, data: &[u8]) -> Self {
        self.bytes.extend(header.as_bytes());
        self.data(data)
    }

    fn file(self, name: &str, data: &str) -> Self {
        self.member(EntryType::Regular, name, "", data.as_bytes())
    }

    fn folder(self, name: &str) -> Self {
        self.member(EntryType::Directory, name, "", b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.member(EntryType::Symlink, name, target, b"")
    }

    fn hard_link(self, name: &str, target: &str) -> Self {
        self.member(EntryType::Link, name, target, b"")
    }

    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut text = Vec::new();
        for (key, value) in records {
            let body = key.len() + value.len() + 3;
            let mut length = body + 1;
            while length != body + length.to_string().len() {
                length = body + length.to_string().len();
            }
            text.extend(format!("{length} {key}=").as_bytes());
            text.extend(*value);
            text.push(b'\n');
        }
        self.member(EntryType::XHeader, "pax", "", &text)
    }

    fn device(self, kind: EntryType, name: &str, major: u32, minor: u32) -> Self {
        let mut header = Self::header(kind, name, "", 0);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        header.set_cksum();
        self.raw(&header, b"")
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.extend([0; 1024]);
        self.bytes
    }
}

fn tar() -> Tar {
    Tar::default()
}

/// A folder with a layer in the making, and beside it what must stay as it is.
struct World {
    dir: tempfile::TempDir,
    lower: Vec<PathBuf>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/secret"), "untouched").unwrap();
        Self { dir, lower: Vec::new() }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join(format!("layer-{}", self.lower.len()))
    }

    fn unpack(&self, tar: Tar) -> Result<u64, Error> {
        let root = self.root();
        fs::create_dir_all(&root).unwrap();
        let lower = Lower::open(self.lower.iter().rev().map(PathBuf::as_path)).unwrap();
        let result = unpack(tar.finish().as_slice(), &root, lower);
        let outside = fs::read_dir(self.dir.path().join("outside")).unwrap().count();
        assert_eq!(outside, 1, "something was written outside");
        let secret = fs::metadata(self.dir.path().join("outside/secret")).unwrap();
        assert_eq!((secret.nlink(), secret.mode() & 0o777, secret.len()), (1, 0o644, 9));
        result
    }

    /// Unpacks, and goes on with a layer on top.
    fn layer(mut self, tar: Tar) -> Self {
        self.unpack(tar).unwrap();
        self.lower.push(self.root());
        self
    }

    fn refusal(&self, tar: Tar) -> String {
        self.unpack(tar).unwrap_err().to_string()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }

    fn is_whiteout(&self, path: &str) -> bool {
        fs::symlink_metadata(self.root().join(path))
            .is_ok_and(|file| file.file_type().is_char_device() && file.rdev() == 0)
    }

    fn is_opaque(&self, path: &str) -> bool {
        let root = File::open(self.root()).unwrap();
        let target = Target { dir: root.as_fd(), name: OsStr::new(path) };
        xattr::get(target, OsStr::new(OPAQUE)).unwrap().as_deref() == Some(b"y")
    }
}

#[test]
fn names_that_climb_out_are_refused() {
    let world = World::new();
    for name in ["../outside/evil", "a/../../outside/evil", "..", "a/..", "./../x"] {
        let error = world.refusal(tar().file(name, "x"));
        assert_eq!(error, format!("read {name}: name contains \"..\""));
    }
    let error = world.refusal(tar().pax(&[("path", b"../outside/evil")]).file("x", "x"));
    assert!(error.contains("name contains"), "{error}");
    let error = world.refusal(tar().pax(&[("path", b"a\0b")]).file("x", "x"));
    assert!(error.contains("NUL"), "{error}");
}

#[test]
fn absolute_names_are_below_the_root() {
    let world = World::new();
    world.unpack(tar().file("/etc/podrt-hostile-test", "x")).unwrap();
    assert_eq!(world.read("etc/podrt-hostile-test"), "x");
    assert!(!Path::new("/etc/podrt-hostile-test").exists());
}

#[test]
fn symlinked_parents_lead_only_within_the_root() {
    let world = World::new();
    let outside = world.dir.path().join("outside").display().to_string();
    world
        .unpack(
            tar()
                .symlink("absolute", &outside)
                .file("absolute/evil", "1")
                .symlink("relative", "../../../../outside")
                .file("relative/evil", "2")
                .folder("usr/lib")
                .symlink("lib", "usr/lib")
                .file("lib/x", "3"),
        )
        .unwrap();
    assert_eq!(world.read("usr/lib/x"), "3");
    assert_eq!(world.read("outside/evil"), "2");
    assert_eq!(world.read(&format!("{}/evil", &outside[1..])), "1");
    let error = World::new().refusal(tar().symlink("a", "b").symlink("b", "a").file("a/x", ""));
    assert!(error.contains("too many symbolic links"), "{error}");
}

#[test]
fn a_file_is_written_over_a_symlink_and_never_through_it() {
    let world = World::new();
    let secret = world.dir.path().join("outside/secret").display().to_string();
    world.unpack(tar().symlink("x", &secret).file("x", "mine")).unwrap();
    assert_eq!(world.read("x"), "mine");
    let world = World::new();
    let outside = world.dir.path().join("outside").display().to_string();
    world.unpack(tar().symlink("d", &outside).folder("d").file("d/evil", "mine")).unwrap();
    assert_eq!(world.read("d/evil"), "mine");
}

#[test]
fn hard_links_reach_only_files_of_the_root() {
    let world = World::new();
    let secret = world.dir.path().join("outside/secret").display().to_string();
    for target in [secret.as_str(), "../outside/secret"] {
        let error = world.refusal(tar().hard_link("x", target));
        assert!(error.contains("not there") || error.contains("\"..\""), "{error}");
    }
    // A link to a symlink is a second name of the symlink.
    world.unpack(tar().symlink("s", &secret).hard_link("x", "s")).unwrap();
    let link = fs::symlink_metadata(world.root().join("x")).unwrap();
    assert!(link.file_type().is_symlink() && link.nlink() == 2);
    let error = World::new().refusal(tar().folder("d").hard_link("x", "d"));
    assert!(error.contains("link to a folder"), "{error}");
    World::new().unpack(tar().file("a", "1").hard_link("a", "a")).unwrap();
}

#[test]
fn an_entry_replaces_what_the_same_layer_had_there() {
    let world = World::new();
    world
        .unpack(
            tar()
                .folder("d")
                .folder("d/deep")
                .file("d/deep/x", "1")
                .file("d", "now a file")
                .file("f", "1")
                .folder("f")
                .file("f/y", "2")
                .file("twice", "long first")
                .file("twice", "2"),
        )
        .unwrap();
    assert_eq!(world.read("d"), "now a file");
    assert_eq!(world.read("f/y"), "2");
    assert_eq!(world.read("twice"), "2");
    let error = World::new().refusal(tar().file("a", "").file("a/b", ""));
    assert!(error.ends_with("not a directory"), "{error}");
}

#[test]
fn a_replaced_folder_is_not_written_into_any_more() {
    let world = World::new();
    let outside = world.dir.path().join("outside").display().to_string();
    let hostile = tar().folder("d").file("d/a", "").symlink("d", &outside).file("d/evil", "x");
    world.unpack(hostile).unwrap();
    assert_eq!(world.read(&format!("{}/evil", &outside[1..])), "x");
}

#[test]
fn headers_that_lie_are_refused() {
    let world = World::new();
    let mut bytes = tar().file("a", "x").bytes;
    bytes[0] = b'b';
    assert!(world.refusal(Tar { bytes }).contains("no tar header"));

    let huge = Tar::header(EntryType::Regular, "a", "", 1 << 60);
    assert!(world.refusal(tar().raw(&huge, b"")).contains("file too large"));
    let cut = Tar::header(EntryType::Regular, "a", "", 100_000);
    assert!(world.refusal(tar().raw(&cut, b"")).contains("unexpected end"));

    let long = Tar::header(EntryType::GNULongName, "a", "", 1 << 40);
    assert!(world.refusal(tar().raw(&long, b"")).contains("extended headers too large"));
    let many = (0..3000).fold(tar(), |tar, _| tar.pax(&[("comment", b"x")]));
    assert!(world.refusal(many.file("a", "")).contains("extended headers too large"));

    let unknown = world.refusal(tar().member(EntryType::new(b'Q'), "a", "", b""));
    assert!(unknown.contains("unknown type 'Q'"), "{unknown}");
    let owner = world.refusal(tar().pax(&[("uid", b"4294967295")]).file("a", ""));
    assert!(owner.contains("owner out of range"), "{owner}");
    let device = world.refusal(tar().device(EntryType::Char, "a", 0x1000, 0));
    assert!(device.contains("device number out of range"), "{device}");
    assert!(world.refusal(tar().file(".", "x")).contains("replaces the root"));
}

#[test]
fn deep_and_long_names_end_with_an_error_or_a_tree() {
    let world = World::new();
    let deep = "d/".repeat(2000) + "f";
    world.unpack(tar().pax(&[("path", deep.as_bytes())]).file("x", "deep")).map(drop).unwrap_or(());
    let too_deep = "d/".repeat(2048) + "f";
    let error = world.refusal(tar().pax(&[("path", too_deep.as_bytes())]).file("x", ""));
    assert!(error.ends_with("name too long"), "{error}");
    let long = "n".repeat(255);
    world.unpack(tar().pax(&[("path", long.as_bytes())]).file("x", "long")).unwrap();
    assert_eq!(world.read(&long), "long");
}

#[test]
fn sparse_maps_cannot_reach_beyond_their_file() {
    let keys = |map: &'static str, size: &'static str| {
        [("GNU.sparse.map", map.as_bytes()), ("GNU.sparse.size", size.as_bytes())]
    };
    let sparse = |map, size| tar().pax(&keys(map, size)).file("s", "abcd");
    let world = World::new();
    world.unpack(sparse("0,2,1000,2", "5000")).unwrap();
    let bytes = fs::read(world.root().join("s")).unwrap();
    assert_eq!((bytes.len(), &bytes[..3], &bytes[1000..1003]), (5000, &b"ab\0"[..], &b"cd\0"[..]));
    for (map, size) in [
        ("0,2,1,2", "5000"),
        ("4998,4", "5000"),
        ("0,4", "9223372036854775807"),
        ("18446744073709551615,4", "5000"),
        ("0,2", "5000"),
        ("0,2,5", "5000"),
    ] {
        assert!(World::new().unpack(sparse(map, size)).is_err(), "{map} in {size}");
    }
    let head = [&b"2\n0\n2\n1000\n2\n"[..], &[0; 512 - 13], b"abcd"].concat();
    let records: [(&str, &[u8]); 4] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"real"),
        ("GNU.sparse.realsize", b"5000"),
    ];
    world.unpack(tar().pax(&records).member(EntryType::Regular, "x", "", &head)).unwrap();
    assert_eq!(fs::read(world.root().join("real")).unwrap(), bytes);
}

#[test]
fn the_attributes_of_overlayfs_do_not_pass() {
    let world = World::new();
    let records: [(&str, &[u8]); 4] = [
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/other"),
        ("SCHILY.xattr.security.selinux", b"x"),
        ("SCHILY.xattr.user.fine", b"yes"),
    ];
    world.unpack(tar().pax(&records).folder("d")).unwrap();
    let root = File::open(world.root()).unwrap();
    let names = xattr::list(Target { dir: root.as_fd(), name: OsStr::new("d") }).unwrap();
    assert_eq!(names, ["user.fine"]);
}

#[test]
fn whiteouts_hide_lower_layers_and_only_those() {
    let base = || {
        tar().folder("d").file("d/a", "1").file("d/b", "1").folder("gone").folder("o").file("f", "")
    };
    let world = World::new().layer(base());
    world
        .unpack(
            tar()
                .file("d/.wh.a", "")
                .file(".wh.gone", "")
                .file("f", "kept")
                .file(".wh.f", "")
                .folder("o")
                .file("o/.wh..wh..opq", "")
                .file("o/new", "2")
                .file(".wh..wh.plnk", ""),
        )
        .unwrap();
    assert!(world.is_whiteout("d/a") && world.is_whiteout("gone"));
    assert!(!world.root().join("d/b").exists() && !world.root().join(".wh..wh.plnk").exists());
    assert_eq!(world.read("f"), "kept");
    assert!(world.is_opaque("o") && !world.is_opaque("d"));
    assert_eq!(world.read("o/new"), "2");
    for name in [".wh.", ".wh..", ".wh..."] {
        assert!(world.refusal(tar().file(name, "")).ends_with("malformed whiteout"), "{name}");
    }
}

#[test]
fn a_folder_in_place_of_a_whiteout_is_opaque() {
    let world = World::new().layer(tar().folder("d").file("d/old", ""));
    world.unpack(tar().file(".wh.d", "").folder("d").file("d/new", "")).unwrap();
    assert!(world.is_opaque("d") && world.root().join("d/new").exists());
    let world = World::new().layer(tar().folder("d").file("d/old", ""));
    world.unpack(tar().file(".wh.d", "").file("d/new", "")).unwrap();
    assert!(world.is_opaque("d"));
    let world = World::new().layer(tar().folder("d").file("d/old", ""));
    world.unpack(tar().folder("d").file(".wh.d", "").file("d/new", "")).unwrap();
    assert!(world.is_opaque("d"));
}

#[test]
fn the_lowest_layer_has_no_whiteouts() {
    let world = World::new();
    world.unpack(tar().file(".wh.x", "").folder("d").file("d/.wh..wh..opq", "")).unwrap();
    assert!(!world.root().join("x").exists() && !world.is_opaque("d"));
}

#[test]
fn implied_folders_look_as_the_lower_layers_have_them() {
    let lower = tar()
        .pax(&[("uid", b"1234"), ("SCHILY.xattr.user.a", b"1")])
        .folder("home")
        .symlink("link", "home")
        .folder("cut");
    let world = World::new().layer(lower).layer(tar().file(".wh.cut", ""));
    world.unpack(tar().file("home/x", "1").file("link/y", "2").file("cut/z", "3")).unwrap();
    let home = fs::metadata(world.root().join("home")).unwrap();
    assert_eq!((home.uid(), home.mode() & 0o7777), (1234, 0o755));
    assert_eq!(world.read("home/y"), "2");
    assert!(!world.root().join("link").exists());
    assert_eq!(fs::metadata(world.root().join("cut")).unwrap().uid(), 0);
}

#[test]
fn a_hard_link_to_a_lower_layers_file_copies_it_up() {
    let lower = tar().pax(&[("uid", b"7")]).file("a", "content").symlink("s", "a");
    let world = World::new().layer(lower);
    world.unpack(tar().hard_link("b", "a").hard_link("t", "s")).unwrap();
    let (a, b) = (fs::metadata(world.root().join("a")), fs::metadata(world.root().join("b")));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!((a.ino(), a.uid(), a.nlink()), (b.ino(), 7, 2));
    assert_eq!(world.read("b"), "content");
    assert_eq!(fs::read_link(world.root().join("t")).unwrap(), Path::new("a"));
}

#[test]
fn files_come_out_with_everything_they_have() {
    let world = World::new();
    let mut setuid = Tar::header(EntryType::Regular, "su", "", 2);
    setuid.set_mode(0o4755);
    setuid.set_uid(12);
    setuid.set_gid(34);
    setuid.set_cksum();
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    world
        .unpack(
            tar()
                .raw(&setuid, b"su")
                .pax(&[("SCHILY.xattr.security.capability", capability), ("mtime", b"5.25")])
                .file("capable", "")
                .device(EntryType::Char, "null", 1, 3)
                .device(EntryType::Block, "disk", 254, 9)
                .member(EntryType::Fifo, "pipe", "", b"")
                .folder("d")
                .file("d/x", "")
                .member(EntryType::Regular, "v7/", "", b""),
        )
        .unwrap();
    let meta = |path: &str| fs::symlink_metadata(world.root().join(path)).unwrap();
    assert_eq!((meta("su").mode() & 0o7777, meta("su").uid(), meta("su").gid()), (0o4755, 12, 34));
    assert_eq!((meta("capable").mtime(), meta("capable").mtime_nsec()), (5, 250_000_000));
    let root = File::open(world.root()).unwrap();
    let target = Target { dir: root.as_fd(), name: OsStr::new("capable") };
    let value = xattr::get(target, OsStr::new("security.capability")).unwrap();
    assert_eq!(value.as_deref(), Some(&capability[..]));
    assert_eq!(meta("null").rdev(), nix::sys::stat::makedev(1, 3));
    assert_eq!(meta("disk").rdev(), nix::sys::stat::makedev(254, 9));
    assert!(meta("disk").file_type().is_block_device() && meta("pipe").file_type().is_fifo());
    assert_eq!(meta("d").mtime(), 1_000_000_000, "filling a folder changed its time");
    assert!(meta("v7").is_dir());
}

#[test]
fn a_packed_folder_unpacks_to_the_same() {
    let world = World::new();
    let from = world.dir.path().join("from");
    let long = format!("{}/{}", "a".repeat(120), "b".repeat(200));
    fs::create_dir_all(from.join(&long)).unwrap();
    fs::write(from.join(&long).join("f"), "long").unwrap();
    fs::write(from.join("one"), vec![b'x'; 100_000]).unwrap();
    fs::hard_link(from.join("one"), from.join("two")).unwrap();
    symlink("t".repeat(300), from.join("link")).unwrap();
    fs::set_permissions(from.join("one"), fs::Permissions::from_mode(0o6755)).unwrap();
    std::os::unix::fs::chown(&from, Some(3_000_000_000), Some(7)).unwrap();
    let packed = || {
        let mut bytes = Vec::new();
        super::pack::pack(&from, &mut bytes).unwrap();
        bytes
    };
    let bytes = packed();
    assert_eq!(bytes, packed());
    let root = world.root();
    fs::create_dir(&root).unwrap();
    let size = unpack(bytes.as_slice(), &root, Lower::default()).unwrap();
    assert_eq!(size, 100_004);
    assert_eq!(world.read(&format!("{long}/f")), "long");
    let (one, two) = (fs::metadata(root.join("one")), fs::metadata(root.join("two")));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.ino(), one.mode() & 0o7777, one.nlink()), (two.ino(), 0o6755, 2));
    assert_eq!(fs::read_link(root.join("link")).unwrap().as_os_str().len(), 300);
    let top = fs::metadata(&root).unwrap();
    assert_eq!((top.uid(), top.gid()), (3_000_000_000, 7));
}

#[test]
fn gnu_tar_reads_what_we_pack_and_we_read_what_it_packs() {
    let world = World::new();
    let from = world.dir.path().join("from");
    fs::create_dir_all(from.join("d".repeat(150))).unwrap();
    fs::write(from.join("d".repeat(150)).join("f"), "x").unwrap();
    let mut holes = File::create(from.join("holes")).unwrap();
    holes.set_len(10 << 20).unwrap();
    holes.write_all(b"start").unwrap();
    for format in ["gnu", "pax", "oldgnu"] {
        let made = std::process::Command::new("tar")
            .args(["--sparse", "--format", format, "-C"])
            .arg(&from)
            .args(["-cf", "-", "."])
            .output()
            .unwrap();
        assert!(made.status.success());
        let root = world.dir.path().join(format);
        fs::create_dir(&root).unwrap();
        unpack(made.stdout.as_slice(), &root, Lower::default()).unwrap();
        assert!(root.join("d".repeat(150)).join("f").exists(), "{format}");
        let holes = fs::metadata(root.join("holes")).unwrap();
        assert_eq!(holes.len(), 10 << 20);
        assert!(holes.blocks() < 100, "{format}: holes are filled");
    }
}

/// Members of a layer that cross each other in every way.
fn crossing() -> impl Strategy<Value = (u8, String, String)> {
    let name = "(\\.wh\\.|/|\\.\\./|\\.wh\\.\\.wh\\.\\.opq)?[ab](/(\\.wh\\.)?[abc]){0,3}";
    (0_u8..8, name, "(/|\\.\\./){0,3}[ab](/[abc]){0,2}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_mix_of_members_leaves_the_root(
        members in proptest::collection::vec(crossing(), 1..24),
        above in proptest::collection::vec(crossing(), 1..24),
    ) {
        let build = |members: &[(u8, String, String)]| {
            members.iter().fold(tar(), |tar, (kind, name, link)| match kind {
                0 | 1 => tar.file(name, "x"),
                2 | 3 => tar.folder(name),
                4 => tar.symlink(name, link),
                5 => tar.hard_link(name, link),
                6 => tar.device(EntryType::Char, name, 0, 0),
                _ => tar.symlink(name, "../outside"),
            })
        };
        let mut world = World::new();
        let _ = world.unpack(build(&members));
        world.lower.push(world.root());
        let _ = world.unpack(build(&above));
    }
}
