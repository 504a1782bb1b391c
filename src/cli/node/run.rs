//! The loop: what the kernel tells of manifests and pods, and a look at
//! everything from time to time.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use super::NodeArgs;
use super::pods::Pods;
use super::sources::Sources;
use crate::cli::error::CliError;
use crate::model::{Roots, Signal};
use crate::store::pods::PodStore;
use crate::sys::event::SignalFd;
use crate::sys::{SyscallError, clock, kernel};

const WRITTEN: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_ATTRIB);
const REMOVED: AddWatchFlags = AddWatchFlags::IN_DELETE.union(AddWatchFlags::IN_MOVED_FROM);

/// Runs the verb until SIGINT or SIGTERM; the pods go on.
///
/// # Errors
/// Not root, another node at work, the store's.
pub fn run(args: &NodeArgs, roots: &Roots) -> Result<(), CliError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(CliError::NotRoot { verb: "node".into() });
    }
    kernel::check().map_err(|e| CliError::room(&e, e.kind()))?;
    let signals =
        SignalFd::new(&[Signal::INT, Signal::TERM]).map_err(|e| CliError::room(&e, e.kind()))?;
    let room = |e: crate::store::Error| CliError::room(&e, e.kind());
    let store = PodStore::new(&roots.root);
    let Some(only) = store.become_node().map_err(room)? else {
        return Err(CliError::Refused("another podrt node is at work here".into()));
    };
    let ended = work(args, roots, &signals);
    store.retire_node(only);
    ended
}

fn work(args: &NodeArgs, roots: &Roots, signals: &SignalFd) -> Result<(), CliError> {
    let mut node = Node {
        sources: Sources::new(&args.manifests),
        pods: Pods::new(roots),
        inotify: Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)
            .map_err(|errno| failed("inotify_init1", Path::new(""), errno))?,
        manifests: None,
    };
    node.watch(&roots.root.join("pods"), REMOVED)?;
    node.pods.take_up()?;
    node.go(signals, args.file_check_frequency)
}

/// True while a node is at work below these roots.
#[must_use]
pub fn is_running(roots: &Roots) -> bool {
    PodStore::new(&roots.root).has_node().unwrap_or(false)
}

struct Node<'a> {
    sources: Sources,
    pods: Pods<'a>,
    inotify: Inotify,
    /// The watch of the manifests' folder, while there is one.
    manifests: Option<WatchDescriptor>,
}

impl Node<'_> {
    fn go(&mut self, signals: &SignalFd, every: Duration) -> Result<(), CliError> {
        let mut next = Instant::now();
        loop {
            if Instant::now() >= next {
                next = Instant::now() + every;
                self.watch_manifests();
                self.pods.forgive();
                self.sources.rescan(clock::now().wall);
            }
            let desired = self.sources.desired();
            self.pods.reconcile(desired)?;
            self.wait(signals, next)?;
            if signals.next().map_err(|e| CliError::room(&e, e.kind()))?.is_some() {
                return Ok(());
            }
            self.take_in();
        }
    }

    /// A folder that is not there yet is looked for at the next rescan.
    fn watch_manifests(&mut self) {
        let flags = WRITTEN | REMOVED | AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
        self.manifests = self.inotify.add_watch(self.sources.folder(), flags).ok();
    }

    fn watch(&self, dir: &Path, flags: AddWatchFlags) -> Result<(), CliError> {
        let watched = self.inotify.add_watch(dir, flags);
        watched.map(drop).map_err(|errno| failed("inotify_add_watch", dir, errno))
    }

    fn wait(&self, signals: &SignalFd, next: Instant) -> Result<(), CliError> {
        let left = next.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [
            PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(failed("poll", Path::new(""), errno)),
        }
    }

    /// What happened in the folder; what happened to records is seen by
    /// looking at them.
    fn take_in(&mut self) {
        while let Ok(events) = self.inotify.read_events() {
            for event in events {
                if Some(event.wd) != self.manifests {
                    continue;
                }
                let Some(name) = event.name.as_ref().map(Path::new) else { continue };
                let is_new = event.mask.contains(AddWatchFlags::IN_CREATE);
                if event.mask.intersects(REMOVED) {
                    self.sources.removed(name);
                } else if is_new && !self.sources.folder().join(name).is_symlink() {
                    // Empty yet: the end of its writing is told too.
                } else if event.mask.intersects(WRITTEN) {
                    self.sources.changed(name, clock::now().wall);
                }
            }
        }
    }
}

fn failed(call: &'static str, path: &Path, errno: Errno) -> CliError {
    let error = SyscallError::new(call, path.display().to_string(), errno);
    CliError::room(&error, error.kind())
}
