//! From a tar to a folder that overlayfs can use as a layer.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag};

use super::attributes::{self, Attributes};
use super::lower::{self, Found, Lower};
use super::name::{self, Meaning};
use super::tar::{Entry, Input, Kind, Reader};
use super::tree::{self, Folder, Tree};
use super::{limits, sparse::Sparse};
use crate::image::Error;
use crate::sys::SyscallError;
use crate::sys::xattr::Target;

/// Unpacks the tar `input` into the empty folder `root`, on top of `lower`.
/// Gives the bytes of its regular files. Nothing is synced.
///
/// # Errors
/// A hostile or damaged archive, or a machine that cannot hold it; `root` then
/// holds a part of it.
pub fn unpack(input: impl Input, root: &Path, lower: Lower) -> Result<u64, Error> {
    let tree = Tree::open(root, lower).map_err(Error::system("unpack layer", root.display()))?;
    let mut unpacker = Unpacker { tree, folders: Vec::new(), bytes: 0 };
    let mut reader = Reader::new(input);
    while let Some(entry) = reader.next_entry()? {
        unpacker.place(&entry, &mut reader)?;
    }
    unpacker.finish()
}

struct Unpacker {
    tree: Tree,
    /// Folders and their times, set at the end: filling them changes it.
    folders: Vec<(Vec<OsString>, (i64, i64))>,
    bytes: u64,
}

/// Where an entry goes.
struct Place {
    folder: Rc<Folder>,
    name: OsString,
}

impl Place {
    fn here(&self) -> BorrowedFd<'_> {
        self.folder.fd.as_fd()
    }
}

impl Unpacker {
    fn place<R: Input>(&mut self, entry: &Entry, reader: &mut Reader<R>) -> Result<(), Error> {
        let malformed = |why: &dyn std::fmt::Display| Error::malformed(shown(&entry.name), why);
        let parts = name::components(&entry.name).map_err(|why| malformed(&why))?;
        let Some((&last, parents)) = parts.split_last() else {
            return if entry.kind == Kind::Directory {
                self.root(entry)
            } else {
                Err(malformed(&"replaces the root"))
            };
        };
        let failed = |cause| Error::system("unpack", shown(&entry.name))(cause);
        match name::meaning(last) {
            Meaning::Ignored => Ok(()),
            Meaning::Nonsense => Err(malformed(&"malformed whiteout")),
            Meaning::Opaque => self.opaque(parents).map_err(failed),
            Meaning::Whiteout(target) => self.whiteout(parents, target).map_err(failed),
            Meaning::Plain => {
                let place = self.locate(parents, last).map_err(failed)?;
                self.plain(entry, &place, reader)
            }
        }
    }

    fn locate(&mut self, parents: &[&OsStr], name: &OsStr) -> Result<Place, SyscallError> {
        Ok(Place { folder: self.tree.folder(parents)?, name: name.to_owned() })
    }

    fn plain<R: Input>(
        &mut self,
        entry: &Entry,
        place: &Place,
        reader: &mut Reader<R>,
    ) -> Result<(), Error> {
        let attributes = attributes_of(entry);
        let here = place.here();
        let failed = |cause| Error::system("unpack", shown(&entry.name))(cause);
        match entry.kind {
            Kind::File => {
                let file = self.create(place, || create_file(here, &place.name)).map_err(failed)?;
                self.fill(entry, &file, reader)?;
                attributes.apply_to_file(&file, here, &place.name).map_err(failed)
            }
            Kind::Directory => self.directory(place, &attributes).map_err(failed),
            Kind::HardLink => self.hard_link(entry, place),
            Kind::Symlink => {
                let target = OsStr::from_bytes(&entry.link);
                let make = || {
                    nix::unistd::symlinkat(target, here, place.name.as_os_str())
                        .map_err(call("symlinkat", &place.name))
                };
                self.create(place, make).map_err(failed)?;
                attributes.apply(here, &place.name, true).map_err(failed)
            }
            Kind::Char { .. } | Kind::Block { .. } | Kind::Fifo => {
                let make = || make_node(here, &place.name, entry.kind);
                self.create(place, make).map_err(failed)?;
                attributes.apply(here, &place.name, false).map_err(failed)
            }
        }
    }

    /// Makes something that is no folder, in place of whatever this layer has
    /// there already.
    fn create<T>(
        &mut self,
        place: &Place,
        make: impl Fn() -> Result<T, SyscallError>,
    ) -> Result<T, SyscallError> {
        match make() {
            Err(error) if error.errno == Errno::EEXIST => {
                tree::remove(place.here(), &place.name)?;
                self.tree.forget();
                make()
            }
            done => done,
        }
    }

