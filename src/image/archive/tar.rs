//! Reading tar: v7, ustar, GNU and PAX headers, with bounds on everything the
//! archive could make us hold.

use std::io::{self, BufRead};

use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use super::limits;
use super::pax::{self, Extensions};
use super::sparse::{Sparse, pairs};
use crate::image::Error;
use crate::sys::SyscallError;

const BLOCK: u64 = 512;

/// A stream that a tar is read from.
pub trait Input: BufRead {
    /// Leaves out `bytes`; fewer are left at the end of the stream only.
    ///
    /// # Errors
    /// UnexpectedEof, or those of reading.
    fn skip(&mut self, mut bytes: u64) -> io::Result<()> {
        while bytes > 0 {
            let here = self.fill_buf()?.len();
            if here == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let step = usize::try_from(bytes).map_or(here, |bytes| bytes.min(here));
            self.consume(step);
            bytes -= step as u64;
        }
        Ok(())
    }
}

impl<I: Input> Input for &mut I {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        (**self).skip(bytes)
    }
}

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    HardLink,
    Symlink,
    Char { major: u32, minor: u32 },
    Block { major: u32, minor: u32 },
    Directory,
    Fifo,
}

/// One member of an archive, its names as the archive gives them.
#[derive(Debug, Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    /// The target of a link.
    pub link: Vec<u8>,
    pub kind: Kind,
    /// Permission bits, setuid, setgid and sticky.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970 and nanoseconds.
    pub mtime: (i64, i64),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes that follow in the archive.
    pub stored_bytes: u64,
    pub sparse: Option<Sparse>,
}

/// Reads entries one after the other. Data of an entry that the caller does
/// not take is skipped.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    /// Bytes taken so far.
    position: u64,
    /// What is left of the current entry's data, and the padding behind it.
    data_left: u64,
    padding: u64,
    entries: u64,
    /// The name being read, for errors.
    current: Vec<u8>,
}

impl<R: Input> Reader<R> {
    pub fn new(input: R) -> Self {
        Self { input, position: 0, data_left: 0, padding: 0, entries: 0, current: Vec::new() }
    }

    /// The stream, behind what was read.
    pub fn into_inner(self) -> R {
        self.input
    }

