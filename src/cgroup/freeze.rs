//! Stopping and resuming a whole cgroup.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::Error;
use super::hierarchy::Layout;
use super::{file, processes};

/// How long the kernel may take; a process in an uninterruptible call can hold
/// it up.
const LIMIT: Duration = Duration::from_secs(1);

/// v1 does not say when it is done: asked again this often.
const V1_INTERVAL: Duration = Duration::from_micros(200);

/// Freezes or thaws, and waits for it.
pub(super) fn set(path: &str, here: &Layout, frozen: bool) -> Result<(), Error> {
    let done = match (&here.v2, here.v1_of("freezer")) {
        (Some(v2), _) => set_v2(v2, frozen)?,
        (None, Some(v1)) => set_v1(v1, frozen)?,
        (None, None) => {
            return Err(Error::MissingController {
                controller: "freezer".to_owned(),
                setting: "freezer state".to_owned(),
            });
        }
    };
    if done {
        return Ok(());
    }
    let wanted = if frozen { "frozen" } else { "thawed" };
    Err(Error::Freeze { path: path.to_owned(), wanted })
}

fn set_v2(folder: &Path, frozen: bool) -> Result<bool, Error> {
    let value = if frozen { "1" } else { "0" };
    file::write(&folder.join("cgroup.freeze"), value)?;
    processes::wait_for(folder, "frozen", u64::from(frozen), LIMIT)
}

/// A process that is just forking can escape the first order, so that it is
/// repeated until the kernel reports the whole.
fn set_v1(folder: &Path, frozen: bool) -> Result<bool, Error> {
    let state = folder.join("freezer.state");
    let wanted = if frozen { "FROZEN" } else { "THAWED" };
    let begin = Instant::now();
    loop {
        file::write(&state, wanted)?;
        if file::read(&state)?.trim() == wanted {
            return Ok(true);
        }
        if begin.elapsed() > LIMIT {
            return Ok(false);
        }
        std::thread::sleep(V1_INTERVAL);
    }
}

/// Whether freezing was asked for on this very cgroup.
pub(super) fn is_frozen(here: &Layout) -> Result<bool, Error> {
    if let Some(v2) = &here.v2 {
        return Ok(file::read(&v2.join("cgroup.freeze"))?.trim() == "1");
    }
    let Some(v1) = here.v1_of("freezer") else { return Ok(false) };
    Ok(file::read(&v1.join("freezer.self_freezing"))?.trim() == "1")
}

/// The file, open, that tells whether what is in a cgroup stands still, be it
/// for its own sake or that of one above. The default tells that it does not.
#[derive(Debug, Default)]
pub struct Freezer(Option<(File, PathBuf)>);

impl Freezer {
    pub(super) fn open(here: &Layout) -> Result<Self, Error> {
        let path = match (&here.v2, here.v1_of("freezer")) {
            (Some(v2), _) => v2.join("cgroup.events"),
            (None, Some(v1)) => v1.join("freezer.state"),
            (None, None) => return Ok(Self(None)),
        };
        let file = File::open(&path).map_err(|error| file::failed("open", &path, "", &error))?;
        Ok(Self(Some((file, path))))
    }

    /// # Errors
    /// [`Error::File`] when the cgroup is gone.
    pub fn is_frozen(&self) -> Result<bool, Error> {
        let Some((file, path)) = &self.0 else { return Ok(false) };
        let mut text = [0; 256];
        let length =
            file.read_at(&mut text, 0).map_err(|error| file::failed("read", path, "", &error))?;
        let text = String::from_utf8_lossy(&text[..length]);
        Ok(file::keyed(&text, "frozen") == Some(1) || text.trim() == "FROZEN")
    }
}
