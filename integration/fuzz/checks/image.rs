//! Images as `docker save` and OCI layouts describe them: nothing outside of
//! the store changes, and one that cannot be loaded leaves nothing. Parts with NUL
//! between them: manifest.json, config.json, index.json; each is a blob
//! too, and so is what follows. The layer is always the same.

use std::fs;
use std::path::Path;

use podrt::image::load::Source;
use podrt::image::manifest::{ConfigFile, Document, Process, parse};
use podrt::image::{Digest, ImageConfig, Store};

pub fn check(bytes: &[u8]) {
    let parts: Vec<&[u8]> = bytes.split(|&byte| byte == 0).collect();
    for part in &parts {
        let _ = Document::parse("part", part);
        if let Ok(file) = parse::<ConfigFile>("config", part) {
            let config = ImageConfig::from(file.config);
            assert_eq!(ImageConfig::from(Process::from(&config)), config);
        }
    }
    let outer = tempfile::tempdir().expect("temporary folder");
    let (layout, root) = (outer.path().join("layout"), outer.path().join("store"));
    fs::create_dir_all(layout.join("blobs/sha256")).expect("folder");
    fs::write(layout.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").expect("file");
    fs::write(layout.join("layer.tar"), [0; 1024]).expect("file");
    for (name, part) in ["manifest.json", "config.json", "index.json"].into_iter().zip(&parts) {
        if !part.is_empty() {
            fs::write(layout.join(name), part).expect("file");
        }
    }
    for part in &parts {
        fs::write(layout.join("blobs/sha256").join(Digest::of(part).hex()), part).expect("file");
    }
    let before = names(&layout);
    let store = Store::open(&root).expect("a store");
    match store.load(Source::Path(&layout), None) {
        Err(problem) => {
            assert!(!problem.to_string().contains('\n'), "{problem}");
            assert!(names(&root.join("tmp")).is_empty(), "{problem}: work is left");
        }
        Ok(loaded) => {
            for name in loaded.iter().flat_map(|image| &image.names) {
                assert!(store.resolve(name).expect("a record").is_some(), "{name}");
            }
        }
    }
    store.list().expect("the store can be read");
    assert_eq!(names(&layout), before);
    assert_eq!(names(outer.path()), ["layout", "store"], "something was made beside the store");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
