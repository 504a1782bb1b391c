//! Word from the kernel that records or objects have changed.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::cli::error::CliError;
use crate::model::Roots;
use crate::store::ObjectStore;
use crate::store::atomic::{self, Durability};
use crate::store::pods::PodStore;
use crate::sys::SyscallError;

use super::types::ResourceType;

/// Records and objects are put in place by a rename, and go by a rename or by
/// being unlinked.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_MOVED_TO
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE);

/// Waits for changes of one type of objects.
#[derive(Debug)]
pub struct Changes {
    inotify: Inotify,
    roots: Roots,
    kind: ResourceType,
}

impl Changes {
    /// Waits for changes from now on: look after this, not before.
    ///
    /// # Errors
    /// `inotify_init1`, `inotify_add_watch`; folders that cannot be made.
    pub fn new(roots: &Roots, kind: ResourceType) -> Result<Self, CliError> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)
            .map_err(|errno| failed("inotify_init1", Path::new(""), errno))?;
        let changes = Self { inotify, roots: roots.clone(), kind };
        changes.watch_folders()?;
        Ok(changes)
    }

    /// Returns after something has changed (true), or when `deadline` has
    /// passed.
    ///
    /// # Errors
    /// `poll`, `inotify_add_watch`.
    pub fn wait(&self, deadline: Option<Instant>) -> Result<bool, CliError> {
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let timeout = left.map_or(PollTimeout::NONE, |left| {
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            });
            let mut fds = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, timeout) {
                Ok(0) if left == Some(Duration::ZERO) => return Ok(false),
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => {
                    while self.inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
                    // A folder that is new has its changes from now on.
                    self.watch_folders()?;
                    return Ok(true);
                }
                Err(errno) => return Err(failed("poll", Path::new(""), errno)),
            }
        }
    }

    /// Watching a folder twice is watching it once.
    fn watch_folders(&self) -> Result<(), CliError> {
        let objects = ObjectStore::new(self.roots.objects());
        let of_pods = matches!(self.kind, ResourceType::Pod | ResourceType::Event);
        let kind = if of_pods { ResourceType::Pod } else { self.kind };
        self.watch_objects(&objects, kind)?;
        if !of_pods {
            return Ok(());
        }
        // The folder of records comes with the first pod and goes with the
        // last: the root tells of that.
        make(&self.roots.root)?;
        self.watch(&self.roots.root)?;
        self.watch(&self.roots.root.join("pods"))?;
        let records = PodStore::new(&self.roots.root).list();
        for record in records.map_err(|e| CliError::room(&e, e.kind()))? {
            // One that is gone meanwhile was a change of the folder above.
            let _ = self.inotify.add_watch(record.dir(), CHANGES);
        }
        Ok(())
    }

    fn watch_objects(&self, objects: &ObjectStore, kind: ResourceType) -> Result<(), CliError> {
        let room = |e: crate::store::Error| CliError::room(&e, e.kind());
        let top = self.roots.objects();
        atomic::create_dirs(&top, Durability::Disk).map_err(room)?;
        self.watch(&top)?;
        let keys = objects.keys(None, kind.kind()).map_err(room)?;
        let mut namespaces: Vec<Option<&str>> = keys.iter().map(|key| key.namespace()).collect();
        if kind.is_namespaced() {
            namespaces.push(Some("default"));
        }
        namespaces.sort_unstable();
        namespaces.dedup();
        for namespace in namespaces {
            self.watch(&objects.kind_dir(namespace, kind.kind()).map_err(room)?)?;
        }
        Ok(())
    }

    fn watch(&self, dir: &Path) -> Result<(), CliError> {
        match self.inotify.add_watch(dir, CHANGES) {
            Ok(_) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(failed("inotify_add_watch", dir, errno)),
        }
    }
}

fn make(dir: &Path) -> Result<(), CliError> {
    atomic::create_dirs_with_mode(dir, 0o711, Durability::Volatile)
        .map_err(|e| CliError::room(&e, e.kind()))
}

fn failed(call: &'static str, path: &Path, errno: Errno) -> CliError {
    let error = SyscallError::new(call, path.display().to_string(), errno);
    CliError::room(&error, error.kind())
}
