//! Where an image comes from: a folder, or an archive of one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::Mode;

use super::archive::decompress::{Compression, Decoder};
use super::archive::tar::{Input, Kind, Reader};
use super::archive::{limits, name};
use super::{Digest, Error};
use crate::sys::SyscallError;

const LINKS_MAX: usize = 8;

/// The files of an image layout or an image archive, by name.
#[derive(Debug)]
pub(super) enum Layout {
    Folder(OwnedFd),
    Archive { file: Arc<File>, members: BTreeMap<String, Member> },
}

/// A member of an archive.
#[derive(Debug, Clone)]
pub(super) enum Member {
    File {
        offset: u64,
        bytes: u64,
    },
    /// Docker's older archives share equal layers by links.
    Link(String),
}

/// A file of a layout, readable from its start.
#[derive(Debug)]
pub(super) struct Content {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Layout {
    pub(super) fn folder(path: &Path) -> Result<Self, Error> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        nix::fcntl::open(path, flags, Mode::empty()).map(Self::Folder).map_err(|errno| {
            Error::system("open", path.display())(SyscallError::new("open", "", errno))
        })
    }

    /// An archive in a file. One that is compressed, or no regular file (a
    /// pipe), is first written plain to `scratch`, a path that does not exist.
    pub(super) fn archive(mut file: File, scratch: &Path) -> Result<Self, Error> {
        let regular = file.metadata().map(|metadata| metadata.is_file()).unwrap_or(false);
        let mut head = [0; 6];
        let plain = regular
            && file.read_at(&mut head, 0).is_ok_and(|count| {
                matches!(Compression::of(&head[..count]), Ok(Compression::None))
            });
        if !plain {
            file = spool(file, scratch)?;
        }
        let members = index(&file)?;
        Ok(Self::Archive { file: Arc::new(file), members })
    }

    /// The file of that name.
    pub(super) fn open(&self, name: &str) -> Result<Option<Content>, Error> {
        match self {
            Self::Folder(folder) => open_below(folder, name),
            Self::Archive { file, members } => {
                let mut name = name.to_owned();
                for _ in 0..LINKS_MAX {
                    match members.get(&name) {
                        None => return Ok(None),
                        Some(Member::Link(target)) => name.clone_from(target),
                        Some(&Member::File { offset, bytes }) => {
                            let file = Arc::clone(file);
                            return Ok(Some(Content { file, at: offset, left: bytes }));
                        }
                    }
                }
                Err(Error::malformed(format!("archive member {name:?}"), "too many links"))
            }
        }
    }

    /// All of a file that is small by its nature.
    pub(super) fn small(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(mut content) = self.open(name)? else { return Ok(None) };
        if content.left > limit {
            return Err(Error::TooLarge { what: name.into(), limit: format!("{limit} bytes") });
        }
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(Error::io("read", name))?;
        Ok(Some(bytes))
    }

    /// The blob with that digest, which is checked for what `small` reads.
    pub(super) fn small_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, Error> {
        let name = blob_name(digest);
        let bytes = self.small(&name, limit)?.ok_or_else(|| missing(&name))?;
        super::ingest::same_digest(&name, *digest, Digest::of(&bytes))?;
        Ok(bytes)
    }
}

pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

pub(super) fn missing(name: &str) -> Error {
    Error::malformed(format!("{name:?}"), "missing in the image")
}

impl Content {
    pub(super) fn new(file: File) -> Result<Self, Error> {
        let left = file.metadata().map_err(Error::io("stat", "archive"))?.len();
        Ok(Self { file: Arc::new(file), at: 0, left })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.left
    }

