//! Writing a running container to files.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use oci_spec::runtime::Spec;

use super::super::error::{Error, Result};
use super::super::kept;
use super::super::record::{Record, StateDir};
use super::super::state::Status;
use super::super::verbs;
use super::criu::{Criu, Place, failed, with_log};
use super::options::{CheckpointOptions, Images, Shared};
use super::request::{Kind, Options};
use super::{descriptors, mounts, namespaces};
use crate::cgroup::Cgroup;
use crate::model::ContainerId;
use crate::sys::SyscallError;
use crate::sys::mountinfo;

const LOG: &str = "dump.log";
/// A container's annotation that names a file of criu options, and the file
/// for those without; either may be missing.
const CONFIG_ANNOTATION: &str = "org.criu.config";
const CONFIG_FILE: &str = "/etc/criu/runc.conf";
/// The first version that freezes by cgroup v2.
const FREEZES_V2: u64 = 31_400;

/// Writes the container to `options.images` and removes it, unless it is to go
/// on running. When anything fails it runs on as before.
///
/// # Errors
/// Wrong state; [`Error::Criu`] with criu's own reason and where its log is.
pub fn checkpoint(state_root: &Path, id: &ContainerId, options: &CheckpointOptions) -> Result<()> {
    let dir = StateDir::of(state_root, id);
    let record = Record::load(&dir)?;
    require_started(record.status(&dir), dir.file("exec.fifo").exists())?;
    if record.owner.is_some() {
        return Err(failed("a container of a pod cannot be checkpointed"));
    }
    let spec = kept::config(dir.path())?;
    mounts::refuse_mapped(&spec)?;
    let criu = Criu::find()?;
    require_features(&criu, options)?;
    let mut request = new_request(&options.images, LOG, options.shared, true)?;
    describe(&criu, &record, &spec, options, &mut request)?;
    let kind = if options.pre_dump { Kind::PreDump } else { Kind::Dump };
    let mut status = options.status_fd.map(open_status).transpose()?;
    let place = Place { images: Some(&options.images), ..Place::default() };
    criu.serve(&place, kind, Some(request), &mut |answer, _| {
        if let ("status-ready", Some(fd)) = (answer.stage.as_str(), status.take()) {
            // Whoever waited for it may be gone.
            let _ = nix::unistd::write(fd, b"\0");
        }
        Ok(())
    })
    .map_err(with_log(options.images.log_folder(), LOG))?;
    if options.pre_dump || options.leave_running {
        return Ok(());
    }
    verbs::delete(state_root, id, true)
}

/// Before its start a container is podrt still.
fn require_started(status: Status, waits: bool) -> Result<()> {
    let status = match status {
        Status::Running => return Ok(()),
        Status::Paused if !waits => return Ok(()),
        Status::Paused => Status::Created,
        other => other,
    };
    Err(Error::WrongState { verb: "checkpoint", status: status.as_str().to_owned() })
}

/// All that criu must know of this container.
fn describe(
    criu: &Criu,
    record: &Record,
    spec: &Spec,
    options: &CheckpointOptions,
    request: &mut Options,
) -> Result<()> {
    request.pid(record.pid);
    request.root(&record.rootfs.to_string_lossy());
    request.leave_running(options.leave_running);
    request.tcp_skip_in_flight(options.tcp_skip_in_flight);
    request.link_remap(options.link_remap);
    set_config_file(record, request);
    if let Some(parent) = &options.parent {
        request.parent(&parent.to_string_lossy());
    } else if options.pre_dump {
        request.track_memory();
    }
    if let Some(server) = &options.page_server {
        request.page_server(server);
    }
    if !record.cgroup.is_empty()
        && let Some((folder, is_v2)) =
            Cgroup::open(&record.cgroup).ok().and_then(|it| it.freezer_folder())
        && (!is_v2 || criu.version >= FREEZES_V2)
    {
        request.freeze_cgroup(&folder.to_string_lossy());
    }
    namespaces::leave_out(criu, spec, record.pid, request)?;
    if options.pre_dump {
        return Ok(());
    }
    let images = &options.images.folder;
    let mounted = mountinfo::of(&record.pid.to_string())
        .map_err(Error::call("look at the container's mounts"))?;
    let root = open_root(record.pid)?;
    mounts::leave_out(images, &mounts::external(spec, &root, &mounted), request)?;
    let streams = descriptors::of_process(record.pid, &mounted);
    descriptors::leave_out(&streams, request);
    descriptors::save(images, &streams)
}

fn open_root(pid: i32) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/root");
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::open(path.as_str(), flags, Mode::empty()).map_err(|errno| Error::Call {
        what: "open the container's root".to_owned(),
        source: SyscallError::new("open", path, errno),
    })
}

fn require_features(criu: &Criu, options: &CheckpointOptions) -> Result<()> {
    if !options.pre_dump && !options.shared.lazy_pages {
        return Ok(());
    }
    let can = criu.features()?;
    if options.pre_dump && !can.tracks_memory {
        return Err(failed("pre-dump: this kernel does not track writes to memory"));
    }
    if options.shared.lazy_pages && !can.lazy_pages {
        return Err(failed("lazy-pages: not supported on this kernel"));
    }
    Ok(())
}

/// The caller's descriptor `number`, opened anew.
fn open_status(number: i32) -> Result<File> {
    let path = format!("/proc/self/fd/{number}");
    File::options().write(true).open(&path).map_err(|error| Error::Call {
        what: "open --status-fd".to_owned(),
        source: SyscallError::from_io("open", path, &error),
    })
}

/// A request that writes its log to `log`, and the folders it needs.
pub(super) fn new_request(
    images: &Images,
    log: &str,
    shared: Shared,
    dump: bool,
) -> Result<Options> {
    images.make(dump)?;
    // One of an earlier time would be read as this one's.
    let _ = std::fs::remove_file(images.log_folder().join(log));
    Ok(Options::new(log, shared))
}

pub(super) fn set_config_file(record: &Record, request: &mut Options) {
    let file = record.annotations.get(CONFIG_ANNOTATION).map_or(CONFIG_FILE, String::as_str);
    if !file.is_empty() {
        request.config_file(file);
    }
}
