//! The folder of one layer while it is filled.
//!
//! Every path is walked below the layer's root by fd. A symlink on the way is
//! followed as in a chroot: the walk reads it and starts again, the kernel
//! never follows one. A folder that only a lower layer has is made here with
//! that folder's attributes, as a copy-up would.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::rc::Rc;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::{FileStat, Mode, SFlag};
use nix::unistd::UnlinkatFlags;

use super::attributes::{self, Attributes, OPAQUE};
use super::lower::{self, Lower};
use crate::sys::SyscallError;
use crate::sys::xattr::{self, Target};

/// As many as the kernel follows.
const SYMLINKS_MAX: usize = 40;

/// A folder of the layer: its fd and where it really is.
#[derive(Debug)]
pub struct Folder {
    pub fd: OwnedFd,
    /// Without symlinks, below the root.
    pub path: Vec<OsString>,
}

/// A layer's folder being filled.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    lower: Lower,
    /// The folder asked for last, by the name it was asked with: archives list
    /// a folder's files one after the other.
    last: Option<(Vec<OsString>, Rc<Folder>)>,
}

impl Tree {
    /// The tree below `root`, which exists and is empty. It gets the
    /// attributes of the root below it.
    ///
    /// # Errors
    /// A folder that cannot be opened.
    pub fn open(root: &Path, lower: Lower) -> Result<Self, SyscallError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let root = nix::fcntl::open(root, flags, Mode::empty())
            .map_err(|errno| SyscallError::new("open", format!("{root:?}"), errno))?;
        let attributes = match lower.look_up(&[])? {
            Some(found) => Attributes::read(
                Target { dir: found.fd.as_fd(), name: OsStr::new("") },
                &found.stat,
            )?,
            None => Attributes::plain_folder(),
        };
        attributes.apply(root.as_fd(), OsStr::new(""), false)?;
        Ok(Self { root, lower, last: None })
    }

    /// The layer's root.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The layers below.
    pub fn lower(&self) -> &Lower {
        &self.lower
    }

    /// The folder of that name, made where it is missing.
    ///
    /// # Errors
    /// ENOTDIR where something else is in the way, ELOOP for a maze of
    /// symlinks.
    pub fn folder(&mut self, name: &[&OsStr]) -> Result<Rc<Folder>, SyscallError> {
        let known = self.last.as_ref().is_some_and(|(last, _)| last.as_slice() == name);
        if !known {
            let folder = match self.open_plain(name)? {
                Some(folder) => folder,
                None => self.walk(name)?,
            };
            let name = name.iter().map(|&component| component.to_owned()).collect();
            self.last = Some((name, Rc::new(folder)));
        }
        match &self.last {
            Some((_, folder)) => Ok(Rc::clone(folder)),
            None => Err(SyscallError::new("openat2", "", Errno::ENOENT)),
        }
    }

    /// The folder at a real path, if it is still there and no symlink.
    ///
    /// # Errors
    /// As openat2(2).
    pub fn existing(&mut self, path: &[&OsStr]) -> Result<Option<BorrowedFd<'_>>, SyscallError> {
        let known = self.last.as_ref().is_some_and(|(last, _)| last.as_slice() == path);
        if !known {
            let Some(folder) = self.open_plain(path)? else { return Ok(None) };
            self.last = Some((folder.path.clone(), Rc::new(folder)));
        }
        Ok(self.last.as_ref().map(|(_, folder)| folder.fd.as_fd()))
    }

    /// The usual case in one call: all folders are there and none is a symlink.
    fn open_plain(&self, name: &[&OsStr]) -> Result<Option<Folder>, SyscallError> {
        let path = if name.is_empty() { OsString::from(".") } else { name.join(OsStr::new("/")) };
        let how =
            OpenHow::new().flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC).resolve(
                ResolveFlag::RESOLVE_BENEATH
                    | ResolveFlag::RESOLVE_NO_SYMLINKS
                    | ResolveFlag::RESOLVE_NO_XDEV,
            );
        match nix::fcntl::openat2(&self.root, path.as_os_str(), how) {
            Ok(fd) => {
                let path = name.iter().map(|&component| component.to_owned()).collect();
                Ok(Some(Folder { fd, path }))
            }
            Err(Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(SyscallError::new("openat2", format!("{path:?}"), errno)),
        }
    }

    /// One component after the other, reading symlinks and making folders.
    fn walk(&self, name: &[&OsStr]) -> Result<Folder, SyscallError> {
        let mut todo: VecDeque<OsString> = name.iter().map(|&part| part.to_owned()).collect();
        let mut way = Way::new(self)?;
        let mut symlinks = 0;
        while let Some(part) = todo.pop_front() {
            if part == ".." {
                way.up()?;
                continue;
            }
            let target = match way.step(&part)? {
                Step::Folder(fd) => {
                    way.down(part, fd)?;
                    continue;
                }
                Step::Symlink(target) => target,
            };
            symlinks += 1;
            if symlinks > SYMLINKS_MAX {
                return Err(SyscallError::new("openat2", format!("{part:?}"), Errno::ELOOP));
            }
            if target.as_bytes().starts_with(b"/") {
                way = Way::new(self)?;
            }
            let parts = target.as_bytes().split(|&b| b == b'/');
            for part in parts.rev().filter(|part| !matches!(*part, b"" | b".")) {
                todo.push_front(OsStr::from_bytes(part).to_owned());
            }
        }
        way.end()
    }

    /// Forgets the folder asked for last: something was removed or replaced.
    pub fn forget(&mut self) {
        self.last = None;
    }
}

