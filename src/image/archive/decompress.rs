//! Plain bytes from a stream that may be compressed. What it is says the
//! stream itself; media types lie.

use std::fmt;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

/// Large enough that system calls do not count.
pub const BUFFER_BYTES: usize = 256 << 10;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Recognises the first bytes of a stream.
    ///
    /// # Errors
    /// `Unsupported` for compressions that no image layer has.
    pub fn of(head: &[u8]) -> io::Result<Self> {
        let skippable =
            head.len() >= 4 && head[0] & 0xf0 == 0x50 && head[1..4] == [0x2a, 0x4d, 0x18];
        let refused = |name: &str| {
            let text = format!("{name} compression is not supported, only gzip and zstd are");
            Err(io::Error::new(io::ErrorKind::Unsupported, text))
        };
        match head {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Self::Zstd),
            _ if skippable => Ok(Self::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => refused("bzip2"),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => refused("xz"),
            _ => Ok(Self::None),
        }
    }
}

type Source<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// A stream behind its decompressor.
pub enum Decoder<R: Read> {
    Plain(Source<R>),
    Gzip(Box<MultiGzDecoder<Source<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Source<R>>>),
}

impl<R: Read> fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoder({:?})", self.compression())
    }
}

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes of `stream`.
    ///
    /// # Errors
    /// Those of reading and of [`Compression::of`].
    pub fn new(mut stream: R) -> io::Result<Self> {
        let mut head = Vec::with_capacity(6);
        stream.by_ref().take(6).read_to_end(&mut head)?;
        let compression = Compression::of(&head)?;
        let source = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(head).chain(stream));
        Ok(match compression {
            Compression::None => Self::Plain(source),
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(source))),
            Compression::Zstd => {
                Self::Zstd(Box::new(zstd::stream::read::Decoder::with_buffer(source)?))
            }
        })
    }

    pub fn compression(&self) -> Compression {
        match self {
            Self::Plain(_) => Compression::None,
            Self::Gzip(_) => Compression::Gzip,
            Self::Zstd(_) => Compression::Zstd,
        }
    }

    /// The compressed stream itself.
    pub fn stream(&self) -> &R {
        let source = match self {
            Self::Plain(source) => source,
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Zstd(decoder) => decoder.get_ref(),
        };
        source.get_ref().get_ref().1
    }

    /// Takes what is left of the compressed stream, and gives the stream back.
    ///
    /// # Errors
    /// Those of reading.
    pub fn finish(self) -> io::Result<R> {
        let mut source = match self {
            Self::Plain(source) => source,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        };
        loop {
            let count = source.fill_buf()?.len();
            if count == 0 {
                return Ok(source.into_inner().into_inner().1);
            }
            source.consume(count);
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn plain(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut decoder = Decoder::new(bytes)?;
        let mut out = Vec::new();
        decoder.read_to_end(&mut out)?;
        assert!(decoder.finish()?.is_empty(), "the stream is read to its end");
        Ok(out)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_compression_of_layers_is_recognised_by_its_bytes() {
        let text = b"some bytes of a layer".repeat(1000);
        assert_eq!(plain(&text).unwrap(), text);
        assert_eq!(plain(&gzip(&text)).unwrap(), text);
        let zstd = zstd::stream::encode_all(text.as_slice(), 1).unwrap();
        assert_eq!(plain(&zstd).unwrap(), text);
        assert_eq!(plain(b"").unwrap(), b"");
        assert_eq!(plain(b"abc").unwrap(), b"abc");
    }

    #[test]
    fn members_and_frames_are_read_one_after_the_other() {
        let both = [gzip(b"one"), gzip(b"two")].concat();
        assert_eq!(plain(&both).unwrap(), b"onetwo");
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9][..]].concat();
        let frames = [skippable, zstd::stream::encode_all(&b"x"[..], 1).unwrap()].concat();
        assert_eq!(plain(&frames).unwrap(), b"x");
    }

    #[test]
    fn damaged_and_foreign_streams_are_errors() {
        let mut cut = gzip(&b"x".repeat(1000));
        cut.truncate(cut.len() - 6);
        assert!(plain(&cut).is_err());
        let error = plain(b"\xfd7zXZ\0rest").unwrap_err();
        assert_eq!(error.to_string(), "xz compression is not supported, only gzip and zstd are");
    }
}
