//! Decompression in a thread of its own, beside the one that writes files.
//!
//! The thread reads the blob, hashes and keeps it as it is, and sends plain
//! bytes in large chunks; the other end hashes those and is a [`tar::Input`].

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use sha2::{Digest as _, Sha256};

use super::decompress::{Compression, Decoder};
use super::{limits, tar};
use crate::image::Digest;

const CHUNK_BYTES: usize = 512 << 10;
const CHUNKS: usize = 4;

/// A compressed stream on its way: counted, hashed, and written to a file.
#[derive(Debug)]
struct Tap<R> {
    stream: R,
    keep: Option<File>,
    hasher: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Tap<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        if let Some(file) = &mut self.keep {
            file.write_all(&buffer[..count])?;
        }
        self.bytes += count as u64;
        Ok(count)
    }
}

/// What a blob turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub blob: Digest,
    pub blob_bytes: u64,
    pub compression: Compression,
    /// The digest of the plain bytes.
    pub diff_id: Digest,
}

/// Runs `consume` on the plain bytes of `blob` and reads the blob to its end,
/// so that its digests are those of all of it. With `keep`, a copy of the blob
/// is written there.
///
/// # Errors
/// Those of `consume`, and those of the streams as `failed` makes them.
pub fn run<R: Read + Send, T, E>(
    blob: R,
    keep: Option<File>,
    consume: impl FnOnce(&mut Plain) -> Result<T, E>,
    failed: impl Fn(io::Error) -> E,
) -> Result<(T, Seen), E> {
    std::thread::scope(|scope| {
        let (chunks, receiver) = sync_channel(CHUNKS);
        let (recycler, recycled) = channel();
        let tap = Tap { stream: blob, keep, hasher: Sha256::new(), bytes: 0 };
        let thread = scope.spawn(move || decompress(tap, &chunks, &recycled));
        let mut plain = Plain::new(receiver, recycler);
        let result = consume(&mut plain).and_then(|value| {
            plain.drain().map_err(&failed)?;
            Ok(value)
        });
        // Ends the thread where it waits for a taker.
        let hasher = plain.close();
        let sent = thread.join().unwrap_or_else(|_| Err(io::Error::other("decompressor died")));
        let value = result?;
        let (blob, blob_bytes, compression) = sent.map_err(failed)?;
        let diff_id = match compression {
            Compression::None => blob,
            _ => Digest::from_hasher(hasher),
        };
        Ok((value, Seen { blob, blob_bytes, compression, diff_id }))
    })
}

type Chunk = (Vec<u8>, bool);

fn decompress<R: Read>(
    tap: Tap<R>,
    chunks: &SyncSender<io::Result<Chunk>>,
    recycled: &Receiver<Vec<u8>>,
) -> io::Result<(Digest, u64, Compression)> {
    let mut decoder = match Decoder::new(tap) {
        Ok(decoder) => decoder,
        Err(error) => {
            let _ = chunks.send(Err(same(&error)));
            return Err(error);
        }
    };
    let compression = decoder.compression();
    let hash = compression != Compression::None;
    let mut total = 0;
    loop {
        let mut chunk = recycled.try_recv().unwrap_or_default();
        chunk.resize(CHUNK_BYTES, 0);
        let filled = fill(&mut decoder, &mut chunk).and_then(|count| {
            total += count as u64;
            within_limits(total, &decoder).map(|()| count)
        });
        match filled {
            Ok(0) => break,
            Ok(count) => chunk.truncate(count),
            Err(error) => {
                let _ = chunks.send(Err(same(&error)));
                return Err(error);
            }
        }
        if chunks.send(Ok((chunk, hash))).is_err() {
            // The taker has given up and says why.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
    }
    let tap = decoder.finish()?;
    Ok((Digest::from_hasher(tap.hasher), tap.bytes, compression))
}

fn fill(decoder: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match decoder.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn within_limits<R: Read>(plain: u64, decoder: &Decoder<Tap<R>>) -> io::Result<()> {
    let explained = decoder.stream().bytes.saturating_mul(limits::RATIO_MAX);
    if plain > limits::LAYER_MAX_BYTES || plain > explained.max(limits::RATIO_FREE_BYTES) {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "decompressed size out of bounds"));
    }
    Ok(())
}

