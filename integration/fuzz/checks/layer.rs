//! Layers from anywhere: nothing outside of the folder changes, whatever the
//! archive says. The first byte tells how it is packed.

use std::fs;
use std::io::{self, BufReader, Read};

use podrt::image::archive::decompress::Decoder;
use podrt::image::archive::lower::Lower;
use podrt::image::archive::tar::Input;
use podrt::image::archive::unpack::unpack;

/// Small reads: every border of a buffer is met.
struct Plain<R>(BufReader<R>);

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl<R: Read> io::BufRead for Plain<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.0.consume(bytes);
    }
}

impl<R: Read> Input for Plain<R> {}

pub fn check(bytes: &[u8]) {
    let Some((how, archive)) = bytes.split_first() else { return };
    let outer = tempfile::tempdir().expect("temporary folder");
    let (root, witness) = (outer.path().join("root"), outer.path().join("witness"));
    fs::create_dir(&root).expect("folder");
    fs::write(&witness, "untouched").expect("file");
    let buffer = 64 + usize::from(how >> 1) * 16;
    let none = || Lower::open(std::iter::empty()).expect("no parents");
    if how & 1 == 0 {
        let _ = unpack(Plain(BufReader::with_capacity(buffer, archive)), &root, none());
    } else if let Ok(plain) = Decoder::new(archive) {
        // As the image store bounds what a few bytes can become.
        let plain = BufReader::with_capacity(buffer, plain.take(4 << 20));
        let _ = unpack(Plain(plain), &root, none());
    }
    assert_eq!(fs::read(&witness).expect("still there"), b"untouched");
    let names = fs::read_dir(outer.path()).expect("folder").count();
    assert_eq!(names, 2, "something was made beside the root");
}
