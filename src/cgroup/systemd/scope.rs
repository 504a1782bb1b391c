//! Scopes: made, limited, stopped.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::sys::signal::Signal as Unix;
use nix::unistd::Pid;
use oci_spec::runtime::LinuxResources;

use super::bus::{Answer, Bus};
use super::name::ScopeName;
use super::properties::{Property, Value, limits, property, write};
use super::wire::Body;
use crate::cgroup::Error;
use crate::model::Signal;
use crate::sys::process::{self, Clone, Wait};

/// Whether systemd runs this machine.
#[must_use]
pub fn available() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// A process that does nothing but be in a scope; ends when dropped, or with
/// its maker.
#[derive(Debug)]
pub struct Placeholder {
    pid: Pid,
    process: OwnedFd,
}

impl Placeholder {
    /// # Errors
    /// [`Error::Placeholder`].
    pub fn new() -> Result<Self, Error> {
        let failed = |source| Error::Placeholder { source };
        match process::fork_with_pidfd().map_err(failed)? {
            Clone::Parent { pid, pidfd } => Ok(Self { pid, process: pidfd }),
            Clone::Child => {
                // Without it the maker's death would leave it behind.
                if nix::sys::prctl::set_pdeathsig(Unix::SIGKILL).is_ok() {
                    loop {
                        nix::unistd::pause();
                    }
                }
                process::exit_now(1)
            }
        }
    }
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        let _ = process::pidfd_send_signal(self.process.as_fd(), Signal::KILL);
        let _ = process::wait_pidfd(self.process.as_fd(), Wait::Block);
    }
}

/// Starts the scope with a placeholder in it, which must live until another
/// process is inside.
///
/// # Errors
/// [`Error::Bus`], or [`Error::Unit`] with systemd's words.
pub fn start(
    name: &ScopeName,
    resources: &LinuxResources,
    own: &[Property],
) -> Result<Placeholder, Error> {
    let placeholder = Placeholder::new()?;
    let properties = properties(name, placeholder.pid, resources, own);
    let mut bus = Bus::connect()?;
    match start_once(&mut bus, name, &properties) {
        // A failed unit of that name is only remembered.
        Err(Error::Unit { error, .. }) if error.ends_with(".UnitExists") => {
            let mut body = Body::default();
            body.text(&name.unit);
            let _ = bus.call("ResetFailedUnit", "s", &body, None)?;
            start_once(&mut bus, name, &properties)?;
        }
        done => done?,
    }
    Ok(placeholder)
}

fn start_once(bus: &mut Bus, name: &ScopeName, properties: &[Property]) -> Result<(), Error> {
    let mut body = Body::default();
    body.text(&name.unit);
    body.text("replace");
    write(&mut body, properties);
    body.array(8, |_| ());
    let answer = bus.call("StartTransientUnit", "ssa(sv)a(sa(sv))", &body, Some(&name.unit))?;
    checked("start", &name.unit, answer)
}

/// As runc asks for its scopes; a caller's own properties win.
fn properties(
    name: &ScopeName,
    pid: Pid,
    resources: &LinuxResources,
    own: &[Property],
) -> Vec<Property> {
    let flag = |name, value| property(name, Value::Boolean(value));
    let description = format!("podrt container {}", name.unit.trim_end_matches(".scope"));
    let mut all = vec![
        property("Description", Value::Text(description)),
        property("Slice", Value::Text(name.slice.clone())),
        property("PIDs", Value::U32s(vec![pid.as_raw().cast_unsigned()])),
        flag("Delegate", true),
        flag("MemoryAccounting", true),
        flag("CPUAccounting", true),
        flag("TasksAccounting", true),
        flag("IOAccounting", true),
        flag("DefaultDependencies", false),
        property("CollectMode", Value::Text("inactive-or-failed".to_owned())),
    ];
    all.extend(limits(resources));
    all.retain(|one| own.iter().all(|other| other.name != one.name));
    all.extend_from_slice(own);
    all
}

/// Tells systemd of new limits; they are set in the cgroup besides.
///
/// # Errors
/// As [`start`].
pub fn set_limits(name: &ScopeName, resources: &LinuxResources) -> Result<(), Error> {
    let properties = limits(resources);
    if properties.is_empty() {
        return Ok(());
    }
    let mut body = Body::default();
    body.text(&name.unit);
    // Until the next reboot, as the scope itself.
    body.boolean(true);
    write(&mut body, &properties);
    let answer = Bus::connect()?.call("SetUnitProperties", "sba(sv)", &body, None)?;
    checked("limit", &name.unit, answer)
}

/// Stops the scope and forgets it. One that is gone is stopped.
///
/// # Errors
/// As [`start`].
pub fn stop(name: &ScopeName) -> Result<(), Error> {
    let mut body = Body::default();
    body.text(&name.unit);
    body.text("replace");
    let answer = Bus::connect()?.call("StopUnit", "ss", &body, Some(&name.unit))?;
    match checked("stop", &name.unit, answer) {
        Err(Error::Unit { error, .. }) if error.ends_with(".NoSuchUnit") => Ok(()),
        done => done,
    }
}

fn checked(
    verb: &'static str,
    unit: &str,
    (answer, ended): (Answer, Option<String>),
) -> Result<(), Error> {
    let failed =
        |error: String, text: String| Error::Unit { verb, unit: unit.to_owned(), error, text };
    match (answer, ended.as_deref()) {
        (Answer::Refused { name, text }, _) => Err(failed(name, text)),
        (Answer::Done, None | Some("done" | "skipped")) => Ok(()),
        (Answer::Done, Some(result)) => Err(failed("job".to_owned(), result.to_owned())),
    }
}