    /// What the first bytes say.
    pub(super) fn compression(&self) -> Result<Compression, Error> {
        let mut head = [0; 6];
        let count = self.file.read_at(&mut head, self.at).map_err(Error::io("read", "archive"))?;
        let count = usize::try_from(self.left).map_or(count, |left| left.min(count));
        Compression::of(&head[..count]).map_err(|error| Error::malformed("layer", error))
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// A regular file below the layout's folder; its symlinks may not leave it.
fn open_below(folder: &OwnedFd, name: &str) -> Result<Option<Content>, Error> {
    // NONBLOCK: a FIFO must not hold us up.
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = match nix::fcntl::openat2(folder, name, how) {
        Ok(fd) => File::from(fd),
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => {
            return Err(Error::system("open", name)(SyscallError::new("openat2", "", errno)));
        }
    };
    let metadata = file.metadata().map_err(Error::io("stat", name))?;
    if !metadata.is_file() {
        return Err(Error::malformed(format!("{name:?}"), "not a regular file"));
    }
    Ok(Some(Content { file: Arc::new(file), at: 0, left: metadata.len() }))
}

/// Writes the plain archive to a file that nobody else can open.
fn spool(from: File, scratch: &Path) -> Result<File, Error> {
    let failed = || Error::io("write", scratch.display());
    let mut to =
        File::options().read(true).write(true).create_new(true).open(scratch).map_err(failed())?;
    std::fs::remove_file(scratch).map_err(failed())?;
    let decoder = Decoder::new(from).map_err(|error| Error::malformed("archive", error))?;
    let copied = io::copy(&mut decoder.take(limits::LAYER_MAX_BYTES), &mut to);
    match copied {
        Ok(limits::LAYER_MAX_BYTES) => Err(Error::TooLarge {
            what: "archive".into(),
            limit: format!("{} bytes", limits::LAYER_MAX_BYTES),
        }),
        Ok(_) => Ok(to),
        Err(error) if error.raw_os_error().is_some() => Err(failed()(error)),
        Err(error) => Err(Error::malformed("archive", error)),
    }
}

/// Finds all members without reading their data.
fn index(file: &File) -> Result<BTreeMap<String, Member>, Error> {
    let mut members = BTreeMap::new();
    let mut reader = Reader::new(Cursor::new(file)?);
    while let Some(entry) = reader.next_entry()? {
        let shown = String::from_utf8_lossy(&entry.name).into_owned();
        let key = |name: &[u8]| -> Result<String, Error> {
            let parts = name::components(name)
                .map_err(|why| Error::malformed(format!("{shown:?}"), why))?;
            Ok(parts.join("/".as_ref()).to_string_lossy().into_owned())
        };
        let member = match entry.kind {
            Kind::File if entry.sparse.is_none() => {
                Member::File { offset: reader.position(), bytes: entry.stored_bytes }
            }
            Kind::HardLink => Member::Link(key(&entry.link)?),
            Kind::Symlink => Member::Link(beside(&key(&entry.name)?, &entry.link)),
            _ => continue,
        };
        members.insert(key(&entry.name)?, member);
        if members.len() > limits::MEMBERS_MAX {
            let limit = format!("{} members", limits::MEMBERS_MAX);
            return Err(Error::TooLarge { what: "archive".into(), limit });
        }
    }
    Ok(members)
}

/// A symlink's target as a name of the archive.
fn beside(name: &str, target: &[u8]) -> String {
    let target = String::from_utf8_lossy(target);
    let mut parts: Vec<&str> =
        if target.starts_with('/') { Vec::new() } else { name.split('/').collect() };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A file read in order, with skipping by seeking.
#[derive(Debug)]
struct Cursor<'a> {
    file: &'a File,
    bytes: u64,
    at: u64,
    buffer: Vec<u8>,
    taken: usize,
}

impl<'a> Cursor<'a> {
    fn new(file: &'a File) -> Result<Self, Error> {
        let bytes = file.metadata().map_err(Error::io("stat", "archive"))?.len();
        Ok(Self { file, bytes, at: 0, buffer: Vec::new(), taken: 0 })
    }
}

impl Read for Cursor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Cursor<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.buffer.len() {
            self.buffer.resize(4096, 0);
            let count = self.file.read_at(&mut self.buffer, self.at)?;
            self.buffer.truncate(count);
            self.at += count as u64;
            self.taken = 0;
        }
        Ok(&self.buffer[self.taken..])
    }

    fn consume(&mut self, bytes: usize) {
        self.taken = (self.taken + bytes).min(self.buffer.len());
    }
}

impl Input for Cursor<'_> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let here = (self.buffer.len() - self.taken) as u64;
        if let Ok(bytes) = usize::try_from(bytes)
            && bytes as u64 <= here
        {
            self.consume(bytes);
            return Ok(());
        }
        let target = (self.at - here).saturating_add(bytes);
        if target > self.bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (self.at, self.taken) = (target, self.buffer.len());
        Ok(())
    }
}