    fn directory(&mut self, place: &Place, attributes: &Attributes) -> Result<(), SyscallError> {
        let here = place.here();
        let name = place.name.as_os_str();
        let make = || nix::sys::stat::mkdirat(here, name, attributes::mode(0o700));
        match make() {
            Ok(()) => {}
            Err(Errno::EEXIST) => {
                let stat = tree::status(here, name)?;
                if !stat.is_some_and(|stat| lower::is_folder(&stat)) {
                    tree::remove(here, name)?;
                    self.tree.forget();
                    make().map_err(call("mkdirat", name))?;
                    // What was there hid the lower layers' folder of this name.
                    if !self.tree.lower().is_empty() {
                        tree::make_opaque(here, name)?;
                    }
                }
            }
            Err(errno) => return Err(call("mkdirat", name)(errno)),
        }
        attributes.apply(here, name, false)?;
        let mut path = place.folder.path.clone();
        path.push(name.to_owned());
        self.folders.push((path, attributes.mtime));
        Ok(())
    }

    fn root(&mut self, entry: &Entry) -> Result<(), Error> {
        let attributes = attributes_of(entry);
        attributes
            .apply(self.tree.root(), OsStr::new(""), false)
            .map_err(Error::system("unpack", "/"))?;
        self.folders.push((Vec::new(), attributes.mtime));
        Ok(())
    }

    fn opaque(&mut self, parents: &[&OsStr]) -> Result<(), SyscallError> {
        if self.tree.lower().is_empty() {
            return Ok(());
        }
        let folder = self.tree.folder(parents)?;
        tree::make_opaque(folder.fd.as_fd(), OsStr::new(""))
    }

    /// Hides `name` of the lower layers; what this layer itself has of that
    /// name stays.
    fn whiteout(&mut self, parents: &[&OsStr], name: &OsStr) -> Result<(), SyscallError> {
        if self.tree.lower().is_empty() {
            return Ok(());
        }
        let folder = self.tree.folder(parents)?;
        let folder = folder.fd.as_fd();
        match tree::status(folder, name)? {
            None => nix::sys::stat::mknodat(folder, name, SFlag::S_IFCHR, Mode::empty(), 0)
                .map_err(call("mknodat", name)),
            Some(stat) if lower::is_folder(&stat) => tree::make_opaque(folder, name),
            Some(_) => Ok(()),
        }
    }

    fn hard_link(&mut self, entry: &Entry, place: &Place) -> Result<(), Error> {
        let shown_link = format!("{} -> {}", shown(&entry.name), shown(&entry.link));
        let malformed = |why: &dyn std::fmt::Display| Error::malformed(&shown_link, why);
        let parts = name::components(&entry.link).map_err(|why| malformed(&why))?;
        let Some((&last, parents)) = parts.split_last() else {
            return Err(malformed(&"link to the root"));
        };
        let failed = |cause| Error::system("unpack", &shown_link)(cause);
        let source = self.locate(parents, last).map_err(failed)?;
        let old = match tree::status(source.here(), last).map_err(failed)? {
            Some(old) => old,
            None => self
                .copy_up(&source)
                .map_err(failed)?
                .ok_or_else(|| malformed(&"link to a file that is not there"))?,
        };
        if lower::is_folder(&old) {
            return Err(malformed(&"link to a folder"));
        }
        let new = tree::status(place.here(), &place.name).map_err(failed)?;
        if new.is_some_and(|new| (new.st_dev, new.st_ino) == (old.st_dev, old.st_ino)) {
            return Ok(());
        }
        let link = || {
            let (from, to) = (source.here(), place.here());
            nix::unistd::linkat(from, last, to, place.name.as_os_str(), AtFlags::empty())
                .map_err(call("linkat", &place.name))
        };
        self.create(place, link).map_err(failed)
    }

    /// Copies a lower layer's file into this one, where a link wants it.
    fn copy_up(&mut self, place: &Place) -> Result<Option<nix::sys::stat::FileStat>, SyscallError> {
        let mut path: Vec<&OsStr> = place.folder.path.iter().map(OsString::as_os_str).collect();
        path.push(&place.name);
        let Some(found) = self.tree.lower().look_up(&path)? else { return Ok(None) };
        if lower::is_folder(&found.stat) {
            return Ok(Some(found.stat));
        }
        let here = place.here();
        let name = place.name.as_os_str();
        let target = Target { dir: found.parent.as_fd(), name: &found.name };
        let attributes = Attributes::read(target, &found.stat)?;
        match lower::file_type(&found.stat) {
            SFlag::S_IFREG => {
                let file = create_file(here, name)?;
                self.bytes += copy_content(&found, &file)?;
                attributes.apply_to_file(&file, here, name)?;
            }
            SFlag::S_IFLNK => {
                let link =
                    nix::fcntl::readlinkat(&found.fd, "").map_err(call("readlinkat", name))?;
                nix::unistd::symlinkat(link.as_os_str(), here, name)
                    .map_err(call("symlinkat", name))?;
                attributes.apply(here, name, true)?;
            }
            kind => {
                nix::sys::stat::mknodat(here, name, kind, Mode::empty(), found.stat.st_rdev)
                    .map_err(call("mknodat", name))?;
                attributes.apply(here, name, false)?;
            }
        }
        tree::status(here, name)
    }

