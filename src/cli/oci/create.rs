//! `podrt create`, and what `run` shares with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use super::flags::{Flag, Grammar, Typed, switch, value};
use super::process::{absolute, protect, read_spec};
use super::report::{Failure, Outcome};
use super::verb::id;
use crate::cli::globals::Globals;
use crate::container::{self, Console, CreateOptions, Gate, NamespaceFds, RootSource, Stdio};
use crate::sys::exec_view::ViewMounts;

pub const BUNDLE: Flag = value("bundle", "b", "folder of config.json (default: the current one)");
pub const CONSOLE_SOCKET: Flag =
    value("console-socket", "", "UNIX socket that gets the terminal's master");
pub const PIDFD_SOCKET: Flag = value("pidfd-socket", "", "UNIX socket that gets the pidfd");
pub const PID_FILE: Flag = value("pid-file", "", "file to write the pid to");
pub const NO_PIVOT: Flag =
    switch("no-pivot", "", "do not use pivot_root (for a root on a ramdisk)");
pub const NO_NEW_KEYRING: Flag = switch("no-new-keyring", "", "keep the session keyring");
pub const PRESERVE_FDS: Flag =
    value("preserve-fds", "", "pass as many descriptors after the standard ones");

pub const GRAMMAR: Grammar = Grammar {
    verb: "create",
    words: "ID",
    about: "Make a container that waits to be started.",
    flags: &[
        BUNDLE,
        CONSOLE_SOCKET,
        PIDFD_SOCKET,
        PID_FILE,
        NO_PIVOT,
        NO_NEW_KEYRING,
        PRESERVE_FDS,
    ],
    least: 1,
    most: 1,
};

pub fn run(globals: &Globals, typed: &Typed) -> Outcome {
    let view_mounts = protect()?;
    let console =
        typed.value("console-socket").map(|path| absolute(Path::new(path))).transpose()?;
    let console = console.map_or(Console::None, Console::Socket);
    let options = options(globals, typed, console, view_mounts)?;
    let (id, state_root) = (options.id.clone(), options.state_root.clone());
    let pidfd_socket = typed.value("pidfd-socket").map(PathBuf::from);
    let created = container::create(options).map_err(Failure::of("create", id.as_str()))?;
    let sent = pidfd_socket.map(|path| super::process::send_pidfd(&path, &created.pidfd));
    if let Some(Err(error)) = sent {
        // Nothing is left of a creation that fails.
        let _ = container::delete(&state_root, &id, true);
        return Err(error);
    }
    Ok(0)
}

/// The options of `create` and `run`. Afterwards the current folder is the
/// bundle, where hooks run.
pub fn options(
    globals: &Globals,
    typed: &Typed,
    console: Console,
    view_mounts: ViewMounts,
) -> Result<CreateOptions, Failure> {
    let id = id(typed)?;
    let state_root = absolute(&globals.roots.root)?;
    let pid_file = typed.value("pid-file").map(|path| absolute(Path::new(path))).transpose()?;
    let bundle = typed.value("bundle").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let bundle = enter(&bundle)?;
    let mut spec = read_spec(&bundle.join("config.json"))?;
    container::rootless::enter(&mut spec).map_err(Failure::of("create", id.as_str()))?;
    Ok(CreateOptions {
        id,
        state_root,
        root: RootSource::Path(root_path(&spec)?),
        bundle,
        spec,
        keep: Box::new(container::Config),
        sources: BTreeMap::new(),
        namespaces: NamespaceFds::new(),
        stdio: Stdio::Inherit,
        console,
        pid_file,
        preserve_fds: typed.number("preserve-fds")?.unwrap_or(0),
        no_pivot: typed.has("no-pivot"),
        no_new_keyring: typed.has("no-new-keyring"),
        gate: Gate::Fifo,
        cgroup_driver: globals.cgroup_driver,
        owner: None,
        view_mounts,
    })
}

fn enter(bundle: &Path) -> Result<PathBuf, Failure> {
    std::env::set_current_dir(bundle)
        .and_then(|()| std::env::current_dir())
        .map_err(|error| super::process::file("enter bundle", bundle, &error))
}

fn root_path(spec: &Spec) -> Result<PathBuf, Failure> {
    let root = spec.root().as_ref().map(|root| root.path().clone());
    root.filter(|path| !path.as_os_str().is_empty())
        .ok_or_else(|| Failure::Contradiction("root.path is missing in config.json".to_owned()))
}