    /// Where the current entry's data starts, from the start of the archive.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next entry; `None` at the end of the archive.
    ///
    /// # Errors
    /// A damaged or hostile archive.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        let mut extensions = Extensions::default();
        let mut extension_bytes = 0;
        loop {
            self.finish_entry()?;
            let Some(header) = self.header()? else { return Ok(None) };
            self.current = header.path_bytes().into_owned();
            let size = self.number(&header.as_old().size, "size")?;
            let kind = header.entry_type();
            if !matches!(
                kind,
                EntryType::XHeader
                    | EntryType::XGlobalHeader
                    | EntryType::GNULongName
                    | EntryType::GNULongLink
            ) {
                if matches!(kind.as_byte(), b'V') {
                    self.begin_data(size);
                    continue;
                }
                return self.entry(&header, size, extensions).map(Some);
            }
            extension_bytes += size.max(BLOCK);
            if extension_bytes > limits::EXTENSIONS_MAX_BYTES {
                return Err(self.malformed("extended headers too large"));
            }
            self.begin_data(size);
            let text = self.small_data()?;
            match kind {
                EntryType::GNULongName => extensions.path = Some(until_nul(&text).to_vec()),
                EntryType::GNULongLink => extensions.link = Some(until_nul(&text).to_vec()),
                EntryType::XHeader => {
                    pax::parse(&text, &mut extensions).map_err(|why| self.malformed(why))?;
                }
                // Global headers carry comments of archivers.
                _ => {}
            }
        }
    }

    /// The next bytes of the current entry's data, as many as there are at
    /// hand; none at its end.
    ///
    /// # Errors
    /// Those of the stream, and its end in the middle of the data.
    pub fn data(&mut self) -> Result<&[u8], Error> {
        if self.data_left == 0 {
            return Ok(&[]);
        }
        // Asked twice: a borrow that is returned cannot be looked at first.
        let available = match self.input.fill_buf() {
            Ok(bytes) => bytes.len(),
            Err(error) => return Err(self.unreadable(&error)),
        };
        if available == 0 {
            return Err(self.unreadable(&io::ErrorKind::UnexpectedEof.into()));
        }
        let take = usize::try_from(self.data_left).map_or(available, |left| left.min(available));
        match self.input.fill_buf() {
            Ok(bytes) => Ok(&bytes[..take]),
            Err(error) => Err(unreadable(self.position, &error)),
        }
    }

    /// Takes bytes that [`Reader::data`] has shown.
    pub fn consume(&mut self, bytes: usize) {
        self.input.consume(bytes);
        self.position += bytes as u64;
        self.data_left -= bytes as u64;
    }

    fn finish_entry(&mut self) -> Result<(), Error> {
        let rest = self.data_left + self.padding;
        (self.data_left, self.padding) = (0, 0);
        if let Err(error) = self.input.skip(rest) {
            return Err(self.unreadable(&error));
        }
        self.position += rest;
        Ok(())
    }

    fn begin_data(&mut self, size: u64) {
        self.data_left = size;
        self.padding = size.wrapping_neg() % BLOCK;
    }

    /// All data of a small entry, whose size was checked.
    fn small_data(&mut self) -> Result<Vec<u8>, Error> {
        let mut text = Vec::new();
        loop {
            let bytes = self.data()?;
            if bytes.is_empty() {
                return Ok(text);
            }
            text.extend_from_slice(bytes);
            let taken = bytes.len();
            self.consume(taken);
        }
    }

    /// A block; `None` when the stream ends before it.
    fn block(&mut self) -> Result<Option<[u8; 512]>, Error> {
        let mut block = [0; 512];
        let mut filled = 0;
        while filled < block.len() {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(self.unreadable(&io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.unreadable(&error)),
            }
        }
        self.position += BLOCK;
        Ok(Some(block))
    }

    /// The next header, checked; a zero block or the stream's end is the end.
    fn header(&mut self) -> Result<Option<Header>, Error> {
        let Some(block) = self.block()? else { return Ok(None) };
        if block.iter().all(|&b| b == 0) {
            return Ok(None);
        }
        self.entries += 1;
        if self.entries > limits::ENTRIES_MAX {
            return Err(Error::TooLarge {
                what: "archive".into(),
                limit: format!("{} entries", limits::ENTRIES_MAX),
            });
        }
        let header = Header::from_byte_slice(&block).clone();
        let stated = number(&header.as_old().cksum);
        if stated.is_none_or(|stated| !checksums(&block).contains(&stated)) {
            let what = format!("archive at byte {}", self.position - BLOCK);
            return Err(Error::malformed(what, "no tar header"));
        }
        Ok(Some(header))
    }

    fn entry(
        &mut self,
        header: &Header,
        plain_size: u64,
        extensions: Extensions,
    ) -> Result<Entry, Error> {
        let stored = extensions.size.unwrap_or(plain_size);
        if stored > limits::LAYER_MAX_BYTES {
            return Err(self.malformed("file too large"));
        }
        let old = header.as_old();
        let name = extensions.path.unwrap_or_else(|| self.current.clone());
        self.current.clone_from(&name);
        let kind = self.kind(header, &name)?;
        let link = extensions
            .link
            .unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned());
        let seconds = number(&old.mtime).ok_or_else(|| self.malformed("malformed mtime"))?;
        let uid = self.number(&old.uid, "uid")?;
        let gid = self.number(&old.gid, "gid")?;
        let mode = self.number(&old.mode, "mode")? & 0o7777;
        let mut entry = Entry {
            name,
            link,
            kind,
            mode: u32::try_from(mode).unwrap_or(0),
            uid: self.id(extensions.uid.unwrap_or(uid))?,
            gid: self.id(extensions.gid.unwrap_or(gid))?,
            mtime: extensions.mtime.unwrap_or((seconds, 0)),
            xattrs: extensions.xattrs,
            stored_bytes: stored,
            sparse: None,
        };
        // Some archivers give a link the size of its target; no data follows.
        if kind != Kind::File {
            entry.stored_bytes = 0;
        }
        self.begin_data(entry.stored_bytes);
        if header.entry_type() == EntryType::GNUSparse {
            self.old_sparse(header, &mut entry)?;
        } else if extensions.sparse.present && kind == Kind::File {
            self.pax_sparse(extensions.sparse, &mut entry)?;
        }
        Ok(entry)
    }

    fn kind(&self, header: &Header, name: &[u8]) -> Result<Kind, Error> {
        let device = || -> Result<(u32, u32), Error> {
            let (major, minor) = match (header.as_ustar(), header.as_gnu()) {
                (Some(ustar), _) => (ustar.dev_major, ustar.dev_minor),
                (_, Some(gnu)) => (gnu.dev_major, gnu.dev_minor),
                _ => return Err(self.malformed("device without numbers")),
            };
            let major = self.number(&major, "device number")?;
            let minor = self.number(&minor, "device number")?;
            // 12 and 20 bits are what Linux has.
            match (u32::try_from(major), u32::try_from(minor)) {
                (Ok(major @ ..0x1000), Ok(minor @ ..0x10_0000)) => Ok((major, minor)),
                _ => Err(self.malformed("device number out of range")),
            }
        };
        Ok(match header.entry_type() {
            // In v7 a directory is a file whose name ends in a slash.
            EntryType::Regular if name.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
            EntryType::Link => Kind::HardLink,
            EntryType::Symlink => Kind::Symlink,
            EntryType::Directory => Kind::Directory,
            EntryType::Fifo => Kind::Fifo,
            EntryType::Char => {
                let (major, minor) = device()?;
                Kind::Char { major, minor }
            }
            EntryType::Block => {
                let (major, minor) = device()?;
                Kind::Block { major, minor }
            }
            other => {
                let shown = char::from(other.as_byte()).escape_default().to_string();
                return Err(self.malformed(format!("unknown type '{shown}'")));
            }
        })
    }

    /// GNU's first format: four pieces in the header, more in blocks behind it.
    fn old_sparse(&mut self, header: &Header, entry: &mut Entry) -> Result<(), Error> {
        let Some(gnu) = header.as_gnu() else {
            return Err(self.malformed("sparse file without a GNU header"));
        };
        let mut pieces = Vec::new();
        self.sparse_pieces(&gnu.sparse, &mut pieces)?;
        let real_size = self.number(&gnu.realsize, "size")?;
        let mut extended = gnu.is_extended();
        while extended {
            let Some(block) = self.block()? else {
                return Err(self.unreadable(&io::ErrorKind::UnexpectedEof.into()));
            };
            let mut more = GnuExtSparseHeader::new();
            more.as_mut_bytes().copy_from_slice(&block);
            self.sparse_pieces(more.sparse(), &mut pieces)?;
            extended = more.is_extended();
        }
        self.set_sparse(entry, real_size, pieces)
    }

    fn sparse_pieces(
        &self,
        headers: &[GnuSparseHeader],
        pieces: &mut Vec<(u64, u64)>,
    ) -> Result<(), Error> {
        for header in headers.iter().filter(|header| !header.is_empty()) {
            let offset = self.number(&header.offset, "sparse map")?;
            pieces.push((offset, self.number(&header.numbytes, "sparse map")?));
        }
        if pieces.len() > limits::SPARSE_PIECES_MAX {
            return Err(self.malformed("too many holes"));
        }
        Ok(())
    }

    /// The PAX formats: 1.0 has its map at the head of the data, the others in
    /// the records.
    fn pax_sparse(&mut self, keys: pax::SparseKeys, entry: &mut Entry) -> Result<(), Error> {
        if let Some(name) = keys.name {
            self.current.clone_from(&name);
            entry.name = name;
        }
        let version = (keys.major.unwrap_or(0), keys.minor.unwrap_or(0));
        let numbers = match version {
            (1, 0) => self.sparse_head(entry)?,
            (0, _) => keys.numbers,
            _ => return Err(self.malformed("unknown sparse format")),
        };
        let real_size = keys.real_size.ok_or_else(|| self.malformed("sparse file without size"))?;
        let pieces = pairs(&numbers).map_err(|why| self.malformed(why))?;
        self.set_sparse(entry, real_size, pieces)
    }

    /// Decimal numbers, one a line: their count, then offsets and lengths; in
    /// whole blocks.
    fn sparse_head(&mut self, entry: &mut Entry) -> Result<Vec<u64>, Error> {
        let mut numbers = Vec::new();
        let mut line = Vec::new();
        let mut wanted = None;
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            if self.data_left < BLOCK || entry.stored_bytes - self.data_left > 3 << 20 {
                return Err(self.malformed("malformed sparse map"));
            }
            let Some(block) = self.block()? else {
                return Err(self.unreadable(&io::ErrorKind::UnexpectedEof.into()));
            };
            self.data_left -= BLOCK;
            for &byte in &block {
                if wanted.is_some_and(|wanted| numbers.len() >= wanted) {
                    break;
                }
                if byte != b'\n' {
                    line.push(byte);
                    continue;
                }
                let number = pax::decimal(&line);
                let number = number.ok_or_else(|| self.malformed("malformed sparse map"))?;
                line.clear();
                match wanted {
                    None if number > limits::SPARSE_PIECES_MAX as u64 => {
                        return Err(self.malformed("too many holes"));
                    }
                    None => wanted = usize::try_from(number * 2).ok(),
                    Some(_) => numbers.push(number),
                }
            }
        }
        entry.stored_bytes = self.data_left;
        Ok(numbers)
    }

    fn set_sparse(
        &self,
        entry: &mut Entry,
        real_size: u64,
        pieces: Vec<(u64, u64)>,
    ) -> Result<(), Error> {
        let sparse = Sparse::new(real_size, pieces, entry.stored_bytes)
            .map_err(|why| self.malformed(why))?;
        entry.sparse = Some(sparse);
        Ok(())
    }

    /// `u32::MAX` would leave the owner as it is: chown(2).
    fn id(&self, id: u64) -> Result<u32, Error> {
        u32::try_from(id)
            .ok()
            .filter(|&id| id != u32::MAX)
            .ok_or_else(|| self.malformed("owner out of range"))
    }

    /// A header's number that cannot be negative.
    fn number(&self, field: &[u8], what: &str) -> Result<u64, Error> {
        number(field)
            .and_then(|number| u64::try_from(number).ok())
            .ok_or_else(|| self.malformed(format!("malformed {what}")))
    }

    fn malformed(&self, why: impl std::fmt::Display) -> Error {
        Error::malformed(format!("archive entry {:?}", String::from_utf8_lossy(&self.current)), why)
    }

    fn unreadable(&self, error: &io::Error) -> Error {
        unreadable(self.position, error)
    }
}