fn same(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// The plain bytes as they come.
#[derive(Debug)]
pub struct Plain {
    receiver: Receiver<io::Result<Chunk>>,
    recycler: Sender<Vec<u8>>,
    hasher: Sha256,
    chunk: Vec<u8>,
    taken: usize,
}

impl Plain {
    fn new(receiver: Receiver<io::Result<Chunk>>, recycler: Sender<Vec<u8>>) -> Self {
        Self { receiver, recycler, hasher: Sha256::new(), chunk: Vec::new(), taken: 0 }
    }

    fn drain(&mut self) -> io::Result<()> {
        while !self.fill_buf()?.is_empty() {
            self.taken = self.chunk.len();
        }
        Ok(())
    }

    fn close(self) -> Sha256 {
        self.hasher
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        // The sender is gone at the end of the stream.
        let Ok(chunk) = self.receiver.recv() else { return Ok(()) };
        let (chunk, hash) = chunk?;
        if hash {
            self.hasher.update(&chunk);
        }
        let used = std::mem::replace(&mut self.chunk, chunk);
        self.taken = 0;
        let _ = self.recycler.send(used);
        Ok(())
    }
}

impl Read for Plain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Plain {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.chunk.len() {
            self.next_chunk()?;
        }
        Ok(&self.chunk[self.taken..])
    }

    fn consume(&mut self, bytes: usize) {
        self.taken = (self.taken + bytes).min(self.chunk.len());
    }
}

impl tar::Input for Plain {}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(blob: &[u8], keep: Option<File>) -> io::Result<(Vec<u8>, Seen)> {
        let consume = |plain: &mut Plain| {
            let mut out = vec![0; 10];
            plain.read_exact(&mut out)?;
            Ok::<_, io::Error>(out)
        };
        run(blob, keep, consume, |error| error)
    }

    #[test]
    fn both_digests_cover_what_the_consumer_left_unread() {
        let text = b"0123456789".repeat(200_000);
        let zstd = zstd::stream::encode_all(text.as_slice(), 1).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        let (head, seen) = digests(&zstd, Some(File::create(&kept).unwrap())).unwrap();
        assert_eq!(head, b"0123456789");
        assert_eq!(seen.blob, Digest::of(&zstd));
        assert_eq!(seen.blob_bytes, zstd.len() as u64);
        assert_eq!(seen.diff_id, Digest::of(&text));
        assert_eq!(std::fs::read(kept).unwrap(), zstd);
        let (_, plain) = digests(&text, None).unwrap();
        assert_eq!((plain.blob, plain.diff_id), (Digest::of(&text), Digest::of(&text)));
    }

    #[test]
    fn a_consumer_that_fails_ends_the_decompressor() {
        let text = vec![7; 20 << 20];
        let consume = |_: &mut Plain| Err::<(), _>(io::Error::other("enough"));
        let result = run(text.as_slice(), None, consume, |error| error);
        assert_eq!(result.unwrap_err().to_string(), "enough");
    }

    #[test]
    fn a_bomb_ends_at_its_ratio() {
        // A frame of 1.1 GiB in blocks of one repeated byte, made by hand:
        // magic, a window of 128 KiB, and blocks of type RLE.
        let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
        for _ in 0..9000 {
            let block = (128_u32 << 10) << 3 | 1 << 1;
            bomb.extend(&block.to_le_bytes()[..3]);
            bomb.push(0);
        }
        let error = digests(&bomb, None).unwrap_err();
        assert_eq!(error.to_string(), "decompressed size out of bounds");
    }
}
