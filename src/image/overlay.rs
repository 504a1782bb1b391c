//! A container's root: an overlay of an image's layers that is mounted
//! nowhere.
//!
//! Linux 6.7 takes one layer at a time (`lowerdir+`). Older kernels want all of
//! them in one string, for which `fsconfig(2)` allows 256 bytes and `mount(2)`
//! a page: there the overlay is mounted in a thread's own mount namespace, with
//! fd numbers for paths, and a clone of that mount is taken out of it.

use std::fmt::Write as _;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;

use super::Error;
use crate::sys::SyscallError;
use crate::sys::mount::{Attributes, FsContext, at_cwd, attr, clone_tree, set_attributes};

/// The most that overlayfs stacks (`OVL_MAX_STACK`).
pub const LAYERS_MAX: usize = 500;

/// `fsconfig(2)` takes strings of at most 255 bytes and a NUL.
const FSCONFIG_STRING_MAX: usize = 255;

/// Where a container's changes go; both on one file system.
#[derive(Debug, Clone, Copy)]
pub struct Writable<'a> {
    /// Receives what the container writes.
    pub upper: &'a Path,
    /// Overlayfs's scratch folder, empty.
    pub work: &'a Path,
    /// Skips syncing the upper folder: right for what a crash may throw away.
    /// Such a pair of folders cannot be mounted a second time.
    pub volatile: bool,
}

/// Makes an overlay of `layers` (topmost first) and, unless it is to be
/// read-only, the folders of `writable`. The mount is detached: it appears in
/// no mount table until someone moves it, and ends with the last fd.
///
/// # Errors
/// A layer or a folder that overlayfs refuses, or no layer at all.
pub fn mount(layers: &[PathBuf], writable: Option<Writable<'_>>) -> Result<OwnedFd, Error> {
    let mounted = match (layers, writable) {
        // Overlayfs wants two folders; a read-only image of one layer is that layer.
        ([layer], None) => read_only(layer),
        _ => match mount_by_context(layers, writable) {
            Err(error) if error.errno == Errno::EINVAL => mount_by_string(layers, writable),
            done => done,
        },
    };
    let top = layers.first().map(|layer| layer.display().to_string()).unwrap_or_default();
    mounted.map_err(Error::system("mount image layer", top))
}

fn read_only(layer: &Path) -> Result<OwnedFd, SyscallError> {
    let mounted = clone_tree(folder(layer)?.as_fd(), "", false)?;
    let change = Attributes { set: attr::RDONLY, ..Attributes::default() };
    set_attributes(mounted.as_fd(), change, false)?;
    Ok(mounted)
}

fn mount_by_context(
    layers: &[PathBuf],
    writable: Option<Writable<'_>>,
) -> Result<OwnedFd, SyscallError> {
    let opened = Opened::new(layers, writable)?;
    let context = FsContext::open("overlay")?;
    for (path, fd) in &opened.layers {
        context.set("lowerdir+", &option(path, fd))?;
    }
    if let Some((upper, work, writable)) = &opened.writable {
        context.set("upperdir", &option(writable.upper, upper))?;
        context.set("workdir", &option(writable.work, work))?;
        if writable.volatile {
            context.set_flag("volatile")?;
        }
    }
    context.create()?;
    context.mount(0)
}

fn mount_by_string(
    layers: &[PathBuf],
    writable: Option<Writable<'_>>,
) -> Result<OwnedFd, SyscallError> {
    // A thread: its current directory and mount namespace are its own.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| mount_in_own_namespace(layers, writable));
        thread.join().unwrap_or(Err(SyscallError::new("mount", "overlay", Errno::EFAULT)))
    })
}

fn mount_in_own_namespace(
    layers: &[PathBuf],
    writable: Option<Writable<'_>>,
) -> Result<OwnedFd, SyscallError> {
    let failed = |call, args: &str| {
        let args = args.to_owned();
        move |errno| SyscallError::new(call, args, errno)
    };
    let Some(target) = layers.first() else {
        return Err(failed("mount", "overlay without layers")(Errno::EINVAL));
    };
    nix::sched::unshare(CloneFlags::CLONE_NEWNS).map_err(failed("unshare", "CLONE_NEWNS"))?;
    let none = None::<&str>;
    nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(failed("mount", "\"/\", MS_REC | MS_PRIVATE"))?;
    // Opened here: overlayfs takes folders of this namespace only.
    let opened = Opened::new(layers, writable)?;
    let options = opened.options();
    nix::unistd::chdir("/proc/self/fd").map_err(failed("chdir", "\"/proc/self/fd\""))?;
    let (overlay, flags) = (Some("overlay"), MsFlags::empty());
    nix::mount::mount(overlay, target, overlay, flags, Some(options.as_str()))
        .map_err(failed("mount", &options))?;
    let mounted = folder(target)?;
    clone_tree(mounted.as_fd(), "", false)
}