/// A walk down from the root: the folders on the way, and the lower layers'
/// folders that show at its end.
struct Way<'a> {
    tree: &'a Tree,
    parts: Vec<(OsString, OwnedFd)>,
    below: Vec<OwnedFd>,
}

impl<'a> Way<'a> {
    fn new(tree: &'a Tree) -> Result<Self, SyscallError> {
        Ok(Self { tree, parts: Vec::new(), below: tree.lower.roots()? })
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.parts.last().map_or(self.tree.root.as_fd(), |(_, fd)| fd.as_fd())
    }

    fn down(&mut self, part: OsString, fd: OwnedFd) -> Result<(), SyscallError> {
        if !self.below.is_empty() {
            let hidden = lower::is_opaque(self.here(), &part)?;
            self.below = if hidden { Vec::new() } else { lower::descend(&self.below, &part)? };
        }
        self.parts.push((part, fd));
        Ok(())
    }

    /// The root is its own parent.
    fn up(&mut self) -> Result<(), SyscallError> {
        let mut again = Self::new(self.tree)?;
        self.parts.pop();
        for (part, fd) in std::mem::take(&mut self.parts) {
            again.down(part, fd)?;
        }
        *self = again;
        Ok(())
    }

    /// The folder `part`, made where it is missing, or the symlink in its place.
    fn step(&self, part: &OsStr) -> Result<Step, SyscallError> {
        let here = self.here();
        let not_a_folder = || SyscallError::new("openat2", format!("{part:?}"), Errno::ENOTDIR);
        match lower::entry(here, part)? {
            Some((fd, stat)) if lower::is_folder(&stat) => return Ok(Step::Folder(fd)),
            Some((fd, stat)) if lower::file_type(&stat) == SFlag::S_IFLNK => return link(&fd),
            Some((_, stat)) if lower::is_whiteout(&stat) => {
                remove(here, part)?;
                let folder = make_folder(here, part, &Attributes::plain_folder())?;
                make_opaque(here, part)?;
                return Ok(Step::Folder(folder));
            }
            Some(_) => return Err(not_a_folder()),
            None => {}
        }
        match lower::shown(&self.below, part)? {
            Some(found) if lower::is_folder(&found.stat) => {
                let target = Target { dir: found.parent.as_fd(), name: &found.name };
                let attributes = Attributes::read(target, &found.stat)?;
                make_folder(here, part, &attributes).map(Step::Folder)
            }
            Some(found) if lower::file_type(&found.stat) == SFlag::S_IFLNK => link(&found.fd),
            Some(_) => Err(not_a_folder()),
            None => make_folder(here, part, &Attributes::plain_folder()).map(Step::Folder),
        }
    }

    fn end(mut self) -> Result<Folder, SyscallError> {
        let path = self.parts.iter().map(|(part, _)| part.clone()).collect();
        let fd = match self.parts.pop() {
            Some((_, fd)) => fd,
            None => {
                self.tree.root.try_clone().map_err(|e| SyscallError::from_io("fcntl", "", &e))?
            }
        };
        Ok(Folder { fd, path })
    }
}

