//! Notices that the kernel killed for want of memory.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::error::Error;
use super::file;
use super::hierarchy::{Layout, Place};

/// Tells of each time the cgroup ran out of memory.
#[derive(Debug)]
pub struct OomWatch(Kind);

#[derive(Debug)]
enum Kind {
    /// v1 counts into an eventfd, as long as the control file is open.
    V1 { counter: EventFd, _control: OwnedFd, folder: PathBuf },
    /// v2 changes a file; `killed` is what it last said.
    V2 { changes: Inotify, events: PathBuf, killed: u64 },
}

impl OomWatch {
    /// `None` where the machine has no memory controller.
    pub(super) fn new(here: &Layout) -> Result<Option<Self>, Error> {
        match here.place("memory") {
            None => Ok(None),
            Some(Place::V1(folder)) => v1(folder).map(|kind| Some(Self(kind))),
            Some(Place::V2(folder)) => v2(folder).map(|kind| Some(Self(kind))),
        }
    }

    /// Readable when [`happened`](Self::happened) has something to look at.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Kind::V1 { counter, .. } => counter.as_fd(),
            Kind::V2 { changes, .. } => changes.as_fd(),
        }
    }

    /// Whether memory ran out since the last call. A cgroup that is removed
    /// wakes the waiter too.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn happened(&mut self) -> Result<bool, Error> {
        match &mut self.0 {
            Kind::V1 { counter, folder, .. } => Ok(counter.read().is_ok() && folder.exists()),
            Kind::V2 { changes, events, killed } => {
                // Only that there was a change is of interest.
                let _ = changes.read_events();
                let before = std::mem::replace(killed, kills(events)?);
                Ok(*killed > before)
            }
        }
    }
}

fn v1(folder: &Path) -> Result<Kind, Error> {
    let path = folder.join("memory.oom_control");
    let failed = |errno: Errno| file::failed("watch", &path, "", &errno.into());
    let control = std::fs::File::open(&path).map_err(|e| file::failed("open", &path, "", &e))?;
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let counter = EventFd::from_value_and_flags(0, flags).map_err(failed)?;
    let wish = format!("{} {}", counter.as_fd().as_raw_fd(), control.as_raw_fd());
    file::write(&folder.join("cgroup.event_control"), &wish)?;
    Ok(Kind::V1 { counter, _control: control.into(), folder: folder.to_owned() })
}

fn v2(folder: &Path) -> Result<Kind, Error> {
    let events = folder.join("memory.events");
    let failed = |errno: Errno| file::failed("watch", &events, "", &errno.into());
    let changes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(failed)?;
    changes.add_watch(&events, AddWatchFlags::IN_MODIFY).map_err(failed)?;
    let killed = kills(&events)?;
    Ok(Kind::V2 { changes, events, killed })
}

fn kills(events: &Path) -> Result<u64, Error> {
    let text = file::read_if_there(events)?.unwrap_or_default();
    Ok(file::keyed(&text, "oom_kill").unwrap_or(0))
}