/// All folders by fd: paths of any length, with any characters, will do.
struct Opened<'a> {
    layers: Vec<(&'a Path, OwnedFd)>,
    writable: Option<(OwnedFd, OwnedFd, Writable<'a>)>,
}

impl<'a> Opened<'a> {
    fn new(layers: &'a [PathBuf], writable: Option<Writable<'a>>) -> Result<Self, SyscallError> {
        let layers = layers.iter().map(|layer| Ok((layer.as_path(), folder(layer)?)));
        let layers = layers.collect::<Result<Vec<_>, SyscallError>>()?;
        let writable = match writable {
            Some(writable) => Some((folder(writable.upper)?, folder(writable.work)?, writable)),
            None => None,
        };
        Ok(Self { layers, writable })
    }

    /// The options with fd numbers as paths, relative to `/proc/self/fd`.
    fn options(&self) -> String {
        let mut text = String::from("lowerdir=");
        for (index, (_, fd)) in self.layers.iter().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            let _ = write!(text, "{separator}{}", fd.as_raw_fd());
        }
        if let Some((upper, work, writable)) = &self.writable {
            let _ = write!(text, ",upperdir={},workdir={}", upper.as_raw_fd(), work.as_raw_fd());
            text.push_str(if writable.volatile { ",volatile" } else { "" });
        }
        text
    }
}

/// The folder's path where `fsconfig(2)` takes it, so that people can read the
/// mount's options; else the fd's name.
fn option(path: &Path, fd: &OwnedFd) -> String {
    match path.to_str() {
        Some(text)
            if path.is_absolute()
                && text.len() <= FSCONFIG_STRING_MAX
                && !text.contains([':', ',', '\\']) =>
        {
            text.to_owned()
        }
        _ => format!("/proc/self/fd/{}", fd.as_raw_fd()),
    }
}

fn folder(path: &Path) -> Result<OwnedFd, SyscallError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::openat(at_cwd(), path, flags, Mode::empty())
        .map_err(|errno| SyscallError::new("openat", format!("{path:?}"), errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Folders {
        _dir: tempfile::TempDir,
        layers: Vec<PathBuf>,
        upper: PathBuf,
        work: PathBuf,
    }

    impl Folders {
        fn new(layers: usize) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let make = |name: String| {
                let path = dir.path().join(name);
                fs::create_dir(&path).unwrap();
                path
            };
            let layers = (0..layers)
                .map(|n| {
                    let layer = make(format!("layer-{n}"));
                    fs::write(layer.join("same"), n.to_string()).unwrap();
                    fs::write(layer.join(n.to_string()), "").unwrap();
                    layer
                })
                .collect();
            let (upper, work) = (make("upper".into()), make("work".into()));
            Self { _dir: dir, layers, upper, work }
        }

        fn writable(&self, volatile: bool) -> Option<Writable<'_>> {
            Some(Writable { upper: &self.upper, work: &self.work, volatile })
        }
    }

    fn inside(fd: &OwnedFd, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{path}", fd.as_raw_fd()))
    }

    #[test]
    fn the_topmost_layer_is_the_first_and_writes_go_to_the_upper_folder() {
        let folders = Folders::new(3);
        let mounted = mount(&folders.layers, folders.writable(true)).unwrap();
        assert_eq!(fs::read_to_string(inside(&mounted, "same")).unwrap(), "0");
        assert!(inside(&mounted, "2").exists());
        fs::write(inside(&mounted, "new"), "x").unwrap();
        assert_eq!(fs::read_to_string(folders.upper.join("new")).unwrap(), "x");
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let upper = folders.upper.to_str().unwrap();
        assert!(!table.contains(upper), "the mount shows in the host's table");
    }

    #[test]
    fn kernels_that_want_one_string_get_the_same_overlay() {
        let folders = Folders::new(200);
        let mounted = mount_by_string(&folders.layers, folders.writable(true)).unwrap();
        assert_eq!(fs::read_to_string(inside(&mounted, "same")).unwrap(), "0");
        assert!(inside(&mounted, "199").exists());
        fs::write(inside(&mounted, "new"), "x").unwrap();
        assert!(folders.upper.join("new").exists());
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!table.contains(folders.upper.to_str().unwrap()));
    }

    #[test]
    fn without_a_writable_folder_the_mount_is_read_only() {
        for layers in [1, 2] {
            let folders = Folders::new(layers);
            let mounted = mount(&folders.layers, None).unwrap();
            assert_eq!(fs::read_to_string(inside(&mounted, "same")).unwrap(), "0");
            let error = fs::write(inside(&mounted, "new"), "x").unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::EROFS as i32), "{layers}");
        }
    }

    #[test]
    fn a_long_path_with_odd_characters_is_still_a_layer() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a:b,c\\d").join("x".repeat(200)).join("y".repeat(200));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("here"), "").unwrap();
        let folders = Folders::new(1);
        let mounted = mount(&[deep], folders.writable(false)).unwrap();
        assert!(inside(&mounted, "here").exists());
    }

    #[test]
    fn a_missing_layer_is_named_in_the_error() {
        let folders = Folders::new(1);
        let error = mount(&["/no/such/layer".into()], folders.writable(true)).unwrap_err();
        assert!(error.to_string().contains("openat(\"/no/such/layer\"): no such"), "{error}");
    }
}
