//! From a folder to a tar, the same bytes for the same files.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag};
use tar::{EntryType, Header};

use super::attributes::Attributes;
use super::lower::file_type;
use crate::image::Error;
use crate::sys::SyscallError;
use crate::sys::xattr::Target;

/// What a ustar header can hold: eleven octal digits, and seven for owners.
const SIZE_MAX: u64 = 0o77_777_777_777;
const ID_MAX: u32 = 0o7_777_777;

/// Writes everything below `root` to `out`, sorted by name. Sockets and what
/// other file systems have mounted there are left out; times are whole seconds.
///
/// # Errors
/// Files that cannot be read, and those of writing.
pub fn pack(root: &Path, out: impl Write) -> Result<(), Error> {
    let failed = |cause| Error::system("pack", root.display())(cause);
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let fd = nix::fcntl::open(root, flags, Mode::empty())
        .map_err(|errno| failed(SyscallError::new("open", "", errno)))?;
    let stat = nix::sys::stat::fstat(&fd)
        .map_err(|errno| failed(SyscallError::new("fstat", "", errno)))?;
    let mut packer = Packer { out, device: stat.st_dev, links: HashMap::new() };
    let attributes = Attributes::read(Target { dir: fd.as_fd(), name: OsStr::new("") }, &stat);
    packer.member(b"./", EntryType::Directory, &attributes.map_err(failed)?, &Extra::default())?;
    packer.folder(fd.as_fd(), &mut Vec::new())?;
    packer.out.write_all(&[0; 1024]).map_err(Error::io("write", "archive"))
}

struct Packer<W> {
    out: W,
    device: u64,
    /// Files with several names, by inode, with the first name.
    links: HashMap<u64, Vec<u8>>,
}

/// What only some kinds of members have.
#[derive(Default)]
struct Extra<'a> {
    link: &'a [u8],
    bytes: u64,
    device: u64,
}

impl<W: Write> Packer<W> {
    fn folder(&mut self, fd: BorrowedFd<'_>, path: &mut Vec<u8>) -> Result<(), Error> {
        for name in names(fd).map_err(Error::system("pack", shown(path)))? {
            let length = path.len();
            path.extend_from_slice(name.as_bytes());
            self.entry(fd, &name, path)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        path: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let failed = |path: &[u8]| Error::system("pack", shown(path));
        let call = |call| move |errno| SyscallError::new(call, format!("{name:?}"), errno);
        let stat = nix::sys::stat::fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
            .map_err(|errno| failed(path)(call("fstatat")(errno)))?;
        let attributes = Attributes::read(Target { dir, name }, &stat).map_err(failed(path))?;
        let kind = file_type(&stat);
        if kind == SFlag::S_IFDIR {
            path.push(b'/');
            self.member(path, EntryType::Directory, &attributes, &Extra::default())?;
            if stat.st_dev != self.device {
                return Ok(());
            }
            let fd = open(dir, name, OFlag::O_DIRECTORY).map_err(failed(path))?;
            return self.folder(fd.as_fd(), path);
        }
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&stat.st_ino) {
                let extra = Extra { link: &first.clone(), ..Extra::default() };
                return self.member(path, EntryType::Link, &attributes, &extra);
            }
            self.links.insert(stat.st_ino, path.clone());
        }
        match kind {
            SFlag::S_IFREG => self.file(dir, name, path, &attributes),
            SFlag::S_IFLNK => {
                let link = nix::fcntl::readlinkat(dir, name)
                    .map_err(|errno| failed(path)(call("readlinkat")(errno)))?;
                let extra = Extra { link: link.as_bytes(), ..Extra::default() };
                self.member(path, EntryType::Symlink, &attributes, &extra)
            }
            SFlag::S_IFIFO => self.member(path, EntryType::Fifo, &attributes, &Extra::default()),
            SFlag::S_IFCHR | SFlag::S_IFBLK => self.device(&stat, path, &attributes),
            _ => Ok(()),
        }
    }

    fn device(
        &mut self,
        stat: &FileStat,
        path: &[u8],
        attributes: &Attributes,
    ) -> Result<(), Error> {
        let character = file_type(stat) == SFlag::S_IFCHR;
        let kind = if character { EntryType::Char } else { EntryType::Block };
        let extra = Extra { device: stat.st_rdev, ..Extra::default() };
        self.member(path, kind, attributes, &extra)
    }

    fn file(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        path: &[u8],
        attributes: &Attributes,
    ) -> Result<(), Error> {
        let file = File::from(
            open(dir, name, OFlag::empty()).map_err(Error::system("pack", shown(path)))?,
        );
        let bytes = file.metadata().map_err(Error::io("pack", shown(path)))?.len();
        let extra = Extra { bytes, ..Extra::default() };
        self.member(path, EntryType::Regular, attributes, &extra)?;
        let copied = io::copy(&mut file.take(bytes), &mut self.out)
            .map_err(Error::io("pack", shown(path)))?;
        if copied != bytes {
            return Err(Error::malformed(shown(path), "file shrank while it was read"));
        }
        self.pad(bytes)
    }

    /// A header, after an extended one where ustar cannot hold everything.
    fn member(
        &mut self,
        path: &[u8],
        kind: EntryType,
        attributes: &Attributes,
        extra: &Extra<'_>,
    ) -> Result<(), Error> {
        let records = records(path, attributes, extra);
        if !records.is_empty() {
            let mut header = header(b"././@PaxHeader", EntryType::XHeader, &Extra::default());
            header.set_mode(0o644);
            header.set_size(records.len() as u64);
            self.block(&mut header)?;
            self.out.write_all(&records).map_err(Error::io("write", "archive"))?;
            self.pad(records.len() as u64)?;
        }
        let mut header = header(path, kind, extra);
        header.set_mode(attributes.mode);
        header.set_uid(attributes.uid.min(ID_MAX).into());
        header.set_gid(attributes.gid.min(ID_MAX).into());
        header.set_mtime(u64::try_from(attributes.mtime.0).unwrap_or(0).min(SIZE_MAX));
        header.set_size(extra.bytes.min(SIZE_MAX));
        self.block(&mut header)
    }

    fn block(&mut self, header: &mut Header) -> Result<(), Error> {
        header.set_cksum();
        self.out.write_all(header.as_bytes()).map_err(Error::io("write", "archive"))
    }

    fn pad(&mut self, bytes: u64) -> Result<(), Error> {
        let padding = usize::try_from(bytes.wrapping_neg() % 512).unwrap_or(0);
        self.out.write_all(&[0; 512][..padding]).map_err(Error::io("write", "archive"))
    }
}

