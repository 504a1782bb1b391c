//! `podrt exec` in an OCI container.

use std::os::fd::AsFd;
use std::path::Path;

use oci_spec::runtime::{Capabilities, LinuxCapabilities, Process, User};

use super::create::{CONSOLE_SOCKET, PID_FILE, PIDFD_SOCKET, PRESERVE_FDS};
use super::flags::{Grammar, Typed, switch, value, values};
use super::foreground::Foreground;
use super::process::{absolute, file, parse, protect, send_pidfd};
use super::report::{Failure, Outcome};
use super::verb::id;
use crate::cli::globals::Globals;
use crate::container::{Console, ExecOptions, Stdio, Target};

pub const GRAMMAR: Grammar = Grammar {
    verb: "exec",
    words: "ID COMMAND [ARGS...] | --process FILE ID",
    about: "Run a process in a container.",
    flags: &[
        CONSOLE_SOCKET,
        PIDFD_SOCKET,
        value("cwd", "", "working folder"),
        values("env", "e", "a variable, NAME=VALUE"),
        switch("tty", "t", "with a terminal"),
        value("user", "u", "UID[:GID]"),
        values("additional-gids", "g", "further groups"),
        value("process", "p", "file with the process as JSON"),
        switch("detach", "d", "do not wait"),
        PID_FILE,
        value("process-label", "", "SELinux label"),
        value("apparmor", "", "AppArmor profile"),
        switch("no-new-privs", "", "set no_new_privs"),
        values("cap", "c", "a further capability"),
        PRESERVE_FDS,
        value("cgroup", "", "cgroup below the container's"),
        switch("ignore-paused", "", "also in a paused container"),
    ],
    least: 1,
    most: usize::MAX,
};

pub fn run(globals: &Globals, typed: &Typed) -> Outcome {
    let view_mounts = protect()?;
    let id = id(typed)?;
    let failed = || Failure::of("exec in", id.as_str());
    let target = Target::load(&globals.roots.root, &id).map_err(failed())?;
    let process = match typed.value("process") {
        Some(path) => from_file(path.as_ref())?,
        None => from_flags(target.process.clone(), typed)?,
    };
    let detach = typed.has("detach");
    let terminal = process.terminal() == Some(true);
    let socket = typed.value("console-socket").map(|path| absolute(path.as_ref())).transpose()?;
    let console = match (socket, terminal) {
        (Some(socket), _) => Console::Socket(socket),
        (None, true) if !detach => Console::HandOver,
        (None, _) => Console::None,
    };
    let foreground = (!detach).then(Foreground::begin).transpose()?;
    let exec = target
        .exec(ExecOptions {
            process,
            stdio: Stdio::Inherit,
            console,
            pid_file: typed.value("pid-file").map(|p| absolute(p.as_ref())).transpose()?,
            preserve_fds: typed.number("preserve-fds")?.unwrap_or(0),
            cgroup: typed.value("cgroup").map(std::path::PathBuf::from),
            ignore_paused: typed.has("ignore-paused"),
            view_mounts,
        })
        .map_err(failed())?;
    if let Some(path) = typed.value("pidfd-socket") {
        send_pidfd(path.as_ref(), &exec.pidfd)?;
    }
    match foreground {
        Some(foreground) => foreground.until_end(exec.pidfd.as_fd(), exec.console),
        None => Ok(0),
    }
}

fn from_file(path: &Path) -> Result<Process, Failure> {
    let bytes = std::fs::read(path).map_err(|error| file("read", path, &error))?;
    parse(&bytes, path, "")
}

/// The container's own process with what the flags change.
fn from_flags(mut process: Process, typed: &Typed) -> Result<Process, Failure> {
    let args = typed.words()[1..].to_vec();
    if args.is_empty() {
        return Err(Failure::Contradiction("process args cannot be empty".to_owned()));
    }
    process.set_args(Some(args)).set_terminal(Some(typed.has("tty"))).set_console_size(None);
    if let Some(cwd) = typed.value("cwd") {
        process.set_cwd(cwd.into());
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(typed.texts("env")?.into_iter().map(str::to_owned));
    process.set_env(Some(env));
    if let Some(label) = typed.text("process-label")? {
        process.set_selinux_label(Some(label.to_owned()));
    }
    if let Some(profile) = typed.text("apparmor")? {
        process.set_apparmor_profile(Some(profile.to_owned()));
    }
    if typed.has("no-new-privs") {
        process.set_no_new_privileges(Some(true));
    }
    set_user(&mut process, typed)?;
    add_capabilities(&mut process, &typed.texts("cap")?)?;
    Ok(process)
}

fn set_user(process: &mut Process, typed: &Typed) -> Result<(), Failure> {
    let number = |text: &str| {
        text.parse().map_err(|_| {
            Failure::Contradiction(format!("parsing {text:?} as int for uid or gid failed"))
        })
    };
    let mut user: User = process.user().clone();
    if let Some(text) = typed.text("user")? {
        let (uid, gid) = text.split_once(':').map_or((text, None), |(uid, gid)| (uid, Some(gid)));
        user.set_uid(number(uid)?);
        if let Some(gid) = gid {
            user.set_gid(number(gid)?);
        }
    }
    let mut groups = user.additional_gids().clone().unwrap_or_default();
    for text in typed.texts("additional-gids")? {
        groups.push(number(text)?);
    }
    user.set_additional_gids((!groups.is_empty()).then_some(groups));
    process.set_user(user);
    Ok(())
}

/// Bounding, effective and permitted, as runc adds them.
fn add_capabilities(process: &mut Process, names: &[&str]) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    let added: Capabilities = names
        .iter()
        .map(|name| {
            let bare = name.strip_prefix("CAP_").and_then(|bare| bare.parse().ok());
            bare.ok_or_else(|| Failure::Contradiction(format!("unknown capability {name:?}")))
        })
        .collect::<Result<_, _>>()?;
    let mut caps = process.capabilities().clone().unwrap_or_else(no_capabilities);
    let union = |set: &Option<Capabilities>| {
        Some(set.iter().flatten().chain(&added).copied().collect::<Capabilities>())
    };
    let (bounding, effective, permitted) =
        (union(caps.bounding()), union(caps.effective()), union(caps.permitted()));
    caps.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    process.set_capabilities(Some(caps));
    Ok(())
}

/// The crate's default holds some.
fn no_capabilities() -> LinuxCapabilities {
    let mut none = LinuxCapabilities::default();
    none.set_bounding(None)
        .set_effective(None)
        .set_permitted(None)
        .set_inheritable(None)
        .set_ambient(None);
    none
}