/// A stream that broke is not what it claims to be, unless a system call says
/// otherwise.
fn unreadable(position: u64, error: &io::Error) -> Error {
    let what = format!("archive at byte {position}");
    if error.raw_os_error().is_some() {
        return Error::system("read", what)(SyscallError::from_io("read", "", error));
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::malformed(what, "unexpected end"),
        _ => Error::malformed(what, error),
    }
}

/// A number field: octal digits between spaces and NULs, or big-endian binary
/// behind a high bit (GNU), then also negative. An empty field is 0.
fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let negative = first & 0x40 != 0;
        let start = i64::from(first & 0x3f) - if negative { 0x40 } else { 0 };
        return rest
            .iter()
            .try_fold(start, |sum, &byte| sum.checked_mul(256)?.checked_add(i64::from(byte)));
    }
    let text = until_nul(field).trim_ascii();
    text.iter().try_fold(0_i64, |sum, &byte| match byte {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

/// The sum of the header's bytes with its checksum field as spaces, and as
/// archivers of old computed it, with signed bytes.
fn checksums(block: &[u8; 512]) -> [i64; 2] {
    let field = 148..156;
    let bytes = block.iter().enumerate().map(|(i, &b)| if field.contains(&i) { b' ' } else { b });
    bytes.fold([0, 0], |[unsigned, signed], byte| {
        [unsigned + i64::from(byte), signed + i64::from(byte.cast_signed())]
    })
}

fn until_nul(text: &[u8]) -> &[u8] {
    text.iter().position(|&b| b == 0).map_or(text, |end| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Input for &[u8] {}

    #[test]
    fn numbers_read_in_every_spelling() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   755 \0"), Some(0o755));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"\x80\0\0\0\0\0\x01\0"), Some(256));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"), Some(-2));
        assert_eq!(number(b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"), None);
        assert_eq!(number(b"12x"), None);
        assert_eq!(number(b"-1"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let mut reader = Reader::new(bytes.as_slice());
            while let Ok(Some(_)) = reader.next_entry() {}
        }

        #[test]
        fn no_header_panics(
            fields in proptest::collection::vec(any::<u8>(), 512),
            kind in proptest::sample::select(&b"\x000123456789gxLKSVDM"[..]),
            size in 0_u64..4000,
            data in proptest::collection::vec(any::<u8>(), 0..3000),
        ) {
            let mut header = Header::new_gnu();
            header.as_mut_bytes().copy_from_slice(&fields);
            header.as_mut_bytes()[257..265].copy_from_slice(b"ustar  \0");
            header.set_entry_type(EntryType::new(kind));
            header.set_size(size);
            header.set_cksum();
            let mut bytes = header.as_bytes().to_vec();
            bytes.extend(data);
            let mut reader = Reader::new(bytes.as_slice());
            while let Ok(Some(_)) = reader.next_entry() {}
        }
    }
}
