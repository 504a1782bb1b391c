//! `podrt run` of an OCI bundle.

use std::os::fd::AsFd;
use std::path::Path;

use super::create::{
    self, BUNDLE, CONSOLE_SOCKET, NO_NEW_KEYRING, NO_PIVOT, PID_FILE, PIDFD_SOCKET, PRESERVE_FDS,
};
use super::flags::{Grammar, Typed, switch};
use super::foreground::Foreground;
use super::process::{absolute, protect};
use super::report::{Failure, Outcome};
use crate::cli::globals::Globals;
use crate::container::{self, Console, CreateOptions, Created};
use crate::model::ContainerId;
use crate::sys::exec_view::ViewMounts;
use crate::sys::prctl;

pub const GRAMMAR: Grammar = Grammar {
    verb: "run",
    words: "ID",
    about: "Make a container, start it and, unless detached, wait for its end and remove it.",
    flags: &[
        BUNDLE,
        CONSOLE_SOCKET,
        PIDFD_SOCKET,
        switch("detach", "d", "do not wait"),
        switch("keep", "", "do not remove the container when it has ended"),
        PID_FILE,
        switch("no-subreaper", "", "do not take orphaned processes of the container over"),
        NO_PIVOT,
        NO_NEW_KEYRING,
        PRESERVE_FDS,
    ],
    least: 1,
    most: 1,
};

pub fn run(globals: &Globals, typed: &Typed) -> Outcome {
    let view_mounts = protect()?;
    let options = options(globals, typed, view_mounts)?;
    let (id, root) = (options.id.clone(), options.state_root.clone());
    until_end(&root, &id, typed, || {
        let created = container::create(options).map_err(Failure::of("run", id.as_str()))?;
        let started = container::start(&root, &id).map_err(Failure::of("run", id.as_str()));
        let told = started.and_then(|()| match typed.value("pidfd-socket") {
            Some(path) => super::process::send_pidfd(path.as_ref(), &created.pidfd),
            None => Ok(()),
        });
        if let Err(error) = told {
            let _ = container::delete(&root, &id, true);
            return Err(error);
        }
        Ok(created)
    })
}

/// The options of `run` and `restore`. Afterwards the current folder is the
/// bundle.
pub fn options(
    globals: &Globals,
    typed: &Typed,
    view_mounts: ViewMounts,
) -> Result<CreateOptions, Failure> {
    let socket = typed.value("console-socket").map(|path| absolute(path.as_ref())).transpose()?;
    let mut options = create::options(globals, typed, Console::None, view_mounts)?;
    let terminal =
        options.spec.process().as_ref().and_then(|process| process.terminal()) == Some(true);
    options.console = match (socket, terminal && !typed.has("detach")) {
        (Some(socket), _) => Console::Socket(socket),
        (None, true) => Console::HandOver,
        (None, false) => Console::None,
    };
    Ok(options)
}

/// Lets `make` make a running container and, unless detached, waits for its end
/// and removes it: its exit code.
pub fn until_end(
    root: &Path,
    id: &ContainerId,
    typed: &Typed,
    make: impl FnOnce() -> Result<Created, Failure>,
) -> Outcome {
    let detach = typed.has("detach");
    if !detach && !typed.has("no-subreaper") {
        prctl::set_child_subreaper(true)
            .map_err(|source| Failure::Call { doing: "become subreaper", source })?;
    }
    let foreground = (!detach).then(Foreground::begin).transpose()?;
    let created = make()?;
    let Some(foreground) = foreground else { return Ok(0) };
    let ended = foreground.until_end(created.pidfd.as_fd(), created.console);
    if !typed.has("keep") {
        container::delete(root, id, true).map_err(Failure::of("delete", id.as_str()))?;
    }
    ended
}