enum Step {
    Folder(OwnedFd),
    Symlink(OsString),
}

fn link(fd: &OwnedFd) -> Result<Step, SyscallError> {
    nix::fcntl::readlinkat(fd, "")
        .map(Step::Symlink)
        .map_err(|errno| SyscallError::new("readlinkat", "", errno))
}

fn make_folder(
    here: BorrowedFd<'_>,
    name: &OsStr,
    attributes: &Attributes,
) -> Result<OwnedFd, SyscallError> {
    let failed = |call| move |errno| SyscallError::new(call, format!("{name:?}"), errno);
    nix::sys::stat::mkdirat(here, name, attributes::mode(0o700)).map_err(failed("mkdirat"))?;
    attributes.apply(here, name, false)?;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    nix::fcntl::openat(here, name, flags, Mode::empty()).map_err(failed("openat"))
}

/// Marks the folder `name` (or `here` itself) so that nothing below it shows.
///
/// # Errors
/// EOPNOTSUPP on a file system without `trusted.*`: no layers can live there.
pub fn make_opaque(here: BorrowedFd<'_>, name: &OsStr) -> Result<(), SyscallError> {
    xattr::set(Target { dir: here, name }, OsStr::new(OPAQUE), b"y")
}

/// The entry itself; `None` when there is none.
///
/// # Errors
/// As fstatat(2).
pub fn status(here: BorrowedFd<'_>, name: &OsStr) -> Result<Option<FileStat>, SyscallError> {
    match nix::sys::stat::fstatat(here, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(SyscallError::new("fstatat", format!("{name:?}"), errno)),
    }
}

/// Removes the entry, a folder with everything in it, never through a symlink.
///
/// # Errors
/// The call that failed.
pub fn remove(here: BorrowedFd<'_>, name: &OsStr) -> Result<(), SyscallError> {
    match unlink(here, name, UnlinkatFlags::NoRemoveDir)? {
        Unlinked::Done => return Ok(()),
        Unlinked::Folder => {}
    }
    // By hand, deepest first: no recursion that a deep tree could exhaust.
    let mut way = vec![(name.to_owned(), open_folder(here, name)?)];
    while let Some((_, folder)) = way.last() {
        match clear(folder)? {
            Some(child) => {
                let folder = open_folder(folder.as_fd(), &child)?;
                way.push((child, folder));
            }
            None => {
                let Some((name, _)) = way.pop() else { break };
                let parent = way.last().map_or(here, |(_, fd)| fd.as_fd());
                unlink(parent, &name, UnlinkatFlags::RemoveDir)?;
            }
        }
    }
    Ok(())
}

/// Removes the files of a folder; the first folder in it stops that.
fn clear(folder: &OwnedFd) -> Result<Option<OsString>, SyscallError> {
    let failed = |errno| SyscallError::new("getdents64", "", errno);
    let mut dir = Dir::from_fd(open_folder(folder.as_fd(), OsStr::new("."))?).map_err(failed)?;
    for entry in dir.iter() {
        let name = OsString::from_vec(entry.map_err(failed)?.file_name().to_bytes().to_vec());
        if name == "." || name == ".." {
            continue;
        }
        if matches!(unlink(folder.as_fd(), &name, UnlinkatFlags::NoRemoveDir)?, Unlinked::Folder) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

enum Unlinked {
    Done,
    Folder,
}

fn unlink(
    here: BorrowedFd<'_>,
    name: &OsStr,
    how: UnlinkatFlags,
) -> Result<Unlinked, SyscallError> {
    match nix::unistd::unlinkat(here, name, how) {
        Ok(()) | Err(Errno::ENOENT) => Ok(Unlinked::Done),
        Err(Errno::EISDIR) => Ok(Unlinked::Folder),
        Err(errno) => Err(SyscallError::new("unlinkat", format!("{name:?}"), errno)),
    }
}

fn open_folder(here: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, SyscallError> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    nix::fcntl::openat(here, name, flags, Mode::empty())
        .map_err(|errno| SyscallError::new("openat", format!("{name:?}"), errno))
}
