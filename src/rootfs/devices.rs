//! Device nodes and the symlinks of `/dev`.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, SFlag, major, makedev, minor, mknodat};
use nix::unistd::{Gid, Uid, fchownat};
use oci_spec::runtime::{Linux, LinuxDeviceType};

use super::error::{Error, Stage, StepError};
use crate::sys::SyscallError;
use crate::sys::mount;
use crate::sys::path::{self, InRoot, Shown};

/// Name, major and minor of what every container has, mode 666.
const DEFAULTS: [(&str, u64, u64); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const SYMLINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// One node to be made.
#[derive(Debug)]
pub(super) struct Device {
    path: PathBuf,
    kind: SFlag,
    number: u64,
    mode: Mode,
    uid: u32,
    gid: u32,
    /// In a user namespace: the host's node, a detached mount.
    bound: Option<OwnedFd>,
}

/// The spec's devices, and the default ones that it does not name itself.
pub(super) fn plan(linux: Option<&Linux>, user_namespace: bool) -> Result<Vec<Device>, Error> {
    let mut devices = linux
        .and_then(|linux| linux.devices().as_deref())
        .unwrap_or_default()
        .iter()
        .map(from_spec)
        .collect::<Result<Vec<_>, _>>()?;
    for (path, major, minor) in DEFAULTS {
        if !devices.iter().any(|device| device.path == Path::new(path)) {
            devices.push(default_device(path, makedev(major, minor)));
        }
    }
    if user_namespace {
        // A FIFO is no device: that may be made everywhere.
        for device in devices.iter_mut().filter(|device| device.kind != SFlag::S_IFIFO) {
            device.bound = Some(host_node(device)?);
        }
    }
    Ok(devices)
}

/// The host's node of that path, which must be the very device.
fn host_node(device: &Device) -> Result<OwnedFd, Error> {
    let failed = |source| Error::Source { destination: device.path.clone(), source };
    let host = mount::clone_tree(mount::at_cwd(), &device.path, false).map_err(failed)?;
    let found = path::stat(host.as_fd()).map_err(failed)?;
    let kind = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
    if kind == device.kind && found.st_rdev == device.number {
        return Ok(host);
    }
    Err(Error::Mount {
        destination: device.path.clone(),
        reason: "in a user namespace it must be the host's device of that path",
        value: format!("{}:{}", major(device.number), minor(device.number)),
    })
}

fn default_device(path: &str, number: u64) -> Device {
    Device {
        path: path.into(),
        kind: SFlag::S_IFCHR,
        number,
        mode: Mode::from_bits_truncate(0o666),
        uid: 0,
        gid: 0,
        bound: None,
    }
}

fn from_spec(device: &oci_spec::runtime::LinuxDevice) -> Result<Device, Error> {
    let path = super::plan::plain(device.path());
    let unknown = |value: String| Error::Field { field: "linux.devices", value };
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => SFlag::S_IFCHR,
        LinuxDeviceType::B => SFlag::S_IFBLK,
        LinuxDeviceType::P => SFlag::S_IFIFO,
        LinuxDeviceType::A => return Err(unknown(path.display().to_string())),
    };
    let number = |value: i64| u64::try_from(value).map_err(|_| unknown(value.to_string()));
    Ok(Device {
        kind,
        number: if kind == SFlag::S_IFIFO {
            0
        } else {
            makedev(number(device.major())?, number(device.minor())?)
        },
        mode: Mode::from_bits_truncate(device.file_mode().unwrap_or(0o666) & 0o7777),
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
        path,
        bound: None,
    })
}

/// Makes the nodes inside the root.
pub(super) fn create(root: InRoot<'_>, devices: &[Device]) -> Result<(), StepError> {
    devices.iter().try_for_each(|device| {
        create_one(root, device)
            .map_err(|error| StepError::new(Stage::Devices, &device.path, error))
    })
}

fn create_one(root: InRoot<'_>, device: &Device) -> Result<(), SyscallError> {
    let (parent, name) = path::split(&device.path)?;
    let parent = root.create_dirs(parent, Mode::from_bits_truncate(0o755))?;
    match &device.bound {
        Some(host) => {
            let target = path::make_file(parent.as_fd(), name, Mode::empty())?;
            refuse_symlink(target.as_fd())?;
            mount::move_mount(host.as_fd(), target.as_fd())
        }
        None => make_node(parent.as_fd(), name, device),
    }
}

fn make_node(parent: BorrowedFd<'_>, name: &OsStr, device: &Device) -> Result<(), SyscallError> {
    match mknodat(parent, name, device.kind, device.mode, device.number) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(SyscallError::new("mknodat", format!("{name:?}"), errno)),
    }
    let node = path::handle_at(parent, name)?;
    let found = path::stat(node.as_fd())?;
    let kind = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
    let same_number = device.kind == SFlag::S_IFIFO || found.st_rdev == device.number;
    if kind != device.kind || !same_number {
        let text = format!("{}: something else is there", Shown(node.as_fd()));
        return Err(SyscallError::new("mknodat", text, Errno::EEXIST));
    }
    if (found.st_uid, found.st_gid) == (device.uid, device.gid) {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
    fchownat(&node, "", Some(uid), Some(gid), AtFlags::AT_EMPTY_PATH)
        .map_err(|errno| SyscallError::new("fchownat", format!("{name:?}"), errno))
}

fn refuse_symlink(target: BorrowedFd<'_>) -> Result<(), SyscallError> {
    let kind = SFlag::from_bits_truncate(path::stat(target)?.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFLNK {
        let text = Shown(target).to_string();
        return Err(SyscallError::new("openat", text, Errno::ELOOP));
    }
    Ok(())
}

/// `fd`, `stdin` and their like, by the open `/dev`: an image whose `/dev` is a
/// symlink has them where that leads inside the image. Existing ones stay.
pub(super) fn create_symlinks(dev: BorrowedFd<'_>) -> Result<(), StepError> {
    let core = ("/proc/kcore", "core");
    let has_core = Path::new(core.0).exists();
    for (target, name) in SYMLINKS.into_iter().chain(has_core.then_some(core)) {
        match nix::unistd::symlinkat(target, dev, name) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => {
                let error = SyscallError::new("symlinkat", format!("{target:?}"), errno);
                return Err(StepError::new(Stage::Symlinks, Path::new("/dev").join(name), error));
            }
        }
    }
    Ok(())
}
