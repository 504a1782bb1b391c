//! Handing a terminal or a seccomp listener to whoever asked for it by a
//! socket's path.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use oci_spec::runtime::LinuxSeccomp;
use serde::Serialize;

use super::error::{Error, Result};
use super::hooks::HookState;
use super::plan::invalid;
use crate::sys::SyscallError;
use crate::sys::fd::send_with_fds;

/// Sends a terminal's master as runc does: one message with its name.
pub(super) fn send(socket: &Path, master: BorrowedFd) -> Result<()> {
    send_to(socket, b"/dev/ptmx", master, "send the console")
}

fn send_to(path: &Path, bytes: &[u8], fd: BorrowedFd, what: &str) -> Result<()> {
    let stream = UnixStream::connect(path).map_err(|error| Error::Call {
        what: what.to_owned(),
        source: SyscallError::from_io("connect", format!("{path:?}"), &error),
    })?;
    send_with_fds(stream.as_fd(), bytes, &[fd]).map_err(Error::call(what))
}

/// The specification's container process state.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'a str,
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: &'a HookState<'a>,
}

/// Sends the notification descriptor of a filter to its profile's listener.
pub(super) fn send_listener(
    seccomp: &LinuxSeccomp,
    state: &HookState,
    listener: BorrowedFd,
) -> Result<()> {
    let path = seccomp
        .listener_path()
        .as_ref()
        .ok_or_else(|| invalid("seccomp.listenerPath is missing for SCMP_ACT_NOTIFY"))?;
    let message = ProcessState {
        oci_version: state.oci_version,
        fds: ["seccompFd"],
        pid: state.pid,
        metadata: seccomp.listener_metadata().as_deref(),
        state,
    };
    let bytes = serde_json::to_vec(&message).map_err(|error| invalid(error.to_string()))?;
    send_to(path, &bytes, listener, "send the seccomp listener")
}
