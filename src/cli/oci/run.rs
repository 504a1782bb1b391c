//! `podrt run` of an OCI bundle.

use std::os::fd::AsFd;

use super::create::{
    self, BUNDLE, CONSOLE_SOCKET, NO_NEW_KEYRING, NO_PIVOT, PID_FILE, PIDFD_SOCKET, PRESERVE_FDS,
};
use super::flags::{Grammar, Typed, switch};
use super::foreground::Foreground;
use super::process::{absolute, protect};
use super::report::{Failure, Outcome};
use crate::cli::globals::Globals;
use crate::container::{self, Console};
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
    protect()?;
    let detach = typed.has("detach");
    let socket = typed.value("console-socket").map(|path| absolute(path.as_ref())).transpose()?;
    let mut options = create::options(globals, typed, Console::None)?;
    let terminal =
        options.spec.process().as_ref().and_then(|process| process.terminal()) == Some(true);
    options.console = match (socket, terminal && !detach) {
        (Some(socket), _) => Console::Socket(socket),
        (None, true) => Console::HandOver,
        (None, false) => Console::None,
    };
    let (id, root) = (options.id.clone(), options.state_root.clone());
    if !detach && !typed.has("no-subreaper") {
        prctl::set_child_subreaper(true)
            .map_err(|source| Failure::Call { doing: "become subreaper", source })?;
    }
    let foreground = (!detach).then(Foreground::begin).transpose()?;
    let created = container::create(options).map_err(Failure::of("run", id.as_str()))?;
    let remove = || container::delete(&root, &id, true).map_err(Failure::of("delete", id.as_str()));
    if let Err(error) = container::start(&root, &id) {
        let _ = remove();
        return Err(Failure::of("run", id.as_str())(error));
    }
    if let Some(path) = typed.value("pidfd-socket") {
        super::process::send_pidfd(path.as_ref(), &created.pidfd).inspect_err(|_| {
            let _ = remove();
        })?;
    }
    let Some(foreground) = foreground else { return Ok(0) };
    let ended = foreground.until_end(created.pidfd.as_fd(), created.console);
    if !typed.has("keep") {
        remove()?;
    }
    ended
}