    fn fill<R: Input>(
        &mut self,
        entry: &Entry,
        file: &File,
        reader: &mut Reader<R>,
    ) -> Result<(), Error> {
        let whole;
        let size = entry.sparse.as_ref().map_or(entry.stored_bytes, |sparse| sparse.real_size);
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > limits::LAYER_MAX_BYTES {
            let limit = format!("{} bytes", limits::LAYER_MAX_BYTES);
            return Err(Error::TooLarge { what: shown(&entry.name), limit });
        }
        let sparse = match &entry.sparse {
            Some(sparse) => sparse,
            None => {
                whole = Sparse { real_size: size, pieces: vec![(0, size)] };
                &whole
            }
        };
        let failed = |e: std::io::Error| {
            let cause = SyscallError::from_io("pwrite64", "", &e);
            Error::system("unpack", shown(&entry.name))(cause)
        };
        for &(offset, length) in &sparse.pieces {
            let (mut at, end) = (offset, offset + length);
            while at < end {
                let bytes = reader.data()?;
                let take = usize::try_from(end - at).map_or(bytes.len(), |n| n.min(bytes.len()));
                if take == 0 {
                    return Err(Error::malformed(shown(&entry.name), "unexpected end"));
                }
                file.write_all_at(&bytes[..take], at).map_err(failed)?;
                reader.consume(take);
                at += take as u64;
            }
        }
        if entry.sparse.is_some() {
            file.set_len(size).map_err(failed)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<u64, Error> {
        for (path, mtime) in std::mem::take(&mut self.folders) {
            let Some((last, parents)) = path.split_last() else {
                let root = self.tree.root();
                attributes::set_mtime(root, OsStr::new("."), mtime)
                    .map_err(|errno| Error::system("unpack", "/")(call("utimensat", ".")(errno)))?;
                continue;
            };
            let parents: Vec<&OsStr> = parents.iter().map(OsString::as_os_str).collect();
            // A later entry may have replaced the folder: then its time is gone too.
            if let Ok(Some(folder)) = self.tree.existing(&parents)
                && tree::status(folder, last).is_ok_and(|s| s.is_some_and(|s| lower::is_folder(&s)))
            {
                attributes::set_mtime(folder, last, mtime).map_err(|errno| {
                    Error::system("unpack", last.display())(call("utimensat", last)(errno))
                })?;
            }
        }
        Ok(self.bytes)
    }
}

fn attributes_of(entry: &Entry) -> Attributes {
    Attributes {
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        mtime: entry.mtime,
        xattrs: Attributes::allowed(entry.xattrs.clone()),
    }
}

fn create_file(here: BorrowedFd<'_>, name: &OsStr) -> Result<File, SyscallError> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    nix::fcntl::openat(here, name, flags, attributes::mode(0o600))
        .map(File::from)
        .map_err(call("openat", name))
}

fn make_node(here: BorrowedFd<'_>, name: &OsStr, kind: Kind) -> Result<(), SyscallError> {
    let (kind, device) = match kind {
        Kind::Char { major, minor } => {
            (SFlag::S_IFCHR, nix::sys::stat::makedev(major.into(), minor.into()))
        }
        Kind::Block { major, minor } => {
            (SFlag::S_IFBLK, nix::sys::stat::makedev(major.into(), minor.into()))
        }
        _ => (SFlag::S_IFIFO, 0),
    };
    nix::sys::stat::mknodat(here, name, kind, attributes::mode(0o600), device)
        .map_err(call("mknodat", name))
}

/// Copies a regular file that was found by path only.
fn copy_content(found: &Found, to: &File) -> Result<u64, SyscallError> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let from = nix::fcntl::openat(&found.parent, found.name.as_os_str(), flags, Mode::empty())
        .map_err(call("openat", &found.name))?;
    std::io::copy(&mut File::from(from), &mut &*to)
        .map_err(|error| SyscallError::from_io("copy_file_range", "", &error))
}

fn call(name: &'static str, file: impl AsRef<OsStr>) -> impl FnOnce(Errno) -> SyscallError {
    let args = format!("{:?}", file.as_ref());
    move |errno| SyscallError::new(name, args, errno)
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