fn header(path: &[u8], kind: EntryType, extra: &Extra<'_>) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    let old = header.as_old_mut();
    let copy = |from: &[u8], to: &mut [u8; 100]| {
        let length = from.len().min(to.len());
        to[..length].copy_from_slice(&from[..length]);
    };
    copy(path, &mut old.name);
    copy(extra.link, &mut old.linkname);
    if let Some(ustar) = header.as_ustar_mut() {
        let part = |number: u64| u32::try_from(number).unwrap_or(0);
        ustar.set_device_major(part(nix::sys::stat::major(extra.device)));
        ustar.set_device_minor(part(nix::sys::stat::minor(extra.device)));
    }
    header
}

/// The PAX records that this member needs.
fn records(path: &[u8], attributes: &Attributes, extra: &Extra<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| {
        let body = key.len() + value.len() + 3;
        let mut length = body + 1;
        while length != body + length.to_string().len() {
            length = body + length.to_string().len();
        }
        text.extend_from_slice(format!("{length} ").as_bytes());
        text.extend_from_slice(key);
        text.push(b'=');
        text.extend_from_slice(value);
        text.push(b'\n');
    };
    let mut number = String::new();
    let mut add_number = |add: &mut dyn FnMut(&[u8], &[u8]), key: &str, value: i128| {
        number.clear();
        let _ = write!(number, "{value}");
        add(key.as_bytes(), number.as_bytes());
    };
    if path.len() > 100 {
        add(b"path", path);
    }
    if extra.link.len() > 100 {
        add(b"linkpath", extra.link);
    }
    if extra.bytes > SIZE_MAX {
        add_number(&mut add, "size", extra.bytes.into());
    }
    if attributes.uid > ID_MAX {
        add_number(&mut add, "uid", attributes.uid.into());
    }
    if attributes.gid > ID_MAX {
        add_number(&mut add, "gid", attributes.gid.into());
    }
    if !u64::try_from(attributes.mtime.0).is_ok_and(|mtime| mtime <= SIZE_MAX) {
        add_number(&mut add, "mtime", attributes.mtime.0.into());
    }
    for (name, value) in &attributes.xattrs {
        add(&[b"SCHILY.xattr.", name.as_bytes()].concat(), value);
    }
    text
}

fn names(fd: BorrowedFd<'_>) -> Result<Vec<OsString>, SyscallError> {
    let failed = |errno| SyscallError::new("getdents64", "", errno);
    let mut dir = Dir::from_fd(open(fd, OsStr::new("."), OFlag::O_DIRECTORY)?).map_err(failed)?;
    let mut names = Vec::new();
    for entry in dir.iter() {
        let name = entry.map_err(failed)?.file_name().to_bytes().to_vec();
        if !matches!(name.as_slice(), b"." | b"..") {
            names.push(OsString::from_vec(name));
        }
    }
    names.sort();
    Ok(names)
}

fn open(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlag) -> Result<OwnedFd, SyscallError> {
    let flags = flags | OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    nix::fcntl::openat(dir, name, flags, Mode::empty())
        .map_err(|errno| SyscallError::new("openat", format!("{name:?}"), errno))
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
